import Glibc
import Syscalls
import SystemPackage

/// What of a workdir its session may not change, and what it may not read.
///
/// A file that a host program trusts (`.git/hooks`, `.mcp.json`, `.envrc`...) is read-only for the session *also when it
/// does not exist*: an agent that could create it would run code on the host at the next `git commit` (CVE-2026-25725). The
/// kernel can only protect what exists, so what is missing is made, empty, and removed when the last session that
/// needs it ends (``WorkdirClaims``, also from the sweep). The directories on the way are bound onto themselves, since one
/// that can be renamed takes the protection away with it.
struct WorkdirGuard: Equatable {
    /// Directories on the way to protected paths: bound onto themselves.
    var pinned: [String] = []
    /// Protected paths: read-only.
    var readOnly: [String] = []
    /// Denied paths: empty.
    var masked: [String] = []

    /// One thing that was made in the user's tree.
    struct Ghost {
        let path: String
        /// Its inode; 0 as long as it is not made.
        var inode: UInt64
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
        if missing.isEmpty && !WorkdirClaims.exist(root, in: state) { return result }
        try WorkdirClaims.locked(state) { () throws(SessionError) in
            var claims = try telling("workdir \(workdir)") { () throws(SystemError) in
                try WorkdirClaims(root, workdir, state)
            }
            // What was made for another session is still no file of the user's: this session needs it too.
            claims.ghosts.removeAll { !exists($0.path, at: root) }
            let known = claims.ghosts.count
            for pattern in missing { try result.plan(pattern, &claims.ghosts, in: root, workdir) }
            claims.sessions.append(session)
            // The claim is written before anything is made: a crash in between leaves a claim on nothing.
            try telling("workdirs") { () throws(SystemError) in try claims.write() }
            if claims.ghosts.count == known { return }
            do throws(SessionError) {
                try make(&claims.ghosts, from: known, in: root, workdir, state)
                try telling("workdirs") { () throws(SystemError) in try claims.write() }
            } catch {
                claims.removeGhosts(from: known)
                claims.ghosts.removeLast(claims.ghosts.count - known)
                claims.sessions.removeLast()
                try? claims.write()
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
            result.readOnly.note(match.path)
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

    /// A denied link is left as it is; what it leads to, if that is in the workdir, is denied as well.
    private mutating func deny(_ match: PathMatch, in root: FileDescriptor, _ workdir: String) throws(SessionError) {
        guard match.type == S_IFLNK else { return masked.note(match.path) }
        guard let target = try? open(match.path, O_PATH, in: root, [.beneath, .noMagicLinks]) else { return }
        defer { close(target) }
        let (here, there) = try telling("workdir \(workdir)") { () throws(SystemError) in
            (try readLink("/proc/self/fd/\(root.rawValue)"), try readLink("/proc/self/fd/\(target.rawValue)"))
        }
        if there.hasPrefix(here + "/") { masked.note(String(there.dropFirst(here.utf8.count + 1))) }
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
            case S_IFDIR: pinned.note(path)
            case S_IFLNK: throw Self.linkError(path, workdir)
            default: return readOnly.note(path)
            }
        }
    }

    /// Notes what has to be made for a missing protected path: where its directory is missing too, that one, which is
    /// read-only as a whole.
    private mutating func plan(
        _ pattern: PathPattern, _ ghosts: inout [Ghost], in root: FileDescriptor, _ workdir: String
    ) throws(SessionError) {
        for length in 1...pattern.names.count {
            let path = pattern.names[..<length].joined(separator: "/")
            let isLeaf = length == pattern.names.count
            if ghosts.contains(where: { $0.path == path }) { return readOnly.note(path) }
            guard let found = try? status(path, at: root, followingLinks: false) else {
                ghosts.append(Ghost(path: path, inode: 0, isDirectory: !isLeaf || pattern.isDirectory))
                return readOnly.note(path)
            }
            if found.st_mode & S_IFMT == S_IFLNK { throw Self.linkError(path, workdir) }
            if isLeaf { readOnly.note(path) } else { pinned.note(path) }
        }
    }

    /// Makes what is missing, from the ghost at `first` on.
    private static func make(
        _ ghosts: inout [Ghost], from first: Int, in root: FileDescriptor, _ workdir: String, _ state: StateDirectory
    ) throws(SessionError) {
        let spares = try telling("workdir \(workdir)") { () throws(SystemError) in try Spares(state, for: root) }
        // One empty file under many names.
        var twin: Ghost?
        for index in first..<ghosts.count {
            let ghost = ghosts[index]
            ghosts[index].inode = try telling(
                "workdir \(workdir): cannot make \(ghost.path) to protect it",
                fix: "make it yourself, or make the workdir writable"
            ) { () throws(SystemError) in
                let (parent, name) = try openParent(of: ghost.path, in: root)
                defer { if parent != root { close(parent) } }
                if !ghost.isDirectory, let twin, linkat(root.rawValue, twin.path, parent.rawValue, name, 0) == 0 {
                    return twin.inode
                }
                return try spares.put(name, in: parent, index, isDirectory: ghost.isDirectory)
            }
            if twin == nil, !ghost.isDirectory { twin = ghosts[index] }
        }
    }
}

extension [String] {
    /// Adds `path` where it is not in there.
    fileprivate mutating func note(_ path: String) {
        if !contains(path) { append(path) }
    }
}
