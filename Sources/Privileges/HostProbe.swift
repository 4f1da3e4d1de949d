import Glibc
import Syscalls
import SystemPackage

/// Tries in a child what a session will need. Each gives `nil` where it works, and else what the kernel said.
///
/// The caller must have one thread.
enum HostProbe {
    /// A user namespace that can do something: with a mount namespace in it, whose mounts can be changed. On Ubuntu an
    /// ordinary user gets one where nothing can.
    static func userNamespace() -> String? {
        inNamespaces { () throws(SystemError) in try makePrivate() }
    }

    /// An overlay whose upper layer is a tmpfs of the user namespace.
    static func overlay() -> String? {
        inNamespaces { () throws(SystemError) in
            try makePrivate()
            try checking("mount", "tmpfs") { mount("tmpfs", "/tmp", "tmpfs", 0, nil) }
            for name in ["lower", "upper", "work", "merged"] { try makeDirectory("/tmp/\(name)") }
            try checking("mount", "overlay") {
                mount(
                    "overlay", "/tmp/merged", "overlay", 0,
                    "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work,userxattr")
            }
            try makeDirectory("/tmp/merged/new")
        }
    }

    /// Why there is no id-mapped mount of what `directory` lies on; `nil` where there is.
    static func idMappedMount(_ directory: String) -> SystemError? {
        do throws(SystemError) {
            let mount = try cloneMount(directory, withSubmounts: false)
            defer { close(mount) }
            let waiting = try makePipe()
            defer { close(waiting.writing) }
            guard case .parent(let pid, let process) = try cloneProcess(namespaces: .user) else {
                close(waiting.writing)
                _ = try? readAll(waiting.reading)
                _exit(0)
            }
            close(waiting.reading)
            defer {
                kill(pid, SIGKILL)
                _ = try? wait(for: pid)
                close(process)
            }
            for file in ["uid_map", "gid_map"] { try writeControl("0 100000 65536", to: "/proc/\(pid)/\(file)") }
            let namespace = try open("/proc/\(pid)/ns/user", O_RDONLY)
            defer { close(namespace) }
            try setMountAttributes(
                mount, setting: .idMap, userNamespace: namespace, withSubmounts: false, named: directory)
            return nil
        } catch {
            return error
        }
    }

    private static func makePrivate() throws(SystemError) {
        try checking("mount", "/") { mount(nil, "/", nil, UInt(MS_REC | MS_PRIVATE), nil) }
    }

    /// Runs `body` as root of a new user namespace, in a mount namespace of it.
    private static func inNamespaces(_ body: () throws(SystemError) -> Void) -> String? {
        do throws(SystemError) {
            let (ours, childs) = try socketPair()
            defer { close(ours) }
            let child = Result { () throws(SystemError) in try cloneProcess(namespaces: [.user, .mount]) }
            if case .success(.child) = child { beChild(childs, parent: ours, body) }
            close(childs)
            guard case .parent(let pid, let process) = try child.get() else { return nil }
            close(process)
            defer { _ = try? wait(for: pid) }
            do throws(ControlError) {
                try IDMap.own(uid: 0, gid: 0).write(pid: pid)
            } catch {
                kill(pid, SIGKILL)
                return error.reason
            }
            try writeAll([1], to: ours)
            let failure = String(decoding: try readAll(ours), as: UTF8.self)
            return failure.isEmpty ? nil : failure
        } catch {
            return error.description
        }
    }

    /// The child: waits for its map, and says what failed.
    private static func beChild(
        _ channel: FileDescriptor, parent: FileDescriptor, _ body: () throws(SystemError) -> Void
    ) -> Never {
        close(parent)
        var go: UInt8 = 0
        if read(channel.rawValue, &go, 1) != 1 { _exit(1) }
        do throws(SystemError) {
            try body()
        } catch {
            try? writeAll(error.description.utf8, to: channel)
        }
        _exit(0)
    }
}
