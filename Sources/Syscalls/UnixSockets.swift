import CSyscalls
import Glibc
import SystemPackage

/// A socket of messages that others connect to by the name `name` in `directory` (unix(7), `SOCK_SEQPACKET`), close-on-exec.
///
/// The name is bound through the directory's descriptor, so that its length does not count against the 108 bytes of
/// `sun_path` and no one can put another directory in its place.
public func listenLocally(
    _ name: String, in directory: FileDescriptor, backlog: Int32 = 1
) throws(SystemError) -> FileDescriptor {
    let socket = try makeSocket(SOCK_SEQPACKET)
    do throws(SystemError) {
        try withAddress("/proc/self/fd/\(directory.rawValue)/\(name)") { address, length throws(SystemError) in
            try checking("bind", name) { bind(socket.rawValue, address, length) }
        }
        try checking("listen", name) { listen(socket.rawValue, backlog) }
        return socket
    } catch {
        close(socket)
        throw error
    }
}

/// Connects to the message socket `name` in `directory`; `ECONNREFUSED` where nobody listens any more.
public func connectLocally(_ name: String, in directory: FileDescriptor) throws(SystemError) -> FileDescriptor {
    try connected(SOCK_SEQPACKET, "/proc/self/fd/\(directory.rawValue)/\(name)")
}

/// Connects to the stream socket at `path` (connect(2)).
public func connectStream(_ path: String) throws(SystemError) -> FileDescriptor {
    try connected(SOCK_STREAM, path)
}

/// Waits for a peer of a listening socket and accepts it (accept4(2)), close-on-exec.
public func accept(_ socket: FileDescriptor) throws(SystemError) -> FileDescriptor {
    let peer = try retrying("accept4") {
        carrel_syscall(Int(SYS_accept4), Int(socket.rawValue), 0, 0, Int(SOCK_CLOEXEC.rawValue), 0, 0)
    }
    return FileDescriptor(rawValue: Int32(peer))
}

private func connected(_ type: __socket_type, _ path: String) throws(SystemError) -> FileDescriptor {
    let socket = try makeSocket(type)
    do throws(SystemError) {
        try withAddress(path) { address, length throws(SystemError) in
            try retrying("connect", path) { connect(socket.rawValue, address, length) }
        }
        return socket
    } catch {
        close(socket)
        throw error
    }
}

private func makeSocket(_ type: __socket_type) throws(SystemError) -> FileDescriptor {
    FileDescriptor(
        rawValue: try checking("socket") { socket(AF_UNIX, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0) })
}

private func withAddress(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(SystemError) -> Void
) throws(SystemError) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
        throw SystemError("connect", path, errno: .fileNameTooLong)
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let result = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
            Result { () throws(SystemError) in try body(generic, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }
    try result.get()
}
