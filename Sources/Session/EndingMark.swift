import Documents
import Glibc
import Records
import Syscalls

/// What someone who ends sessions from outside writes down before acting, so that each session's report tells it: a file
/// of the session, or one of a level for all that is below.
struct EndingMark {
    /// Who does it.
    let by: Report.Actor
    /// A limit that is over, where it is the second line that acts (``Carrel/enforceLimits()``).
    let limit: Report.Exit.How?
    /// When, monotonic nanoseconds: a session that started later is not meant.
    let at: UInt64
    /// The call of carrel that acts.
    let writer: Int32

    init(
        by: Report.Actor, limit: Report.Exit.How? = nil, at: UInt64 = monotonicNanoseconds(), writer: Int32 = getpid()
    ) {
        (self.by, self.limit, self.at, self.writer) = (by, limit, at, writer)
    }

    /// Whether it tells how a program ended. Who was interrupted, as by ^C while a signal had its grace, and is gone, has not ended
    /// one that exited by itself.
    func tells(of status: WaitStatus?) -> Bool {
        if case .exited = status { return !hasEnded(writer) }
        return true
    }

    /// How a report calls it.
    var ending: Ending {
        switch limit {
        case .timeout: .timeout
        case .idle: .idle
        case .cpuTime: .cpuTime
        case .recycled: .recycled
        default: .killed(by: by)
        }
    }

    /// Writes it down for one session.
    func write(session id: String, in state: StateDirectory) throws(SystemError) {
        try replaceFile(state["sessions/\(id).ending"], with: node.json().utf8)
    }

    /// Writes it down for all sessions of a level.
    func write(level: Selection, in state: StateDirectory) throws(SystemError) {
        try replaceFile(Self.path(level, in: state), with: node.json().utf8)
    }

    /// Where it is written down for a level.
    static func path(_ level: Selection, in state: StateDirectory) -> String { state["holds/.ended.\(level.name)"] }

    /// What is written down of a session.
    static func found(_ record: SessionRecord, in state: StateDirectory) -> EndingMark? {
        if let mark = read(state["sessions/\(record.id).ending"]) { return mark }
        // One of an earlier boot is of a time that has not come.
        let times = record.startedMonotonic...max(record.startedMonotonic, monotonicNanoseconds())
        return Selection.levels(id: record.id, tenant: record.tenant, profile: record.profile, image: record.image)
            .compactMap { read(path($0, in: state)) }.first { times.contains($0.at) }
    }

    /// Removes what calls that were interrupted have left, once there is no session that it could be of.
    static func sweep(_ state: StateDirectory) {
        for name in (try? list(state["holds"])) ?? [] where name.hasPrefix(".ended.") {
            let path = state["holds/\(name)"]
            if let mark = read(path), hasEnded(mark.writer) { try? remove(path) }
        }
    }

    private static func read(_ path: String) -> EndingMark? {
        guard let bytes = try? readFile(path), let node = try? Node.parse(bytes, file: path),
            let uid = node["uid"]?.int, let pid = node["pid"]?.int, let comm = node["comm"]?.string
        else { return nil }
        return EndingMark(
            by: Report.Actor(uid: uid, pid: pid, comm: comm),
            limit: node["limit"]?.string.flatMap { Report.Exit.How(rawValue: $0) }, at: node["at"]?.uint ?? 0,
            writer: Int32(truncatingIfNeeded: node["writer"]?.int ?? 0))
    }

    private var node: Node {
        [
            "uid": Node(.integer(by.uid)), "pid": Node(.integer(by.pid)), "comm": Node(.string(by.comm)),
            "limit": limit.map { Node(.string($0.rawValue)) } ?? nil, "at": Node(count: at),
            "writer": Node(.integer(Int64(writer))),
        ]
    }
}
