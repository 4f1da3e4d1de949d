import Glibc
import Syscalls
import SystemPackage

/// What of a workdir its session may not change, and what it may not read.
///
/// A file that a host program trusts (`.git/hooks`, `.mcp.json`, `.envrc`...) is read-only for the session *also when it
/// does not exist*: an agent that could create it would run code on the host at the next `git commit` (CVE-2026-25725). The
/// kernel can only protect what exists, so what is missing is made, empty, and removed when the last session of the workdir
/// ends (``WorkdirClaims``, also from the sweep). The directories on the way to it, and to what is denied, are bound onto
/// themselves: one that can be renamed takes the protection away with it, and a denied file to where the next session reads it.
struct WorkdirGuard: Equatable {
    /// Directories on the way to protected and denied paths: bound onto themselves.
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

        /// What a file says. `.git/commondir` names its own directory, which is what git takes without one; an empty one is an
        /// error to git.
        var content: String { steps(of: path).suffix(2) == [".git", "commondir"] ? ".\n" : "" }
    }

    /// Looks through `workdir` and makes what is missing. All paths of the result are relative to it.
    ///
    /// Every session with a workdir is written down as one of it, whatever its own profile protects: what was made for
    /// others is read-only for it too, and what is made while it works there is nobody's to use again.
    ///
    /// - Throws: ``SessionError`` for a protected path that is, or leads through, a symbolic link: what it leads to can be
    ///   changed, so it cannot be protected (CVE-2026-39861).
    static func prepare(
        _ workdir: String, protect: [String], deny: [String], session: String, tenant: String,
        in state: StateDirectory
    ) throws(SessionError) -> WorkdirGuard {
        let root = try telling("workdir \(workdir)") { () throws(SystemError) in
            try open(workdir, O_RDONLY | O_DIRECTORY)
        }
        defer { close(root) }
        // The long part, without the lock: what it sees may have been made for a session that ends meanwhile.
        let patterns = Patterns(protect, deny)
        let found = try patterns.matches(in: root, workdir)
        var result = WorkdirGuard()
        try WorkdirClaims.locked(state) { () throws(SessionError) in
            var claims = try telling("workdir \(workdir)") { () throws(SystemError) in
                try WorkdirClaims(root, workdir, state)
            }
            // From here on nobody else makes or removes anything.
            claims.ghosts.removeAll { !isThere($0, in: root) }
            let known = claims.ghosts.count
            try result.note(found, in: root, workdir)
            for ghost in claims.ghosts {
                result.readOnly.note(ghost.path)
                try result.pinAncestors(of: ghost.path, in: root, workdir)
            }
            func protect(_ patterns: [PathPattern]) throws(SessionError) {
                for pattern in patterns {
                    guard let ghost = try result.protect(pattern, in: root, workdir) else { continue }
                    result.readOnly.note(ghost.path)
                    claims.ghosts.append(ghost)
                }
            }
            try protect(patterns.literal)
            try protect(result.redirections(in: root))
            try protect(Self.bareRepositories(beside: claims.ghosts, in: root))
            claims.join(session, of: tenant)
            // The claim is written before anything is made: a crash in between leaves a claim on nothing.
            try telling("workdirs") { () throws(SystemError) in try claims.write() }
            if claims.ghosts.count == known { return }
            do throws(SessionError) {
                try make(&claims.ghosts, from: known, in: root, workdir, tenant, state)
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
        let patterns = Patterns(protect, deny)
        var result = WorkdirGuard()
        try result.note(try patterns.matches(in: root, workdir), in: root, workdir)
        for pattern in patterns.literal + result.redirections(in: root) {
            _ = try result.protect(pattern, in: root, workdir)
        }
        return result
    }

    /// What a profile protects and denies.
    private struct Patterns {
        /// Protected paths without wildcards: they hold also where nothing is there.
        let literal: [PathPattern]
        private let wild: [PathPattern]
        private let deny: [PathPattern]

        init(_ protect: [String], _ deny: [String]) {
            let protect = protect.map { PathPattern($0) }
            literal = protect.filter(\.isLiteral)
            wild = protect.filter { !$0.isLiteral }
            self.deny = deny.map { PathPattern($0) }
        }

        /// What is there of all but the literal ones.
        func matches(
            in root: FileDescriptor, _ workdir: String
        ) throws(SessionError) -> (protected: [PathMatch], denied: [PathMatch]) {
            let found = try telling("workdir \(workdir)") { () throws(SystemError) in
                try find(wild + deny, in: root)
            }
            return (found.filter { $0.pattern < wild.count }, found.filter { $0.pattern >= wild.count })
        }
    }

    /// Whether what was made is there still, and nothing of the user's in its place.
    private static func isThere(_ ghost: Ghost, in root: FileDescriptor) -> Bool {
        guard let found = try? status(ghost.path, at: root, followingLinks: false) else { return false }
        return ghost.inode == 0 || UInt64(found.st_ino) == ghost.inode
    }

    /// Notes what a walk has found, as far as it is there still.
    private mutating func note(
        _ found: (protected: [PathMatch], denied: [PathMatch]), in root: FileDescriptor, _ workdir: String
    ) throws(SessionError) {
        for match in found.denied where exists(match.path, at: root) { try deny(match, in: root, workdir) }
        for match in found.protected where exists(match.path, at: root) {
            if match.type == S_IFLNK { throw Self.linkError(match.path, workdir) }
            readOnly.note(match.path)
            try pinAncestors(of: match.path, in: root, workdir)
        }
    }

    private static func linkError(_ path: String, _ workdir: String) -> SessionError {
        SessionError(
            "workdir \(workdir): \(path) is to be protected and is, or leads through, a symbolic link",
            fix: "replace the link by what it leads to, or take \(path) out of the profile's workdir.protect")
    }

    /// A denied link is left as it is; what it leads to, if that is in the workdir, is denied as well.
    private mutating func deny(_ match: PathMatch, in root: FileDescriptor, _ workdir: String) throws(SessionError) {
        guard match.type == S_IFLNK else {
            masked.note(match.path)
            return try pinAncestors(of: match.path, in: root, workdir)
        }
        guard let target = try? open(match.path, O_PATH, in: root, [.beneath, .noMagicLinks]) else { return }
        defer { close(target) }
        let (here, there) = try telling("workdir \(workdir)") { () throws(SystemError) in
            (try readLink("/proc/self/fd/\(root.rawValue)"), try readLink("/proc/self/fd/\(target.rawValue)"))
        }
        guard there.utf8.starts(with: (here + "/").utf8) else { return }
        let path = String(Substring(there.utf8.dropFirst(here.utf8.count + 1)))
        masked.note(path)
        try pinAncestors(of: path, in: root, workdir)
    }

    /// What leads git past a protected configuration and its hooks: `commondir` to another repository's, `config.worktree` to
    /// settings that are read after `config` (gitrepository-layout(5)).
    private func redirections(in root: FileDescriptor) -> [PathPattern] {
        readOnly.filter { steps(of: $0).suffix(2) == [".git", "config"] }.flatMap { path -> [PathPattern] in
            let directory = String(Substring(path.utf8.dropLast("/config".utf8.count)))
            // Nothing can be made where neither we nor the session may write, now or after a chmod(2).
            if faccessat(root.rawValue, directory, W_OK, AT_EACCESS) != 0,
                errno == EROFS || (try? status(directory, at: root).st_uid) != geteuid()
            {
                return []
            }
            return ["/commondir", "/config.worktree"].map { PathPattern(directory + $0) }
        }
    }

    /// What makes a directory without a repository one itself: git takes it for a bare one where it finds `HEAD`, `objects` and
    /// `refs`, and obeys the `config` beside them.
    private static func bareRepositories(beside ghosts: [Ghost], in root: FileDescriptor) -> [PathPattern] {
        ghosts.filter { $0.isDirectory && steps(of: $0.path).last == ".git" }
            .map { PathPattern($0.path.dropLast(".git".count) + "HEAD") }.filter { !exists($0.path, at: root) }
    }

    /// Pins every directory above a path that is there.
    private mutating func pinAncestors(
        of path: String, in root: FileDescriptor, _ workdir: String
    ) throws(SessionError) {
        let names = steps(of: path)
        for length in 1..<max(names.count, 1) {
            let path = names[..<length].joined(separator: "/")
            if pinned.contains(path) { continue }
            guard let found = try? status(path, at: root, followingLinks: false) else { return }
            if found.st_mode & S_IFMT == S_IFLNK { throw Self.linkError(path, workdir) }
            pinned.note(path)
        }
    }

    /// Protects what is at a path without wildcards, and pins every directory above it. A file in the place of one (a
    /// worktree's `.git`) is what leads to the protected files then, and is protected itself.
    ///
    /// - Returns: what has to be made where it is missing: where its directory is missing too, that one, which is read-only
    ///   as a whole. `nil` as well for what is below something read-only, where nobody can make it.
    private mutating func protect(
        _ pattern: PathPattern, in root: FileDescriptor, _ workdir: String
    ) throws(SessionError) -> Ghost? {
        var isInside = false
        for length in 1..<pattern.names.count + 1 {
            let path = pattern.names[..<length].joined(separator: "/")
            let isLeaf = length == pattern.names.count
            isInside = isInside || readOnly.contains(path)
            guard let found = try? status(path, at: root, followingLinks: false) else {
                return isInside ? nil : Ghost(path: path, inode: 0, isDirectory: !isLeaf || pattern.isDirectory)
            }
            switch found.st_mode & S_IFMT {
            case S_IFLNK: throw Self.linkError(path, workdir)
            case S_IFDIR where !isLeaf:
                if !isInside { pinned.note(path) }
            default:
                if !isInside { readOnly.note(path) }
                return nil
            }
        }
        return nil
    }

    /// Makes what is missing, from the ghost at `first` on.
    private static func make(
        _ ghosts: inout [Ghost], from first: Int, in root: FileDescriptor, _ workdir: String, _ tenant: String,
        _ state: StateDirectory
    ) throws(SessionError) {
        let spares = try telling("workdir \(workdir)") { () throws(SystemError) in
            try Spares(state, for: root, of: tenant)
        }
        // One empty file under many names; what says something is a file of its own.
        var twin: Ghost?
        for index in first..<ghosts.count {
            let ghost = ghosts[index]
            let isEmptyFile = !ghost.isDirectory && ghost.content.isEmpty
            ghosts[index].inode = try telling(
                "workdir \(workdir): cannot make \(ghost.path) to protect it",
                fix: "make it yourself, or make the workdir writable"
            ) { () throws(SystemError) in
                let (parent, name) = try openParent(of: ghost.path, in: root)
                defer { if parent != root { close(parent) } }
                if isEmptyFile, let twin, linkat(root.rawValue, twin.path, parent.rawValue, name, 0) == 0 {
                    return twin.inode
                }
                return try spares.put(name, in: parent, index, ghost)
            }
            if twin == nil, isEmptyFile { twin = ghosts[index] }
        }
    }
}

extension [String] {
    /// Adds `path` where it is not in there.
    fileprivate mutating func note(_ path: String) {
        if !contains(path) { append(path) }
    }
}
