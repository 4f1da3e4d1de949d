import Glibc
import OCISpec
import Syscalls
import SystemPackage

// What the kernel keeps of a process beside its ids and limits: how it is scheduled, its execution domain, its label.

extension LaunchPlan {
    /// Sets the scheduler, the I/O priority, the execution domain and the security label of the caller, in the host's
    /// /proc, before pivot_root(2): no image has a say in where the label is written (CVE-2019-16884). The label is that of
    /// whatever the caller executes next: hooks of the host come before.
    func setProcessAttributes() throws(LaunchError) {
        if let scheduler = process.scheduler {
            try during(.privileges, "process.scheduler") { () throws(SystemError) in
                try setScheduling(SchedulingAttributes(scheduler))
            }
        }
        try setIOPriority()
        if let personality = spec.linux?.personality {
            try during(.privileges, "linux.personality") { () throws(SystemError) in
                try setPersonality(personality.domain == .linux32 ? 8 : 0)
            }
        }
        if let label = process.selinuxLabel, !label.isEmpty {
            try during(.privileges, "process.selinuxLabel \(label)") { () throws(SystemError) in
                try writeLabel(label, "self/attr/exec")
            }
        }
        if let profile = process.apparmorProfile, !profile.isEmpty, profile != "unconfined" {
            try during(.privileges, "process.apparmorProfile \(profile)") { () throws(SystemError) in
                try writeLabel("exec \(profile)", "self/attr/apparmor/exec")
            }
        }
    }

    /// Gives the caller its place among those who wait for disks.
    func setIOPriority() throws(LaunchError) {
        guard let priority = process.ioPriority else { return }
        try during(.privileges, "process.ioPriority") { () throws(SystemError) in
            let level: Int =
                switch priority.class {
                case .realtime: 1
                case .bestEffort: 2
                case .idle: 3
                }
            try Syscalls.setIOPriority(class: level, level: Int(priority.priority))
        }
    }

    /// Keeps the caller to the processors of `list`, where there is one.
    func setAffinity(_ list: String?, _ field: String) throws(LaunchError) {
        guard let list, !list.isEmpty else { return }
        guard let processors = processors(list) else {
            throw LaunchError(.prepare, nil, "process.execCPUAffinity.\(field): expected a list such as 0-3,7")
        }
        try during(.cgroup, "process.execCPUAffinity.\(field)") { () throws(SystemError) in
            try Syscalls.setAffinity(processors)
        }
    }

    /// Gives the caller a session keyring of its own, if it is to have one, with the container's label where it has one
    /// (`keycreate` in proc_pid_attr(5)).
    func joinKeyring() throws(LaunchError) {
        guard runtime?.makesKeyring ?? true else { return }
        guard let label = process.selinuxLabel, !label.isEmpty else {
            return try during(.privileges) { () throws(SystemError) in try joinNewSessionKeyring() }
        }
        try during(.privileges, "process.selinuxLabel \(label)") { () throws(SystemError) in
            try writeLabel(label, "self/attr/keycreate")
            try joinNewSessionKeyring()
            try writeLabel("\n", "self/attr/keycreate")
        }
    }

    private func writeLabel(_ label: String, _ path: String) throws(SystemError) {
        try withProc { proc throws(SystemError) in
            let file = try open(path, O_WRONLY, in: proc, [.beneath, .noCrossing, .noMagicLinks])
            defer { close(file) }
            try writeAll(label.utf8, to: file, named: path)
        }
    }

    /// Refuses what this host has not, by the name of the field.
    static func refuseAbsent(_ spec: Spec) throws(LaunchError) {
        func refuse(_ field: String, _ what: String) -> LaunchError {
            LaunchError(.prepare, nil, "\(field): this host has no \(what)")
        }
        if let profile = spec.process?.apparmorProfile, !profile.isEmpty, profile != "unconfined", !hasAppArmor {
            throw refuse("process.apparmorProfile", "AppArmor")
        }
        if let label = spec.process?.selinuxLabel, !label.isEmpty, !hasSELinux {
            throw refuse("process.selinuxLabel", "SELinux")
        }
        if spec.linux?.intelRdt != nil { throw refuse("linux.intelRdt", "support for resctrl in this runtime") }
        if spec.linux?.memoryPolicy != nil {
            throw refuse("linux.memoryPolicy", "support for memory policies in this runtime")
        }
    }

    /// The SELinux label of the container's own filesystems; without SELinux none, as with runc and crun.
    static func mountLabel(_ spec: Spec) -> String? {
        guard let label = spec.linux?.mountLabel, !label.isEmpty, hasSELinux else { return nil }
        return label
    }

    /// Whether AppArmor is on (apparmor(7)).
    static var hasAppArmor: Bool {
        (try? readText("/sys/module/apparmor/parameters/enabled"))?.hasPrefix("Y") ?? false
    }

    /// Whether SELinux is on (selinux(8)).
    static var hasSELinux: Bool { exists("/sys/fs/selinux/enforce") }

    /// Makes the new time namespace and goes into it (time_namespaces(7)): its offsets can be set only before the first
    /// process is in it, and unshare(2) is for the children to come.
    func enterTimeNamespace() throws(LaunchError) {
        guard namespaces.contains(.time) else { return }
        try during(.clone, "linux.timeOffsets") { () throws(SystemError) in
            try unshareNamespaces(.time)
            let lines = (spec.linux?.timeOffsets ?? [:]).map { "\($0) \($1.secs ?? 0) \($1.nanosecs ?? 0)\n" }
            if !lines.isEmpty { try writeControl(lines.joined(), to: "/proc/self/timens_offsets") }
            let namespace = try open("/proc/self/ns/time_for_children", O_RDONLY)
            defer { close(namespace) }
            try joinNamespace(namespace, .time, named: "time")
        }
    }
}

extension SchedulingAttributes {
    init(_ scheduler: Scheduler) {
        let policy: UInt32 =
            switch scheduler.policy {
            case .other: 0
            case .fifo: 1
            case .roundRobin: 2
            case .batch: 3
            case .iso: 4
            case .idle: 5
            case .deadline: 6
            }
        // linux/sched.h, in the order of the bits.
        let names = [
            "SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_KEEP_POLICY",
            "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX",
        ]
        var flags: UInt64 = 0
        for flag in scheduler.flags { if let bit = names.firstIndex(of: flag) { flags |= 1 << UInt64(bit) } }
        self.init(
            policy: policy, flags: flags, nice: scheduler.nice ?? 0,
            priority: UInt32(clamping: scheduler.priority ?? 0),
            runtime: scheduler.runtime ?? 0, deadline: scheduler.deadline ?? 0, period: scheduler.period ?? 0)
    }
}

/// The processors of a list such as `0-3,7`; `nil` where it is none.
func processors(_ list: String) -> [Int]? {
    var found: [Int] = []
    for part in list.split(separator: ",") {
        let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2, first <= last, last < 8192
        else { return nil }
        found += first...last
    }
    return found.isEmpty ? nil : found
}
