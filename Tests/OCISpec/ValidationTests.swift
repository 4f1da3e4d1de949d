import Documents
import Testing

@testable import OCISpec

/// A configuration that nothing is wrong with.
private func sound() -> Spec {
    Spec(
        process: Process(
            user: User(uid: 1000, gid: 1000, umask: 0o22), args: ["sh"], env: ["A=b"],
            capabilities: LinuxCapabilities(bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"]),
            rlimits: [POSIXRlimit(type: "RLIMIT_CORE", hard: 0, soft: 0)], oomScoreAdj: 500),
        root: Root(path: "/r"), hostname: "desk", mounts: [Mount(destination: "/proc", type: "proc")],
        linux: Linux(
            uidMappings: [LinuxIDMapping(containerID: 0, hostID: 100_000, size: 65_536)],
            gidMappings: [LinuxIDMapping(containerID: 0, hostID: 100_000, size: 65_536)],
            sysctl: ["net.core.somaxconn": "1", "kernel.shmmax": "1", "fs.mqueue.msg_max": "1"],
            resources: LinuxResources(
                devices: [LinuxDeviceCgroup(allow: false, access: "rwm")],
                memory: LinuxMemory(limit: 1 << 30, swap: 1 << 30),
                cpu: LinuxCPU(quota: 50_000, burst: 1, period: 100_000, cpus: "0-3,7"), pids: LinuxPids(limit: 64),
                hugepageLimits: [LinuxHugepageLimit(pageSize: "64KB", limit: 0)], unified: ["memory.high": "1"]),
            cgroupsPath: "/carrel/a..b",
            namespaces: [.pid, .network, .mount, .ipc, .uts, .user, .cgroup, .time].map { LinuxNamespace(type: $0) },
            devices: [LinuxDevice(path: "/dev/null", type: .character, major: 1, minor: 3)],
            seccomp: LinuxSeccomp(
                defaultAction: .errno, defaultErrnoRet: 38,
                syscalls: [
                    LinuxSyscall(
                        names: ["clone"], action: .allow,
                        args: [LinuxSeccompArg(index: 0, value: 0x7E02_0000, op: .maskedEqual)])
                ]),
            rootfsPropagation: "private", maskedPaths: ["/proc/kcore"], readonlyPaths: ["/proc/sys"],
            timeOffsets: ["boottime": LinuxTimeOffset(secs: 1)]))
}

private struct Fault: CustomTestStringConvertible {
    let problem: String
    let spoil: @Sendable (inout Spec) -> Void
    var testDescription: String { problem }

    init(_ problem: String, _ spoil: @escaping @Sendable (inout Spec) -> Void) {
        self.problem = problem
        self.spoil = spoil
    }
}

private func range(_ containerID: UInt32, _ hostID: UInt32, _ size: UInt32) -> LinuxIDMapping {
    LinuxIDMapping(containerID: containerID, hostID: hostID, size: size)
}

@Suite struct ValidationTests {
    @Test func aSoundConfigurationPasses() throws {
        try sound().validate()
        try Spec(root: Root(path: "rootfs"), linux: Linux()).validate()
    }

    @Test(arguments: [
        Fault(#"ociVersion: expected a version 1 of the specification, found "2.0.0""#) { $0.ociVersion = "2.0.0" },
        Fault("root: expected the container's root file system, found nothing") { $0.root = nil },
        Fault("root.path: expected a directory, found an empty string") { $0.root?.path = "" },
        Fault("hostname: expected a uts namespace beside it, so that the host's name stays") {
            $0.linux?.namespaces.removeAll { $0.type == .uts }
        },
        Fault("domainname: expected at most 64 bytes, found 65") { $0.domainname = String(repeating: "d", count: 65) },
        Fault("annotations: expected names that are not empty") { $0.annotations = ["": "x"] },
        Fault("process.args: expected a program, found nothing") { $0.process?.args = [] },
        Fault("process.args[1]: expected an argument without NUL") { $0.process?.args = ["sh", "a\0b"] },
        Fault(#"process.cwd: expected an absolute path, found "work""#) { $0.process?.cwd = "work" },
        Fault(#"process.env[1]: expected NAME=value, found "=x""#) { $0.process?.env = ["A=", "=x"] },
        Fault("process.user.umask: expected at most 0o777, found 512") { $0.process?.user.umask = 0o1000 },
        Fault("process.user.uid: expected an id below 4294967295") {
            // setresuid(2) takes it for "as it is", which would be root.
            $0.process?.user.uid = .max
            $0.linux?.uidMappings = []
            $0.linux?.gidMappings = []
            $0.linux?.namespaces.removeAll { $0.type == .user }
        },
        Fault("linux.devices[0].gid: expected an id below 4294967295") { $0.linux?.devices[0].gid = .max },
        Fault("process.user.uid: expected an id that linux.uidMappings maps, found 65536") {
            $0.process?.user.uid = 65_536
        },
        Fault("process.user.additionalGids[1]: expected an id that linux.gidMappings maps, found 70000") {
            $0.process?.user.additionalGids = [1, 70_000]
        },
        Fault(
            #"process.capabilities.bounding[0]: expected a capability of capabilities(7), found "CAP_SYS_ADMN"; did you "#
                + "mean CAP_SYS_ADMIN?"
        ) { $0.process?.capabilities?.bounding = ["CAP_SYS_ADMN"] },
        Fault("process.capabilities.effective[1]: expected CAP_BPF in permitted too") {
            $0.process?.capabilities?.effective.append("CAP_BPF")
        },
        Fault("process.capabilities.ambient[0]: expected CAP_KILL in permitted and inheritable too") {
            $0.process?.capabilities?.ambient = ["CAP_KILL"]
        },
        Fault(
            #"process.rlimits[0].type: expected a resource of setrlimit(2), found "RLIMIT_CORES"; did you mean "#
                + "RLIMIT_CORE?"
        ) { $0.process?.rlimits[0].type = "RLIMIT_CORES" },
        Fault("process.rlimits[0].soft: expected at most the hard limit 0, found 1") {
            $0.process?.rlimits[0].soft = 1
        },
        Fault("process.oomScoreAdj: expected -1000 to 1000, found 1001") { $0.process?.oomScoreAdj = 1001 },
        Fault("process.scheduler.priority: expected SCHED_FIFO or SCHED_RR beside it") {
            $0.process?.scheduler = Scheduler(policy: .other, priority: 1)
        },
        Fault("process.scheduler.nice: expected -20 to 19, found 20") {
            $0.process?.scheduler = Scheduler(policy: .other, nice: 20)
        },
        Fault("process.ioPriority.priority: expected 0 to 7, found 8") {
            $0.process?.ioPriority = LinuxIOPriority(class: .bestEffort, priority: 8)
        },
        Fault("process.execCPUAffinity.final: expected a list such as 0-3,7") {
            $0.process?.execCPUAffinity = CPUAffinity(final: "0-")
        },
        Fault(#"mounts[0].destination: expected an absolute path, found """#) { $0.mounts[0].destination = "" },
        Fault("mounts[0].uidMappings: expected uidMappings and gidMappings, or neither") {
            $0.mounts[0].uidMappings = [range(0, 1, 1)]
        },
        Fault(#"hooks.poststop[0].path: expected an absolute path, found "sh""#) {
            $0.hooks = Hooks(poststop: [Hook(path: "sh")])
        },
        Fault("hooks.prestart[0].timeout: expected a whole number of seconds above 0") {
            $0.hooks = Hooks(prestart: [Hook(path: "/a", timeout: 0)])
        },
        Fault("linux.uidMappings: expected a mapping for the new user namespace, found nothing") {
            $0.linux?.uidMappings = []
            $0.process = nil
        },
        Fault("linux.gidMappings: expected a user namespace beside it") {
            $0.linux?.namespaces.removeAll { $0.type == .user }
            $0.linux?.uidMappings = []
        },
        Fault("linux.uidMappings[0].size: expected at least 1, found 0") {
            $0.linux?.uidMappings.insert(range(70_000, 7, 0), at: 0)
        },
        Fault("linux.uidMappings[1].size: expected at most 5, so that all ids are below 4294967295") {
            $0.linux?.uidMappings.append(range(70_000, 4_294_967_290, 6))
        },
        Fault("linux.uidMappings[1].containerID: expected ids that no range before has, found 65535") {
            $0.linux?.uidMappings.append(range(65_535, 1, 1))
        },
        Fault("linux.gidMappings[1].hostID: expected ids that no range before has, found 99999") {
            $0.linux?.gidMappings.append(range(65_536, 99_999, 2))
        },
        Fault(#"linux.namespaces[0].path: expected an absolute path, found "ns""#) {
            $0.linux?.namespaces[0].path = "ns"
        },
        Fault("linux.timeOffsets.boottime: expected a new time namespace beside it") {
            $0.linux?.namespaces.removeAll { $0.type == .time }
        },
        Fault("linux.timeOffsets.monotonic: expected less than a second of nanosecs, found 1000000000") {
            $0.linux?.timeOffsets["monotonic"] = LinuxTimeOffset(nanosecs: 1_000_000_000)
        },
        Fault("linux.sysctl.net/core/somaxconn: expected a network namespace beside it, or it would change the host") {
            $0.linux?.sysctl = ["net/core/somaxconn": "1"]
            $0.linux?.namespaces.removeAll { $0.type == .network }
        },
        Fault(
            "linux.sysctl.kernel.core_pattern: expected a parameter that a namespace holds: net.*, fs.mqueue.* or System V IPC"
        ) {
            $0.linux?.sysctl = ["kernel.core_pattern": "|/x"]
        },
        Fault(
            "linux.sysctl.net/../kernel/core_pattern: expected a parameter that a namespace holds: net.*, fs.mqueue.* or System V IPC"
        ) {
            $0.linux?.sysctl = ["net/../kernel/core_pattern": "|/x"]
        },
        Fault(#"linux.cgroupsPath: expected a path without "..", found "/carrel/../x""#) {
            $0.linux?.cgroupsPath = "/carrel/../x"
        },
        Fault(
            #"linux.rootfsPropagation: expected a propagation of mount_namespaces(7), found "privat"; did you mean private?"#
        ) {
            $0.linux?.rootfsPropagation = "privat"
        },
        Fault(#"linux.maskedPaths[0]: expected an absolute path, found "proc""#) { $0.linux?.maskedPaths = ["proc"] },
        Fault(#"linux.maskedPaths[0]: expected a path below the root, found "/""#) { $0.linux?.maskedPaths = ["/"] },
        Fault(#"linux.readonlyPaths[0]: expected a path below the root, found "/./""#) {
            $0.linux?.readonlyPaths = ["/./"]
        },
        Fault(#"linux.maskedPaths[0]: expected a path below the root, found "/proc/..""#) {
            $0.linux?.maskedPaths = ["/proc/.."]
        },
        Fault(#"mounts[0].destination: expected a path below the root, found "/""#) {
            $0.mounts = [Mount(destination: "/", type: "tmpfs")]
        },
        Fault(#"linux.readonlyPaths[0]: expected an absolute path, found """#) { $0.linux?.readonlyPaths = [""] },
        Fault(#"linux.personality.flags: expected none, since none are defined, found "x""#) {
            $0.linux?.personality = LinuxPersonality(domain: .linux, flags: ["x"])
        },
        Fault(#"linux.intelRdt.closID: expected the name of one directory, found "..""#) {
            $0.linux?.intelRdt = LinuxIntelRdt(closID: "..")
        },
        Fault(#"linux.devices[0].path: expected an absolute path, found "/dev/../etc/x""#) {
            $0.linux?.devices[0].path = "/dev/../etc/x"
        },
        Fault("linux.devices[0].major: expected the number of a device") { $0.linux?.devices[0].major = nil },
        // mknod(2) and bpf(2) would take both for the null device.
        Fault("linux.devices[0].major: expected at most 4095, found 4097") { $0.linux?.devices[0].major = 4097 },
        Fault("linux.resources.devices[0].minor: expected at most 1048575, found 4294967299") {
            $0.linux?.resources?.devices[0].minor = 4_294_967_299
        },
        Fault("linux.resources.blockIO.throttleWriteBpsDevice[0].minor: expected at most 1048575, found 4294967296") {
            $0.linux?.resources?.blockIO = LinuxBlockIO(
                throttleWriteBpsDevice: [LinuxThrottleDevice(major: 8, minor: 1 << 32, rate: 1)])
        },
        Fault(#"linux.devices[0].type: expected c, u, b or p, found "a""#) { $0.linux?.devices[0].type = .all },
        Fault(#"linux.resources.devices[0].access: expected letters of rwm, found "rx""#) {
            $0.linux?.resources?.devices[0].access = "rx"
        },
        Fault("linux.resources.memory.limit: expected a number of bytes, or -1 for no limit, found -2") {
            $0.linux?.resources?.memory = LinuxMemory(limit: -2)
        },
        Fault("linux.resources.memory.swap: expected at least the limit of memory, 1073741824, found 1") {
            $0.linux?.resources?.memory?.swap = 1
        },
        Fault("linux.resources.cpu.period: expected 1000 to 1000000, found 999") {
            $0.linux?.resources?.cpu?.period = 999
        },
        Fault("linux.resources.cpu.burst: expected at most the quota, 50000, found 50001") {
            $0.linux?.resources?.cpu?.burst = 50_001
        },
        Fault(#"linux.resources.cpu.cpus: expected a list such as 0-3,7, found "0-3;7""#) {
            $0.linux?.resources?.cpu?.cpus = "0-3;7"
        },
        Fault("linux.resources.blockIO.weight: expected 10 to 1000, found 9") {
            $0.linux?.resources?.blockIO = LinuxBlockIO(weight: 9)
        },
        Fault(#"linux.resources.hugepageLimits[0].pageSize: expected a size such as 2MB, found "2M""#) {
            $0.linux?.resources?.hugepageLimits[0].pageSize = "2M"
        },
        Fault("linux.resources.unified.../memory.max: expected a file of cgroups v2 such as memory.high") {
            $0.linux?.resources?.unified = ["../memory.max": "1"]
        },
        Fault("linux.seccomp.defaultErrnoRet: expected an errno, at most 4095, found 4096") {
            $0.linux?.seccomp?.defaultErrnoRet = 4096
        },
        Fault("linux.seccomp.defaultAction: expected an action that needs no listener") {
            $0.linux?.seccomp?.defaultAction = .notify
            $0.linux?.seccomp?.defaultErrnoRet = nil
        },
        Fault("linux.seccomp.listenerPath: expected a socket, since a rule has SCMP_ACT_NOTIFY") {
            $0.linux?.seccomp?.syscalls[0].action = .notify
        },
        Fault("linux.seccomp.syscalls[0].names: expected at least one call, found none") {
            $0.linux?.seccomp?.syscalls[0].names = []
        },
        Fault("linux.seccomp.syscalls[0].errnoRet: expected SCMP_ACT_ERRNO or SCMP_ACT_TRACE beside it") {
            $0.linux?.seccomp?.syscalls[0].errnoRet = 1
        },
        Fault("linux.seccomp.syscalls[0].args[0].index: expected 0 to 5, found 6") {
            $0.linux?.seccomp?.syscalls[0].args[0].index = 6
        },
        Fault(
            "linux.seccomp.syscalls[0].args[0].valueTwo: expected bits of the mask 2 alone, or the rule never holds; found 1"
        ) {
            $0.linux?.seccomp?.syscalls[0].args[0] = LinuxSeccompArg(index: 0, value: 2, valueTwo: 1, op: .maskedEqual)
        },
        Fault("linux.seccomp.architectures[0]: expected an architecture of seccomp(2), found \"x86_64\"") {
            $0.linux?.seccomp?.architectures = ["x86_64"]
        },
        Fault(
            #"linux.seccomp.flags[0]: expected a flag of seccomp(2), found "SECCOMP_FILTER_FLAG_LOGS"; did you mean SECCOMP_FILTER_FLAG_LOG?"#
        ) {
            $0.linux?.seccomp?.flags = ["SECCOMP_FILTER_FLAG_LOGS"]
        },
    ])
    private func aFaultIsTold(_ fault: Fault) {
        var spec = sound()
        fault.spoil(&spec)
        #expect(problems { try spec.validate(file: "c") } == ["c: " + fault.problem])
    }

    @Test func duplicatesAreToldWhereTheyStand() throws {
        let text = """
            ociVersion: 1.2.0
            process:
              user: {uid: 0, gid: 0}
              cwd: tmp
              args: [sh]
              rlimits:
                - {type: RLIMIT_CPU, hard: 1, soft: 1}
                - {type: RLIMIT_CPU, hard: 2, soft: 3}
            root: {path: /r}
            linux:
              namespaces: [{type: pid}, {type: pid}]
            """
        let document = try Node.parse(Array(text.utf8), file: "c")
        let spec = try Spec(document, file: "c")
        #expect(
            problems { try spec.validate(file: "c", document: document) } == [
                "c:4:8: process.cwd: expected an absolute path, found \"tmp\"",
                "c:7:14: process.rlimits[0].type: expected each resource once, found RLIMIT_CPU again",
                "c:8:14: process.rlimits[1].type: expected each resource once, found RLIMIT_CPU again",
                "c:8:41: process.rlimits[1].soft: expected at most the hard limit 2, found 3",
                "c:11:23: linux.namespaces[0].type: expected each kind once, found pid again",
                "c:11:36: linux.namespaces[1].type: expected each kind once, found pid again",
            ])
    }

    @Test func aFilterCanBeCheckedByItself() throws {
        try LinuxSeccomp(defaultAction: .allow).validate(file: "f")
        #expect(
            problems { try LinuxSeccomp(defaultAction: .trace, defaultErrnoRet: 65_536).validate(file: "f") } == [
                "f: defaultErrnoRet: expected a message of 16 bits, found 65536"
            ])
    }

    @Test(arguments: ["a", "s-42", "A_b+c.d", String(repeating: "x", count: 255)])
    func anIdIsAccepted(_ id: String) { #expect(State.accepts(id: id)) }

    @Test(arguments: ["", ".", "..", "a/b", "-a", "a b", "ä", "a\n", "a\0", String(repeating: "x", count: 256)])
    func anIdIsRefused(_ id: String) { #expect(!State.accepts(id: id)) }
}
