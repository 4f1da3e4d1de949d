import OCISpec

/// One line of an id map: `count` ids from `inside` on are those from `outside` on.
public struct IDExtent: Sendable, Equatable {
    /// The first id inside the namespace.
    public let inside: UInt32
    /// The first id in the parent namespace.
    public let outside: UInt32
    /// How many.
    public let count: UInt32

    /// One line of an id map.
    public init(inside: UInt32, outside: UInt32, count: UInt32) {
        self.inside = inside
        self.outside = outside
        self.count = count
    }
}

/// The lines of an id map, which do not overlap.
public struct IDExtents: Sendable, Equatable, CustomStringConvertible {
    /// As given.
    public let list: [IDExtent]

    /// - Parameter control: the name that errors give it, for example `linux.uidMappings`.
    /// - Throws: `ControlError` where there are no extents, where one is empty or ends beyond the largest id, where two
    ///   overlap on either side, and where the map is larger than the page that the kernel takes.
    public init(_ list: [IDExtent], _ control: String) throws(ControlError) {
        self.list = list
        if list.isEmpty { throw ControlError(control, "expected at least one mapping") }
        for (index, extent) in list.enumerated() {
            // 4294967295 is no id: it means "unchanged" to the calls that set ids.
            let limit = UInt64(UInt32.max)
            if extent.count == 0 || UInt64(extent.inside) + UInt64(extent.count) > limit
                || UInt64(extent.outside) + UInt64(extent.count) > limit
            {
                throw ControlError(control, "\(extent.line) is empty or ends beyond the largest id, 4294967294")
            }
            for other in list[..<index] where extent.overlaps(other) {
                throw ControlError(control, "\(extent.line) overlaps \(other.line)")
            }
        }
        if text.utf8.count >= 4096 || list.count > 340 {
            throw ControlError(control, "more than the 340 lines, or the 4095 bytes, that the kernel takes")
        }
    }

    /// The mappings of an OCI specification.
    public init(_ mappings: [LinuxIDMapping], _ control: String) throws(ControlError) {
        try self.init(
            mappings.map { IDExtent(inside: $0.containerID, outside: $0.hostID, count: $0.size) }, control)
    }

    /// What is written to `uid_map` and `gid_map`.
    var text: String { list.map { $0.line + "\n" }.joined() }

    /// For example `0 100000 65536`, more lines after a comma.
    public var description: String { list.map(\.line).joined(separator: ", ") }

    /// Whether `id`, of the inside, is mapped.
    public func holds(_ id: UInt32) -> Bool { outside(of: id) != nil }

    /// What `id`, of the inside, is outside; `nil` where it is not mapped.
    public func outside(of id: UInt32) -> UInt32? {
        for extent in list where id >= extent.inside && id - extent.inside < extent.count {
            return extent.outside + (id - extent.inside)
        }
        return nil
    }

    /// Whether `id`, of the outside, is all that is mapped.
    func isOnly(_ id: UInt32) -> Bool { list.count == 1 && list[0].outside == id && list[0].count == 1 }

    /// `inside` as `outside`, and the ids below and above it, from 0 up to 65535, as those of `ranges`, in their order.
    static func around(
        _ inside: UInt32, outside: UInt32, _ ranges: [Range<UInt32>], _ control: String
    ) throws(ControlError) -> IDExtents {
        var extents = [IDExtent(inside: inside, outside: outside, count: 1)]
        var next: UInt32 = 0
        for range in ranges {
            var rest = range
            while !rest.isEmpty && next < 65536 {
                if next == inside {
                    next += 1
                    continue
                }
                let end = next < inside ? min(inside, 65536) : 65536
                let count = min(UInt32(rest.count), end - next)
                extents.append(IDExtent(inside: next, outside: rest.lowerBound, count: count))
                rest = (rest.lowerBound + count)..<rest.upperBound
                next += count
            }
        }
        return try IDExtents(extents, control)
    }
}

extension IDExtent {
    var line: String { "\(inside) \(outside) \(count)" }

    fileprivate func overlaps(_ other: IDExtent) -> Bool {
        func meet(_ first: UInt32, _ second: UInt32) -> Bool {
            UInt64(first) < UInt64(second) + UInt64(other.count) && UInt64(second) < UInt64(first) + UInt64(count)
        }
        return meet(inside, other.inside) || meet(outside, other.outside)
    }
}
