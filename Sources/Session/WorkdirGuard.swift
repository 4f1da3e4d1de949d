import Glibc
import Syscalls
import SystemPackage

/// What of a workdir its session may not change, and what it may not read.
///
/// A file that a host program trusts (`.git/hooks`, `.mcp.json`, `.envrc`...) is read-only for the session *also when it
/// does not exist*: an agent that could create it would run code on the host at the next `git commit` (CVE-2026-25725). The
/// kernel can only protect what exists, so what is missing is made, empty, and removed when the last session that
/// needs it ends (``release(session:in:)``, also from the sweep). The directories on the way are bound onto themselves, since one
/// that can be renamed takes the protection away with it.
struct WorkdirGuard: Equatable {
    /// Directories on the way to protected paths: bound onto themselves.
    var pinned: [String] = []
    /// Protected paths: read-only.
    var readOnly: [String] = []
    /// Denied paths: empty.
    var masked: [String] = []
    /// What was made, in the order in which it was.
    private(set) var ghosts: [Ghost] = []

    /// One thing that was made in the user's tree.
    struct Ghost: Equatable {
        let path: String
        let inode: UInt64
        let isDirectory: Bool
    }

    /// Looks through `workdir` and makes what is missing. All paths of the result are relative to it.
    ///
    /// - Throws: ``SessionError`` for a protected path that is, or leads through, a symbolic link: what it leads to can be
    ///   changed, so it cannot be protected (CVE-2026-39861).
    static func prepare(
        _ workdir: String, protect: [String], deny: [String], session: String, in state: StateDirectory
    ) throws(SessionError) -> WorkdirGuard {
        let protect = protect.map { PathPattern($0) }
        if protect.isEmpty && deny.isEmpty { return WorkdirGuard() }
        let root = try telling("workdir \(workdir)") { () throws(SystemError) in
            try open(workdir, O_RDONLY | O_DIRECTORY)
        }
        defer { close(root) }
        var result = try existing(in: root, workdir, protect, deny.map { PathPattern($0) })
        let missing = protect.filter { pattern in
            pattern.isLiteral
                && !result.readOnly.contains {
                    $0 == pattern.path || isAncestor($0, of: pattern)
                }
        }
        let claims = Claims(root, workdir, state)
        if missing.isEmpty && !claims.exist { return result }
        try claims.locked { () throws(SessionError) in
            // What another session made is still no file of the user's: this session needs it too.
            for ghost in try claims.all(but: session) where exists(ghost.path, at: root) { result.ghosts.append(ghost) }
            let known = result.ghosts.count
            for pattern in missing { try result.plan(pattern, in: root, workdir) }
            // The claim is written before anything is made: a crash in between leaves a claim on nothing.
            try claims.write(result.ghosts, for: session)
            do throws(SessionError) {
                for index in known..<result.ghosts.count {
                    try result.make(index, after: known, in: root, workdir)
                }
                try claims.write(result.ghosts, for: session)
            } catch {
                claims.remove(result.ghosts, but: session)
                throw error
            }
        }
        return result
    }

    /// Looks through `workdir` and makes nothing: what is missing stays unprotected.
    static func existing(
        _ workdir: String, protect: [String], deny: [String]
    ) throws(SessionError) -> WorkdirGuard {
        let root = try telling("workdir \(workdir)") { () throws(SystemError) in
            try open(workdir, O_RDONLY | O_DIRECTORY)
        }
        defer { close(root) }
        return try existing(in: root, workdir, protect.map { PathPattern($0) }, deny.map { PathPattern($0) })
    }

    private static func existing(
        in root: FileDescriptor, _ workdir: String, _ protect: [PathPattern], _ deny: [PathPattern]
    ) throws(SessionError) -> WorkdirGuard {
        var result = WorkdirGuard()
        let found = try telling("workdir \(workdir)") { () throws(SystemError) in try find(protect + deny, in: root) }
        for match in found where match.pattern >= protect.count { try result.deny(match, in: root, workdir) }
        for match in found where match.pattern < protect.count {
            if match.type == S_IFLNK { throw linkError(match.path, workdir) }
            result.add(match.path, to: \.readOnly)
            try result.pinAncestors(of: PathPattern(match.path), in: root, workdir)
        }
        for pattern in protect where pattern.isLiteral { try result.pinAncestors(of: pattern, in: root, workdir) }
        return result
    }

    private static func isAncestor(_ path: String, of pattern: PathPattern) -> Bool {
        pattern.path.utf8.starts(with: path.utf8)
            && pattern.path.utf8.dropFirst(path.utf8.count).first == 0x2f
    }

    private static func linkError(_ path: String, _ workdir: String) -> SessionError {
        SessionError(
            "workdir \(workdir): \(path) is to be protected and is, or leads through, a symbolic link",
            fix: "replace the link by what it leads to, or take \(path) out of the profile's workdir.protect")
    }

    private mutating func add(_ path: String, to list: WritableKeyPath<WorkdirGuard, [String]>) {
        if !self[keyPath: list].contains(path) { self[keyPath: list].append(path) }
    }

    /// A denied link is left as it is; what it leads to, if that is in the workdir, is denied as well.
    private mutating func deny(_ match: PathMatch, in root: FileDescriptor, _ workdir: String) throws(SessionError) {
        guard match.type == S_IFLNK else { return add(match.path, to: \.masked) }
        guard let target = try? open(match.path, O_PATH, in: root, [.beneath, .noMagicLinks]) else { return }
        defer { close(target) }
        let (here, there) = try telling("workdir \(workdir)") { () throws(SystemError) in
            (try readLink("/proc/self/fd/\(root.rawValue)"), try readLink("/proc/self/fd/\(target.rawValue)"))
        }
        if there.hasPrefix(here + "/") { add(String(there.dropFirst(here.utf8.count + 1)), to: \.masked) }
    }

    /// Pins every directory above a protected path. A file in the place of one (a worktree's `.git`) is what leads to
    /// the protected files then, and is protected itself.
    private mutating func pinAncestors(
        of pattern: PathPattern, in root: FileDescriptor, _ workdir: String
    ) throws(SessionError) {
        for length in 1..<max(pattern.names.count, 1) {
            let path = pattern.names[..<length].joined(separator: "/")
            guard let found = try? status(path, at: root, followingLinks: false) else { return }
            switch found.st_mode & S_IFMT {
            case S_IFDIR: add(path, to: \.pinned)
            case S_IFLNK: throw Self.linkError(path, workdir)
            default: return add(path, to: \.readOnly)
            }
        }
    }

    /// Notes what has to be made for a missing protected path, its directories first.
    private mutating func plan(
        _ pattern: PathPattern, in root: FileDescriptor, _ workdir: String
    ) throws(SessionError) {
        for length in 1...pattern.names.count {
            let path = pattern.names[..<length].joined(separator: "/")
            let isLeaf = length == pattern.names.count
            if let found = try? status(path, at: root, followingLinks: false) {
                if found.st_mode & S_IFMT == S_IFLNK { throw Self.linkError(path, workdir) }
            } else if !ghosts.contains(where: { $0.path == path }) {
                ghosts.append(Ghost(path: path, inode: 0, isDirectory: !isLeaf || pattern.isDirectory))
            }
            add(path, to: isLeaf ? \.readOnly : \.pinned)
        }
    }

    /// Makes what is at `index`; what is at `known` and after is of this session's making.
    private mutating func make(
        _ index: Int, after known: Int, in root: FileDescriptor, _ workdir: String
    ) throws(SessionError) {
        let ghost = ghosts[index]
        // One empty file under many names: inodes are dear to make and to delete (see LiveSessions.claim).
        let twin = ghosts[known..<index].first { !$0.isDirectory }
        let names = steps(of: ghost.path)
        let inode = try telling(
            "workdir \(workdir): cannot make \(ghost.path) to protect it",
            fix: "make it yourself, or make the workdir writable"
        ) { () throws(SystemError) in
            let owner = try status(root)
            let parent = try open(
                names.count == 1 ? "." : names.dropLast().joined(separator: "/"), O_PATH | O_DIRECTORY, in: root,
                [.beneath, .noSymlinks])
            defer { close(parent) }
            let name = names.last!
            if ghost.isDirectory {
                try makeDirectory(name, orExisting: false, at: parent)
            } else if let twin, linkat(root.rawValue, twin.path, parent.rawValue, name, 0) == 0 {
                return twin.inode
            } else {
                close(try open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o444, at: parent))
            }
            // The workdir's owner's: its directories are the session's to use while it lasts.
            if owner.st_uid != geteuid() {
                try checking("fchownat", ghost.path) {
                    fchownat(parent.rawValue, name, owner.st_uid, owner.st_gid, AT_SYMLINK_NOFOLLOW)
                }
            }
            return UInt64(try status(name, at: parent, followingLinks: false).st_ino)
        }
        ghosts[index] = Ghost(path: ghost.path, inode: inode, isDirectory: ghost.isDirectory)
    }

    /// Removes what was made for `session` and no other session needs, and forgets its claim. What the user or an agent
    /// has put something into since is left to them.
    static func release(session: String, in state: StateDirectory) {
        guard let keys = try? list(state["workdirs"]) else { return }
        for key in keys where exists(state["workdirs/\(key)/\(session)"]) {
            let claims = Claims(key: key, state)
            try? claims.locked { () throws(SessionError) in
                let ghosts = (try? claims.read(session)) ?? []
                claims.remove(ghosts, but: session)
                try? Syscalls.remove(state["workdirs/\(key)/\(session)"])
                try? Syscalls.remove(state["workdirs/\(key)"], directory: true)
            }
        }
    }
}

/// Which sessions need which of the things that were made in one workdir: a file a session, below a directory named by
/// the workdir's device and inode.
private struct Claims {
    let key: String
    let workdir: String?
    let state: StateDirectory

    init(key: String, _ state: StateDirectory) {
        self.key = key
        workdir = nil
        self.state = state
    }

    init(_ root: FileDescriptor, _ workdir: String, _ state: StateDirectory) {
        let found = try? status(root)
        key = "\(found?.st_dev ?? 0)-\(found?.st_ino ?? 0)"
        self.workdir = workdir
        self.state = state
    }

    private var directory: String { state["workdirs/\(key)"] }

    var exist: Bool { exists(directory) }

    func locked(_ body: () throws(SessionError) -> Void) throws(SessionError) {
        try withLock(state["workdirs.lock"]) { _ throws(SessionError) in try body() }
    }

    func write(_ ghosts: [WorkdirGuard.Ghost], for session: String) throws(SessionError) {
        if ghosts.isEmpty { return }
        var text = (workdir ?? "") + "\0"
        for ghost in ghosts {
            // A width for all inodes: the second write is over the first.
            let inode = String(ghost.inode)
            text += ghost.isDirectory ? "d " : "f "
            text += String(repeating: "0", count: max(0, 20 - inode.utf8.count)) + inode + " " + ghost.path + "\0"
        }
        try telling("workdirs") { () throws(SystemError) in
            try makeDirectory(directory, mode: 0o700)
            try withOpen("\(directory)/\(session)", O_WRONLY | O_CREAT | O_NOFOLLOW) { file throws(SystemError) in
                try writeAll(text.utf8, to: file, named: session)
            }
        }
    }

    func read(_ session: String) throws(SystemError) -> [WorkdirGuard.Ghost] {
        try fields(session).dropFirst().compactMap { line in
            let parts = line.split(separator: " ", maxSplits: 2)
            guard parts.count == 3, let inode = UInt64(parts[1]) else { return nil }
            return WorkdirGuard.Ghost(path: String(parts[2]), inode: inode, isDirectory: parts[0] == "d")
        }
    }

    private func fields(_ session: String) throws(SystemError) -> [Substring] {
        try readText("\(directory)/\(session)").split(separator: "\0")
    }

    /// What all other sessions have claimed, each once.
    func all(but session: String) throws(SessionError) -> [WorkdirGuard.Ghost] {
        guard exist else { return [] }
        var result: [WorkdirGuard.Ghost] = []
        try telling("workdirs") { () throws(SystemError) in
            for other in try list(directory) where other != session && !other.hasSuffix(".new") {
                for ghost in try read(other) where !result.contains(where: { $0.path == ghost.path }) {
                    result.append(ghost)
                }
            }
        }
        return result
    }

    /// Removes from the user's tree what no session but `session` has claimed, deepest first.
    func remove(_ ghosts: [WorkdirGuard.Ghost], but session: String) {
        guard let path = workdir ?? (try? fields(session)).flatMap({ $0.first.map(String.init) }),
            let root = try? open(path, O_RDONLY | O_DIRECTORY)
        else { return }
        defer { close(root) }
        // The path may lead to another directory by now; that one is not ours to touch.
        guard Claims(root, path, state).key == key else { return }
        let needed = Set(((try? all(but: session)) ?? []).map(\.path))
        for ghost in ghosts.reversed() where !needed.contains(ghost.path) {
            let names = ghost.path.split(separator: "/")
            let parentPath = names.count == 1 ? "." : names.dropLast().joined(separator: "/")
            guard let parent = try? open(parentPath, O_PATH | O_DIRECTORY, in: root, [.beneath, .noSymlinks])
            else { continue }
            defer { close(parent) }
            let name = String(names.last!)
            guard let found = try? status(name, at: parent, followingLinks: false),
                ghost.inode == 0 || UInt64(found.st_ino) == ghost.inode
            else { continue }
            if ghost.isDirectory {
                _ = unlinkat(parent.rawValue, name, AT_REMOVEDIR)
            } else if found.st_mode & S_IFMT == S_IFREG, found.st_size == 0 {
                _ = unlinkat(parent.rawValue, name, 0)
            }
        }
    }
}
