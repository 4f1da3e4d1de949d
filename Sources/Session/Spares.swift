import Glibc
import Syscalls
import SystemPackage

/// Files and directories that stood for missing protected paths, kept for the next session that needs some.
///
/// ext4 does not reuse an inode for five seconds after its deletion, and searches past all such ones for each new file
/// (`recently_deleted` in fs/ext4/ialloc.c): making them anew was more than half of what a start cost. So a session
/// moves them from here into the user's tree, and back when it ends. Where the tree is on another filesystem, or none are
/// left, they are made and removed.
///
/// What comes back is kept only if nobody has changed it and no other session could have opened it for writing
/// (``WorkdirClaims``), and only for workdirs of the same owner and sessions of the same tenant. It is looked at again before
/// it is given out.
struct Spares {
    private let places: StateDirectory
    private let owner: stat
    private let tenant: String
    /// Sessions that start at the same time would take each other's.
    private let set = getpid() & 7

    /// - Parameter root: the workdir.
    init(_ state: StateDirectory, for root: FileDescriptor, of tenant: String) throws(SystemError) {
        places = state
        self.tenant = tenant
        var owner = try status(root)
        // Who is not root gives nothing away: in the tree of another, or of a group, what it makes stays its own.
        if geteuid() != 0 { (owner.st_uid, owner.st_gid) = (geteuid(), getegid()) }
        self.owner = owner
    }

    private func place(_ number: Int, _ ghost: WorkdirGuard.Ghost) -> String {
        let kind = ghost.isDirectory ? "d" : ghost.content.isEmpty ? "f" : "c"
        return places["spares/\(tenant).\(owner.st_uid).\(owner.st_gid).\(set).\(kind)\(number)"]
    }

    /// Puts a file or directory of the workdir's owner's at `name`.
    ///
    /// - Parameter number: which of those of its workdir it is.
    /// - Returns: its inode.
    func put(
        _ name: String, in parent: FileDescriptor, _ number: Int, _ ghost: WorkdirGuard.Ghost
    ) throws(SystemError) -> UInt64 {
        let place = place(number, ghost)
        // Nothing but what is held open leads there: what it is now, it is in the workdir too.
        let isKept = isBlank(place, ghost)
        if !isKept { try? removeTree(place) }
        if !isKept || (try? rename(place, to: name, in: parent, replacing: false)) == nil {
            if ghost.isDirectory {
                try makeDirectory(name, orExisting: false, at: parent)
            } else {
                try withOpen(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o444, at: parent) {
                    file throws(SystemError) in try writeAll(ghost.content.utf8, to: file, named: name)
                }
            }
            // The owner's, whose directories are to be used while the session lasts.
            if owner.st_uid != geteuid() {
                try checking("fchownat", name) {
                    fchownat(parent.rawValue, name, owner.st_uid, owner.st_gid, AT_SYMLINK_NOFOLLOW)
                }
            }
        }
        return UInt64(try status(name, at: parent, followingLinks: false).st_ino)
    }

    /// Takes back what was put at `name`, or removes it; what somebody has put something into is left to them.
    ///
    /// - Parameter found: what is there.
    func take(
        _ name: String, in parent: FileDescriptor, _ number: Int, _ ghost: WorkdirGuard.Ghost, _ found: stat
    ) {
        let place = place(number, ghost)
        if isAsMade(found, ghost), (try? rename(name, at: parent, to: place, replacing: false)) != nil {
            if isBlank(place, ghost) { return }
            // Looked at where nobody else reaches it: what was put into it in the meantime goes back.
            _ = try? rename(place, to: name, in: parent, replacing: false)
        }
        Self.remove(name, in: parent, ghost)
    }

    /// Removes a directory if it is empty, and a file if it says what it was made to say, or nothing; what somebody has put
    /// something into is left to them.
    static func remove(_ name: String, in parent: FileDescriptor, _ ghost: WorkdirGuard.Ghost) {
        guard ghost.isDirectory || isUntouched(name, in: parent, ghost) else { return }
        _ = unlinkat(parent.rawValue, name, ghost.isDirectory ? AT_REMOVEDIR : 0)
    }

    private static func isUntouched(_ name: String, in parent: FileDescriptor, _ ghost: WorkdirGuard.Ghost) -> Bool {
        guard let size = try? status(name, at: parent, followingLinks: false).st_size else { return false }
        if size == 0 || size != ghost.content.utf8.count { return size == 0 }
        guard let file = try? open(name, O_RDONLY | O_NOFOLLOW, at: parent) else { return false }
        defer { close(file) }
        return (try? readAll(file).elementsEqual(ghost.content.utf8)) ?? false
    }

    /// Whether owner, mode, links and size are those it was made with.
    private func isAsMade(_ found: stat, _ ghost: WorkdirGuard.Ghost) -> Bool {
        let isDirectory = found.st_mode & S_IFMT == S_IFDIR
        return found.st_mode & 0o7777 == (isDirectory ? 0o755 : 0o444) && found.st_uid == owner.st_uid
            && found.st_nlink == (isDirectory ? 2 : 1) && isDirectory == ghost.isDirectory
            && (isDirectory || found.st_size == ghost.content.utf8.count)
    }

    /// Whether it is as it was made, with nothing else in it, extended attributes (an access control list is one) included.
    private func isBlank(_ place: String, _ ghost: WorkdirGuard.Ghost) -> Bool {
        let kind = ghost.isDirectory ? O_DIRECTORY : 0
        guard let file = try? open(place, O_RDONLY | O_NOFOLLOW | kind) else { return false }
        defer { close(file) }
        guard let found = try? status(file), isAsMade(found, ghost), (try? hasExtendedAttributes(file)) == false else {
            return false
        }
        if ghost.isDirectory { return (try? list(".", at: file).isEmpty) ?? false }
        return ghost.content.isEmpty || (try? readAll(file).elementsEqual(ghost.content.utf8)) ?? false
    }
}
