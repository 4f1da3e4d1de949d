import Documents
import EgressPolicy
import Records
import Syscalls

/// Why a session is being ended by Carrel.
enum Ending {
    /// Its memory limit.
    case outOfMemory
    /// Its wall clock limit.
    case timeout
    /// Its idle limit.
    case idle
    /// The gateway: its budget, a credential where it does not belong, or a request log that cannot be written.
    case gateway(GatewayDecision)
    /// Its limit of processor time in all.
    case cpuTime
    /// The time that it may be beyond its ceiling.
    case recycled
    /// Someone: a signal to the supervisor, or `carrel kill`.
    case killed(by: Report.Actor)

    /// How the report calls an end by this.
    var how: Report.Exit.How {
        switch self {
        case .outOfMemory: .oom
        case .timeout: .timeout
        case .idle: .idle
        case .gateway(let decision):
            switch decision.reason {
            case .budget: .budget
            case .tripwire: .tripwire
            case .log: .failed
            }
        case .cpuTime: .cpuTime
        case .recycled: .recycled
        case .killed: .killed
        }
    }
}

/// What the payload and those who ended it left, as a report and an exit status.
///
/// - Parameters:
///   - status: how the payload ended; `nil` where it was killed together with PID 1.
///   - ending: why Carrel was ending it.
///   - culprit: whose memory limit the kernel killed for, if it did.
func exit(
    _ status: WaitStatus?, _ ending: Ending?, _ culprit: Report.Exit.Level? = nil
) -> (report: Report.Exit, status: Int32) {
    let own: Int32 =
        switch status {
        case .exited(let code): code
        case .signaled(let signal): 128 + signal
        case nil: 128 + 9
        }
    var signal: Int64?
    switch status {
    case .signaled(let number): signal = Int64(number)
    case nil: signal = 9
    default: break
    }
    func end(_ how: Report.Exit.How, _ status: Int32, _ why: String, by: Report.Actor? = nil) -> (Report.Exit, Int32) {
        (Report.Exit(how: how, status: Int64(status), signal: signal, why: why, by: by), status)
    }
    switch ending {
    case .outOfMemory:
        let why =
            switch culprit {
            case .session, nil: "the session came up against its memory limit"
            case .tenant: "its tenant's sessions together came up against the tenant's memory limit"
            case .host: "the host had no more memory for sessions, and the kernel chose this one"
            }
        var (report, status) = end(.oom, 137, "out of memory: \(why)")
        report.limit = culprit ?? .session
        return (report, status)
    case .timeout: return end(.timeout, 124, "the session came up against its wall clock limit")
    case .idle: return end(.idle, 124, "the session used no CPU for its idle limit")
    case .gateway(let decision):
        let why =
            switch decision.reason {
            case .budget: "a budget is spent"
            case .tripwire: "the session's dummy credential was seen where it does not belong"
            case .log: "the request log cannot be written"
            }
        let status: Int32 = decision.reason == .budget ? 124 : own
        return end(Ending.gateway(decision).how, status, decision.detail.isEmpty ? why : "\(why): \(decision.detail)")
    case .cpuTime: return end(.cpuTime, 124, "the session used all of its processor time")
    case .recycled:
        return end(
            .recycled, 124,
            "the session was beyond its memory ceiling for too long: it can be started anew on the same workdir")
    case .killed(let by):
        // A process of another PID namespace has no number here.
        let who =
            by.pid != 0
            ? "\(by.comm) (pid \(by.pid), uid \(by.uid))"
            : by.comm == "terminal" ? "its terminal" : "a process that is not seen from here (uid \(by.uid))"
        return end(.killed, own, "ended by \(who)", by: by)
    case nil: break
    }
    switch status {
    case .exited(let code): return end(.exited, own, "the program exited with status \(code)")
    case .signaled(let number): return end(.signaled, own, "the program was ended by signal \(number)")
    case nil:
        return end(.killed, own, "PID 1 of the session was killed from outside, or by a limit that the session set it")
    }
}
