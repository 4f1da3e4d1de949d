import Glibc
import SystemPackage

/// Opens the kernel's audit records for reading (netlink(7), `NETLINK_AUDIT`, group `AUDIT_NLGRP_READLOG`); nobody else's
/// reading is disturbed.
///
/// - Throws: `EPERM` without `CAP_AUDIT_READ`, `EPROTONOSUPPORT` where the kernel has no audit.
public func openAuditRecords() throws(SystemError) -> FileDescriptor {
    let descriptor = try checking("socket", "NETLINK_AUDIT") {
        socket(16, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 9)
    }
    // struct sockaddr_nl: the family, no address of our own, the first group.
    let address: [UInt32] = [16, 0, 1]
    do throws(SystemError) {
        try checking("bind", "NETLINK_AUDIT") {
            address.withUnsafeBytes { bind(descriptor, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, 12) }
        }
    } catch {
        Glibc.close(descriptor)
        throw error
    }
    return FileDescriptor(rawValue: descriptor)
}

/// Takes the next audit record: its type (`AUDIT_*` of linux/audit.h) and its text.
///
/// - Returns: `nil` where there is none now.
/// - Throws: `ENOBUFS` where records were lost, since they were not read in time.
public func readAuditRecord(_ descriptor: FileDescriptor) throws(SystemError) -> (type: UInt16, text: String)? {
    var bytes = [UInt8](repeating: 0, count: 16_384)
    let count = recv(descriptor.rawValue, &bytes, bytes.count, 0)
    if count < 0 {
        if errno == EAGAIN || errno == EINTR { return nil }
        throw SystemError.last("recv", "NETLINK_AUDIT")
    }
    guard count > 16 else { return nil }
    return (
        UInt16(bytes[4]) | UInt16(bytes[5]) << 8, String(decoding: bytes[16..<count].prefix { $0 != 0 }, as: UTF8.self)
    )
}
