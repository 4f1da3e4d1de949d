import CSyscalls
import Glibc
import SystemPackage

/// Makes a device or FIFO (mknodat(2)).
///
/// - Parameter mode: the type and the permission bits, before the umask.
public func makeNode(
    _ name: String, mode: mode_t, device: dev_t, at directory: FileDescriptor
) throws(SystemError) {
    try checking("mknodat", name) { mknodat(directory.rawValue, name, mode, device) }
}

/// Changes the owner of `name`, symbolic links not followed (fchownat(2)).
public func setOwner(
    _ name: String, user: uid_t, group: gid_t, at directory: FileDescriptor
) throws(SystemError) {
    try checking("fchownat", name) { fchownat(directory.rawValue, name, user, group, AT_SYMLINK_NOFOLLOW) }
}

/// Makes `directory` the root of the caller, and its working directory (chroot(2)).
public func changeRoot(to directory: FileDescriptor) throws(SystemError) {
    try checking("fchdir", "new root") { fchdir(directory.rawValue) }
    try checking("chroot", ".") { chroot(".") }
}

/// A file in memory alone, close-on-exec (memfd_create(2)).
public func makeMemoryFile(_ name: String) throws(SystemError) -> FileDescriptor {
    let closeOnExec = 1  // MFD_CLOEXEC
    let file = try checking("memfd_create", name) {
        name.withCString { carrel_syscall(Int(SYS_memfd_create), Int(bitPattern: $0), closeOnExec, 0, 0, 0, 0) }
    }
    return FileDescriptor(rawValue: Int32(file))
}
