import Glibc
import Syscalls
import SystemPackage

/// Which sessions work in one workdir, and what was made there for them: one file, named by the workdir's device and
/// inode.
///
/// ```
/// /home/ann/repo NUL  d 4711 .claude NUL  f 4712 .claude/settings.json NUL  t acme NUL  s s-42 NUL NUL
/// ```
///
/// Whoever reads or changes one holds the lock on all of them (``locked(_:_:)``).
struct WorkdirClaims {
    private let key: String
    private let state: StateDirectory
    /// Where the workdir was when the last of the sessions started.
    private var workdir: String
    /// What was made, in the order in which it was.
    var ghosts: [WorkdirGuard.Ghost] = []
    /// The sessions that have not ended: all that work there, whatever their profiles protect.
    var sessions: [String] = []
    /// The tenant whose sessions can use again what was made; `nil` where more than one session was there. To one that came
    /// before it was made it was not read-only: what that one holds open, or has handed on, must not become another's.
    private var tenant: String?
    /// Whether one of the sessions was dead: with whom it shared what was made is not known.
    private var hadDead = false

    /// The claims on the directory that `root` is open on.
    init(_ root: FileDescriptor, _ workdir: String, _ state: StateDirectory) throws(SystemError) {
        let key = try Self.key(of: root)
        self = Self(key: key, state) ?? Self(key: key, workdir, state)
        // It may have been moved, or be another directory with the number of one that is gone.
        self.workdir = workdir
        forgetDead()
    }

    private init(key: String, _ workdir: String, _ state: StateDirectory) {
        self.key = key
        self.state = state
        self.workdir = workdir
    }

    /// The claims that are written down; `nil` where there are none.
    private init?(key: String, _ state: StateDirectory) {
        guard
            let fields = try? readText(state["workdirs/\(key)"]).utf8.split(
                separator: 0, omittingEmptySubsequences: false),
            let workdir = fields.first
        else { return nil }
        self.init(key: key, String(Substring(workdir)), state)
        // An empty field ends them: behind it may be what a longer text has left.
        for field in fields.dropFirst().prefix(while: { !$0.isEmpty }) {
            let words = field.split(separator: 0x20, maxSplits: 2).map { String(Substring($0)) }
            if words.count == 2 {
                if words[0] == "s" { sessions.append(words[1]) } else { tenant = words[1] }
            } else if words.count == 3, let inode = UInt64(words[1]) {
                ghosts.append(WorkdirGuard.Ghost(path: words[2], inode: inode, isDirectory: words[0] == "d"))
            }
        }
    }

    private static func key(of root: FileDescriptor) throws(SystemError) -> String {
        key(of: try status(root))
    }

    private static func key(of found: stat) -> String { "\(found.st_dev)-\(found.st_ino)" }

    /// Adds a session of `tenant`.
    mutating func join(_ session: String, of tenant: String) {
        self.tenant = sessions.isEmpty && !hadDead ? tenant : nil
        sessions.append(session)
    }

    /// Forgets sessions that are not there any more, whose end could not be written down here: a session's record is there
    /// before its claim, and longer.
    private mutating func forgetDead() {
        let count = sessions.count
        sessions.removeAll { !exists(LiveSessions(state: state).recordPath($0)) }
        hadDead = sessions.count < count
    }

    static func locked(_ state: StateDirectory, _ body: () throws(SessionError) -> Void) throws(SessionError) {
        try withLock(state["workdirs.lock"]) { _ throws(SessionError) in try body() }
    }

    /// Writes them down, or forgets them where no session is left. The file serves the next workdir (see ``Spares``).
    func write() throws(SystemError) {
        let path = state["workdirs/\(key)"]
        let spare = state["spares/claims"]
        if sessions.isEmpty {
            guard exists(path) else { return }
            do throws(SystemError) {
                // Claims of nobody on nothing, whoever reads it before it is written anew.
                try withOpen(path, O_WRONLY | O_NOFOLLOW) { file throws(SystemError) in
                    try writeAt(file, offset: 0, [0, 0], named: path)
                }
                return try rename(path, to: spare, replacing: true)
            } catch {
                return try remove(path)
            }
        }
        let isFirst = !exists(path)
        if isFirst { try? rename(spare, to: path, replacing: true) }
        var text = workdir + "\0"
        for ghost in ghosts { text += "\(ghost.isDirectory ? "d" : "f") \(ghost.inode) \(ghost.path)\0" }
        if let tenant { text += "t \(tenant)\0" }
        for session in sessions { text += "s \(session)\0" }
        text += "\0"
        do throws(SystemError) {
            // In one call: there is no instant at which half of it stands there.
            try withOpen(path, O_WRONLY | O_CREAT | O_NOFOLLOW) { file throws(SystemError) in
                try writeAt(file, offset: 0, Array(text.utf8), named: path)
            }
        } catch {
            if isFirst { try? remove(path) }
            throw error
        }
    }

    /// Forgets `session`, and removes what was made where it was the last one. What the user or an agent has put
    /// something into since is left to them.
    ///
    /// - Parameter workdir: where the session worked; with `nil`, or where that has moved, all claims are looked through.
    static func release(_ session: String, workdir: String?, in state: StateDirectory) {
        try? locked(state) { () throws(SessionError) in
            let here = workdir.flatMap { try? open($0, O_PATH | O_DIRECTORY) }
            defer { here.map { close($0) } }
            var found = here.flatMap { try? key(of: $0) }.flatMap { Self(key: $0, state) }.map { [$0] } ?? []
            if !found.contains(where: { $0.sessions.contains(session) }) {
                found = ((try? list(state["workdirs"])) ?? []).compactMap { Self(key: $0, state) }
            }
            for var claims in found where claims.sessions.contains(session) {
                claims.sessions.removeAll { $0 == session }
                claims.forgetDead()
                if claims.sessions.isEmpty { claims.removeGhosts(from: 0) }
                try? claims.write()
            }
        }
    }

    /// Whether the workdir is inside one that a session works in: to that session nothing here is read-only.
    private func isInsideAnother(_ root: FileDescriptor) -> Bool {
        guard let path = try? readLink("/proc/self/fd/\(root.rawValue)") else { return true }
        let names = steps(of: path)
        return names.indices.contains { length in
            guard let above = try? status("/" + names[..<length].joined(separator: "/")) else { return true }
            return exists(state["workdirs/\(Self.key(of: above))"])
        }
    }

    /// Removes what was made from the user's tree, the last first, but for the first `kept`.
    func removeGhosts(from kept: Int) {
        guard let root = try? open(workdir, O_RDONLY | O_DIRECTORY) else { return }
        defer { close(root) }
        // The path may lead to another directory by now; that one is not ours to touch.
        guard (try? Self.key(of: root)) == key else { return }
        let spares = tenant.flatMap { isInsideAnother(root) ? nil : try? Spares(state, for: root, of: $0) }
        for (number, ghost) in ghosts.enumerated().dropFirst(kept).reversed() {
            guard let (parent, name) = try? openParent(of: ghost.path, in: root) else { continue }
            defer { if parent != root { close(parent) } }
            guard let found = try? status(name, at: parent, followingLinks: false),
                ghost.inode == 0 || UInt64(found.st_ino) == ghost.inode
            else { continue }
            guard ghost.isDirectory || found.st_mode & S_IFMT == S_IFREG else { continue }
            if let spares {
                spares.take(name, in: parent, number, ghost, found)
            } else {
                Spares.remove(name, in: parent, ghost)
            }
        }
    }
}

/// Opens the directory that `path` is in, below `root` and through no symbolic link: `root` itself where it is that one.
func openParent(
    of path: String, in root: FileDescriptor
) throws(SystemError) -> (parent: FileDescriptor, name: String) {
    let names = steps(of: path)
    if names.count == 1 { return (root, names[0]) }
    let parent = try open(
        names.dropLast().joined(separator: "/"), O_PATH | O_DIRECTORY, in: root, [.beneath, .noSymlinks])
    return (parent, names[names.count - 1])
}
