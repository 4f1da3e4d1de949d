import CSyscalls
import Glibc
import SystemPackage

/// The attributes of a mount (`MOUNT_ATTR_*` of mount_setattr(2)).
public struct MountAttributes: OptionSet, Sendable, Hashable {
    /// The bits.
    public let rawValue: UInt64
    /// The set of these bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// `MOUNT_ATTR_RDONLY`.
    public static let readOnly = MountAttributes(rawValue: 0x1)
    /// `MOUNT_ATTR_NOSUID`.
    public static let noSetuid = MountAttributes(rawValue: 0x2)
    /// `MOUNT_ATTR_NODEV`.
    public static let noDevices = MountAttributes(rawValue: 0x4)
    /// `MOUNT_ATTR_NOEXEC`.
    public static let noExec = MountAttributes(rawValue: 0x8)
    /// `MOUNT_ATTR_NOATIME`.
    public static let noAccessTime = MountAttributes(rawValue: 0x10)
    /// `MOUNT_ATTR_STRICTATIME`.
    public static let strictAccessTime = MountAttributes(rawValue: 0x20)
    /// `MOUNT_ATTR_NODIRATIME`.
    public static let noDirectoryAccessTime = MountAttributes(rawValue: 0x80)
    /// `MOUNT_ATTR_IDMAP`: needs a user namespace.
    public static let idMap = MountAttributes(rawValue: 0x10_0000)
    /// `MOUNT_ATTR_NOSYMFOLLOW`.
    public static let noSymlinkFollow = MountAttributes(rawValue: 0x20_0000)
    /// The field that holds one access-time mode: cleared whole before one is set.
    public static let accessTimeMask = MountAttributes(rawValue: 0x70)
}

/// How mount events travel (`MS_SHARED` and its kin of mount(2)).
public enum MountPropagation: UInt64, Sendable {
    case shared = 0x10_0000
    case unbindable = 0x2_0000
    case `private` = 0x4_0000
    case slave = 0x8_0000
}

private let recursive: UInt32 = 0x8000  // AT_RECURSIVE
private let emptyPath: UInt32 = 0x1000  // AT_EMPTY_PATH

/// Makes a detached copy of the mount at `path` (open_tree(2) with `OPEN_TREE_CLONE`).
///
/// - Parameters:
///   - path: resolved from `directory`; empty for the object that `directory` itself names.
///   - withSubmounts: copies the mounts below it as well.
///   - throughLinks: without, a symbolic link anywhere in the path is `ELOOP`.
public func cloneMount(
    _ path: String, at directory: FileDescriptor = .workingDirectory, withSubmounts: Bool, throughLinks: Bool = true
) throws(SystemError) -> FileDescriptor {
    if !throughLinks {
        let found = try open(path, O_PATH, in: directory, [.noSymlinks])
        defer { close(found) }
        return try cloneMount("", at: found, withSubmounts: withSubmounts)
    }
    var flags: UInt32 = 1 | UInt32(O_CLOEXEC)
    if withSubmounts { flags |= recursive }
    if path.isEmpty { flags |= emptyPath }
    let result = try checking("open_tree", path) {
        path.withCString {
            carrel_syscall(Int(SYS_open_tree), Int(directory.rawValue), Int(bitPattern: $0), Int(flags), 0, 0, 0)
        }
    }
    return FileDescriptor(rawValue: Int32(result))
}

/// Attaches the detached mount `mount` to what `target` is open on (move_mount(2)).
///
/// - Parameter name: the target's name, for the error.
public func attachMount(_ mount: FileDescriptor, to target: FileDescriptor, named name: String) throws(SystemError) {
    let fromAndToEmptyPath = 0x04 | 0x40  // MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    try checking("move_mount", name) {
        "".withCString { empty in
            carrel_syscall(
                Int(SYS_move_mount), Int(mount.rawValue), Int(bitPattern: empty), Int(target.rawValue),
                Int(bitPattern: empty),
                fromAndToEmptyPath, 0)
        }
    }
}

/// Changes the attributes of the mount that `mount` is open on (mount_setattr(2)).
///
/// - Parameters:
///   - clearing: attributes to take away; an attribute that the kernel has locked stays (`EPERM`).
///   - userNamespace: the map of an id-mapped mount; `setting` must then hold `idMap`.
///   - name: the mount's name, for the error.
public func setMountAttributes(
    _ mount: FileDescriptor, setting: MountAttributes = [], clearing: MountAttributes = [],
    propagation: MountPropagation? = nil, userNamespace: FileDescriptor? = nil, withSubmounts: Bool, named name: String
) throws(SystemError) {
    var attributes = carrel_mount_attr(
        attr_set: setting.rawValue, attr_clr: clearing.rawValue, propagation: propagation?.rawValue ?? 0,
        userns_fd: UInt64(userNamespace?.rawValue ?? 0))
    try checking("mount_setattr", name) {
        "".withCString { empty in
            withUnsafeMutablePointer(to: &attributes) {
                carrel_syscall(
                    Int(SYS_mount_setattr), Int(mount.rawValue), Int(bitPattern: empty),
                    Int(emptyPath | (withSubmounts ? recursive : 0)),
                    Int(bitPattern: $0), MemoryLayout<carrel_mount_attr>.size, 0)
            }
        }
    }
}

/// A new instance of a filesystem as a detached mount (fsopen(2), fsconfig(2), fsmount(2)).
///
/// - Parameters:
///   - type: a name from /proc/filesystems.
///   - options: keys with their values; a key without a value is a flag.
/// - Throws: the failed call with the filesystem's type and the option it failed on.
public func makeFilesystem(
    _ type: String, options: [(key: String, value: String?)] = [], attributes: MountAttributes
) throws(SystemError) -> FileDescriptor {
    let closeOnExec = 1  // FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC
    let context = try checking("fsopen", type) {
        type.withCString { carrel_syscall(Int(SYS_fsopen), Int(bitPattern: $0), closeOnExec, 0, 0, 0, 0) }
    }
    defer { Syscalls.close(FileDescriptor(rawValue: Int32(context))) }
    for (key, value) in options {
        try checking("fsconfig", "\(type): \(key)\(value.map { "=" + $0 } ?? "")") {
            key.withCString { key in
                guard let value else {
                    return carrel_syscall(Int(SYS_fsconfig), context, 0, Int(bitPattern: key), 0, 0, 0)
                }
                return value.withCString {
                    carrel_syscall(Int(SYS_fsconfig), context, 1, Int(bitPattern: key), Int(bitPattern: $0), 0, 0)
                }
            }
        }
    }
    try checking("fsconfig", "\(type): create") { carrel_syscall(Int(SYS_fsconfig), context, 6, 0, 0, 0, 0) }
    let mount = try checking("fsmount", type) {
        carrel_syscall(Int(SYS_fsmount), context, closeOnExec, Int(attributes.rawValue), 0, 0, 0)
    }
    return FileDescriptor(rawValue: Int32(mount))
}

/// Makes the working directory the root, the old root stacked on it, and detaches the old root
/// (pivot_root(2), the `"."`, `"."` idiom).
public func pivotRootToWorkingDirectory() throws(SystemError) {
    try checking("pivot_root", ".") {
        ".".withCString { carrel_syscall(Int(SYS_pivot_root), Int(bitPattern: $0), Int(bitPattern: $0), 0, 0, 0, 0) }
    }
}

/// Detaches the mount at `path` now, and frees it when its last user is gone (umount2(2) with `MNT_DETACH`).
public func detachMount(_ path: String) throws(SystemError) {
    let detach = 2
    try checking("umount2", path) {
        path.withCString { carrel_syscall(Int(SYS_umount2), Int(bitPattern: $0), detach, 0, 0, 0, 0) }
    }
}
