import Documents

/// What a container's configuration says of Linux alone (config-linux.md).
public struct Linux: SpecObject {
    /// The user ids of a new user namespace.
    public var uidMappings: [LinuxIDMapping]
    /// The group ids of a new user namespace.
    public var gidMappings: [LinuxIDMapping]
    /// Kernel parameters set inside, for example `net.ipv4.ip_forward`.
    public var sysctl: [String: String]
    /// The limits of its cgroup.
    public var resources: LinuxResources?
    /// The path of its cgroup; absent: the runtime chooses.
    public var cgroupsPath: String?
    /// The namespaces that it has for itself or joins; one not listed is the runtime's own.
    public var namespaces: [LinuxNamespace]
    /// Devices made beyond the default ones.
    public var devices: [LinuxDevice]
    /// The system call filter.
    public var seccomp: LinuxSeccomp?
    /// The propagation of the root mount: `shared`, `slave`, `private`, `unbindable` or recursive forms.
    public var rootfsPropagation: String?
    /// Paths that cannot be read inside.
    public var maskedPaths: [String]
    /// Paths that are read-only inside.
    public var readonlyPaths: [String]
    /// The SELinux label of the container's mounts.
    public var mountLabel: String?
    /// Cache and memory bandwidth allocation.
    public var intelRdt: LinuxIntelRdt?
    /// The execution domain (personality(2)).
    public var personality: LinuxPersonality?
    /// Offsets of the clocks `monotonic` and `boottime` in a new time namespace.
    public var timeOffsets: [String: LinuxTimeOffset]
    /// Network devices of the host that move into the container (1.3).
    public var netDevices: [String: LinuxNetDevice]
    /// On which nodes its memory is (1.3).
    public var memoryPolicy: LinuxMemoryPolicy?

    /// Makes one from its members.
    public init(
        uidMappings: [LinuxIDMapping] = [], gidMappings: [LinuxIDMapping] = [], sysctl: [String: String] = [:],
        resources: LinuxResources? = nil, cgroupsPath: String? = nil, namespaces: [LinuxNamespace] = [],
        devices: [LinuxDevice] = [], seccomp: LinuxSeccomp? = nil, rootfsPropagation: String? = nil,
        maskedPaths: [String] = [], readonlyPaths: [String] = [], mountLabel: String? = nil,
        intelRdt: LinuxIntelRdt? = nil, personality: LinuxPersonality? = nil,
        timeOffsets: [String: LinuxTimeOffset] = [:], netDevices: [String: LinuxNetDevice] = [:],
        memoryPolicy: LinuxMemoryPolicy? = nil
    ) {
        self.uidMappings = uidMappings
        self.gidMappings = gidMappings
        self.sysctl = sysctl
        self.resources = resources
        self.cgroupsPath = cgroupsPath
        self.namespaces = namespaces
        self.devices = devices
        self.seccomp = seccomp
        self.rootfsPropagation = rootfsPropagation
        self.maskedPaths = maskedPaths
        self.readonlyPaths = readonlyPaths
        self.mountLabel = mountLabel
        self.intelRdt = intelRdt
        self.personality = personality
        self.timeOffsets = timeOffsets
        self.netDevices = netDevices
        self.memoryPolicy = memoryPolicy
    }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("uidMappings", &uidMappings)
        members("gidMappings", &gidMappings)
        members("sysctl", &sysctl)
        members("resources", &resources)
        members("cgroupsPath", &cgroupsPath)
        members("namespaces", &namespaces)
        members("devices", &devices)
        members("seccomp", &seccomp)
        members("rootfsPropagation", &rootfsPropagation)
        members("maskedPaths", &maskedPaths)
        members("readonlyPaths", &readonlyPaths)
        members("mountLabel", &mountLabel)
        members("intelRdt", &intelRdt)
        members("personality", &personality)
        members("timeOffsets", &timeOffsets)
        members("netDevices", &netDevices)
        members("memoryPolicy", &memoryPolicy)
    }
}

/// A memory policy of set_mempolicy(2).
public struct LinuxMemoryPolicy: SpecObject {
    /// The policy, for example `MPOL_BIND`.
    public var mode: String
    /// The nodes, as a list like `0-3`.
    public var nodes: String?
    /// `MPOL_F_*` names.
    public var flags: [String]

    /// Makes one from its members.
    public init(mode: String, nodes: String? = nil, flags: [String] = []) {
        self.mode = mode
        self.nodes = nodes
        self.flags = flags
    }

    /// A value to read into.
    public static var blank: Self { Self(mode: "") }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("mode", &mode)
        members("nodes", &nodes)
        members("flags", &flags)
    }
}

/// A network device of the host that moves into the container.
public struct LinuxNetDevice: SpecObject {
    /// Its name inside; absent: as on the host.
    public var name: String?

    /// Makes one from its members.
    public init(name: String? = nil) { self.name = name }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) { members("name", &name) }
}

/// One namespace of the container (namespaces(7)).
public struct LinuxNamespace: SpecObject {
    /// Its kind.
    public var type: LinuxNamespaceType
    /// A namespace file to join; absent: a new namespace.
    public var path: String?

    /// Makes one from its members.
    public init(type: LinuxNamespaceType, path: String? = nil) {
        self.type = type
        self.path = path
    }

    /// A value to read into.
    public static var blank: Self { Self(type: .mount) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("type", &type)
        members("path", &path)
    }
}

/// The kinds of namespaces.
public enum LinuxNamespaceType: String, Sendable, CaseIterable {
    /// Process ids.
    case pid
    /// Interfaces, routes, ports.
    case network
    /// Mounts.
    case mount
    /// System V IPC and POSIX message queues.
    case ipc
    /// Host and domain name.
    case uts
    /// User and group ids, capabilities.
    case user
    /// The cgroup root that is seen.
    case cgroup
    /// Offsets of the monotonic and boot-time clocks.
    case time
}

/// A device file made inside (mknod(2)).
public struct LinuxDevice: SpecObject {
    /// Its path inside.
    public var path: String
    /// Its kind.
    public var type: LinuxDeviceType
    /// The major number; not for a FIFO.
    public var major: Int64?
    /// The minor number; not for a FIFO.
    public var minor: Int64?
    /// Its permission bits.
    public var fileMode: UInt32?
    /// Its owner inside.
    public var uid: UInt32?
    /// Its group inside.
    public var gid: UInt32?

    /// Makes one from its members.
    public init(
        path: String, type: LinuxDeviceType, major: Int64? = nil, minor: Int64? = nil, fileMode: UInt32? = nil,
        uid: UInt32? = nil, gid: UInt32? = nil
    ) {
        self.path = path
        self.type = type
        self.major = major
        self.minor = minor
        self.fileMode = fileMode
        self.uid = uid
        self.gid = gid
    }

    /// A value to read into.
    public static var blank: Self { Self(path: "", type: .character) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("path", &path)
        members("type", &type)
        members("major", &major)
        members("minor", &minor)
        members("fileMode", &fileMode)
        members("uid", &uid)
        members("gid", &gid)
    }
}

/// The kinds of devices.
public enum LinuxDeviceType: String, Sendable, CaseIterable {
    /// All kinds; in rules of the device controller only.
    case all = "a"
    /// A character device.
    case character = "c"
    /// An unbuffered character device, the same to Linux.
    case unbuffered = "u"
    /// A block device.
    case block = "b"
    /// A FIFO.
    case fifo = "p"
}

/// Intel Resource Director Technology (resctrl).
public struct LinuxIntelRdt: SpecObject {
    /// The name of the class of service, a directory in resctrl.
    public var closID: String?
    /// The L3 cache schema.
    public var l3CacheSchema: String?
    /// The memory bandwidth schema.
    public var memBwSchema: String?
    /// Whether cache occupancy is monitored.
    public var enableCMT: Bool
    /// Whether memory bandwidth is monitored.
    public var enableMBM: Bool

    /// Makes one from its members.
    public init(
        closID: String? = nil, l3CacheSchema: String? = nil, memBwSchema: String? = nil, enableCMT: Bool = false,
        enableMBM: Bool = false
    ) {
        self.closID = closID
        self.l3CacheSchema = l3CacheSchema
        self.memBwSchema = memBwSchema
        self.enableCMT = enableCMT
        self.enableMBM = enableMBM
    }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("closID", &closID)
        members("l3CacheSchema", &l3CacheSchema)
        members("memBwSchema", &memBwSchema)
        members.flag("enableCMT", &enableCMT)
        members.flag("enableMBM", &enableMBM)
    }
}

/// An execution domain of personality(2).
public struct LinuxPersonality: SpecObject {
    /// The domain.
    public var domain: LinuxPersonalityDomain
    /// Additional flags; none are defined yet.
    public var flags: [String]

    /// Makes one from its members.
    public init(domain: LinuxPersonalityDomain, flags: [String] = []) {
        self.domain = domain
        self.flags = flags
    }

    /// A value to read into.
    public static var blank: Self { Self(domain: .linux) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("domain", &domain)
        members("flags", &flags)
    }
}

/// The execution domains that a container can ask for.
public enum LinuxPersonalityDomain: String, Sendable, CaseIterable {
    /// 64 bits.
    case linux = "LINUX"
    /// uname(2) tells a 32-bit machine.
    case linux32 = "LINUX32"
}

/// The offset of one clock in a time namespace (time_namespaces(7)).
public struct LinuxTimeOffset: SpecObject {
    /// Seconds.
    public var secs: Int64?
    /// Nanoseconds, below one second.
    public var nanosecs: UInt32?

    /// Makes one from its members.
    public init(secs: Int64? = nil, nanosecs: UInt32? = nil) {
        self.secs = secs
        self.nanosecs = nanosecs
    }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("secs", &secs)
        members("nanosecs", &nanosecs)
    }
}
