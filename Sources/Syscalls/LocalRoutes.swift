import CSyscalls
import Glibc
import SystemPackage

/// Makes every address local to the caller's network namespace, of IPv4 and IPv6 (`ip route add local default dev lo`,
/// and `ip -6`): whatever a program connects to, it meets the listeners of this namespace, and getsockname(2) of the
/// accepted socket gives the address that it wanted.
///
/// - Throws: the failed call; `EAFNOSUPPORT` of IPv6 alone is none: without it nobody connects to such an address.
public func makeEveryAddressLocal() throws(SystemError) {
    let netlink = FileDescriptor(
        rawValue: try checking("socket", "netlink") {
            socket(Int32(AF_NETLINK), Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), 0)  // NETLINK_ROUTE
        })
    defer { close(netlink) }
    let loopback = if_nametoindex("lo")
    if loopback == 0 { throw SystemError.last("if_nametoindex", "lo") }
    try addLocalDefault(netlink, family: UInt8(AF_INET), interface: loopback)
    do throws(SystemError) {
        try addLocalDefault(netlink, family: UInt8(AF_INET6), interface: loopback)
    } catch {
        if error.errno != .addressFamilyNotSupported && error.errno != .notSupported { throw error }
    }
}

/// One request to rtnetlink(7): `struct nlmsghdr`, `struct rtmsg` and the attribute `RTA_OIF`, 36 bytes in host order.
private func addLocalDefault(_ netlink: FileDescriptor, family: UInt8, interface: UInt32) throws(SystemError) {
    let newRoute: UInt16 = 24  // RTM_NEWROUTE
    let flags: UInt16 = 0x1 | 0x4 | 0x400  // NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE
    var message: [UInt8] = []
    func append(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value) { message += $0 }
    }
    append(UInt32(36))
    append(newRoute)
    append(flags)
    append(UInt32(1))
    append(UInt32(0))
    // Family, lengths of destination and source, TOS; table local, protocol static, scope host, type local.
    message += [family, 0, 0, 0, 255, 4, 254, 2]
    append(UInt32(0))
    append(UInt16(8))
    append(UInt16(4))  // RTA_OIF
    append(interface)
    let name = family == UInt8(AF_INET) ? "local default" : "local default (IPv6)"
    try retrying("send netlink", name) { Glibc.send(netlink.rawValue, message, message.count, 0) }
    var answer = [UInt8](repeating: 0, count: 512)
    let count = try retrying("recv netlink", name) { recv(netlink.rawValue, &answer, answer.count, 0) }
    // NLMSG_ERROR: a header of 16 bytes, then a negative errno, 0 for done.
    guard count >= 20 else { throw SystemError("recv netlink", name, errno: .badMessage) }
    let code = answer.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 16, as: Int32.self) }
    if code != 0 { throw SystemError("add route", name, errno: Errno(rawValue: -code)) }
}
