import CSyscalls
import Glibc
import SystemPackage

/// Whether `name` can be that of a session, a tenant, a profile: a file, a cgroup and a word on command lines at once.
///
/// 1 to 64 of `A-Z a-z 0-9 . _ -`, a letter or digit first: so neither `.` nor `..` nor a hidden name is one, and none can be
/// mistaken for an option.
public func isPlainName(_ name: String) -> Bool {
    func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
    }
    let bytes = name.utf8
    guard let first = bytes.first, bytes.count <= 64, isAlphanumeric(first) else { return false }
    return bytes.allSatisfy { isAlphanumeric($0) || $0 == 0x2e || $0 == 0x5f || $0 == 0x2d }
}

/// How openat2(2) may walk a path.
public struct PathResolution: OptionSet, Sendable {
    /// The bits.
    public let rawValue: UInt64
    /// The set of these bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// No mount point is crossed.
    public static let noCrossing = PathResolution(rawValue: 0x01)
    /// No magic link of procfs is followed.
    public static let noMagicLinks = PathResolution(rawValue: 0x02)
    /// No symbolic link is followed, anywhere in the path.
    public static let noSymlinks = PathResolution(rawValue: 0x04)
    /// The walk never leaves the directory it starts from; an attempt is an error.
    public static let beneath = PathResolution(rawValue: 0x08)
    /// The directory it starts from is `/`, for `..`, absolute paths and absolute links too.
    public static let inRoot = PathResolution(rawValue: 0x10)
}

/// Opens `path` as openat2(2) does, close-on-exec, walking it only as `resolution` allows.
public func open(
    _ path: String, _ flags: Int32, mode: mode_t = 0, in directory: FileDescriptor, _ resolution: PathResolution
) throws(SystemError) -> FileDescriptor {
    var how = carrel_open_how(
        flags: UInt64(flags | O_CLOEXEC), mode: UInt64(mode), resolve: resolution.rawValue)
    var result: Int
    repeat {
        // EAGAIN: a rename raced with the walk of "..": the kernel asks to be called again (openat2(2)).
        result = path.withCString { path in
            withUnsafeMutablePointer(to: &how) {
                carrel_syscall(
                    Int(SYS_openat2), Int(directory.rawValue), Int(bitPattern: path), Int(bitPattern: $0),
                    MemoryLayout<carrel_open_how>.size, 0, 0)
            }
        }
    } while result == -1 && (errno == EINTR || errno == EAGAIN)
    if result == -1 { throw SystemError.last("openat2", path) }
    return FileDescriptor(rawValue: Int32(result))
}

/// Opens a name without opening what it names: for `*at` calls, mounts and stat only (open(2)).
public let O_PATH: Int32 = 0x20_0000
