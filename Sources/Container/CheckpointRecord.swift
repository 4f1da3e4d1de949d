import Documents
import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// What `checkpoint` and `restore` let criu do that it does not by itself.
public struct CheckpointOptions: Sendable {
    /// Connections of TCP go on (`--tcp-established`).
    public var keepsTCP = false
    /// Unix sockets with a peer outside are connected to it again (`--ext-unix-sk`).
    public var keepsExternalSockets = false
    /// Locks of files are taken again (`--file-locks`).
    public var keepsFileLocks = false
    /// Files that were removed while open get a name for the time being (`--link-remap`).
    public var linksRemap = false

    /// None of it.
    public init() {}
}

/// What a container was when it was written down, beside criu's files in one directory: what is restored is held against it
/// before it runs again, so that nothing which held the container is lost on the way.
struct CheckpointRecord {
    /// The name of the file.
    static let name = "carrel.json"

    /// A mount that is the host's, and made anew by a restore.
    struct External {
        let point: String
        let isDirectory: Bool
        /// Its own options, as in mountinfo.
        let options: String
    }

    /// Its mounts, each as one line.
    let mounts: [String]
    /// Those that criu takes from outside.
    let externals: [External]
    /// What it inherited as 0, 1 and 2 and had not opened itself, by criu's names; empty where it had.
    let descriptors: [String]
    /// Which of those names are the host's /dev/null.
    let nulls: [String]
    /// The names of all such files that its processes have open; not written.
    var outside: Set<String> = []
    /// Ids, capabilities, filter, label and limits of each process, by name, and by the number that it has inside.
    let processes: [String: [String: String]]
    /// What of its specification criu restores as it was, by field: another value would not count.
    let specification: [String: String]
    /// Whether its namespace of each kind is its own or the caller's.
    let namespaces: [String: String]
}

// MARK: The file

extension CheckpointRecord {
    private var node: Node {
        func list(_ lines: [String]) -> Node { Node(.sequence(lines.map { Node(.string($0)) })) }
        return [
            "version": 1, "mounts": list(mounts),
            "externals": Node(
                .sequence(
                    externals.map {
                        [
                            "point": Node(.string($0.point)), "isDirectory": Node(.bool($0.isDirectory)),
                            "options": Node(.string($0.options)),
                        ]
                    })),
            "descriptors": list(descriptors), "nulls": list(nulls),
            "processes": Node(
                .mapping(processes.sorted { $0.key < $1.key }.map { .init(key: $0.key, value: Node(texts: $0.value)) })),
            "specification": Node(texts: specification), "namespaces": Node(texts: namespaces),
        ]
    }

    private init?(_ node: Node) {
        func list(_ name: String) -> [String]? {
            guard let elements = node[name]?.elements else { return nil }
            let lines = elements.compactMap(\.string)
            return lines.count == elements.count ? lines : nil
        }
        guard node["version"]?.int == 1, let mounts = list("mounts"), let externals = node["externals"]?.elements,
            let descriptors = list("descriptors"), descriptors.count == 3, let nulls = list("nulls"),
            let processes = node["processes"]?.entries,
            let specification = node["specification"]?.texts, let namespaces = node["namespaces"]?.texts
        else { return nil }
        self.mounts = mounts
        self.externals = externals.compactMap { external in
            guard let point = external["point"]?.string, let isDirectory = external["isDirectory"]?.bool,
                let options = external["options"]?.string
            else { return nil }
            return External(point: point, isDirectory: isDirectory, options: options)
        }
        if self.externals.count != externals.count { return nil }
        self.descriptors = descriptors
        self.nulls = nulls
        self.processes = processes.reduce(into: [:]) { $0[$1.key] = $1.value.texts }
        guard self.processes["1"] != nil, !specification.isEmpty else { return nil }
        self.specification = specification
        self.namespaces = namespaces
    }

    /// Reads it from a directory of images.
    init(in images: FileDescriptor, _ path: String) throws(RuntimeError) {
        let file = "\(path)/\(Self.name)"
        let bytes = try telling("") { () throws(SystemError) in
            do throws(SystemError) {
                return try readFile(Self.name, at: images, limit: 8 << 20)
            } catch {
                throw SystemError(error.call, file, errno: error.errno)
            }
        }
        let node = try telling("") { () throws(Problems) in try Node.parse(bytes, file: file) }
        guard let record = Self(node) else {
            throw RuntimeError("\(file): it is not the record of a checkpoint of this version of carrel-oci")
        }
        self = record
    }

    /// Writes it there.
    func write(to images: FileDescriptor, _ path: String) throws(RuntimeError) {
        try telling(path) { () throws(SystemError) in
            try replaceFile(Self.name, with: Array(node.json(pretty: true).utf8), at: images)
        }
    }
}

// MARK: Looking

extension CheckpointRecord {
    /// What a container is now.
    ///
    /// - Parameters:
    ///   - pid: its process at the top.
    ///   - members: all processes of its cgroup.
    ///   - externals: which of its mounts are the host's.
    init(
        of pid: pid_t, among members: [pid_t], externals: [External], _ spec: Spec
    ) throws(SystemError) {
        specification = Self.fields(of: spec)
        let table = try mountTable(of: String(pid))
        let points = Set(externals.map(\.point))
        mounts = table.map { $0.description(isOutside: points.contains($0.point)) }.sorted()
        self.externals = externals
        let inside = Set(table.map(\.id))
        let all =
            try Self.outsideFiles(of: pid, inside)
            + members.filter { $0 != pid }.flatMap {
                (try? Self.outsideFiles(of: $0, inside)) ?? []
            }
        // A pipe of which both ends are in there is the container's own.
        let read = Set(all.filter { !$0.isWritten }.map(\.name))
        let written = Set(all.filter(\.isWritten).map(\.name))
        let own = read.intersection(written).filter { $0.hasPrefix("pipe:") }
        outside = read.union(written).subtracting(own)
        let files = all.filter { $0.pid == pid && !own.contains($0.name) }
        var descriptors = (0...2).map { number in files.first { $0.number == number }?.name ?? "" }
        // While it redirects one, a shell keeps what it was above 9.
        var kept = files.filter { $0.number > 9 }.map(\.name)[...]
        for number in descriptors.indices where descriptors[number].isEmpty && exists("/proc/\(pid)/fd/\(number)") {
            if let name = kept.popFirst() { descriptors[number] = name }
        }
        self.descriptors = descriptors
        nulls = files.filter { descriptors.contains($0.name) && isNull($0.path) }.map(\.name)
        processes = try Self.processes(below: pid, among: members)
        var namespaces: [String: String] = [:]
        for type in LinuxNamespaceType.allCases where type != .time {
            let name = JoinedNamespaces.name(Namespaces(type))
            let isCallers = try readLink("/proc/\(pid)/ns/\(name)") == readLink("/proc/self/ns/\(name)")
            namespaces[type.rawValue] = isCallers ? "the caller's" : "its own"
        }
        self.namespaces = namespaces
    }

    /// What holds a container and is not made by the specification again, each as JSON. Sources of mounts and names may change.
    private static func fields(of spec: Spec) -> [String: String] {
        let node = spec.node
        var fields: [String: String] = [:]
        func add(_ object: String, _ names: [String]) {
            for name in names { fields["\(object).\(name)"] = node[object]?[name]?.json() ?? "" }
        }
        add("process", ["user", "capabilities", "noNewPrivileges", "rlimits", "oomScoreAdj"])
        add("linux", ["seccomp", "maskedPaths", "readonlyPaths", "uidMappings", "gidMappings"])
        fields["root.readonly"] = spec.root?.readonly ?? false ? "true" : "false"
        // Their options come of the record, or of criu.
        fields["mounts"] = Set(spec.mounts.map(\.destination)).sorted().joined(separator: "\n")
        return fields
    }

    /// The fields in which another specification is not that of this container.
    func differences(of spec: Spec) -> [String] {
        let other = Self.fields(of: spec)
        return specification.keys.sorted().filter { specification[$0] != other[$0] }
    }

    /// A file that a process has open and that is not of its own mounts.
    private struct OutsideFile {
        let pid: pid_t
        let number: Int
        /// As criu calls it.
        let name: String
        let isWritten: Bool
        var path: String { "/proc/\(pid)/fd/\(number)" }
    }

    /// Pipes, and files of the host's.
    private static func outsideFiles(of pid: pid_t, _ inside: Set<Int>) throws(SystemError) -> [OutsideFile] {
        try list("/proc/\(pid)/fd").compactMap { Int($0) }.sorted().compactMap { number in
            let path = "/proc/\(pid)/fd/\(number)"
            guard let target = try? readLink(path), let text = try? readText("/proc/\(pid)/fdinfo/\(number)") else {
                return nil
            }
            var information: [Substring: Substring] = [:]
            for line in text.split(separator: "\n") {
                let words = line.split(whereSeparator: \.isWhitespace)
                if words.count == 2 { information[words[0]] = words[1] }
            }
            // O_WRONLY is 1, the last digit of the flags (open(2)).
            let isWritten = information["flags:"]?.last == "1"
            if target.hasPrefix("pipe:") {
                return OutsideFile(pid: pid, number: number, name: target, isWritten: isWritten)
            }
            guard target.hasPrefix("/"), let found = try? status(path),
                let mount = information["mnt_id:"].flatMap({ Int($0) }), !inside.contains(mount)
            else { return nil }
            let name = "file[\(String(mount, radix: 16)):\(String(found.st_ino, radix: 16))]"
            return OutsideFile(pid: pid, number: number, name: name, isWritten: isWritten)
        }
    }

    /// The process at the top and all that come of it; a program of `exec` is none of them, and is not written down.
    private static func processes(
        below top: pid_t, among members: [pid_t]
    ) throws(SystemError) -> [String: [String: String]] {
        var found: [String: [String: String]] = ["1": try process(top)]
        var parents: [pid_t: pid_t] = [:]
        var numbers: [pid_t: String] = [:]
        for member in members {
            // One that has ended meanwhile, or is a zombie, is held by nothing.
            guard let text = try? readText("/proc/\(member)/status"), processState(of: member) != UInt8(ascii: "Z")
            else { continue }
            for line in text.split(separator: "\n") {
                let words = line.split(whereSeparator: \.isWhitespace)
                if words.first == "PPid:" { parents[member] = words.last.flatMap { pid_t($0) } }
                if words.first == "NSpid:", words.count > 2 { numbers[member] = String(words[2]) }
            }
        }
        for (member, number) in numbers where member != top {
            var ancestor = member
            while ancestor != top, let parent = parents[ancestor] { ancestor = parent }
            if ancestor == top, let member = try? process(member) { found[number] = member }
        }
        return found
    }

    private static func process(_ pid: pid_t) throws(SystemError) -> [String: String] {
        var found: [String: String] = [:]
        let names: Set<Substring> = [
            "Umask", "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
            "Seccomp_filters",
        ]
        for line in try readText("/proc/\(pid)/status").split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, names.contains(parts[0]) else { continue }
            found[String(parts[0])] = parts[1].split(whereSeparator: \.isWhitespace).joined(separator: " ")
        }
        for line in try readText("/proc/\(pid)/limits").split(separator: "\n").dropFirst() {
            found[String(line.prefix(25).split(separator: " ").joined(separator: " "))] =
                line.dropFirst(25).split(separator: " ").joined(separator: " ")
        }
        found["oom_score_adj"] = try readText("/proc/\(pid)/oom_score_adj").trimmingLineEnd
        // Of a host without a security module of this kind nothing can be read.
        if let label = try? readText("/proc/\(pid)/attr/current") { found["label"] = label.trimmingLineEnd }
        return found
    }

    /// What of `other` is not as it was, in words; empty where it is the same container.
    func differences(from other: CheckpointRecord) -> [String] {
        var found: [String] = []
        for mount in mounts where !other.mounts.contains(mount) { found.append("no mount \(mount)") }
        for mount in other.mounts where !mounts.contains(mount) { found.append("a mount \(mount)") }
        if found.isEmpty && mounts.count != other.mounts.count { found.append("\(other.mounts.count) mounts") }
        for (number, process) in processes.sorted(by: { $0.key < $1.key }) {
            guard let its = other.processes[number] else {
                found.append("no process \(number)")
                continue
            }
            for (name, value) in process.sorted(by: { $0.key < $1.key }) where its[name] != value {
                found.append("\(name) of process \(number) \(its[name] ?? "missing") instead of \(value)")
            }
        }
        for (kind, value) in namespaces.sorted(by: { $0.key < $1.key }) where other.namespaces[kind] != value {
            found.append("the \(kind) namespace is \(other.namespaces[kind] ?? "missing") instead of \(value)")
        }
        return found
    }
}

/// Whether this is /dev/null (null(4)).
func isNull(_ path: String) -> Bool {
    guard let found = try? status(path) else { return false }
    return found.st_mode & S_IFMT == S_IFCHR && found.st_rdev == makeDevice(1, 3)
}

extension String {
    fileprivate var trimmingLineEnd: String {
        String(self[..<(lastIndex { !$0.isNewline && $0 != "\0" }.map { index(after: $0) } ?? startIndex)])
    }
}

extension MountEntry {
    /// What has to be the same after a restore. What is the host's is there by its place and the mount's own options: the
    /// filesystem, and where in it the mount begins, can be another's.
    fileprivate func description(isOutside: Bool) -> String {
        let own = ([options] + propagation).joined(separator: " ")
        if isOutside || point == "/" { return "\(point) \(own)" }
        return "\(point) \(own) \(type) \(root) \(filesystemOptions)"
    }
}
