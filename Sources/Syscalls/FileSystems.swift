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
}

/// The kind of file system that `path` is on (statfs(2)).
public func fileSystemKind(_ path: String) throws(SystemError) -> FileSystemKind {
    var found = statfs()
    try retrying("statfs", path) { statfs(path, &found) }
    return FileSystemKind(rawValue: Int(found.f_type))
}
