import CSyscalls
import SystemPackage

/// The kinds of file system that Carrel asks for, by their magic numbers (statfs(2)).
public struct FileSystemKind: RawRepresentable, Sendable, Equatable {
    /// `f_type` of statfs(2).
    public let rawValue: Int
    /// The kind with this magic number.
    public init(rawValue: Int) { self.rawValue = rawValue }

    /// A cgroup v1 hierarchy.
    public static let cgroup = FileSystemKind(rawValue: 0x0027_e0eb)
    /// The cgroup v2 tree.
    public static let cgroup2 = FileSystemKind(rawValue: 0x6367_7270)
    /// Processes (proc(5)).
    public static let proc = FileSystemKind(rawValue: 0x9fa0)
    /// Terminals (pts(4)).
    public static let devpts = FileSystemKind(rawValue: 0x1cd1)
    /// Namespaces (ioctl_ns(2)).
    public static let namespaces = FileSystemKind(rawValue: 0x6e73_6673)
}

/// The kind of file system that `path` is on (statfs(2)).
public func fileSystemKind(_ path: String) throws(SystemError) -> FileSystemKind {
    var found = statfs()
    try retrying("statfs", path) { statfs(path, &found) }
    return FileSystemKind(rawValue: Int(found.f_type))
}

/// The kind of file system that `descriptor` is open on (fstatfs(2)).
public func fileSystemKind(_ descriptor: FileDescriptor) throws(SystemError) -> FileSystemKind {
    var found = statfs()
    try checking("fstatfs") { fstatfs(descriptor.rawValue, &found) }
    return FileSystemKind(rawValue: Int(found.f_type))
}
