import CSyscalls
import Glibc
import SystemPackage

/// The address of the Unix socket at `path` (unix(7)); `ENAMETOOLONG` beyond 107 bytes.
private func localAddress(_ path: String) throws(SystemError) -> sockaddr_un {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path), !bytes.contains(0) else {
        throw SystemError("bind", path, errno: .fileNameTooLong)
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    return address
}

private func withAddress<Address, Result>(
    _ address: Address, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
) -> Result {
    withUnsafePointer(to: address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<Address>.size)) }
    }
}

private func makeSocket(_ family: Int32, _ type: __socket_type) throws(SystemError) -> FileDescriptor {
    FileDescriptor(
        rawValue: try checking("socket") { socket(family, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0) })
}

/// Connects to the Unix stream socket at `path` (connect(2)); close-on-exec, blocking.
public func connectLocal(to path: String) throws(SystemError) -> FileDescriptor { try connected(SOCK_STREAM, path) }

/// Connects to the Unix datagram socket at `path`; close-on-exec.
public func connectDatagrams(to path: String) throws(SystemError) -> FileDescriptor { try connected(SOCK_DGRAM, path) }

/// Connects to the message socket `name` in `directory`; `ECONNREFUSED` where nobody listens any more.
///
/// - Parameter waiting: whether to wait where as many as can wait do so already, instead of `EAGAIN`.
public func connectLocally(
    _ name: String, in directory: FileDescriptor, waiting: Bool = true
) throws(SystemError) -> FileDescriptor {
    let type = SOCK_SEQPACKET.rawValue | (waiting ? 0 : SOCK_NONBLOCK.rawValue)
    return try connected(__socket_type(rawValue: type), "/proc/self/fd/\(directory.rawValue)/\(name)")
}

private func connected(_ type: __socket_type, _ path: String) throws(SystemError) -> FileDescriptor {
    let address = try localAddress(path)
    let made = try makeSocket(AF_UNIX, type)
    do throws(SystemError) {
        try retrying("connect", path) { withAddress(address) { connect(made.rawValue, $0, $1) } }
        return made
    } catch {
        close(made)
        throw error
    }
}

/// Makes a Unix stream socket at `path` and listens (bind(2), listen(2)); close-on-exec.
///
/// - Parameter mode: who may connect: whoever may write it.
public func listenLocal(at path: String, mode: mode_t, backlog: Int32 = 128) throws(SystemError) -> FileDescriptor {
    let address = try localAddress(path)
    let made = try makeSocket(AF_UNIX, SOCK_STREAM)
    do throws(SystemError) {
        try checking("bind", path) { withAddress(address) { bind(made.rawValue, $0, $1) } }
        try checking("chmod", path) { chmod(path, mode) }
        try checking("listen", path) { listen(made.rawValue, backlog) }
        return made
    } catch {
        close(made)
        throw error
    }
}

/// A socket of messages that others connect to by the name `name` in `directory` (unix(7), `SOCK_SEQPACKET`), close-on-exec.
///
/// The name is bound through the directory's descriptor, so that its length does not count against the 108 bytes of
/// `sun_path` and no one can put another directory in its place.
public func listenLocally(
    _ name: String, in directory: FileDescriptor, backlog: Int32 = 1
) throws(SystemError) -> FileDescriptor {
    let address = try localAddress("/proc/self/fd/\(directory.rawValue)/\(name)")
    let made = try makeSocket(AF_UNIX, SOCK_SEQPACKET)
    do throws(SystemError) {
        try checking("bind", name) { withAddress(address) { bind(made.rawValue, $0, $1) } }
        try checking("listen", name) { listen(made.rawValue, backlog) }
        return made
    } catch {
        close(made)
        throw error
    }
}

/// Takes the next connection of a listening socket (accept4(2)); close-on-exec, and not blocking where asked.
public func acceptConnection(_ listener: FileDescriptor, nonBlocking: Bool = false) throws(SystemError)
    -> FileDescriptor
{
    let flags = Int(SOCK_CLOEXEC.rawValue) | (nonBlocking ? Int(SOCK_NONBLOCK.rawValue) : 0)
    return FileDescriptor(
        rawValue: Int32(
            try retrying("accept4") {
                carrel_syscall(Int(SYS_accept4), Int(listener.rawValue), 0, 0, flags, 0, 0)
            }))
}

/// Who is at the other end of a Unix socket, as it was when it connected or listened (`SO_PEERCRED`, unix(7)).
public func peerCredentials(of descriptor: FileDescriptor) throws(SystemError) -> (pid: pid_t, uid: uid_t) {
    // struct ucred: pid, uid, gid.
    var credentials: [UInt32] = [0, 0, 0]
    var size: socklen_t = 12
    try checking("getsockopt", "SO_PEERCRED") {
        getsockopt(descriptor.rawValue, SOL_SOCKET, SO_PEERCRED, &credentials, &size)
    }
    return (pid_t(bitPattern: credentials[0]), credentials[1])
}

/// The addresses at which a socket of the caller's network namespace is reached.
public enum LocalReach: Sendable {
    /// 127.0.0.1.
    case loopbackV4
    /// Every IPv4 address.
    case everyV4
    /// Every IPv6 address, and no IPv4 ones (`IPV6_V6ONLY`).
    case everyV6
}

/// Listens at a TCP port of the caller's network namespace; close-on-exec.
public func listenTCP(_ reach: LocalReach, port: UInt16, backlog: Int32 = 512) throws(SystemError) -> FileDescriptor {
    let made = try bound(reach, port, SOCK_STREAM)
    do throws(SystemError) {
        try checking("listen", "tcp port \(port)") { listen(made.rawValue, backlog) }
        return made
    } catch {
        close(made)
        throw error
    }
}

/// Binds a UDP port of the caller's network namespace; close-on-exec. Each datagram tells which address it was sent to
/// (`IP_PKTINFO`, ip(7)), so that the answer can come from there.
public func bindUDP(_ reach: LocalReach, port: UInt16) throws(SystemError) -> FileDescriptor {
    let made = try bound(reach, port, SOCK_DGRAM)
    do throws(SystemError) {
        let isV6 = if case .everyV6 = reach { true } else { false }
        // IPV6_RECVPKTINFO, IP_PKTINFO
        try setOption(made, isV6 ? Int32(IPPROTO_IPV6) : 0, isV6 ? 49 : 8, "IP_PKTINFO")
        return made
    } catch {
        close(made)
        throw error
    }
}

private func setOption(
    _ descriptor: FileDescriptor, _ level: Int32, _ option: Int32, _ name: String
) throws(SystemError) {
    var on: Int32 = 1
    try checking("setsockopt", name) { setsockopt(descriptor.rawValue, level, option, &on, 4) }
}

private func bound(_ reach: LocalReach, _ port: UInt16, _ type: __socket_type) throws(SystemError) -> FileDescriptor {
    let isV6 = if case .everyV6 = reach { true } else { false }
    let made = try makeSocket(isV6 ? AF_INET6 : AF_INET, type)
    do throws(SystemError) {
        if isV6 {
            try setOption(made, Int32(IPPROTO_IPV6), 26, "IPV6_V6ONLY")
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            try checking("bind", "[::]:\(port)") { withAddress(address) { bind(made.rawValue, $0, $1) } }
        } else {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            if case .loopbackV4 = reach { address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian }
            try checking("bind", "port \(port)") { withAddress(address) { bind(made.rawValue, $0, $1) } }
        }
        return made
    } catch {
        close(made)
        throw error
    }
}
