import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// The devices of a container of the OCI runtime: the six usual ones and those that its specification adds
/// (config-linux.md, "Devices", "Default Devices").
extension RootAssembly {
    /// Makes them in the container's /dev: by mknod(2), or where the container's user namespace forbids that, as bind mounts of
    /// the host's. A /dev that is a symbolic link is refused: it can lead to a directory of the host's that is mounted there.
    ///
    /// - Parameters:
    ///   - binding: mounts the host's nodes instead of making new ones.
    ///   - isMounted: whether a filesystem of the container's own is at /dev. Without, one that is mounted below the root was
    ///     so on the host, whose devices it may hold: it is left as it is.
    ///   - hasConsole: makes /dev/console, for the terminal to be mounted on.
    func makeNodes(
        _ devices: [LinuxDevice], binding: Bool, isMounted: Bool, hasConsole: Bool
    ) throws(SystemError) {
        let dev: FileDescriptor
        do throws(SystemError) {
            dev = try openOrMake(
                "/dev", in: root, isDirectory: true, isMounted ? .noSymlinks : [.noSymlinks, .noCrossing])
        } catch {
            if error.errno == .improperLink { return }
            throw error
        }
        defer { close(dev) }
        for device in LinuxDevice.usual where !devices.contains(where: { $0.path == device.path }) {
            try make(device, binding: binding)
        }
        for device in devices { try make(device, binding: binding) }
        for (name, target) in usualLinks {
            // ptmx is always the container's own, so that no pty of the host's can be opened (runc does the same).
            if name == "ptmx" { try? Syscalls.remove(name, at: dev) }
            if symlinkat(target, dev.rawValue, name) != 0, errno != EEXIST {
                throw SystemError.last("symlinkat", "/dev/\(name)")
            }
        }
        if hasConsole { close(try openOrMake("/dev/console", in: root, isDirectory: false)) }
    }

    private func make(_ device: LinuxDevice, binding: Bool) throws(SystemError) {
        guard let slash = device.path.utf8.lastIndex(of: 0x2f) else {
            throw SystemError("mknodat", device.path, errno: .invalidArgument)
        }
        let name = String(device.path[device.path.index(after: slash)...])
        let parent = try openOrMake(String(device.path[..<slash]), in: root, isDirectory: true)
        defer { close(parent) }
        let number = makeDevice(UInt32(clamping: device.major ?? 0), UInt32(clamping: device.minor ?? 0))
        let type = Self.type(device.type)
        if binding && device.type != .fifo { return try bind(device, name, in: parent) }
        do throws(SystemError) {
            try makeNode(
                name, mode: type | mode_t(device.fileMode ?? 0o666) & 0o7777,
                device: device.type == .fifo ? 0 : number, at: parent)
            if device.uid ?? 0 != 0 || device.gid ?? 0 != 0 {
                try setOwner(name, user: device.uid ?? 0, group: device.gid ?? 0, at: parent)
            }
        } catch {
            // Root of a user namespace that the caller was in before, such as the rootless podman's.
            if error.errno == .notPermitted && device.type != .fifo {
                return try bind(device, name, in: parent)
            }
            guard error.errno == .fileExists else {
                throw SystemError(error.call, device.path, errno: error.errno)
            }
        }
        // What is there by that name is that device, whoever made it: an image's /dev may hold anything (CVE-2026-41579).
        let made = try open(name, O_PATH | O_NOFOLLOW, at: parent)
        defer { close(made) }
        try Self.verify(made, type, device.type == .fifo ? nil : number, device.path)
    }

    /// A node of the host, verified, mounted over an empty file.
    private func bind(
        _ device: LinuxDevice, _ name: String, in parent: FileDescriptor
    ) throws(SystemError) {
        let node = try Self.openDevice(device)
        defer { close(node) }
        let mount = try cloneMount("", at: node, withSubmounts: false)
        defer { close(mount) }
        if let existing = try? open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o666, at: parent) {
            close(existing)
        }
        let target = try open(name, O_PATH | O_NOFOLLOW, at: parent)
        defer { close(target) }
        try attachMount(mount, to: target, named: device.path)
    }

    /// Opens the host's node of this device, verified.
    static func openDevice(_ device: LinuxDevice) throws(SystemError) -> FileDescriptor {
        let node = try open(device.path, O_PATH | O_NOFOLLOW)
        do throws(SystemError) {
            try verify(
                node, type(device.type),
                makeDevice(UInt32(clamping: device.major ?? 0), UInt32(clamping: device.minor ?? 0)), device.path)
            return node
        } catch {
            close(node)
            throw error
        }
    }

    private static func verify(
        _ node: FileDescriptor, _ type: mode_t, _ number: dev_t?, _ path: String
    ) throws(SystemError) {
        let found = try status(node)
        guard found.st_mode & S_IFMT == type, number == nil || found.st_rdev == number else {
            throw SystemError("verify device", path, errno: .noSuchAddressOrDevice)
        }
    }

    private static func type(_ type: LinuxDeviceType) -> mode_t {
        switch type {
        case .block: S_IFBLK
        case .fifo: S_IFIFO
        default: S_IFCHR
        }
    }
}

extension LinuxDevice {
    /// The six usual ones.
    static var usual: [LinuxDevice] {
        usualDevices.map {
            LinuxDevice(
                path: "/dev/\($0.name)", type: .character, major: Int64($0.major), minor: Int64($0.minor),
                fileMode: 0o666, uid: 0, gid: 0)
        }
    }
}
