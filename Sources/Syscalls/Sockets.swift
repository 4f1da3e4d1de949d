import CSyscalls
import Glibc
import SystemPackage

/// A pair of connected local sockets that keep message borders (socketpair(2), `SOCK_SEQPACKET`), close-on-exec.
public func socketPair() throws(SystemError) -> (FileDescriptor, FileDescriptor) {
    var pair: (Int32, Int32) = (-1, -1)
    try checking("socketpair") {
        withUnsafeMutablePointer(to: &pair) {
            $0.withMemoryRebound(to: Int32.self, capacity: 2) {
                socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0, $0)
            }
        }
    }
    return (FileDescriptor(rawValue: pair.0), FileDescriptor(rawValue: pair.1))
}

/// A pipe (pipe2(2)), both ends close-on-exec.
public func makePipe() throws(SystemError) -> (reading: FileDescriptor, writing: FileDescriptor) {
    var pair: (Int32, Int32) = (-1, -1)
    try checking("pipe2") {
        withUnsafeMutablePointer(to: &pair) {
            carrel_syscall(Int(SYS_pipe2), Int(bitPattern: $0), Int(O_CLOEXEC), 0, 0, 0, 0)
        }
    }
    return (FileDescriptor(rawValue: pair.0), FileDescriptor(rawValue: pair.1))
}

/// Sends one message with descriptors beside it (sendmsg(2), `SCM_RIGHTS`); a peer that is gone is `EPIPE`, no signal.
///
/// - Parameter descriptors: at most 253, the kernel's `SCM_MAX_FD`.
public func send(
    _ bytes: [UInt8], descriptors: [FileDescriptor] = [], over socket: FileDescriptor
) throws(SystemError) {
    var bytes = bytes
    let length = descriptors.count * MemoryLayout<Int32>.size
    var control = [UInt64](repeating: 0, count: carrel_cmsg_space(length) / 8 + 1)
    try retrying("sendmsg") {
        bytes.withUnsafeMutableBytes { payload in
            control.withUnsafeMutableBytes { control in
                var vector = iovec(iov_base: payload.baseAddress, iov_len: payload.count)
                return withUnsafeMutablePointer(to: &vector) { vector in
                    var message = msghdr()
                    message.msg_iov = vector
                    message.msg_iovlen = 1
                    if !descriptors.isEmpty {
                        message.msg_control = control.baseAddress
                        message.msg_controllen = carrel_cmsg_space(length)
                        let header = carrel_cmsg_first(&message)!
                        header.pointee.cmsg_level = SOL_SOCKET
                        header.pointee.cmsg_type = 1  // SCM_RIGHTS
                        header.pointee.cmsg_len = carrel_cmsg_length(length)
                        carrel_cmsg_data(header).withMemoryRebound(to: Int32.self, capacity: descriptors.count) {
                            for (index, descriptor) in descriptors.enumerated() { $0[index] = descriptor.rawValue }
                        }
                    }
                    return sendmsg(socket.rawValue, &message, Int32(MSG_NOSIGNAL))
                }
            }
        }
    }
}

/// Receives one message and the descriptors beside it, which are close-on-exec (recvmsg(2)).
///
/// - Returns: no bytes where the peer has closed its end.
public func receive(
    from socket: FileDescriptor, limit: Int = 4096
) throws(SystemError) -> (bytes: [UInt8], descriptors: [FileDescriptor]) {
    // Not an array: filling it with zeros would touch every page of what is mostly a few bytes.
    let payload = UnsafeMutableRawBufferPointer.allocate(byteCount: limit, alignment: 16)
    defer { payload.deallocate() }
    var control = [UInt64](repeating: 0, count: carrel_cmsg_space(253 * MemoryLayout<Int32>.size) / 8)
    var descriptors: [FileDescriptor] = []
    let count = try retrying("recvmsg") {
        control.withUnsafeMutableBytes { control in
            var vector = iovec(iov_base: payload.baseAddress, iov_len: payload.count)
            return withUnsafeMutablePointer(to: &vector) { vector in
                var message = msghdr()
                message.msg_iov = vector
                message.msg_iovlen = 1
                message.msg_control = control.baseAddress
                message.msg_controllen = control.count
                let count = recvmsg(socket.rawValue, &message, Int32(MSG_CMSG_CLOEXEC))
                var next = count < 0 ? nil : carrel_cmsg_first(&message)
                while let header = next {
                    if header.pointee.cmsg_level == SOL_SOCKET, header.pointee.cmsg_type == 1 {
                        let number = (Int(header.pointee.cmsg_len) - carrel_cmsg_length(0)) / MemoryLayout<Int32>.size
                        carrel_cmsg_data(header).withMemoryRebound(to: Int32.self, capacity: number) {
                            for index in 0..<number { descriptors.append(FileDescriptor(rawValue: $0[index])) }
                        }
                    }
                    next = carrel_cmsg_next(&message, header)
                }
                return count
            }
        }
    }
    return (Array(payload.prefix(count)), descriptors)
}

/// Brings up the loopback interface of the caller's network namespace (netdevice(7), `SIOCSIFFLAGS`).
public func bringLoopbackUp() throws(SystemError) {
    let control = try checking("socket") {
        socket(AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    }
    defer { Glibc.close(control) }
    // struct ifreq: sixteen bytes of name, then the flags.
    var request = [UInt8](repeating: 0, count: 40)
    request.replaceSubrange(0..<2, with: "lo".utf8)
    let up: UInt16 = 0x1 | 0x40  // IFF_UP | IFF_RUNNING
    request[16] = UInt8(up & 0xff)
    request[17] = UInt8(up >> 8)
    try checking("ioctl SIOCSIFFLAGS", "lo") {
        request.withUnsafeMutableBytes { ioctl(control, 0x8914, $0.baseAddress!) }
    }
}
