import CSyscalls
import Glibc
import Syscalls
import SystemPackage

/// The new root while it is put together, before pivot_root(2): every target is looked up from its descriptor, with
/// symbolic links and `..` resolved inside it, so that an image cannot lead a mount to the host's tree (CVE-2021-30465,
/// CVE-2024-45310, CVE-2026-41579).
struct RootAssembly {
    /// The attached root.
    let root: FileDescriptor
    /// What masks are clones of, and whether it is attached to the old root already.
    private var blank: (tree: FileDescriptor, isAttached: Bool)?

    /// Attaches the detached tree `tree` over the current root and opens it.
    ///
    /// - Parameter path: attaches it there instead.
    init(tree: FileDescriptor, over path: String = "/") throws(SystemError) {
        let here = try open(path, O_PATH | O_DIRECTORY)
        defer { close(here) }
        try attachMount(tree, to: here, named: "root")
        root = tree
    }

    /// Attaches `mount` at `path`, which is made where it is missing and the root can be written.
    ///
    /// - Parameters:
    ///   - isDirectory: what to make where `path` is missing.
    ///   - followingLinks: no symbolic link is followed for procfs and sysfs: an image's `/proc -> elsewhere` would
    ///     leave the real one unmasked (CVE-2023-27561, CVE-2019-19921).
    ///   - makingTargets: whether what a link leads to is made where it is missing.
    func attach(
        _ mount: FileDescriptor, at path: String, isDirectory: Bool, followingLinks: Bool = true,
        makingTargets: Bool = false
    ) throws(SystemError) {
        let target = try openOrMake(
            path, in: root, isDirectory: isDirectory, followingLinks ? [] : .noSymlinks,
            throughLinks: followingLinks && makingTargets)
        defer { close(target) }
        try refuseProc(target, path)
        try attachMount(mount, to: target, named: path)
    }

    /// Changes the attributes of what is mounted at the place of `mount`.
    func remount(_ mount: MountPlan) throws(SystemError) {
        let target = try lookUp(mount.destination)
        defer { close(target) }
        try mount.remount(target)
    }

    /// Copies what is at `path` into a tmpfs that is to hide it; nothing, where nothing is there.
    func copyUp(_ path: String, to tree: FileDescriptor) throws(SystemError) {
        guard let hidden = try? open(path, O_RDONLY | O_DIRECTORY, in: root, [.inRoot, .noMagicLinks]) else { return }
        defer { close(hidden) }
        let top = try open(".", O_RDONLY | O_DIRECTORY, at: tree)
        defer { close(top) }
        try Container.copyUp(from: hidden, to: top)
    }

    /// Opens `path` inside the root with `O_PATH`; nothing leads out of it.
    func lookUp(_ path: String, _ more: PathResolution = []) throws(SystemError) -> FileDescriptor {
        try open(path, O_PATH, in: root, [.inRoot, .noMagicLinks, more])
    }

    /// What may be mounted below /proc: files that describe the host and are commonly replaced. Anything else there
    /// would fake what the masks and the kernel's own checks stand on (CVE-2019-16884, CVE-2025-52881).
    private static let allowedInProc: Set<String> = [
        "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime",
        "/proc/loadavg", "/proc/slabinfo", "/proc/net/dev",
    ]

    private func refuseProc(_ target: FileDescriptor, _ path: String) throws(SystemError) {
        if try fileSystemKind(target) == .proc, !Self.allowedInProc.contains(path) {
            throw SystemError("mount inside procfs", path, errno: .notPermitted)
        }
    }

    // MARK: Devices

    /// Opens a device of the host, verified to be that character device and nothing put in its place (CVE-2025-31133).
    static func openDevice(_ name: String, _ major: UInt32, _ minor: UInt32) throws(SystemError) -> FileDescriptor {
        let device = try open("/dev/\(name)", O_PATH | O_NOFOLLOW)
        let found = try status(device)
        guard found.st_mode & S_IFMT == S_IFCHR, found.st_rdev == makeDevice(major, minor) else {
            close(device)
            throw SystemError(
                "verify character device \(major):\(minor)", "/dev/\(name)", errno: .noSuchAddressOrDevice)
        }
        return device
    }

    /// Mounts the six devices and makes the usual links in the session's /dev, then makes /dev itself read-only. A /dev
    /// that is a bind mount is as it is to be (as with runc).
    func makeDevices() throws(SystemError) {
        let dev = try lookUp("/dev", .noSymlinks)
        defer { close(dev) }
        for (name, major, minor) in usualDevices {
            let device = try Self.openDevice(name, major, minor)
            defer { close(device) }
            let mount = try cloneMount("", at: device, withSubmounts: false)
            defer { close(mount) }
            try setMountAttributes(
                mount, setting: [.noSetuid, .noExec], withSubmounts: false, named: "/dev/\(name)")
            close(try open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o666, at: dev))
            let target = try open(name, O_PATH | O_NOFOLLOW, at: dev)
            defer { close(target) }
            try attachMount(mount, to: target, named: "/dev/\(name)")
        }
        for (name, target) in usualLinks {
            try checking("symlinkat", "/dev/\(name)") { symlinkat(target, dev.rawValue, name) }
        }
        try setMountAttributes(dev, setting: .readOnly, withSubmounts: false, named: "/dev")
    }

    // MARK: Masks

    /// Puts an empty file over files and an empty directory over directories (OCI `maskedPaths`), both of one small
    /// read-only tmpfs: no device stands for anything (CVE-2025-31133). A path that is missing needs no mask; what goes
    /// wrong with a mask itself is an error.
    ///
    /// - Parameter label: their SELinux label.
    mutating func mask(_ paths: [String], label: String?) throws(SystemError) {
        for path in paths {
            guard let target = try openExisting(path) else { continue }
            defer { close(target) }
            if blank == nil { blank = (try Self.makeBlank(label), false) }
            let mask = try cloneBlank(Self.blankName(isDirectory: try status(target).st_mode & S_IFMT == S_IFDIR))
            defer { close(mask) }
            try attachMount(mask, to: target, named: path)
        }
    }

    /// A part of the blank tmpfs. A detached mount cannot be cloned before Linux 6.15: there it is attached first.
    private mutating func cloneBlank(_ name: String) throws(SystemError) -> FileDescriptor {
        guard let tree = blank?.tree else { throw SystemError("open_tree", name, errno: .badFileDescriptor) }
        do throws(SystemError) {
            return try cloneMount(name, at: tree, withSubmounts: false)
        } catch {
            guard error.errno == .invalidArgument else { throw error }
            try leaveBlank()
            return try cloneMount(name, at: tree, withSubmounts: false)
        }
    }

    /// Attaches the blank tmpfs to the old root, to go with that: one that is closed detached is dissolved alone, which waits
    /// for all processors once more (`dissolve_on_fput` in fs/namespace.c; 0.05 ms, more on a busy host).
    private mutating func leaveBlank() throws(SystemError) {
        guard let tree = blank?.tree, blank?.isAttached == false else { return }
        let here = try open("/dev", O_PATH | O_DIRECTORY)
        defer { close(here) }
        try attachMount(tree, to: here, named: "masks")
        blank?.isAttached = true
    }

    /// Attaches `program`, a mount of one file, to the old root, as the blank tmpfs and for its reason: PID 1 holds it to its end,
    /// and that is waited for. It can be executed as before. Where it cannot be attached, it is dissolved alone.
    func leave(_ program: FileDescriptor) {
        guard let here = try? open("/proc/version", O_PATH) else { return }
        defer { close(here) }
        try? attachMount(program, to: here, named: "carrel-init")
    }

    /// What stands in the blank tmpfs for a directory, or for a file.
    static func blankName(isDirectory: Bool) -> String { isDirectory ? "directory" : "file" }

    /// A tmpfs with one empty file and one empty directory, read-only.
    static func makeBlank(_ label: String?) throws(SystemError) -> FileDescriptor {
        let blank = try makeFilesystem(
            "tmpfs",
            options: [("size", "4k"), ("nr_inodes", "4"), ("mode", "0555")] + (label.map { [("context", $0)] } ?? []),
            attributes: [.noSetuid, .noDevices, .noExec])
        try makeDirectory("directory", mode: 0o555, at: blank)
        close(try open("file", O_WRONLY | O_CREAT | O_EXCL, mode: 0o444, at: blank))
        try setMountAttributes(blank, setting: .readOnly, withSubmounts: false, named: "masks")
        return blank
    }

    /// Binds each path onto itself: read-only (OCI `readonlyPaths`), or as it is, so that it can no longer be renamed
    /// or removed. Source and target are one descriptor: nothing can be swapped between the look and the mount.
    ///
    /// - Parameter required: whether it is an error that this path is missing.
    func bindOntoItself(
        _ paths: [String], readOnly: Bool, required: (String) -> Bool
    ) throws(SystemError) {
        for path in paths {
            guard let target = try openExisting(path) else {
                if required(path) { throw SystemError("openat2", path, errno: .noSuchFileOrDirectory) }
                continue
            }
            defer { close(target) }
            let mount = try cloneMount("", at: target, withSubmounts: true)
            defer { close(mount) }
            if readOnly { try setMountAttributes(mount, setting: .readOnly, withSubmounts: true, named: path) }
            try attachMount(mount, to: target, named: path)
        }
    }

    /// `nil` where there is nothing; a symbolic link anywhere in the path is an error: what it leads to can change.
    private func openExisting(_ path: String) throws(SystemError) -> FileDescriptor? {
        do throws(SystemError) {
            return try lookUp(path, .noSymlinks)
        } catch {
            if error.errno == .noSuchFileOrDirectory || error.errno == .notDirectory { return nil }
            throw error
        }
    }

    /// Makes the assembled tree the root of the process, and the old root unreachable.
    ///
    /// Its detaching does not travel to the host: the old root is a slave, because the mount namespace belongs to a new user
    /// namespace (mount_namespaces(7)), or by `secludeMounts`.
    mutating func pivot() throws(SystemError) {
        try leaveBlank()
        try checking("fchdir", "new root") { fchdir(root.rawValue) }
        try pivotRootToWorkingDirectory()
        try detachMount(".")
        if let blank { close(blank.tree) }
        try checking("chdir", "/") { chdir("/") }
    }
}
