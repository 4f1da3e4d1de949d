import Cgroups
import Documents
import Glibc
import OCISpec
import Records
import Seccomp
import Syscalls
import SystemPackage
import Workshop

/// Answers what a session's filter refuses, and writes down what it was (`seccomp: {explain: true}`).
///
/// Every answer is the errno that the filter itself would have given; none lets a call go on. What is read of the caller's
/// memory is for people alone, and whoever changes it meanwhile changes no decision. With the supervisor goes the
/// listener, and the kernel answers ENOSYS to all that was refused: nothing becomes possible by its death.
final class DenialWatch: CallListener {
    private let session: String
    private let tenant: String
    private let state: StateDirectory
    private var filter: FilterInterpreter?
    private let profile: LinuxSeccomp?
    private var log: DenialLog
    private var pace = Pace()
    /// When the counts were last written down.
    private var flushed = monotonicNanoseconds()
    /// Called with each kind of refusal when it is first seen.
    var told: (Node) -> Void = { _ in }

    init(session: String, tenant: String, profile: LinuxSeccomp?, in state: StateDirectory) {
        self.session = session
        self.tenant = tenant
        self.profile = profile
        self.state = state
        log = DenialLog(session, in: state)
    }

    /// The watch of a session whose supervisor has slept.
    convenience init(resuming record: SessionRecord, in state: StateDirectory) {
        let node = (try? readFile(record.filter)).flatMap { try? Node.parse($0, file: record.filter) }
        let profile = node.flatMap { try? LinuxSeccomp($0, file: record.filter) }
        self.init(session: record.id, tenant: record.tenant, profile: profile, in: state)
        let cache = FilterCache(directory: state["cache/seccomp"])
        // Should the file be gone, every refusal is ENOSYS.
        if let filter = try? cache.program(forFile: record.filter).program { try? resume(filter) }
    }

    func begin(_ filter: FilterProgram, _ cgroup: Cgroup?) throws(SessionError) -> FilterProgram {
        try resume(filter)
        return filter.asking(.refused)
    }

    /// Takes up the filter whose listener is open already.
    func resume(_ filter: FilterProgram) throws(SessionError) {
        do throws(FilterInterpreter.BadProgram) { self.filter = try FilterInterpreter(filter) } catch {
            throw SessionError("seccomp: explain: \(error)", fix: "do without explain")
        }
    }

    func launched() {}

    func attend(_ listener: FileDescriptor) {
        guard let call = try? receiveNotification(listener) else { return }
        let errno = refusal(of: call)
        if pace.allows(monotonicNanoseconds()), let denial = Denial(call, errno: errno, listener: listener) {
            try? answer(call.id, .fail(errno), on: listener)
            note(denial)
        } else {
            try? answer(call.id, .fail(errno), on: listener)
            log.count(unexplained: callName(call.number))
        }
        let now = monotonicNanoseconds()
        if now - flushed > 1_000_000_000 {
            log.flush()
            flushed = now
        }
    }

    /// What the filter answers; ENOSYS where it asks a listener itself, as the kernel answers without one.
    private func refusal(of call: CallNotification) -> Int32 {
        guard let action = filter?.run(FilteredCall(call)).action, action & 0xffff_0000 == 0x0005_0000 else {
            return ENOSYS
        }
        return Int32(action & 0xffff)
    }

    private func note(_ denial: Denial) {
        if log.count(kind: denial.kind) { return }
        guard log.hasRoom else { return log.count(unexplained: denial.call) }
        let node = denial.node(profile)
        log.add(kind: denial.kind, node)
        told(node)
        try? Recorder(state).decided(
            .denial,
            [
                "session": Node(.string(session)), "tenant": Node(.string(tenant)), "call": Node(.string(denial.text)),
                "errno": Node(.integer(Int64(denial.errno))), "executable": Node(.string(denial.executable)),
                "path": denial.path.map { Node(.string($0)) } ?? nil,
            ])
    }

    func rest() { log.flush() }

    func finish() -> Node {
        defer { log.remove() }
        return log.node
    }
}

/// How many refusals are looked at: so many at once, and so many a second. The others are answered and counted.
private struct Pace {
    private static let burst: UInt64 = 256
    private static let nanosecondsEach: UInt64 = 20_000_000
    /// When the last of those that were looked at would have been due.
    private var due: UInt64 = 0

    mutating func allows(_ now: UInt64) -> Bool {
        due = max(due, now &- Self.burst * Self.nanosecondsEach)
        guard due + Self.nanosecondsEach <= now else { return false }
        due += Self.nanosecondsEach
        return true
    }
}
