import Cgroups
import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// The directory that an OCI runtime keeps its containers in (`--root`), one directory each.
///
/// Whoever can write there can have signals sent, programs started and directories removed as the caller: so it counts
/// only if it is the caller's own, or root's, and nobody else can write it.
public struct RuntimeRoot: Sendable {
    /// Where it is.
    public let path: String

    /// A directory, which is made when the first container is.
    public init(_ path: String) { self.path = path }

    /// The usual one: `/run/carrel-oci`, or an ordinary user's own below `XDG_RUNTIME_DIR`.
    public static var usual: RuntimeRoot { RuntimeRoot("\(runtimeDirectory)/carrel-oci") }

    /// Claims the name of a container that is to be made, and locks it until the caller closes it or ends.
    func claim(_ id: String) throws(RuntimeError) -> ContainerDirectory {
        try Self.check(id)
        let top = try open(making: true)
        defer { close(top) }
        do throws(SystemError) {
            try makeDirectory(id, mode: 0o700, orExisting: false, at: top)
            let directory = ContainerDirectory(
                id: id, root: self, descriptor: try Syscalls.open(id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, at: top))
            // Until it was locked another could remove it, and a third make a container of that name: not to be taken for ours.
            let isThere = try directory.lockIfThere()
            if isThere && !exists(ContainerDirectory.record, at: directory.descriptor) { return directory }
            directory.close()
            throw SystemError("flock", id, errno: isThere ? .fileExists : .noSuchFileOrDirectory)
        } catch {
            if error.errno == .fileExists { throw RuntimeError("container with given ID already exists: \(id)") }
            throw RuntimeError("\(path): \(error)")
        }
    }

    /// The directory of a container that is there; `nil` where there is none.
    ///
    /// - Parameter locking: waits until no other command changes it, and keeps it so until it is closed.
    func find(_ id: String, locking: Bool = false) throws(RuntimeError) -> ContainerDirectory? {
        try Self.check(id)
        guard exists(path) else { return nil }
        let top = try open(making: false)
        defer { close(top) }
        do throws(SystemError) {
            let directory = ContainerDirectory(
                id: id, root: self, descriptor: try Syscalls.open(id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, at: top))
            if locking, try !directory.lockIfThere() {
                directory.close()
                return nil
            }
            return directory
        } catch {
            if error.errno == .noSuchFileOrDirectory { return nil }
            throw RuntimeError("\(path): \(error)")
        }
    }

    /// The names of all containers, in order.
    public func names() throws(RuntimeError) -> [String] {
        guard exists(path) else { return [] }
        close(try open(making: false))
        return try telling(path) { () throws(SystemError) in try list(path) }.filter(State.accepts).sorted()
    }

    /// The text of a file that the command line names.
    public static func read(_ path: String) throws(RuntimeError) -> String {
        try telling("") { () throws(SystemError) in try readText(path) }
    }

    private func open(making: Bool) throws(RuntimeError) -> FileDescriptor {
        let top = try telling("") { () throws(SystemError) in
            if making && !exists(path) {
                if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
                    try makeDirectories(String(path[..<slash]))
                }
                try makeDirectory(path, mode: 0o700)
            }
            return try Syscalls.open(path, O_RDONLY | O_DIRECTORY)
        }
        let found = try telling(path) { () throws(SystemError) in try status(top) }
        guard found.st_uid == geteuid() || found.st_uid == 0, found.st_mode & 0o022 == 0 else {
            close(top)
            throw RuntimeError(
                "\(path): expected a directory that only root or user \(geteuid()) can write, found owner \(found.st_uid), "
                    + "mode \(String(found.st_mode & 0o7777, radix: 8)); change them or give another --root")
        }
        return top
    }

    private static func check(_ id: String) throws(RuntimeError) {
        if !State.accepts(id: id) {
            throw RuntimeError(
                "invalid container ID \(id.debugDescription): expected 1 to 255 of A-Z a-z 0-9 _ + - . and no path")
        }
    }
}

/// The directory of one container: what is known of it, and the socket at which it waits for `start`.
public struct ContainerDirectory: Sendable {
    let id: String
    let root: RuntimeRoot
    let descriptor: FileDescriptor

    static let record = "state.json"
    static let configuration = "config.json"
    static let gate = "start"

    func close() { Syscalls.close(descriptor) }

    /// Waits until no other command changes it, and keeps it so until it is closed. Whether it is still there: it may have been
    /// removed meanwhile, and its name be another container's.
    func lockIfThere() throws(SystemError) -> Bool {
        try lock(descriptor, LOCK_EX, named: id)
        return try status(descriptor).st_nlink > 0
    }

    /// Removes it, while it is locked. The record goes last but for the directory: what an interrupted call leaves can be
    /// deleted again.
    func remove() throws(RuntimeError) {
        try telling("container \(id)") { () throws(SystemError) in
            for name in try list(".", at: descriptor) where name != Self.record {
                try Syscalls.remove(name, at: descriptor)
            }
            try Syscalls.remove(Self.record, at: descriptor)
            try Syscalls.remove("\(root.path)/\(id)", directory: true)
        }
    }
}

/// The Unix socket of the agent that listens to the filters of containers with `dev.carrel.explain`.
public var explainSocket: String { "\(runtimeDirectory)/carrel/explain.sock" }

/// Where the caller keeps what lasts until the next boot: `/run`, or what a user's login names in `XDG_RUNTIME_DIR`.
var runtimeDirectory: String {
    let own = getenv("XDG_RUNTIME_DIR").map { String(cString: $0) }
    // Root of a user namespace, as the rootless podman has it, is nobody in /run.
    if geteuid() == 0 && (own == nil || isHostsRoot()) { return "/run" }
    return own ?? "/run/user/\(geteuid())"
}
