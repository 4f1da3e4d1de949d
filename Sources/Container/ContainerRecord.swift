import Cgroups
import Documents
import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// What the runtime keeps of a container beside its configuration: one JSON file, replaced as a whole.
struct ContainerRecord {
    let id: String
    let bundle: String
    let rootfs: String
    /// RFC 3339.
    let created: String
    /// The user who made it.
    let owner: uid_t
    let annotations: [String: String]
    /// The container's path in the cgroup hierarchies; `nil` without one.
    var cgroup: String?
    /// The unit that systemd has made the cgroup for.
    var unit: String?
    /// Whether the cgroup was there before the container, and so stays behind it.
    var keepsCgroup = false
    /// Whether the cgroup is the container's, made for it or found empty: until then who is in there is another's.
    var hasCgroup = false
    /// Whether hooks follow its start or its end, for which its configuration has to be read.
    var hasHooks = true
    /// Of a container in the host's mount namespace: how many mounts there were at its root before its own.
    var mountsBelow: Int?
    /// Its PID 1, and when that was started; 0 as long as there is none.
    var pid: pid_t = 0
    var pidStarted: UInt64 = 0

    init(id: String, bundle: String, rootfs: String, annotations: [String: String]) {
        self.id = id
        self.bundle = bundle
        self.rootfs = rootfs
        self.annotations = annotations
        created = Timestamp.now.description
        owner = getuid()
    }

    init?(_ node: Node) {
        guard let id = node["id"]?.string, let bundle = node["bundle"]?.string, let rootfs = node["rootfs"]?.string,
            let pid = node["pid"]?.int, let started = node["pidStarted"]?.uint, let created = node["created"]?.string
        else { return nil }
        self.id = id
        self.bundle = bundle
        self.rootfs = rootfs
        self.created = created
        owner = uid_t(truncatingIfNeeded: node["owner"]?.int ?? 0)
        annotations = node["annotations"]?.texts ?? [:]
        cgroup = node["cgroup"]?.string
        unit = node["unit"]?.string
        keepsCgroup = node["keepsCgroup"]?.bool ?? false
        hasCgroup = node["hasCgroup"]?.bool ?? true
        hasHooks = node["hasHooks"]?.bool ?? true
        mountsBelow = node["mountsBelow"]?.int.map { Int($0) }
        self.pid = pid_t(truncatingIfNeeded: pid)
        pidStarted = started
    }

    private var node: Node {
        [
            "ociVersion": Node(.string(Spec().ociVersion)), "id": Node(.string(id)), "bundle": Node(.string(bundle)),
            "rootfs": Node(.string(rootfs)), "created": Node(.string(created)), "owner": Node(.integer(Int64(owner))),
            "pid": Node(.integer(Int64(pid))), "pidStarted": Node(.unsigned(pidStarted)),
            "cgroup": cgroup.map { Node(.string($0)) } ?? nil, "unit": unit.map { Node(.string($0)) } ?? nil,
            "keepsCgroup": Node(.bool(keepsCgroup)), "hasCgroup": Node(.bool(hasCgroup)),
            "hasHooks": Node(.bool(hasHooks)),
            "mountsBelow": mountsBelow.map { Node(.integer(Int64($0))) } ?? nil,
            "annotations": Node(texts: annotations),
        ]
    }

    static func read(_ directory: ContainerDirectory) throws(RuntimeError) -> ContainerRecord {
        let name = ContainerDirectory.record
        let bytes = try telling("container \(directory.id)") { () throws(SystemError) in
            try readFile(name, at: directory.descriptor)
        }
        let node = try telling("") { () throws(Problems) in
            try Node.parse(bytes, file: "\(directory.root.path)/\(directory.id)/\(name)")
        }
        guard let record = ContainerRecord(node) else {
            throw RuntimeError("\(directory.root.path)/\(directory.id)/\(name): it is not a record of a container")
        }
        return record
    }

    /// Writes down which process is the container's PID 1, and tells its number to who asked for that.
    mutating func take(_ pid: pid_t, _ directory: ContainerDirectory, pidFile: String?) throws(RuntimeError) {
        self.pid = pid
        pidStarted = startTime(of: pid) ?? 0
        try write(directory)
        guard let pidFile else { return }
        try telling("--pid-file") { () throws(SystemError) in
            try tellProcess(pid, in: pidFile)
        }
    }

    func write(_ directory: ContainerDirectory) throws(RuntimeError) {
        try telling("container \(id)") { () throws(SystemError) in
            try replaceFile(
                ContainerDirectory.record, with: Array(node.json().utf8), at: directory.descriptor)
        }
    }
}

/// Writes a process number into a file. A device such as /dev/null, or a pipe, must stay.
func tellProcess(_ pid: pid_t, in file: String) throws(SystemError) {
    if let found = try? status(file), found.st_mode & S_IFMT != S_IFREG {
        throw SystemError("rename", file, errno: .fileExists)
    }
    try replaceFile(file, with: String(pid).utf8, mode: 0o644)
}

extension Node {
    /// A mapping of names to text, in their order.
    init(texts: [String: String]) {
        self.init(
            .mapping(texts.sorted { $0.key < $1.key }.map { .init(key: $0.key, value: Node(.string($0.value))) }))
    }

    /// The members that are text; `nil` where it is no mapping.
    var texts: [String: String]? { entries?.reduce(into: [:]) { $0[$1.key] = $1.value.string } }
}
