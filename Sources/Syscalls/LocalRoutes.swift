import Glibc
import SystemPackage

/// Makes every address local to the caller's network namespace, of IPv4 and IPv6 (`ip route add local default dev lo`,
/// and `ip -6`): whatever a program connects to, it meets the listeners of this namespace, and getsockname(2) of the
/// accepted socket gives the address that it wanted.
///
/// - Throws: the failed call; `EAFNOSUPPORT` of IPv6 alone is none: without it nobody connects to such an address.
public func makeEveryAddressLocal() throws(SystemError) {
    let netlink = try RouteNetlink()
    let loopback = if_nametoindex("lo")
    if loopback == 0 { throw SystemError.last("if_nametoindex", "lo") }
    try addLocalDefault(netlink, family: UInt8(AF_INET), interface: loopback)
    do throws(SystemError) {
        try addLocalDefault(netlink, family: UInt8(AF_INET6), interface: loopback)
    } catch {
        if error.errno != .addressFamilyNotSupported && error.errno != .notSupported { throw error }
    }
}

/// `struct rtmsg` and the attribute `RTA_OIF`.
private func addLocalDefault(
    _ netlink: borrowing RouteNetlink, family: UInt8, interface: UInt32
) throws(SystemError) {
    var message = RouteNetlink.Payload()
    // Family, lengths of destination and source, TOS; table local, protocol static, scope host, type local.
    for byte in [family, 0, 0, 0, 255, 4, 254, 2] { message.put(byte) }
    message.put(UInt32(0))
    message.put(attribute: 4, interface)  // RTA_OIF
    let newRoute: UInt16 = 24  // RTM_NEWROUTE
    try netlink.request(
        newRoute, flags: 0x500,  // NLM_F_CREATE, NLM_F_REPLACE: in a namespace that is joined it may be there
        message, named: family == UInt8(AF_INET) ? "local default" : "local default (IPv6)")
}
