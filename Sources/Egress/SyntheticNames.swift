import EgressPolicy

/// The addresses of one session: each allowed name that was asked for has one of 198.18.0.0/15 (RFC 2544), which no
/// host of the Internet has.
///
/// An address follows from the name alone, unless two names collide: after a restart of the gateway, most of what the
/// session's programs remember is right at once, and the rest is told apart by the name that they then send.
struct SyntheticNames {
    private var addresses: [HostName: UInt32] = [:]
    private var names: [UInt32: HostName] = [:]
    let limit: Int

    private static let base: UInt32 = 198 << 24 | 18 << 16
    private static let size: UInt32 = 1 << 17

    init(limit: Int) { self.limit = limit }

    var count: Int { addresses.count }

    /// The address of a name; `nil` when the session has as many as it may.
    mutating func address(of name: HostName) -> UInt32? {
        if let known = addresses[name] { return known }
        guard addresses.count < limit else { return nil }
        var hash: UInt32 = 2_166_136_261
        for byte in name.text.utf8 { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        var offset = hash % Self.size
        // Not the first and the last: some programs take them for network and broadcast.
        while offset == 0 || offset == Self.size - 1 || names[Self.base + offset] != nil {
            offset = (offset + 1) % Self.size
        }
        addresses[name] = Self.base + offset
        names[Self.base + offset] = name
        return Self.base + offset
    }

    enum Meaning: Equatable {
        case name(HostName)
        /// An address of ours that was given by a gateway before this one.
        case forgotten
        case foreign
    }

    func meaning(of address: UInt32) -> Meaning {
        if let name = names[address] { return .name(name) }
        return address & ~(Self.size - 1) == Self.base ? .forgotten : .foreign
    }

    static func bytes(_ address: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: address >> (24 - 8 * $0)) }
    }
}
