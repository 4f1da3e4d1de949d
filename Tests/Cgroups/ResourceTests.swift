import Glibc
import OCISpec
import Syscalls
import SystemPackage
import Testing

@testable import Cgroups

/// The resources of an OCI specification, held by the kernel.
@Suite(.serialized, .enabled(if: canLimit, needsLimits)) struct ResourceTests {
    /// What a program that opens devices is told: one word each, in the order asked.
    private func opened(_ cgroup: Cgroup, _ attempts: [(path: String, mode: String)]) throws -> [String] {
        let (output, input) = try makePipe()
        defer { close(output) }
        let list = attempts.map { "('\($0.path)', os.O_\($0.mode))" }.joined(separator: ", ")
        let child = try Child(
            cgroup,
            python: """
                import os, errno
                for path, mode in [\(list)]:
                    try: os.close(os.open(path, mode)); print('yes', flush=True)
                    except OSError as error: print(errno.errorcode[error.errno], flush=True)
                """, output: input)
        close(input)
        #expect(try child.wait() == .exited(0))
        return try String(decoding: readAll(output), as: UTF8.self).split(separator: "\n").map(String.init)
    }

    private let all = LinuxDeviceCgroup(allow: false, access: "rwm")

    private func device(_ minor: Int64, _ access: String, allow: Bool = true) -> LinuxDeviceCgroup {
        LinuxDeviceCgroup(allow: allow, type: .character, major: 1, minor: minor, access: access)
    }

    @Test(.enabled(if: canDecideDevices, "needs the device controller of v1, or device programs in v2"))
    func aDeviceIsOpenedAsFarAsTheRulesAllow() throws {
        var limits = CgroupLimits(memoryMax: 256 << 20)
        // Reading and writing /dev/null by two rules, which together allow both; python itself reads /dev/urandom.
        limits.devices = [all, device(3, "r"), device(3, "w"), device(5, "r"), device(9, "r")]
        let attempts = [
            (path: "/dev/null", mode: "RDWR"), ("/dev/zero", "RDONLY"), ("/dev/zero", "RDWR"), ("/dev/full", "RDONLY"),
        ]
        try withCgroup("devices", limits) { cgroup in
            #expect(try opened(cgroup, attempts) == ["yes", "yes", "EPERM", "EPERM"])
            // An update stands in place of what was, and can allow more.
            var more = CgroupLimits()
            more.devices = [all, device(3, "rw"), device(5, "rw"), device(7, "r"), device(9, "r")]
            try cgroup.update(more)
            #expect(try opened(cgroup, attempts) == ["yes", "yes", "yes", "yes"])
            // A later rule takes away a part of what an earlier one allowed, and with it what needs both.
            more.devices = [all, device(3, "rwm"), device(9, "r"), device(3, "w", allow: false)]
            try cgroup.update(more)
            #expect(
                try opened(cgroup, [("/dev/null", "RDWR"), ("/dev/null", "RDONLY"), ("/dev/zero", "RDONLY")])
                    == ["EPERM", "yes", "EPERM"])
        }
    }

    @Test(.enabled(if: canDecideDevices, "needs the device controller of v1, or device programs in v2"))
    func aDeviceThatNoRuleMatchesIsNotOpened() throws {
        var limits = CgroupLimits(memoryMax: 256 << 20)
        limits.devices = [device(3, "r"), device(9, "r")]
        try withCgroup("others", limits) { cgroup in
            let told = try opened(cgroup, [("/dev/null", "RDONLY"), ("/dev/zero", "RDONLY")])
            #expect(told == ["yes", "EPERM"])
        }
    }

    @Test func aSpecificationIsAppliedAndUpdated() throws {
        let resources = LinuxResources(
            memory: LinuxMemory(limit: 64 << 20, reservation: 32 << 20),
            cpu: LinuxCPU(shares: 512, quota: 50_000, period: 100_000), pids: LinuxPids(limit: 20))
        let path = try CgroupPath(oci: "/\(tenant("spec"))/a container:1")
        let cgroup = try Cgroup.create(host, path, CgroupLimits(resources), joining: .every)
        defer { try? cgroup.remove() }
        #expect(Set(["memory", "pids", "cpu"]).isSubset(of: cgroup.controllers))
        #expect(cgroup.usage().memoryMax == 64 << 20 && cgroup.usage().pidsMax == 20)
        func file(_ unified: String, _ hybrid: String) throws -> String {
            let directory =
                host.mode == .unified
                ? cgroup.directory : "/sys/fs/cgroup/\(unified.prefix { $0 != "." })/\(path)"
            return try read("\(directory)/\(host.mode == .unified ? unified : hybrid)").split(separator: "\n")[0]
                .description
        }
        #expect(try file("cpu.max", "cpu.cfs_quota_us") == (host.mode == .unified ? "50000 100000" : "50000"))
        #expect(try file("cpu.weight", "cpu.shares") == (host.mode == .unified ? "59" : "512"))
        // Of what an update leaves out nothing changes: here the quota, though one file holds it and the period.
        try cgroup.update(
            CgroupLimits(LinuxResources(memory: LinuxMemory(limit: -1), cpu: LinuxCPU(period: 200_000))))
        #expect(cgroup.usage().memoryMax == nil && cgroup.usage().pidsMax == 20)
        #expect(try file("cpu.max", "cpu.cfs_quota_us") == (host.mode == .unified ? "50000 200000" : "50000"))
        try cgroup.update(CgroupLimits(LinuxResources(cpu: LinuxCPU(quota: -1), pids: LinuxPids(limit: -1))))
        #expect(try file("cpu.max", "cpu.cfs_quota_us") == (host.mode == .unified ? "max 200000" : "-1"))
        #expect(cgroup.usage().pidsMax == nil)
    }

    @Test func aLimitBelowWhatIsUsedIsRefusedWhereThatIsAsked() throws {
        try withCgroup("used", CgroupLimits(memoryMax: 256 << 20)) { cgroup in
            let child = try Child(cgroup, python: "x = bytearray(64 << 20); import signal; signal.pause()")
            #expect(eventually { cgroup.usage().memory ?? 0 > 64 << 20 })
            let lower = LinuxResources(memory: LinuxMemory(limit: 32 << 20, checkBeforeUpdate: true))
            #expect { try cgroup.update(CgroupLimits(lower)) } throws: { control($0) == "memory" }
            #expect(cgroup.usage().memoryMax == 256 << 20)
            try cgroup.kill()
            #expect(try child.wait() == .signaled(SIGKILL))
        }
    }

    /// Sessions of a tenant are held to its limits together, and the tenant's outlive none of them.
    @Test func aLevelAboveBoundsAllBelowTogether() throws {
        let level = try CgroupPath(tenant("level"))
        var bound = CgroupLimits(memoryMax: 96 << 20, pidsMax: 6)
        bound.oomGroup = false
        bound.swapMax = nil
        let cgroups = try ["a", "b"].map {
            try Cgroup.create(
                host, CgroupPath("\(level)/\($0)"), CgroupLimits(memoryMax: 80 << 20, pidsMax: 5),
                within: [(level, bound)])
        }
        defer {
            for cgroup in cgroups {
                try? cgroup.kill()
                try? cgroup.remove()
            }
            #expect(places(tenant("level")).isEmpty)
        }
        let above = try Cgroup.open(host, level)
        #expect(above.usage().memoryMax == 96 << 20 && above.usage().pidsMax == 6)
        let children = try cgroups.map { try Child($0, ["/bin/sleep", "1000"]) }
        #expect(eventually { above.usage().pids == 2 })
        // Each of them is within its own limit, and both are beyond that of the two.
        let hog = "x = bytearray(60 << 20); import signal; signal.pause()"
        let hogs = try cgroups.map { try Child($0, python: hog) }
        #expect(eventually { cgroups.contains { $0.usage().oomKills ?? 0 > 0 } })
        #expect(cgroups.allSatisfy { !$0.usage().memoryIsClippedByItself })
        try above.kill()
        for child in children + hogs { #expect(try child.wait() == .signaled(SIGKILL)) }
    }
}

/// Whether this host's kernel decides over devices of cgroups.
private let canDecideDevices: Bool = {
    if host.mode == .hybrid { return host.controllers().contains("devices") }
    var limits = CgroupLimits()
    limits.devices = [LinuxDeviceCgroup(allow: true, access: "rwm")]
    guard let cgroup = try? Cgroup.create(host, CgroupPath("\(tenant("asks"))/s"), limits) else { return false }
    try? cgroup.remove()
    return true
}()
