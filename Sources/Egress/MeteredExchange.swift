import Documents
import EgressPolicy
import Metering
import NIOCore
import Syscalls

/// A request to the Messages API that is not sent: what the client is told, and what becomes of the session.
struct MeteredRefusal: Error {
    let refusal: Refusal
    var decision: GatewayDecision?
}

/// What metering does for one request to the Messages API: its body checked, its bound reserved, its response watched.
final class MeteredExchange {
    private var exchange: MessagesExchange
    private let reservation: Reservation?
    private let session: EgressSession
    /// The response's body, where the policy asks for bodies.
    private(set) var responseCopy: [UInt8]?

    /// Bodies in the log are cut at this length.
    private static let copied = 4 << 20

    init(
        _ session: EgressSession, method: String, path: String, body: [UInt8], read: MessagesBody,
        rules: MessagesBodyRules
    ) throws(MeteredRefusal) {
        self.session = session
        let gateway = session.gateway
        do throws(MeteringRefusal) {
            exchange = try MessagesExchange(
                method: method, path: path, body: body, read: read, rules: rules, prices: gateway.prices,
                policy: gateway.unknownModels, note: gateway.budgets.note(session: session.id),
                memory: session.promptMemory)
        } catch {
            throw MeteredRefusal(
                refusal: Refusal(
                    status: error.status, reason: error.description, fields: [("content-type", "application/json")],
                    body: error.body))
        }
        guard exchange.reservation.tokens > 0 || exchange.reservation.nanodollars > 0 else {
            reservation = nil
            return
        }
        do throws(BudgetFailure) {
            reservation = try gateway.budgets.reserve(session: session.id, exchange.reservation)
        } catch {
            throw Self.refusal(for: error)
        }
        if session.policy.logBodies { responseCopy = [] }
    }

    private static func refusal(for failure: BudgetFailure) -> MeteredRefusal {
        guard case .refused(let refusal) = failure else {
            let detail = "the budgets are not known: \(failure)"
            return MeteredRefusal(
                refusal: Refusal(503, detail), decision: GatewayDecision(.end, .log, detail: detail))
        }
        if refusal.isPassing {
            return MeteredRefusal(
                refusal: Refusal(
                    status: BillingError.passingStatus, reason: refusal.description,
                    fields: BillingError.passingHeaders, body: BillingError.body429(refusal)))
        }
        return MeteredRefusal(
            refusal: Refusal(
                status: BillingError.status, reason: refusal.description, fields: BillingError.headers,
                body: BillingError.body402(refusal)),
            decision: refusal.decision)
    }

    var upstreamBody: [UInt8] { exchange.upstreamBody }

    func response(_ head: ResponseHead) {
        exchange.response(status: head.status, headers: head.fields.list.map { ($0.name, $0.value) })
    }

    /// Watches a part of the response; a refusal where it costs more than is left.
    func received(_ part: ByteBuffer) -> BudgetRefusal? {
        part.withUnsafeReadableBytes { exchange.received($0) }
        if let copy = responseCopy, copy.count < Self.copied {
            responseCopy?.append(contentsOf: part.readableBytesView)
        }
        guard let excess = exchange.excess, let reservation else { return nil }
        do throws(BudgetFailure) {
            try session.gateway.budgets.grow(reservation, to: excess)
            return nil
        } catch {
            if case .refused(let refusal) = error { return refusal }
            session.stop(GatewayDecision(.end, .log, detail: "the budgets are not known: \(error)"))
            return nil
        }
    }

    /// Charges what it came to.
    func finish(aborted: Bool, wasSent: Bool) -> MessagesOutcome {
        let outcome = wasSent ? exchange.finish(aborted: aborted) : exchange.unsent()
        guard let reservation else { return outcome }
        do throws(BudgetFailure) {
            let settlement = try session.gateway.budgets.settle(reservation, outcome)
            if settlement.passedSoftMark, let state = settlement.state { session.passedSoftMark(state) }
        } catch {
            session.stop(GatewayDecision(.end, .log, detail: "the budgets cannot be written: \(error)"))
        }
        return outcome
    }
}

extension BudgetRefusal {
    /// What becomes of the session.
    var decision: GatewayDecision { GatewayDecision(atLimit == .pause ? .pause : .end, .budget, detail: description) }
}

func jsonText(_ text: String) -> String { Node(.string(text)).json() }
