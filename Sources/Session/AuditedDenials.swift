import Documents
import Seccomp
import Syscalls
import SystemPackage
import Workshop

/// What the kernel's audit log tells of refused calls of a session that was started without `explain`: the call and its
/// program, and neither arguments nor paths.
struct AuditedDenials {
    private let record: SessionRecord
    private let descriptor: FileDescriptor
    /// The user of the session's processes, as the host numbers it: its tenant's sessions share it.
    private let user: Substring?

    /// Starts to listen.
    ///
    /// - Throws: ``SessionError`` where nothing of the session would come, with what would help.
    init(_ record: SessionRecord, in state: StateDirectory) throws(SessionError) {
        self.record = record
        let status = (try? readText("/proc/\(record.pid)/status")) ?? ""
        user = status.split(separator: "\n").first { $0.hasPrefix("Uid:") }?.split(separator: "\t").dropFirst().first
        let fix = "start it with `carrel run --explain`, or with `seccomp: {explain: true}` in its profile"
        let filter = try? FilterCache(directory: state["cache/seccomp"]).program(forFile: record.filter).program
        guard filter?.flags.contains(.log) == true, record.cgroup != nil else {
            throw SessionError(
                "session \(record.id) was started without explain, and its filter has no SECCOMP_FILTER_FLAG_LOG: "
                    + "the kernel tells nobody what it refuses", fix: fix)
        }
        descriptor = try telling(
            "session \(record.id) was started without explain, and the audit log cannot be read", fix: fix
        ) { () throws(SystemError) in try openAuditRecords() }
    }

    func close() { Syscalls.close(descriptor) }

    /// Waits for a record.
    func wait(milliseconds: Int) { _ = try? poll([(descriptor, .readable)], timeout: milliseconds) }

    /// The refused calls since the last look.
    func news() throws(SessionError) -> [Node] {
        var found: [Node] = []
        while true {
            let next = try telling("audit log") { () throws(SystemError) in try readAuditRecord(descriptor) }
            guard let (type, text) = next else { return found }
            let seccomp: UInt16 = 1326  // AUDIT_SECCOMP
            if type == seccomp, let denial = denial(text) { found.append(denial) }
        }
    }

    /// A record such as `audit(1.2:3): ... pid=7 comm="x" exe="/x" sig=0 arch=c000003e syscall=272 ... code=0x50000`, if it
    /// is of the session; of a process that has ended since, if it had the session's user.
    private func denial(_ text: String) -> Node? {
        var fields: [Substring: Substring] = [:]
        for word in text.split(separator: " ") {
            guard let equals = word.firstIndex(of: "=") else { continue }
            fields[word[..<equals]] = word[equals...].dropFirst()
        }
        guard let pid = fields["pid"].flatMap({ Int32($0) }), let number = fields["syscall"].flatMap({ Int32($0) }),
            let cgroup = record.cgroup
        else { return nil }
        let place = try? readText("/proc/\(pid)/cgroup").split(separator: "\n")
        guard place?.contains(where: { $0.hasSuffix(cgroup) }) ?? (user != nil && fields["uid"] == user) else {
            return nil
        }
        func bare(_ name: Substring) -> String { fields[name].map { $0.filter { $0 != "\"" } } ?? "" }
        let call = callName(number)
        let risk = CallRisk.of(call)
        let isKnown = EnumerableArguments.of(call).isEmpty
        let level = isKnown ? risk.level.rawValue : CallRisk.Level.medium.rawValue
        let reason = isKnown ? risk.reason : "depends on its arguments, which the audit log does not have"
        return [
            "kind": "audit", "call": Node(.string(call)), "number": Node(.integer(Int64(number))), "errno": nil,
            "text": Node(.string(call + "(...)")), "arguments": [], "path": nil, "process": Node(.integer(Int64(pid))),
            "comm": Node(.string(bare("comm"))), "executable": Node(.string(bare("exe"))), "command": [], "patch": nil,
            "note": place == nil
                ? "from the audit log; the process had ended: it may have been of another session of the tenant"
                : "from the audit log, which has no arguments",
            "risk": ["level": Node(.string(level)), "reason": Node(.string(reason))],
        ]
    }
}
