import OCISpec

extension Spec {
    /// The configuration that `spec` writes: a shell in a root of `rootfs`, with the rights that runc gives by default.
    ///
    /// - Parameter ids: for an ordinary user of these ids, who maps them to root.
    public static func usual(rootless ids: (user: UInt32, group: UInt32)? = nil) -> Spec {
        let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
        var namespaces: [LinuxNamespaceType] = [.pid, .ipc, .uts, .mount, .cgroup]
        namespaces.append(ids == nil ? .network : .user)
        var devpts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
        if ids == nil { devpts.append("gid=5") }
        var linux = Linux(namespaces: namespaces.map { LinuxNamespace(type: $0) })
        linux.maskedPaths = [
            "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
            "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
        ]
        linux.readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        if let ids {
            linux.uidMappings = [LinuxIDMapping(containerID: 0, hostID: ids.user, size: 1)]
            linux.gidMappings = [LinuxIDMapping(containerID: 0, hostID: ids.group, size: 1)]
        } else {
            linux.resources = LinuxResources(devices: [LinuxDeviceCgroup(allow: false, access: "rwm")])
        }
        let sys =
            ids == nil
            ? Mount(
                destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"])
            : Mount(
                destination: "/sys", type: "bind", source: "/sys",
                options: ["rbind", "nosuid", "noexec", "nodev", "ro"])
        return Spec(
            process: Process(
                terminal: true, args: ["sh"],
                env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
                capabilities: LinuxCapabilities(
                    bounding: capabilities, effective: capabilities, permitted: capabilities),
                rlimits: [POSIXRlimit(type: "RLIMIT_NOFILE", hard: 1024, soft: 1024)], noNewPrivileges: true),
            root: Root(path: "rootfs", readonly: true), hostname: "carrel",
            mounts: [
                Mount(destination: "/proc", type: "proc", source: "proc"),
                Mount(
                    destination: "/dev", type: "tmpfs", source: "tmpfs",
                    options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
                Mount(destination: "/dev/pts", type: "devpts", source: "devpts", options: devpts),
                Mount(
                    destination: "/dev/shm", type: "tmpfs", source: "shm",
                    options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
                Mount(
                    destination: "/dev/mqueue", type: "mqueue", source: "mqueue",
                    options: ["nosuid", "noexec", "nodev"]),
                sys,
            ]
                + (ids == nil
                    ? [
                        Mount(
                            destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup",
                            options: ["nosuid", "noexec", "nodev", "relatime", "ro"])
                    ] : []),
            linux: linux)
    }
}
