import Glibc
import SystemPackage

/// An address of a network device, as `RTM_NEWADDR` takes it.
public struct NetworkAddress: Sendable, Equatable {
    let family: UInt8
    let prefixLength: UInt8
    /// `IFA_ADDRESS`, `IFA_LOCAL` and `IFA_BROADCAST` with their values.
    let attributes: [Attribute]

    struct Attribute: Sendable, Equatable {
        let type: UInt16
        let value: [UInt8]
    }
}

/// Moves a network device of the caller's network namespace into another (ip-link(8), `set DEVICE netns`).
///
/// - Parameters:
///   - newName: its name there; one that is taken there is `EEXIST`.
///   - namespace: a descriptor of the other one.
/// - Returns: the addresses that it had, which it loses by that: the permanent ones of global scope.
public func moveNetworkDevice(
    _ name: String, as newName: String, to namespace: FileDescriptor
) throws(SystemError) -> [NetworkAddress] {
    let netlink = try RouteNetlink()
    let index = try interfaceIndex(name)
    var question = RouteNetlink.Payload()
    // struct ifaddrmsg: any family.
    question.put(UInt64(0))
    let getAddress: UInt16 = 22  // RTM_GETADDR
    let addresses = try netlink.all(getAddress, question, named: name).compactMap { NetworkAddress($0, of: index) }
    var request = linkMessage(index, flags: 0, change: 0)
    request.put(attribute: 28, namespace.rawValue)  // IFLA_NET_NS_FD
    request.put(attribute: 3, Array(newName.utf8) + [0])  // IFLA_IFNAME
    try netlink.request(newLink, request, named: name)
    return addresses
}

/// Gives a device of the caller's network namespace its addresses, and brings it up.
public func bringUpNetworkDevice(_ name: String, with addresses: [NetworkAddress]) throws(SystemError) {
    let netlink = try RouteNetlink()
    let index = try interfaceIndex(name)
    for address in addresses {
        var request = RouteNetlink.Payload()
        // struct ifaddrmsg: family, prefix length, IFA_F_PERMANENT, scope global, index.
        for byte in [address.family, address.prefixLength, 0x80, 0] { request.put(byte) }
        request.put(index)
        for attribute in address.attributes { request.put(attribute: attribute.type, attribute.value) }
        let newAddress: UInt16 = 20  // RTM_NEWADDR
        try netlink.request(newAddress, flags: 0x400 | 0x200, request, named: "address of \(name)")
    }
    try netlink.request(newLink, linkMessage(index, flags: 1, change: 1), named: name)  // IFF_UP
}

private let newLink: UInt16 = 16  // RTM_NEWLINK

/// The names of the network devices of the caller's network namespace (if_nameindex(3)).
public func networkDevices() throws(SystemError) -> [String] {
    guard let all = if_nameindex() else { throw SystemError.last("if_nameindex") }
    defer { if_freenameindex(all) }
    var names: [String] = []
    var next = all
    while let name = next.pointee.if_name {
        names.append(String(cString: name))
        next += 1
    }
    return names
}

private func interfaceIndex(_ name: String) throws(SystemError) -> UInt32 {
    let index = if_nametoindex(name)
    if index == 0 { throw SystemError.last("if_nametoindex", name) }
    return index
}

/// `struct ifinfomsg`: family and type unspecified.
private func linkMessage(_ index: UInt32, flags: UInt32, change: UInt32) -> RouteNetlink.Payload {
    var message = RouteNetlink.Payload()
    message.put(UInt32(0))
    message.put(index)
    message.put(flags)
    message.put(change)
    return message
}

extension NetworkAddress {
    /// Reads an answer of `RTM_GETADDR`; `nil` where it is another device's, or of what the kernel makes by itself.
    fileprivate init?(_ bytes: [UInt8], of device: UInt32) {
        guard bytes.count >= 8 else { return nil }
        var attributes: [Attribute] = []
        var flags = UInt32(bytes[2])
        let (index, scope) = bytes.withUnsafeBytes { ($0.loadUnaligned(fromByteOffset: 4, as: UInt32.self), $0[3]) }
        var start = 8
        while start + 4 <= bytes.count {
            let (length, type) = bytes.withUnsafeBytes {
                (
                    Int($0.loadUnaligned(fromByteOffset: start, as: UInt16.self)),
                    $0.loadUnaligned(fromByteOffset: start + 2, as: UInt16.self)
                )
            }
            guard length >= 4, start + length <= bytes.count else { break }
            let value = Array(bytes[start + 4..<start + length])
            if [1, 2, 4].contains(type) { attributes.append(Attribute(type: type, value: value)) }
            // IFA_FLAGS has more than the header's byte.
            if type == 8, value.count == 4 { flags = value.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) } }
            start += (length + 3) / 4 * 4
        }
        guard index == device, scope == 0, flags & 0x80 != 0 else { return nil }
        family = bytes[0]
        prefixLength = bytes[1]
        self.attributes = attributes
    }
}
