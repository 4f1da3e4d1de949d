import Glibc
import Syscalls
import SystemPackage

/// What this host gives to sessions, for `carrel doctor`: the kernel, its security modules, its namespaces and keys.
/// (Control groups are the Cgroups room's to tell.)
public enum HostFacts {
    /// Everything, in the order in which it matters. What can be tried is tried, in a child that goes away again.
    ///
    /// - Parameter directories: where files of sessions lie, such as the state directory and workdirs: id-mapped mounts
    ///   are a matter of each filesystem.
    public static func all(directories: [String]) -> [Fact] {
        [kernel(), userNamespaces(), namespaceLimits(), subordinateIDs(), landlock(), seccomp()]
            + directories.map(idMappedMounts) + [overlay(), swap(), pressure()]
            + [securityModules(), tracing(), memfds(), coreDumps(), keys()]
    }

    static func kernel() -> Fact {
        let release = text("/proc/sys/kernel/osrelease") ?? "unknown"
        let suffices = RunningSystem.version(of: release) >= (5, 12)
        return Fact(
            "kernel", release, suffices ? .ok : .missing,
            use: "the launch uses calls up to mount_setattr, of Linux 5.12",
            fix: "use Linux 5.12 or later; 6.12 has all that a profile can ask for")
    }

    static func userNamespaces() -> Fact {
        let use = "each session has a user namespace of its own"
        guard let failure = HostProbe.userNamespace() else { return Fact("user namespaces", "work", use: use) }
        let fix =
            if number("/proc/sys/user/max_user_namespaces") == 0 {
                "sysctl user.max_user_namespaces=65536"
            } else if number("/proc/sys/kernel/unprivileged_userns_clone") == 0 && geteuid() != 0 {
                "sysctl kernel.unprivileged_userns_clone=1"
            } else if number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1 && geteuid() != 0 {
                "give carrel an AppArmor profile with `userns,`, as /etc/apparmor.d has for browsers; or sysctl "
                    + "kernel.apparmor_restrict_unprivileged_userns=0"
            } else {
                "use a kernel with CONFIG_USER_NS; in a container, allow clone, mount and pivot_root with CLONE_NEWUSER"
            }
        return Fact("user namespaces", failure, .missing, use: use, fix: fix)
    }

    /// A session takes one of each kind, counted for the user who starts it.
    static func namespaceLimits() -> Fact {
        let kinds = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"]
        let limits = kinds.compactMap { kind in number("/proc/sys/user/max_\(kind)_namespaces").map { (kind, $0) } }
        let use = "a session takes a namespace of each kind"
        guard let least = limits.min(by: { $0.1 < $1.1 }) else {
            return Fact("namespace limits", "unknown", .degraded, use: use, fix: "mount procfs at /proc")
        }
        return Fact(
            "namespace limits", "at most \(least.1) sessions a user (user.max_\(least.0)_namespaces)",
            least.1 == 0 ? .missing : least.1 < 1000 ? .degraded : .ok, use: use,
            fix: "sysctl user.max_\(least.0)_namespaces=65536")
    }

    static func subordinateIDs() -> Fact {
        let name = "subordinate ids"
        if geteuid() == 0 {
            return Fact(name, "not needed by root", use: "each tenant has a range of 65536 ids of its own")
        }
        let use = "sessions of an ordinary user have more ids than the user's own"
        do throws(ControlError) {
            guard let map = try IDMap.subordinate(uid: geteuid(), gid: getegid()) else {
                let user = try SubordinateIDs.userName(geteuid()) ?? "USER"
                return Fact(
                    name, "none", .degraded, use: "sessions have the user's own id alone, and the user's groups",
                    fix: "as root: install newuidmap (Debian: uidmap) and give a range that no other user has: "
                        + "usermod --add-subuids FIRST-LAST --add-subgids FIRST-LAST \(user)")
            }
            return Fact(name, map.users.description, use: use)
        } catch {
            return Fact(name, error.description, .missing, use: use, fix: "mend that line")
        }
    }

    /// Every shipped profile asks for scopes (ABI 6), and one for a list of programs (ABI 2).
    static func landlock(abi: Int = Landlock.abi) -> Fact {
        let refused = abi < 2 ? "`exec:` or `scopes:`" : "`scopes:`"
        let kernel =
            abi == 0
            ? "boot a kernel with CONFIG_SECURITY_LANDLOCK with landlock among the modules of lsm="
            : "use Linux 6.12 or later (Debian 12: apt install -t bookworm-backports linux-image-amd64; "
                + "Ubuntu 24.04: apt install linux-generic-hwe-24.04)"
        return Fact(
            "landlock", abi == 0 ? "not active" : "ABI \(abi)", abi < 6 ? .missing : .ok,
            use: abi < 6
                ? "profiles with \(refused) are refused, all shipped ones among them" : "`exec:` and `scopes:` hold",
            fix: kernel + "; or let hosts lack it: controls: {optional: [landlock.scope]} in a profile of your own")
    }

    static func seccomp() -> Fact {
        let actions = text("/proc/sys/kernel/seccomp/actions_avail")?.split(separator: " ").map(String.init) ?? []
        let missing = ["kill_process", "errno", "user_notif", "log", "allow"].filter { !actions.contains($0) }
        return Fact(
            "seccomp", actions.isEmpty ? "not active" : actions.joined(separator: " "),
            actions.isEmpty || missing.contains("errno") ? .missing : missing.isEmpty ? .ok : .degraded,
            use: "each session has a filter, and recording needs user_notif and log",
            fix: "use a kernel of 5.0 or later with CONFIG_SECCOMP_FILTER")
    }

    /// Whether the filesystem of `directory` maps ids for root's sessions.
    public static func idMappedMounts(_ directory: String) -> Fact {
        let name = "id-mapped mounts \(directory)"
        if geteuid() != 0 {
            return Fact(name, "not needed by an ordinary user", use: "files of the user are the session's as they are")
        }
        let failure = HostProbe.idMappedMount(directory)
        return Fact(
            name, failure?.description ?? "work", failure == nil ? .ok : .missing,
            use: "workdirs and config directories appear with the session's ids, and new files with the host's",
            fix: failure.map { idMapAdvice($0.errno) })
    }

    /// What to do where a mount cannot be id-mapped, for this reason (mount_setattr(2)).
    public static func idMapAdvice(_ errno: Errno) -> String {
        errno == .notPermitted
            ? "run with CAP_SYS_ADMIN (of a container: privileged)"
            : "put it on ext4, xfs, btrfs or another filesystem that maps ids (tmpfs does from Linux 6.3 on)"
    }

    static func overlay() -> Fact {
        Fact(
            "overlay in user namespaces", HostProbe.overlay() ?? "works",
            use: "for information: no session has one; rootless podman and buildah, which drive carrel-oci, want it")
    }

    static func swap() -> Fact {
        let devices = (text("/proc/swaps") ?? "").split(separator: "\n").count - 1
        return Fact(
            "swap", devices < 1 ? "none" : "\(devices) in use", devices < 1 ? .ok : .degraded,
            use: "sessions get none: what their memory limit is must be RAM",
            fix:
                "nothing, where the hierarchy can limit swap (memory.swap.max, or swapaccount=1 on v1); else swapoff -a"
        )
    }

    static func pressure() -> Fact {
        let works = text("/proc/pressure/memory") != nil
        return Fact(
            "pressure (PSI)", works ? "measured" : "not measured", works ? .ok : .degraded,
            use: "reports tell how long a session waited for memory, CPU and I/O",
            fix: "boot with psi=1, on a kernel with CONFIG_PSI")
    }

    static func securityModules() -> Fact {
        Fact(
            "security modules", text("/sys/kernel/security/lsm") ?? "unknown: securityfs is not mounted",
            use: "for information: whatever they forbid is forbidden to sessions too")
    }

    static func tracing() -> Fact {
        let scope = number("/proc/sys/kernel/yama/ptrace_scope")
        return Fact(
            "kernel.yama.ptrace_scope", scope.map(String.init) ?? "no Yama",
            use: "for information: no session sees, or may trace, a process outside of it")
    }

    static func memfds() -> Fact {
        Fact(
            "vm.memfd_noexec", text("/proc/sys/vm/memfd_noexec") ?? "not in this kernel",
            use:
                "for information: no value keeps memfds from being mapped executable; only a filter without memfd_create does"
        )
    }

    static func coreDumps() -> Fact {
        Fact(
            "kernel.core_pattern", text("/proc/sys/kernel/core_pattern") ?? "unknown",
            use:
                "for information: sessions have core dumps off, and the shipped filters keep it so; with another one, a "
                + "session can have the kernel start a program that is named here behind | or @")
    }

    static func keys() -> Fact {
        let path = geteuid() == 0 ? "kernel/keys/root_maxkeys" : "kernel/keys/maxkeys"
        let limit = number("/proc/sys/\(path)")
        let sysctl = path.split(separator: "/").joined(separator: ".")
        return Fact(
            "session keyrings", limit.map { "at most \($0) (\(sysctl))" } ?? "not in this kernel",
            limit == nil ? .missing : limit! < 1000 ? .degraded : .ok,
            use: "each session has a keyring of its own, which counts against the quota of the user who starts it",
            fix: limit == nil ? "use a kernel with CONFIG_KEYS" : "sysctl \(sysctl)=10000")
    }

    /// A kernel file without the end of its last line; `nil` where it cannot be read.
    private static func text(_ path: String) -> String? {
        guard var text = try? readText(path) else { return nil }
        while text.last == "\n" { text.removeLast() }
        return text
    }

    private static func number(_ path: String) -> Int? { text(path).flatMap { Int($0) } }
}
