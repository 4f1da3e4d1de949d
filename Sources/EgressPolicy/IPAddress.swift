import Glibc

/// An IPv4 or IPv6 address.
public enum IPAddress: Hashable, Sendable, CustomStringConvertible {
    /// An IPv4 address, as a number (`127.0.0.1` is `0x7f000001`).
    case v4(UInt32)
    /// An IPv6 address, as two numbers: the network's half and the host's.
    case v6(UInt64, UInt64)

    /// Reads the usual text forms and no others (inet_pton(3)); `nil` where it is none.
    public init?(_ text: String) {
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 {
            self = .v4(UInt32(truncatingIfNeeded: Self.number(bytes[..<4])))
        } else if inet_pton(AF_INET6, text, &bytes) == 1 {
            self = .v6(Self.number(bytes[..<8]), Self.number(bytes[8...]))
        } else {
            return nil
        }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    /// The address in network byte order: 4 or 16 bytes.
    public var bytes: [UInt8] {
        switch self {
        case .v4(let number): (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) }
        case .v6(let high, let low):
            [high, low].flatMap { half in (0..<8).map { UInt8(truncatingIfNeeded: half >> (56 - 8 * $0)) } }
        }
    }

    /// The usual text form (inet_ntop(3)).
    public var description: String {
        let family = bytes.count == 4 ? AF_INET : AF_INET6
        return String(unsafeUninitializedCapacity: 46) { buffer in
            buffer.withMemoryRebound(to: CChar.self) {
                inet_ntop(family, bytes, $0.baseAddress, 46) == nil ? 0 : strlen($0.baseAddress!)
            }
        }
    }
}

/// Whether an address may be dialled.
public enum AddressVerdict: Sendable, Equatable {
    /// An address of the public internet.
    case allowed
    /// An address that no name may lead to, and what it is.
    case refused(String)
}

/// Looks whether an address that a name resolved to is of the public internet, by the registries of special-purpose
/// addresses (IANA, RFC 6890): a name that leads anywhere else is an attack (DNS rebinding), or a service that is the
/// host's alone.
public func checkAddress(_ address: IPAddress) -> AddressVerdict {
    switch address {
    case .v4(let number):
        for range in refusedV4 where number >> (32 - range.bits) == range.prefix >> (32 - range.bits) {
            return .refused(range.what)
        }
        return .allowed
    case .v6(let high, let low):
        if high == 0 {
            // ::/96 and ::ffff:0:0/96 hold IPv4 addresses; what they hold does not matter.
            if low >> 32 == 0xffff { return .refused("IPv4-mapped") }
            if low <= 1 { return .refused(low == 0 ? "unspecified" : "loopback") }
        }
        for range in refusedV6 where high >> (64 - range.bits) == range.prefix >> (64 - range.bits) {
            return .refused(range.what)
        }
        // 2000::/3 is all of the public internet so far.
        return high >> 61 == 1 ? .allowed : .refused("reserved")
    }
}

private let refusedV4: [(prefix: UInt32, bits: UInt32, what: String)] = [
    (0x0000_0000, 8, "of this network"), (0x0a00_0000, 8, "private"), (0x6440_0000, 10, "carrier-grade NAT"),
    (0x7f00_0000, 8, "loopback"), (0xa9fe_0000, 16, "link-local (metadata services)"), (0xac10_0000, 12, "private"),
    (0xc000_0000, 24, "of protocols"), (0xc000_0200, 24, "of documentation"), (0xc058_6300, 24, "6to4 relay"),
    (0xc0a8_0000, 16, "private"), (0xc612_0000, 15, "of benchmarks"), (0xc633_6400, 24, "of documentation"),
    (0xcb00_7100, 24, "of documentation"), (0xa83f_8110, 32, "metadata (168.63.129.16)"), (0xe000_0000, 4, "multicast"),
    (0xf000_0000, 4, "reserved"),
]

private let refusedV6: [(prefix: UInt64, bits: UInt64, what: String)] = [
    (0x0064_ff9b_0000_0000, 32, "NAT64"), (0x0100_0000_0000_0000, 64, "discard-only"),
    (0x2001_0000_0000_0000, 23, "of protocols (Teredo)"), (0x2001_0db8_0000_0000, 32, "of documentation"),
    (0x2002_0000_0000_0000, 16, "6to4"), (0x3fff_0000_0000_0000, 20, "of documentation"),
    (0xfc00_0000_0000_0000, 7, "unique local"), (0xfe80_0000_0000_0000, 10, "link-local"),
    (0xfec0_0000_0000_0000, 10, "site-local"), (0xff00_0000_0000_0000, 8, "multicast"),
]
