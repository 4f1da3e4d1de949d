import Documents

/// One mount inside the container (config.md, "Mounts").
public struct Mount: SpecObject {
    /// Where it is mounted, an absolute path inside.
    public var destination: String
    /// The file system type; ignored for a bind mount.
    public var type: String?
    /// A device, a path on the host (relative to the bundle), or a name.
    public var source: String?
    /// Mount options as mount(8) names them, file system options among them.
    public var options: [String]
    /// User id mappings of the mount; empty: the mount is not id-mapped.
    public var uidMappings: [LinuxIDMapping]
    /// Group id mappings of the mount.
    public var gidMappings: [LinuxIDMapping]

    /// Makes one from its members.
    public init(
        destination: String, type: String? = nil, source: String? = nil, options: [String] = [],
        uidMappings: [LinuxIDMapping] = [], gidMappings: [LinuxIDMapping] = []
    ) {
        self.destination = destination
        self.type = type
        self.source = source
        self.options = options
        self.uidMappings = uidMappings
        self.gidMappings = gidMappings
    }

    /// A value to read into.
    public static var blank: Self { Self(destination: "") }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("destination", &destination)
        // Deprecated, but to be understood: a relative destination starts at the root.
        if !destination.isEmpty && !destination.isAbsolute { destination = "/" + destination }
        members("type", &type)
        members("source", &source)
        members("options", &options)
        members("uidMappings", &uidMappings)
        members("gidMappings", &gidMappings)
    }
}

/// A range of ids inside and the range that it stands for outside (user_namespaces(7)).
public struct LinuxIDMapping: SpecObject {
    /// The first id inside.
    public var containerID: UInt32
    /// The first id outside.
    public var hostID: UInt32
    /// How many ids.
    public var size: UInt32

    /// Makes one from its members.
    public init(containerID: UInt32, hostID: UInt32, size: UInt32) {
        self.containerID = containerID
        self.hostID = hostID
        self.size = size
    }

    /// A value to read into.
    public static var blank: Self { Self(containerID: 0, hostID: 0, size: 0) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("containerID", &containerID)
        members("hostID", &hostID)
        members("size", &size)
    }
}
