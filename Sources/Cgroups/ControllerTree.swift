import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// What a unified and a hybrid host do differently: where limits are written and what their files are called. All else
/// (killing, freezing, membership, pressure) is in the v2 tree of both.
protocol ControllerTree: Sendable {
    /// The names of the memory controller's files.
    var memory: MemoryFiles { get }
    /// The files to write so that `limits` hold, in the order of writing.
    func settings(_ limits: CgroupLimits) throws(CgroupError) -> [Setting]
    /// Makes the files of `controllers` appear for the cgroup `path`, whose directory in the v2 tree exists.
    ///
    /// - Parameter orExisting: whether directories that are there already are taken over.
    /// - Returns: the directory of each.
    func provide(
        _ controllers: [String], for path: CgroupPath, orExisting: Bool
    ) throws(CgroupError) -> [String: String]
    /// The controllers of this host in which a cgroup can have a directory.
    func everyController() -> [String]
    /// The directories of the controllers that `path`, a cgroup that exists, was made with.
    ///
    /// - Parameter controllers: only those are looked for; `nil` for all.
    func find(_ path: CgroupPath, among controllers: [String]?) throws(CgroupError) -> [String: String]
    /// Writes one setting of a cgroup whose controllers have these directories.
    func apply(_ setting: Setting, in directories: [String: String]) throws(CgroupError)
    /// Decides which devices the cgroup with this v2 directory may use, where that is no file of a controller.
    func decide(_ devices: [LinuxDeviceCgroup], for directory: String) throws(CgroupError)
    /// Takes the directories away that are not in the v2 tree, with the parents that are empty if `parents` says so.
    func remove(_ path: CgroupPath, in directories: [String: String], parents: Bool) throws(CgroupError)
    /// Descriptors that a process writes `0` to, so as to enter the directories that are not in the v2 tree.
    func entries(in directories: [String: String]) throws(CgroupError) -> [FileDescriptor]
    /// Watches the memory controller whose directory is given.
    func watchOutOfMemory(_ directory: String) throws(CgroupError) -> OutOfMemoryWatch
}

/// The memory controller's files where v1 and v2 name them differently.
struct MemoryFiles: Sendable {
    let current: String
    let peak: String
    let max: String
    /// Has a line `oom_kill N`.
    let kills: String
}

/// Writes one setting, or what stands for it on a kernel that does not have its file.
func writeSetting(_ setting: Setting, _ value: String, in directory: String) throws(CgroupError) {
    let file = "\(directory)/\(setting.file)"
    do throws(CgroupError) {
        return try write(value, file)
    } catch {
        guard error.errno == .noSuchFileOrDirectory else { throw error }
    }
    guard let instead = setting.instead else { return try setting.absent(file) }
    do throws(CgroupError) {
        try write(instead.value, "\(directory)/\(instead.file)")
    } catch {
        guard error.errno == .noSuchFileOrDirectory else { throw error }
        try setting.absent(file)
    }
}

/// Whether this process is root and in no user namespace but the first (user_namespaces(7)).
public func isHostsRoot() -> Bool {
    guard geteuid() == 0, let map = try? readText("/proc/self/uid_map") else { return false }
    return map.split(whereSeparator: \.isWhitespace) == ["0", "0", "4294967295"]
}

extension CgroupHost.Place {
    /// The directory of `path`, or of the place itself.
    func directory(_ path: CgroupPath?) -> String {
        path.map { "\(mount)\(base)/\($0)" } ?? mount + base
    }

    /// The directories from the place itself down to the parent of `path`.
    func parents(_ path: CgroupPath) -> [String] {
        var parents = [mount + base]
        for name in path.names.dropLast() { parents.append("\(parents[parents.count - 1])/\(name)") }
        return parents
    }

    /// Makes the directory of `path`, and its parents where they are missing.
    ///
    /// The parents may vanish at any time, for the last session of a tenant takes the tenant's along: then once more.
    func make(_ path: CgroupPath, orExisting: Bool = false) throws(CgroupError) -> String {
        let directory = directory(path)
        for attempt in 1... {
            do throws(SystemError) {
                try makeDirectory(directory, orExisting: orExisting)
                return directory
            } catch {
                switch error.errno {
                case .fileExists: throw .exists(path.description)
                case .notDirectory: throw .invalidPath(path.description, reason: "the kernel has a file of that name")
                case .noSuchFileOrDirectory where attempt < 100: try makeParents(path)
                default:
                    removeParents(path)
                    throw .system(error)
                }
            }
        }
        return directory
    }

    private func makeParents(_ path: CgroupPath) throws(CgroupError) {
        for parent in parents(path).dropFirst() {
            do throws(SystemError) {
                try makeDirectory(parent)
            } catch {
                if error.errno == .noSuchFileOrDirectory { return }
                throw .system(error)
            }
        }
    }

    /// Removes the parents of `path` that are empty, innermost first, but not the outermost: `carrel` itself stays.
    func removeParents(_ path: CgroupPath) {
        for parent in parents(path).dropFirst(2).reversed() {
            guard rmdir(parent) == 0 || errno == ENOENT else { return }
        }
    }
}
