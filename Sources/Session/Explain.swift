import Documents
import Glibc
import OCISpec
import Records
import Seccomp
import Syscalls
import SystemPackage
import Workshop

extension Carrel {
    /// What the filter has refused a session, live or over.
    ///
    /// - Returns: `explained`, and then `count`, `calls` and `unexplained`; or `unseen`, why nothing is known.
    /// - Throws: ``SessionError`` where there is no such session.
    public func denials(of session: String) throws(SessionError) -> Node {
        try checkName(session, of: "session")
        if let record = live.find(session) {
            return record.isExplained ? DenialLog(session, in: state).node : Self.unseen(record.filter)
        }
        let report = try report(session)
        return report.denials.isNull ? Self.unseen(nil) : report.denials
    }

    /// Why nothing is known of what was refused.
    private static func unseen(_ filter: String?) -> Node {
        var reasons = [
            "the session was started without `explain`: its filter refuses in the kernel, which tells nobody of it"
        ]
        let logged = (try? readText("/proc/sys/kernel/seccomp/actions_logged")) ?? ""
        if !logged.split(whereSeparator: \.isWhitespace).contains("errno") {
            reasons.append("kernel.seccomp.actions_logged leaves out errno, so that the audit log has none either")
        } else {
            reasons.append(
                "the kernel's audit log has those of filters with SECCOMP_FILTER_FLAG_LOG alone; `--follow` reads it")
        }
        return ["explained": false, "unseen": Node(.string(reasons.joined(separator: "; ")))]
    }

    /// Calls `body` with every refusal as it is first seen, and its session's name, which is also a member of it: of a live
    /// session until that is over, or of all that are explained, for good.
    public func followDenials(
        of session: String?, _ body: (String, Node) throws(SessionError) -> Void
    ) throws(SessionError) {
        if let session {
            let record = try find(session)
            if !record.isExplained { return try followAudited(record, body) }
        }
        // A session can be over, and its file removed, a few milliseconds after it has started.
        let watch = try telling("denials") { () throws(SystemError) in
            let watch = try inotifyInit()
            _ = try inotifyAdd(watch, state["denials"], UInt32(IN_MODIFY) | UInt32(IN_CREATE))
            return watch
        }
        defer { close(watch) }
        var files: [String: FollowedFile] = [:]
        while true {
            // Looked at before the files: what was written before an end is read in this round.
            let isOver = session.map { live.find($0) == nil } ?? false
            let names = session.map { [$0] } ?? (try? list(state["denials"])) ?? []
            for name in names where files[name] == nil { files[name] = FollowedFile(DenialLog.path(name, in: state)) }
            for (name, file) in files {
                for node in file.news() where node["kind"] != nil { try body(name, Self.denial(node, of: name)) }
                // A session that is over has removed its file; another of its name makes another.
                if file.isRemoved { files[name] = nil }
            }
            if isOver { return }
            _ = try? poll([(watch, .readable)], timeout: 50)
            // What the events say is looked at by the next turn: here they only have to be gone.
            var events = [UInt8](repeating: 0, count: 4096)
            while read(watch.rawValue, &events, events.count) > 0 {}
        }
    }

    /// A refusal with the name of its session, and without what tells its kind from others in the file.
    private static func denial(_ node: Node, of session: String) -> Node {
        var denial: Node = ["session": Node(.string(session))]
        for member in node.entries ?? [] where member.key != "kind" { denial.append(member.key, member.value) }
        return denial
    }

    /// The same of a session that is not explained, as far as the audit log has it.
    private func followAudited(
        _ record: SessionRecord, _ body: (String, Node) throws(SessionError) -> Void
    ) throws(SessionError) {
        let audited = try AuditedDenials(record, in: state)
        defer { audited.close() }
        while true {
            let isOver = live.find(record.id) == nil
            for denial in try audited.news() { try body(record.id, Self.denial(denial, of: record.id)) }
            if isOver { return }
            audited.wait(milliseconds: 100)
        }
    }

    /// A call that an amended filter allows, as it was refused.
    public struct AllowedCall: Sendable {
        /// The call, with what its arguments meant.
        public let text: String
        /// What it costs to allow it.
        public let risk: CallRisk
        /// What changes beside it; empty for most.
        public let note: String
    }

    /// The profile's filter with every refused call of a session allowed, as OCI JSON, each change that makes it so, and the
    /// calls that stay refused since they have no name here.
    ///
    /// - Throws: ``SessionError`` where nothing was explained, or a change does not fit the file that is there now.
    public func amended(
        filter name: String, for session: String
    ) throws(SessionError) -> (filter: Node, allowed: [AllowedCall], nameless: [String]) {
        let found = try denials(of: session)
        guard let calls = found["calls"]?.elements else {
            throw SessionError("session \(session): \(found["unseen"]?.string ?? "nothing was explained")")
        }
        let file = try Self.filterFile(name)
        do throws(Problems) {
            var document = file.document
            var done: Set<String> = []
            var allowed: [AllowedCall] = []
            var nameless: [String] = []
            for call in calls {
                guard let name = call["call"]?.string else { continue }
                var registers = (call["arguments"]?.elements ?? []).map { $0["value"]?.uint ?? 0 }
                registers += [UInt64](repeating: 0, count: 6 - min(6, registers.count))
                // One change after the other: each is worked out for what the last one has left.
                let profile = try LinuxSeccomp(document, file: file.file)
                let text = call["text"]?.string ?? name
                guard let amendment = Amendment(allowing: name, registers, in: profile) else {
                    nameless.append(text)
                    continue
                }
                guard done.insert(amendment.rule.node.json()).inserted else { continue }
                guard let changed = document.patched(by: amendment.patch) else {
                    throw Problems([
                        Problem(file: file.file, mark: nil, message: "the change for \(name) does not fit")
                    ])
                }
                document = changed
                allowed.append(AllowedCall(text: text, risk: CallRisk.of(name, registers), note: amendment.note))
            }
            return (document, allowed, nameless)
        } catch { throw SessionError("seccomp \(file.file): \(error)") }
    }
}

/// A file of JSON Lines that another process appends to; it can be read to its end after it was removed.
private final class FollowedFile {
    private let descriptor: FileDescriptor
    private let path: String
    private var rest: [UInt8] = []

    init?(_ path: String) {
        guard let found = try? open(path, O_RDONLY | O_NOFOLLOW) else { return nil }
        descriptor = found
        self.path = path
    }

    deinit { close(descriptor) }

    var isRemoved: Bool { (try? status(descriptor).st_nlink) == 0 }

    /// The lines that were written since the last call.
    func news() -> [Node] {
        rest += (try? readAll(descriptor, limit: 1 << 26)) ?? []
        var nodes: [Node] = []
        while let end = rest.firstIndex(of: 0x0a) {
            if let node = try? Node.parse(Array(rest[..<end]), file: path) { nodes.append(node) }
            rest.removeSubrange(...end)
        }
        return nodes
    }
}
