import Documents

/// Block device I/O.
public struct LinuxBlockIO: SpecObject {
    /// The relative share, 10 to 1000.
    public var weight: UInt16?
    /// The share of its own tasks beside its children, 10 to 1000 (v1).
    public var leafWeight: UInt16?
    /// Shares by device.
    public var weightDevice: [LinuxWeightDevice]
    /// Read limits, bytes a second.
    public var throttleReadBpsDevice: [LinuxThrottleDevice]
    /// Write limits, bytes a second.
    public var throttleWriteBpsDevice: [LinuxThrottleDevice]
    /// Read limits, operations a second.
    public var throttleReadIOPSDevice: [LinuxThrottleDevice]
    /// Write limits, operations a second.
    public var throttleWriteIOPSDevice: [LinuxThrottleDevice]

    /// Makes one from its members.
    public init(
        weight: UInt16? = nil, leafWeight: UInt16? = nil, weightDevice: [LinuxWeightDevice] = [],
        throttleReadBpsDevice: [LinuxThrottleDevice] = [], throttleWriteBpsDevice: [LinuxThrottleDevice] = [],
        throttleReadIOPSDevice: [LinuxThrottleDevice] = [], throttleWriteIOPSDevice: [LinuxThrottleDevice] = []
    ) {
        self.weight = weight
        self.leafWeight = leafWeight
        self.weightDevice = weightDevice
        self.throttleReadBpsDevice = throttleReadBpsDevice
        self.throttleWriteBpsDevice = throttleWriteBpsDevice
        self.throttleReadIOPSDevice = throttleReadIOPSDevice
        self.throttleWriteIOPSDevice = throttleWriteIOPSDevice
    }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("weight", &weight)
        members("leafWeight", &leafWeight)
        members("weightDevice", &weightDevice)
        members("throttleReadBpsDevice", &throttleReadBpsDevice)
        members("throttleWriteBpsDevice", &throttleWriteBpsDevice)
        members("throttleReadIOPSDevice", &throttleReadIOPSDevice)
        members("throttleWriteIOPSDevice", &throttleWriteIOPSDevice)
    }
}

/// The share of one block device.
public struct LinuxWeightDevice: SpecObject {
    /// The device's major number.
    public var major: Int64
    /// The device's minor number.
    public var minor: Int64
    /// The relative share, 10 to 1000.
    public var weight: UInt16?
    /// As `LinuxBlockIO.leafWeight`.
    public var leafWeight: UInt16?

    /// Makes one from its members.
    public init(major: Int64, minor: Int64, weight: UInt16? = nil, leafWeight: UInt16? = nil) {
        self.major = major
        self.minor = minor
        self.weight = weight
        self.leafWeight = leafWeight
    }

    /// A value to read into.
    public static var blank: Self { Self(major: 0, minor: 0) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("major", &major)
        members("minor", &minor)
        members("weight", &weight)
        members("leafWeight", &leafWeight)
    }
}

/// The limit of one block device.
public struct LinuxThrottleDevice: SpecObject {
    /// The device's major number.
    public var major: Int64
    /// The device's minor number.
    public var minor: Int64
    /// Bytes or operations a second.
    public var rate: UInt64

    /// Makes one from its members.
    public init(major: Int64, minor: Int64, rate: UInt64) {
        self.major = major
        self.minor = minor
        self.rate = rate
    }

    /// A value to read into.
    public static var blank: Self { Self(major: 0, minor: 0, rate: 0) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("major", &major)
        members("minor", &minor)
        members("rate", &rate)
    }
}

/// The limit of one size of huge pages.
public struct LinuxHugepageLimit: SpecObject {
    /// The size, for example `2MB`.
    public var pageSize: String
    /// Bytes.
    public var limit: UInt64

    /// Makes one from its members.
    public init(pageSize: String, limit: UInt64) {
        self.pageSize = pageSize
        self.limit = limit
    }

    /// A value to read into.
    public static var blank: Self { Self(pageSize: "", limit: 0) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("pageSize", &pageSize)
        members("limit", &limit)
    }
}

/// Network class and priorities of cgroups v1.
public struct LinuxNetwork: SpecObject {
    /// The class of its packets.
    public var classID: UInt32?
    /// The priority of its packets, by interface.
    public var priorities: [LinuxInterfacePriority]

    /// Makes one from its members.
    public init(classID: UInt32? = nil, priorities: [LinuxInterfacePriority] = []) {
        self.classID = classID
        self.priorities = priorities
    }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("classID", &classID)
        members("priorities", &priorities)
    }
}

/// The priority of one interface.
public struct LinuxInterfacePriority: SpecObject {
    /// The interface.
    public var name: String
    /// The priority.
    public var priority: UInt32

    /// Makes one from its members.
    public init(name: String, priority: UInt32) {
        self.name = name
        self.priority = priority
    }

    /// A value to read into.
    public static var blank: Self { Self(name: "", priority: 0) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("name", &name)
        members("priority", &priority)
    }
}

/// The limits of one RDMA device.
public struct LinuxRdma: SpecObject {
    /// The most handles.
    public var hcaHandles: UInt32?
    /// The most objects.
    public var hcaObjects: UInt32?

    /// Makes one from its members.
    public init(hcaHandles: UInt32? = nil, hcaObjects: UInt32? = nil) {
        self.hcaHandles = hcaHandles
        self.hcaObjects = hcaObjects
    }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("hcaHandles", &hcaHandles)
        members("hcaObjects", &hcaObjects)
    }
}
