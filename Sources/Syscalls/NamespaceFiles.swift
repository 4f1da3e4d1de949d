import CSyscalls
import Glibc
import SystemPackage

/// Opens a namespace by its file, verified to be a namespace of the one kind `type` (ioctl_ns(2)): an ordinary file or
/// another kind's namespace of that name is `EINVAL`.
public func openNamespace(_ path: String, _ type: Namespaces) throws(SystemError) -> FileDescriptor {
    let namespace = try open(path, O_RDONLY | O_NONBLOCK)
    let getType: UInt = 0xb703  // NS_GET_NSTYPE
    guard (try? fileSystemKind(namespace)) == .namespaces,
        UInt64(bitPattern: Int64(ioctl(namespace.rawValue, getType))) == type.rawValue
    else {
        close(namespace)
        throw SystemError("verify namespace", path, errno: .invalidArgument)
    }
    return namespace
}

/// Moves the caller into a namespace (setns(2)); of a PID namespace, only its children to be.
public func joinNamespace(_ namespace: FileDescriptor, _ type: Namespaces, named name: String) throws(SystemError) {
    try checking("setns", name) {
        carrel_syscall(Int(SYS_setns), Int(namespace.rawValue), Int(type.rawValue), 0, 0, 0, 0)
    }
}

/// Whether two descriptors are of the same namespace, or of the same file.
public func isSameFile(_ one: FileDescriptor, _ other: FileDescriptor) throws(SystemError) -> Bool {
    let (one, other) = (try status(one), try status(other))
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino
}
