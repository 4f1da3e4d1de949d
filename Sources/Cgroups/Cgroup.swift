import Glibc
import Syscalls
import SystemPackage

/// One cgroup: a box of processes that is limited, measured, frozen and killed as one.
///
/// ```swift
/// let cgroup = try Cgroup.create(host, CgroupPath("carrel/acme/s-42"), CgroupLimits(memoryMax: 2 << 30, pidsMax: 512))
/// let entry = try cgroup.entry()
/// switch try cloneProcess(namespaces: all, into: entry.cloneInto) {
/// case .child: try entry.enter()  // first of all, then unshare(CLONE_NEWCGROUP)
/// case .parent: entry.close()
/// }
/// ```
public final class Cgroup {
    /// Where it is, below the place that ``CgroupHost/directory()`` tells.
    public let path: CgroupPath
    /// Its directory in the v2 tree.
    public let directory: String
    let host: CgroupHost
    let place: CgroupHost.Place
    let tree: any ControllerTree
    /// The directory of every controller that is in force.
    let directories: [String: String]
    /// Whether it was made by this process, so that nobody can have killed what was in it.
    let isNew: Bool

    private init(
        _ host: CgroupHost, _ place: CgroupHost.Place, _ path: CgroupPath, _ tree: any ControllerTree,
        _ directories: [String: String], isNew: Bool = false
    ) {
        self.isNew = isNew
        self.host = host
        self.place = place
        self.path = path
        self.tree = tree
        self.directories = directories
        directory = place.directory(path)
    }

    /// In which hierarchies of a hybrid host a cgroup gets a directory.
    public enum Joining: Sendable {
        /// Those that its limits, and those of the levels above, need.
        case needed
        /// All, so that any limit can be set later, and whoever looks into any of them finds its processes.
        case every
    }

    /// Limits of a cgroup that others are made in.
    public typealias Level = (path: CgroupPath, limits: CgroupLimits)

    /// Makes a cgroup, and those above it, and sets its limits; when it throws, nothing is left behind.
    ///
    /// - Parameter levels: cgroups above this one and what they are held to, set at each call.
    /// - Throws: ``CgroupError/controlAbsent(control:reason:fix:)`` for a limit that this host cannot give, and
    ///   ``CgroupError/exists(_:)`` where there is one already.
    public static func create(
        _ host: CgroupHost, _ path: CgroupPath, _ limits: CgroupLimits, within levels: [Level] = [],
        joining: Joining = .needed
    ) throws(CgroupError) -> Cgroup {
        let place = try host.place()
        let tree = host.controllerTree(place)
        let settings = try tree.settings(limits)
        var above: [(CgroupPath, [Setting])] = []
        for level in levels { above.append((level.path, try tree.settings(level.limits))) }
        var controllers: [String] = joining == .every ? tree.everyController() : []
        for setting in above.flatMap(\.1) + settings where !controllers.contains(setting.controller) {
            controllers.append(setting.controller)
        }
        // The v2 directory first and removed last: what an interrupted call leaves is found by it.
        _ = try place.make(path)
        var made = Cgroup(host, place, path, tree, [:], isNew: true)
        do throws(CgroupError) {
            made = Cgroup(
                host, place, path, tree, try tree.provide(controllers, for: path, orExisting: false), isNew: true)
            for (level, settings) in above where !settings.isEmpty {
                let directories = try tree.find(level, among: settings.map(\.controller))
                for setting in settings { try tree.apply(setting, in: directories) }
            }
            for setting in settings { try tree.apply(setting, in: made.directories) }
            try tree.decide(limits.devices, for: made.directory)
            return made
        } catch {
            try? made.remove()
            throw error
        }
    }

    /// Takes over a cgroup that another manager has made for the caller: gives it a directory in every hierarchy that has none
    /// of it yet, and sets its limits.
    ///
    /// - Parameter full: its path from the top of the tree.
    public static func adopt(
        _ host: CgroupHost, at full: String, _ limits: CgroupLimits
    ) throws(CgroupError) -> Cgroup {
        let place = try host.place()
        guard full.hasPrefix("\(place.base)/") else {
            throw .noPlace(
                reason: "the manager made \(full), which is not in \(place.base)",
                fix: "use the cgroup manager cgroupfs")
        }
        let path = try CgroupPath(oci: String(full.dropFirst(place.base.utf8.count)))
        let tree = host.controllerTree(place)
        // systemd of a legacy hierarchy makes nothing in the v2 tree, where the kill and the freezer are.
        _ = try place.make(path, orExisting: true)
        let controllers = host.mode == .hybrid ? tree.everyController() : Array(try tree.find(path, among: nil).keys)
        let adopted = Cgroup(
            host, place, path, tree, try tree.provide(controllers, for: path, orExisting: true))
        try adopted.update(limits)
        return adopted
    }

    /// The cgroup that is at `path` already; throws `ENOENT` where there is none.
    ///
    /// - Parameter controllers: those that it is needed for, each of which costs a look on a hybrid host; `nil` for all.
    public static func open(
        _ host: CgroupHost, _ path: CgroupPath, for controllers: [String]? = nil
    ) throws(CgroupError) -> Cgroup {
        let place = try host.place()
        let tree = host.controllerTree(place)
        _ = try kernel { () throws(SystemError) in try status(place.directory(path), followingLinks: false) }
        return Cgroup(host, place, path, tree, try tree.find(path, among: controllers))
    }

    /// Its directories: that in the v2 tree by the empty name, and on a hybrid host that of each controller.
    public var location: [String: String] { (isHybrid ? directories : [:]).merging(["": directory]) { $1 } }

    /// Whether it is where root makes cgroups: at the top of the tree.
    public var isAtTheTop: Bool { place.base.isEmpty }

    /// A cgroup that is at a place that ``location`` told, which for an ordinary user depends on where the caller itself is.
    public static func open(
        _ host: CgroupHost, _ path: CgroupPath, at location: [String: String]
    ) throws(CgroupError) -> Cgroup {
        guard let directory = location[""], directory.hasPrefix("\(host.tree)/"), directory.hasSuffix("/\(path)") else {
            throw .invalidPath(path.description, reason: "it is not at \(location[""] ?? "any place") of \(host.tree)")
        }
        _ = try kernel { () throws(SystemError) in try status(directory, followingLinks: false) }
        let base = directory.dropFirst(host.tree.utf8.count).dropLast(path.description.utf8.count + 1)
        let place = CgroupHost.Place(mount: host.tree, base: String(base))
        let tree = host.controllerTree(place)
        var directories = location
        directories[""] = nil
        return Cgroup(host, place, path, tree, host.mode == .hybrid ? directories : try tree.find(path, among: nil))
    }

    /// The names of the cgroups that are directly in `path`: with `carrel` the tenants, with a tenant's its sessions.
    public static func names(_ host: CgroupHost, in path: CgroupPath) throws(CgroupError) -> [String] {
        try subdirectories(try host.place().directory(path)).filter(isPlainName)
    }

    // MARK: limits and use

    /// The controllers whose limits are in force or can be updated.
    public var controllers: [String] { directories.keys.sorted() }

    var isHybrid: Bool { host.mode == .hybrid }
    func directoryOf(_ controller: String) -> String? { directories[controller] }

    /// Changes those limits that `limits` names.
    ///
    /// - Throws: what the kernel refuses; with ``CgroupLimits/checksUse`` also a memory limit below the present use.
    public func update(_ limits: CgroupLimits) throws(CgroupError) {
        let settings = try tree.settings(limits)
        if limits.checksUse, let max = limits.memoryMax, let used = usage().memory, used > max {
            throw .controlAbsent(
                control: "memory", reason: "\(used) bytes are in use, more than the limit of \(max) that is asked for",
                fix: "give a higher limit, or free memory first")
        }
        for setting in settings { try tree.apply(setting, in: directories) }
        try tree.decide(limits.devices, for: directory)
    }

    /// `limits`, and no limit on memory, tasks and processor time where it names none and one is in force: for a level
    /// whose bounds are a file that says all of them.
    public func lifting(_ limits: CgroupLimits) -> CgroupLimits {
        var limits = limits
        func isLimited(_ controller: String, _ file: String) -> Bool {
            directories[controller].flatMap { bound("\($0)/\(file)") } != nil
        }
        let unlimited = CgroupLimits.unlimited
        if limits.memoryMax == nil, isLimited("memory", tree.memory.max) { limits.memoryMax = unlimited }
        if limits.memoryHigh == nil, isLimited("memory", "memory.high") { limits.memoryHigh = unlimited }
        if limits.pidsMax == nil, isLimited("pids", "pids.max") { limits.pidsMax = unlimited }
        if limits.cpuQuota == nil, isLimited("cpu", isHybrid ? "cpu.cfs_quota_us" : "cpu.max") {
            limits.cpuQuota = unlimited
        }
        return limits
    }

    /// What it uses and has used.
    ///
    /// - Parameter now: without, what it uses at present is left out, which at the end is nothing.
    public func usage(now: Bool = true) -> CgroupUsage {
        CgroupUsage(directory: directory, controllers: directories, files: tree.memory, now: now)
    }

    /// The processor time used so far, in nanoseconds: one file to read, for who asks often.
    public func cpuTime() throws(CgroupError) -> UInt64? {
        try withContents("\(directory)/cpu.stat") { value("usage_usec", in: $0).map { $0 * 1000 } }
    }

    /// The bytes of memory that it uses now; `nil` where nothing counts them.
    public func memoryNow() -> UInt64? { directories["memory"].flatMap { number("\($0)/\(tree.memory.current)") } }

    /// How many tasks it has now, with those below, by one figure of the kernel's; `nil` where nothing counts them.
    public func pidsNow() -> UInt64? { directories["pids"].flatMap { number("\($0)/pids.current") } }

    /// How many processes of it and of those below the kernel has killed for want of memory.
    public func oomKills() -> UInt64 {
        let file = directories["memory"].map { "\($0)/\(tree.memory.kills)" } ?? ""
        return (try? withContents(file) { value("oom_kill", in: $0) ?? 0 }) ?? 0
    }

    /// Starts to watch for the kernel killing for want of memory; the caller closes the watch.
    public func watchOutOfMemory() throws(CgroupError) -> OutOfMemoryWatch {
        guard let memory = directories["memory"] else {
            throw .controlAbsent(
                control: "memory", reason: "\(path) was made without a memory limit", fix: "give it one")
        }
        return try tree.watchOutOfMemory(memory)
    }

    // MARK: processes

    /// Moves a running process in, with all its threads. Takes some milliseconds: a child that is yet to be made has
    /// ``entry()``.
    public func add(_ process: pid_t) throws(CgroupError) {
        for directory in Set(directories.values).union([directory]) {
            try write(String(process), "\(directory)/cgroup.procs")
        }
    }

    /// The processes in it and in the cgroups below, in no order; those outside this process's PID namespace are 0.
    public func processes() throws(CgroupError) -> [pid_t] { try Cgroups.processes(directory) }

    /// Whether any process is left, in it or below.
    public func isEmpty() throws(CgroupError) -> Bool {
        try withContents("\(directory)/cgroup.events") { value("populated", in: $0) == 0 }
    }

    /// Waits until no process is left; answers whether that is so, or the time was up.
    ///
    /// - Parameter timeout: milliseconds.
    public func waitUntilEmpty(timeout: Int) throws(CgroupError) -> Bool {
        try wait(for: "populated", toBe: 0, timeout: timeout)
    }

    /// Kills every process in it and below, also those that are being forked at this moment (`cgroup.kill`, Linux 5.14).
    ///
    /// They have not ended when it returns: see ``waitUntilEmpty(timeout:)``. A process that enters later lives.
    public func kill() throws(CgroupError) {
        do throws(CgroupError) {
            try write("1", "\(directory)/cgroup.kill")
        } catch {
            guard error.errno == .noSuchFileOrDirectory, exists("\(directory)/cgroup.procs") else { throw error }
            try killEach()
        }
    }

    /// What older kernels need. Frozen processes do not fork away from the signals, and die of them all the same.
    func killEach() throws(CgroupError) {
        try write("1", "\(directory)/cgroup.freeze")
        defer { try? thaw() }
        for _ in 0..<20 {
            for process in try processes() where process > 0 { Glibc.kill(process, SIGKILL) }
            if try waitUntilEmpty(timeout: 50) { return }
        }
    }

    // MARK: freezing

    /// Stops every process, and returns when all have stopped; throws `ETIMEDOUT` after ten seconds, thawed.
    public func freeze() throws(CgroupError) {
        try write("1", "\(directory)/cgroup.freeze")
        do throws(CgroupError) {
            if try wait(for: "frozen", toBe: 1, timeout: 10_000) { return }
            throw CgroupError.system(SystemError("freeze", directory, errno: .timedOut))
        } catch {
            try? thaw()
            throw error
        }
    }

    /// Lets the processes go on.
    public func thaw() throws(CgroupError) { try write("0", "\(directory)/cgroup.freeze") }

    /// Whether every process has stopped.
    public func isFrozen() throws(CgroupError) -> Bool {
        try withContents("\(directory)/cgroup.events") { value("frozen", in: $0) == 1 }
    }

    /// The nearest cgroup above that is frozen as a whole; `nil` where none is.
    public func frozenAbove() -> String? {
        var names = directory.split(separator: "/")
        while !names.isEmpty {
            names.removeLast()
            let place = "/" + names.joined(separator: "/")
            // The root of the tree has no such file.
            guard let state = try? readText("\(place)/cgroup.freeze") else { return nil }
            if state.hasPrefix("1") { return place }
        }
        return nil
    }

    /// Waits for a line of `cgroup.events`; the kernel tells changes as `POLLPRI` (cgroups(7)), but keeps the second within
    /// 10 ms for later, and forgets it when the cgroup is removed meanwhile (cgroup_file_notify in kernel/cgroup/cgroup.c).
    private func wait(for key: String, toBe wanted: UInt64, timeout: Int) throws(CgroupError) -> Bool {
        let events = try Cgroups.open("\(directory)/cgroup.events")
        defer { close(events) }
        let end = monotonicNanoseconds() + UInt64(timeout) * 1_000_000
        while true {
            if try withContents(events, { value(key, in: $0) == wanted }) { return true }
            let now = monotonicNanoseconds()
            if now >= end { return false }
            _ = try kernel { () throws(SystemError) in
                try poll([(events, .priority)], timeout: min(Int((end - now) / 1_000_000) + 1, 10))
            }
        }
    }

    // MARK: the end

    /// Removes it, the cgroups below, and those above that are empty but for the outermost; what is gone is no error.
    ///
    /// Waits for processes that were killed to be gone; throws `EBUSY` when some are left after `timeout` milliseconds.
    ///
    /// - Parameter parents: whether those above go too; not so where someone else made them.
    public func remove(timeout: Int = 5000, parents: Bool = true) throws(CgroupError) {
        do throws(CgroupError) {
            try removeDirectories(parents)
        } catch {
            guard error.errno == .resourceBusy, try waitUntilEmpty(timeout: timeout) else { throw error }
            try removeDirectories(parents)
        }
    }

    private func removeDirectories(_ parents: Bool) throws(CgroupError) {
        try tree.remove(path, in: directories, parents: parents)
        try removeCgroup(directory)
        if parents { place.removeParents(path) }
    }
}

extension CgroupHost {
    func controllerTree(_ place: Place) -> any ControllerTree {
        mode == .unified ? UnifiedTree(place: place) : HybridTree(host: self)
    }
}

private func processes(_ directory: String) throws(CgroupError) -> [pid_t] {
    var found: [pid_t] = []
    func note(_ cgroup: FileDescriptor) throws(SystemError) {
        let text = try readFile("cgroup.procs", at: cgroup)
        found += text.split(separator: UInt8(ascii: "\n")).compactMap { pid_t(String(decoding: $0, as: UTF8.self)) }
    }
    try kernel { () throws(SystemError) in
        try withOpen(directory, O_RDONLY | O_DIRECTORY, note)
        try walkCgroups(
            below: directory,
            entering: { cgroup throws(SystemError) in
                do throws(SystemError) { try note(cgroup) } catch {
                    // Gone meanwhile; or one of threads, whose processes are told by the one above (cgroups(7), "Thread mode").
                    if ![ENOENT, ENODEV, EOPNOTSUPP].contains(error.errno.rawValue) { throw error }
                }
            })
    }
    return found
}

/// Removes a cgroup and those below; what is gone is no error.
func removeCgroup(_ directory: String) throws(CgroupError) {
    if rmdir(directory) == 0 || errno == ENOENT { return }
    let failure = SystemError.last("rmdir", directory)
    guard failure.errno == .resourceBusy else { throw .system(failure) }
    try kernel { () throws(SystemError) in
        try walkCgroups(
            below: directory,
            leaving: { parent, name throws(SystemError) in
                if unlinkat(parent.rawValue, name, AT_REMOVEDIR) == 0 || errno == ENOENT { return }
                throw .last("unlinkat", "a cgroup below \(directory)")
            })
        if rmdir(directory) != 0 && errno != ENOENT { throw .last("rmdir", directory) }
    }
}

/// Calls `entering` with each cgroup below a directory, and `leaving` with its parent and its name once those in it are done.
///
/// Their names and their depth may be a container's choice, which has its cgroup to write: no name need be UTF-8, and no path to
/// the last of them need be short enough for a system call.
private func walkCgroups(
    below top: String, entering: (FileDescriptor) throws(SystemError) -> Void = { _ in },
    leaving: (FileDescriptor, [CChar]) throws(SystemError) -> Void = { _, _ in }
) throws(SystemError) {
    func inside(_ cgroup: FileDescriptor) throws(SystemError) -> [[CChar]] {
        do throws(SystemError) { return try listBytes(at: cgroup, onlyDirectories: true) } catch {
            if error.errno == .noSuchFileOrDirectory { return [] }
            throw error
        }
    }
    var current = try Syscalls.open(top, O_RDONLY | O_DIRECTORY)
    defer { close(current) }
    /// Of the cgroup that is looked at and of each above: its name, and what is left to do in it.
    var levels: [(name: [CChar], inside: [[CChar]])] = [([], try inside(current))]
    while true {
        if let name = levels[levels.count - 1].inside.popLast() {
            let child = openat(current.rawValue, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            if child == -1 {
                if errno == ENOENT { continue }
                throw .last("openat", "a cgroup below \(top)")
            }
            close(current)
            current = FileDescriptor(rawValue: child)
            try entering(current)
            levels.append((name, try inside(current)))
        } else {
            let done = levels.removeLast()
            if levels.isEmpty { return }
            let parent = try Syscalls.open("..", O_RDONLY | O_DIRECTORY, at: current)
            close(current)
            current = parent
            try leaving(parent, done.name)
        }
    }
}
