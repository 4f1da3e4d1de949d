import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// The namespaces of a specification that exist already, opened by their paths and verified to be of their kinds.
struct JoinedNamespaces {
    private struct Member {
        let kind: Namespaces
        let path: String
        let file: FileDescriptor
    }

    private var members: [Member] = []

    /// Whether there is none.
    var isEmpty: Bool { members.isEmpty }
    /// The kinds.
    var kinds: Namespaces { members.reduce(into: []) { $0.insert($1.kind) } }

    /// Their files.
    var files: [FileDescriptor] { members.map(\.file) }

    /// Opens one more.
    mutating func add(_ kind: Namespaces, _ path: String) throws(LaunchError) {
        let file = try during(.prepare, "linux.namespaces: a namespace file of that kind is expected") {
            () throws(SystemError) in try openNamespace(path, kind)
        }
        members.append(Member(kind: kind, path: path, file: file))
    }

    /// Closes all.
    func close() { for member in members { Syscalls.close(member.file) } }

    /// Whether the namespace of this kind is the caller's own, so that what is set in it would be set on the host.
    func isOwn(_ kind: Namespaces) throws(SystemError) -> Bool {
        guard let member = members.first(where: { $0.kind == kind }) else { return false }
        let own = try open("/proc/self/ns/\(Self.name(kind))", O_RDONLY)
        defer { Syscalls.close(own) }
        return try isSameFile(own, member.file)
    }

    /// Moves the caller into the mount namespace, if one is joined: into its root, too (setns(2)).
    func enterMount() throws(SystemError) {
        guard let member = members.first(where: { $0.kind == .mount }) else { return }
        try joinNamespace(member.file, member.kind, named: member.path)
    }

    /// Makes the child of a container in its namespaces: those that it joins, and the new ones beside them.
    ///
    /// Joining needs the rights over each namespace that the caller has and a child in a new user namespace has not. So
    /// the caller goes into each, clones, and comes back. A user namespace has no way back: a helper goes into it, makes
    /// the child as the caller's own (`CLONE_PARENT`), and ends. The mount namespace is the child's to enter.
    func clone(_ new: Namespaces, into cgroup: FileDescriptor?) throws(SystemError) -> CloneResult {
        if isEmpty { return try cloneProcess(namespaces: new, into: cgroup) }
        var back: [(Namespaces, FileDescriptor)] = []
        func comeBack() {
            for (kind, own) in back {
                try? joinNamespace(own, kind, named: "the caller's own")
                Syscalls.close(own)
            }
        }
        do throws(SystemError) {
            for member in members where member.kind != .user && member.kind != .mount {
                back.append((member.kind, try open("/proc/self/ns/\(Self.name(member.kind))", O_RDONLY)))
                try joinNamespace(member.file, member.kind, named: member.path)
            }
            let result =
                if let user = members.first(where: { $0.kind == .user }) {
                    try Self.clone(new, into: cgroup, inside: user)
                } else {
                    try cloneProcess(namespaces: new, into: cgroup)
                }
            if case .parent = result { comeBack() }
            return result
        } catch {
            comeBack()
            throw error
        }
    }

    private static func clone(
        _ new: Namespaces, into cgroup: FileDescriptor?, inside user: Member
    ) throws(SystemError) -> CloneResult {
        let channel = try socketPair()
        defer { Syscalls.close(channel.0) }
        switch try cloneProcess(into: cgroup) {
        case .child:
            do throws(SystemError) {
                try joinNamespace(user.file, .user, named: user.path)
                switch try cloneProcess(namespaces: new, asSibling: true) {
                case .child:
                    Syscalls.close(channel.1)
                    return .child
                case .parent(_, let descriptor): try send([0], descriptors: [descriptor], over: channel.1)
                }
            } catch {
                _exit(error.errno.rawValue)
            }
            _exit(0)
        case .parent(let helper, let descriptor):
            Syscalls.close(channel.1)
            Syscalls.close(descriptor)
            if case .exited(let code) = try wait(for: helper), code != 0 {
                throw SystemError("clone3", "in \(user.path)", errno: Errno(rawValue: code))
            }
            guard let child = try receive(from: channel.0).descriptors.first else {
                throw SystemError("clone3", "in \(user.path)", errno: .noSuchProcess)
            }
            return .parent(pid: try processID(of: child), descriptor: child)
        }
    }

    static func name(_ kind: Namespaces) -> String {
        switch kind {
        case .mount: "mnt"
        case .cgroup: "cgroup"
        case .uts: "uts"
        case .ipc: "ipc"
        case .user: "user"
        case .pid: "pid"
        case .time: "time"
        default: "net"
        }
    }
}

/// The number of the process that `descriptor` is of, as this process's procfs has it (pidfd_open(2), "fdinfo").
func processID(of descriptor: FileDescriptor) throws(SystemError) -> pid_t {
    let path = "/proc/self/fdinfo/\(descriptor.rawValue)"
    for line in try readText(path).split(separator: "\n") where line.hasPrefix("Pid:") {
        if let pid = pid_t(line.dropFirst(4).trimmingTabs), pid > 0 { return pid }
    }
    throw SystemError("read", path, errno: .noSuchProcess)
}

extension Substring {
    fileprivate var trimmingTabs: Substring { drop { $0 == "\t" || $0 == " " } }
}

extension Namespaces {
    /// The kind of an OCI namespace.
    init(_ type: LinuxNamespaceType) {
        switch type {
        case .pid: self = .pid
        case .network: self = .network
        case .mount: self = .mount
        case .ipc: self = .ipc
        case .uts: self = .uts
        case .user: self = .user
        case .cgroup: self = .cgroup
        case .time: self = .time
        }
    }
}
