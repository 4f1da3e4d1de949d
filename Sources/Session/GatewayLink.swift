import Documents
import EgressPolicy
import Glibc
import Records
import Syscalls
import SystemPackage

/// What a supervisor holds of the gateway: the connection that a session's egress lives by, and the session's listeners, to
/// be handed to the next gateway should this one die.
final class GatewayLink {
    private let state: StateDirectory
    private let session: OpenSession
    private let listeners: [FileDescriptor]
    /// `nil` while no gateway serves the session: nothing leaves it then.
    private(set) var connection: GatewayConnection?
    /// When to look for a gateway again, monotonic nanoseconds; `nil` while one serves.
    private(set) var retry: UInt64?
    private var failures = 0
    /// Nanoseconds for which a gateway that starts is waited for: the session's limits and its end wait meanwhile.
    private static let patience: UInt64 = 3_000_000_000
    /// Whether a gateway has had the session paused, and none has had it go on since: the next gateway does not know.
    var isPaused = false
    /// What the gateways before this one counted.
    private var past: EgressUsage
    private var current = EgressUsage()

    /// Hands the session over to the gateway.
    ///
    /// - Throws: ``SessionError``; the listeners are closed then.
    init(_ session: OpenSession, _ listeners: [FileDescriptor], in state: StateDirectory) throws(SessionError) {
        self.state = state
        self.session = session
        self.listeners = listeners
        past = EgressUsage()
        do throws(SessionError) {
            connection = try Gateway(state).serve(session, listeners)
        } catch {
            for listener in listeners { close(listener) }
            throw error
        }
    }

    /// What the session has used, over every gateway that served it.
    var usage: EgressUsage {
        EgressUsage(
            requests: past.requests + current.requests, denied: past.denied + current.denied,
            bytesUp: past.bytesUp + current.bytesUp, bytesDown: past.bytesDown + current.bytesDown,
            microdollars: past.microdollars + current.microdollars, tokens: past.tokens + current.tokens,
            softMarks: past.softMarks + current.softMarks)
    }

    /// What the gateway has told since the last look. An end of the connection is noticed: ``retry`` is set then.
    func take() -> [ControlEvent] {
        guard connection != nil else { return [] }
        var events: [ControlEvent] = []
        var isOpen = false
        do { (events, isOpen) = try connection!.events() } catch { isOpen = false }
        for case .usage(let usage) in events { current = usage }
        if !isOpen { lose() }
        return events
    }

    private func lose() {
        connection?.close()
        connection = nil
        (past, current) = (usage, EgressUsage())
        failures = 0
        retry = monotonicNanoseconds()
    }

    /// Looks for a gateway, starts one where there is none, and hands the listeners over again. Clients wait in the
    /// listeners' backlogs meanwhile.
    ///
    /// - Returns: whether the session is served again; otherwise ``retry`` says when to try the next time, later each time.
    func reconnect() -> Result<Void, SessionError> {
        do throws(SessionError) {
            connection = try Gateway(state, startPatience: Self.patience).serve(session, listeners)
            retry = nil
            failures = 0
            return .success(())
        } catch {
            failures += 1
            retry = monotonicNanoseconds() + min(30_000_000_000, 250_000_000 << UInt64(min(failures, 7)))
            return .failure(error)
        }
    }

    /// The session is over: what it used at last, then the end of the connection.
    func finish() {
        if connection != nil, (try? connection!.send(.close)) != nil {
            while let event = (try? connection!.next(timeout: 500)) ?? nil {
                if case .usage(let usage) = event { current = usage }
            }
        }
        connection?.close()
        connection = nil
        for listener in listeners { close(listener) }
    }

    /// Gives up before the session has started.
    func abandon() {
        connection?.close()
        connection = nil
        for listener in listeners { close(listener) }
    }

    // MARK: Parking

    /// All that must come through execve(2) when the supervisor parks.
    var descriptors: [FileDescriptor] { listeners + [connection?.descriptor].compactMap { $0 } }

    /// The numbers and figures, for the command line of `carrel supervise`.
    var text: String {
        let numbers: [Int64] = [
            Int64(connection?.descriptor.rawValue ?? -1), Int64(clamping: retry ?? 0), Int64(failures),
            isPaused ? 1 : 0,
        ]
        let all = numbers + past.figures + current.figures + listeners.map { Int64($0.rawValue) }
        return all.map(String.init).joined(separator: ",")
    }

    /// A link that has slept.
    ///
    /// - Parameters:
    ///   - session: as the record keeps it.
    ///   - text: what ``text`` said.
    init?(_ session: Node, _ text: Substring, in state: StateDirectory) {
        let numbers = text.split(separator: ",").compactMap { Int64($0) }
        guard numbers.count >= 18, case .open(let open) = try? ControlRequest(line: session.json().utf8) else {
            return nil
        }
        self.state = state
        self.session = open
        connection =
            numbers[0] < 0
            ? nil : GatewayConnection(descriptor: FileDescriptor(rawValue: Int32(truncatingIfNeeded: numbers[0])))
        retry = numbers[1] == 0 ? nil : UInt64(clamping: numbers[1])
        failures = Int(clamping: numbers[2])
        isPaused = numbers[3] == 1
        past = EgressUsage(figures: numbers[4..<11])
        current = EgressUsage(figures: numbers[11..<18])
        listeners = numbers[18...].map { FileDescriptor(rawValue: Int32(truncatingIfNeeded: $0)) }
    }
}

extension EgressUsage {
    fileprivate var figures: [Int64] { [requests, denied, bytesUp, bytesDown, microdollars, tokens, softMarks] }

    fileprivate init(figures: ArraySlice<Int64>) {
        let figures = Array(figures)
        self.init(
            requests: figures[0], denied: figures[1], bytesUp: figures[2], bytesDown: figures[3],
            microdollars: figures[4], tokens: figures[5], softMarks: figures[6])
    }
}
