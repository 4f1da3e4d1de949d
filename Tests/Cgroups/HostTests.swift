import Foundation
import Glibc
import Syscalls
import Testing

@testable import Cgroups

/// What a host offers to whom.
@Suite(.serialized) struct HostTests {
    @Test(.enabled(if: isRoot, "needs root")) func rootHasTheTopOfTheTree() throws {
        try #require(host.mode != .none)
        #expect(try host.directory() == host.tree)
        #expect(exists("\(host.tree)/cgroup.procs"))
    }

    @Test func aHostWithoutAV2TreeIsRefusedWithTheReason() throws {
        let empty = NSTemporaryDirectory() + "carrel-no-cgroups-\(getpid())"
        try makeDirectory(empty)
        defer { try? removeTree(empty) }
        let none = CgroupHost.detect(empty)
        #expect(none.mode == .none && none.controllers() == [])
        #expect { try Cgroup.create(none, CgroupPath("carrel/t/s"), CgroupLimits()) } throws: {
            "\($0)".contains("is a cgroup v2 file system") && "\($0)".contains("systemd.unified_cgroup_hierarchy=1")
        }
    }

    /// Every controller is taken away in turn, and each limit that needs it is refused by its name.
    @Test(.enabled(if: host.mode == .hybrid && canLimit, "needs root, cgroup v1 controllers and a v2 tree"))
    func aHybridHostWithoutAControllerRefusesItsLimit() throws {
        let limits: [String: CgroupLimits] = [
            "memory": CgroupLimits(memoryMax: 64 << 20), "pids": CgroupLimits(pidsMax: 9),
            "cpu": CgroupLimits(cpuMax: 1),
        ]
        for missing in limits.keys {
            let mounts = NSTemporaryDirectory() + "carrel-cgroups-\(getpid())"
            try makeDirectory(mounts)
            defer { try? removeTree(mounts) }
            for name in ["unified", "memory", "pids", "cpu"] where name != missing {
                symlink("/sys/fs/cgroup/\(name)", "\(mounts)/\(name)")
            }
            let poorer = CgroupHost.detect(mounts)
            #expect(poorer.mode == .hybrid)
            // What the v2 tree itself has is there all the same.
            let ofV1 = poorer.controllers().filter { !["hugetlb", "rdma"].contains($0) }
            #expect(ofV1 == ["cpu", "memory", "pids"].filter { $0 != missing })
            for (controller, limits) in limits {
                let path = try CgroupPath("\(tenant("poorer"))/s")
                if controller == missing {
                    #expect { try Cgroup.create(poorer, path, limits) } throws: { control($0) == missing }
                } else {
                    try Cgroup.create(poorer, path, limits).remove()
                }
            }
            #expect(places(tenant("poorer")).isEmpty)
        }
    }

    @Test(.enabled(if: host.mode == .unified && canLimit, "needs root and a unified cgroup v2 tree"))
    func aControllerThatTheTreeDoesNotHaveIsRefused() throws {
        for file in ["nosuch.max", "rdma.max"] {
            var limits = CgroupLimits(pidsMax: 5)
            limits.unified = [file: "1"]
            let path = try CgroupPath("\(tenant("lacks"))/s")
            #expect { try Cgroup.create(host, path, limits) } throws: {
                control($0) == String(file.prefix { $0 != "." })
            }
        }
        #expect(places(tenant("lacks")).isEmpty)
    }

    // MARK: in other processes

    /// What the kernel does to a caller whose own cgroup was killed once: it kills what that clones into another.
    @Test(.enabled(if: canLimit, needsLimits)) func aLauncherWhoseOwnCgroupWasKilledOnceStillLaunches() throws {
        let own = try Cgroup.create(host, CgroupPath("\(tenant("killed"))/own"), CgroupLimits())
        try own.kill()
        defer { try? own.remove() }
        let (status, output) = try rerun(
            "HostTests/roleOfALauncher", role: "killed",
            shell: "echo $$ > \(own.directory)/cgroup.procs && exec \"$@\"")
        #expect(status == 0 && output.contains("the role was played"), "\(output)")
    }

    @Test func membershipIsReadByController() {
        let own = CgroupMembership("9:name=systemd:/init:1\n4:cpu,cpuacct:/a:b/c\n3:pids:/\n0::/user.slice/x\n")
        #expect(own.path() == "/user.slice/x")
        #expect(own.path(v1: "cpuacct") == "/a:b/c" && own.path(v1: "cpu") == "/a:b/c")
        #expect(own.path(v1: "pids") == "/")
        #expect(own.hierarchy(of: "cpu") == own.hierarchy(of: "cpuacct"))
        #expect(own.hierarchy(of: "cpu") != own.hierarchy(of: "pids"))
        #expect(own.hierarchy(of: "cpus") == nil && own.hierarchy(of: "memory") == nil)
        let none = CgroupMembership("")
        #expect(none.path() == "/" && none.path(v1: "memory") == "/" && none.hierarchy(of: "memory") == nil)
    }

    @Test(.enabled(if: role == "killed", "is run by the test before")) func roleOfALauncher() throws {
        #expect(host.own.path() != "/")
        try withCgroup("launched", CgroupLimits(memoryMax: 64 << 20, pidsMax: 9)) { cgroup in
            let entry = try cgroup.entry()
            entry.close()
            // Whether the kernel has that bug is its own affair; that the child lives is ours.
            print("born inside: \(entry.cloneInto != nil)")
            let child = try Child(cgroup, ["/bin/sleep", "1000"])
            #expect(try eventually { try cgroup.processes() == [child.pid] && cgroup.usage().pids == 1 })
            try cgroup.kill()
            #expect(try child.wait() == .signaled(SIGKILL))
        }
        print("the role was played")
    }

    /// A subtree that root has given to user 65534, in which that user's process is.
    @Test(.enabled(if: canLimit && nobodyCanRunTheTests, "needs root, and a test binary that nobody can read"))
    func anOrdinaryUserHasWhatWasGivenToIt() throws {
        let path = tenant("given")
        let hierarchies = host.mode == .unified ? [""] : ["/unified", "/memory", "/pids", "/cpu"]
        var enter = ""
        for hierarchy in hierarchies {
            let directory = "/sys/fs/cgroup\(hierarchy)/\(path)"
            try makeDirectories("\(directory)/main")
            enter += "echo $$ > \(directory)/main/cgroup.procs && "
        }
        if host.mode == .unified {
            for parent in ["/sys/fs/cgroup", "/sys/fs/cgroup/carrel"] {
                try write("+memory +pids +cpu", "\(parent)/cgroup.subtree_control")
            }
        }
        defer {
            for hierarchy in hierarchies { try? removeCgroup("/sys/fs/cgroup\(hierarchy)/\(path)") }
        }
        for hierarchy in hierarchies {
            let directory = "/sys/fs/cgroup\(hierarchy)/\(path)"
            for file in ["", "/cgroup.procs", "/cgroup.subtree_control"] {
                _ = chown(directory + file, 65_534, 65_534)
            }
        }
        let user = "setpriv --reuid=65534 --regid=65534 --clear-groups"
        let (status, output) = try rerun(
            "HostTests/roleOfAnOrdinaryUser", role: path, shell: "\(enter) exec \(user) \"$@\"")
        #expect(status == 0 && output.contains("the role was played"), "\(output)")
        for hierarchy in hierarchies {
            #expect(try subdirectories("/sys/fs/cgroup\(hierarchy)/\(path)").sorted() == ["carrel", "main"])
        }

        // Elsewhere it has nothing, and is told so.
        let (elsewhere, told) = try rerun(
            "HostTests/roleOfAnOrdinaryUser", role: "nowhere", shell: "exec \(user) \"$@\"")
        #expect(elsewhere == 0 && told.contains("the role was played"), "\(told)")
    }

    @Test(.enabled(if: role != nil && role != "killed" && !isRoot, "is run by the test before"))
    func roleOfAnOrdinaryUser() throws {
        defer { print("the role was played") }
        guard let path = role, path != "nowhere" else {
            #expect { try host.directory() } throws: {
                if case .noPlace? = $0 as? CgroupError { "\($0)".contains("Delegate=yes") } else { false }
            }
            return
        }
        let base = "\(host.tree)/\(path)"
        #expect(try host.directory() == base)
        let limits = CgroupLimits(memoryMax: 48 << 20, pidsMax: 9, cpuMax: 0.5)
        let cgroup = try Cgroup.create(host, CgroupPath("carrel/own/s"), limits)
        #expect(cgroup.directory == "\(base)/carrel/own/s")
        let hog = try Child(cgroup, python: "x = bytearray(200 << 20)")
        #expect(try hog.wait() == .signaled(SIGKILL))
        let usage = cgroup.usage()
        #expect(usage.oomKills ?? 0 > 0 && usage.memoryMax == 48 << 20 && usage.pidsMax == 9)
        let sleeper = try Child(cgroup, ["/bin/sleep", "1000"])
        #expect(eventually { cgroup.usage().pids == 1 })
        try cgroup.freeze()
        try cgroup.kill()
        #expect(try sleeper.wait() == .signaled(SIGKILL))
        try cgroup.remove()
        #expect(!exists("\(base)/carrel/own"))
        // What is above is not its own: neither limits nor processes can be changed there.
        #expect(throws: CgroupError.self) { try write(String(getpid()), "\(host.tree)/cgroup.procs") }
    }

    /// A cgroup v2 with processes in it hands no controllers down; the top of the real tree alone may.
    @Test(
        .enabled(
            if: host.mode == .unified && canLimit && nobodyCanRunTheTests, "needs root and a unified cgroup v2 tree"))
    func aPlaceWithProcessesInItIsRefusedWithTheFix() throws {
        let path = try CgroupPath("\(tenant("internal"))/own")
        let own = try Cgroup.create(host, path, CgroupLimits(memoryMax: 512 << 20, pidsMax: 500))
        defer {
            try? own.kill()
            try? own.remove()
        }
        for file in ["", "/cgroup.procs", "/cgroup.subtree_control"] { _ = chown(own.directory + file, 65_534, 65_534) }
        let (status, output) = try rerun(
            "HostTests/roleOfAnInternalProcess", role: "internal",
            shell: "echo $$ > \(own.directory)/cgroup.procs && "
                + "exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"")
        #expect(status == 0 && output.contains("the role was played"), "\(output)")
        #expect(try subdirectories(own.directory) == ["carrel"])
    }

    @Test(.enabled(if: role == "internal", "is run by the test before")) func roleOfAnInternalProcess() throws {
        for limits in [CgroupLimits(memoryMax: 32 << 20), CgroupLimits(pidsMax: 5)] {
            #expect { try Cgroup.create(host, CgroupPath("carrel/t/s"), limits) } throws: {
                guard case .noPlace(let reason, let fix)? = $0 as? CgroupError else { return false }
                return reason.contains("directly in /sys/fs/cgroup\(host.own.path()),")
                    && fix.contains("DelegateSubgroup=")
            }
        }
        print("the role was played")
    }
}

/// Whether user 65534 can execute this test binary.
private let nobodyCanRunTheTests: Bool = {
    guard isRoot, exists("/usr/bin/setpriv"), let binary = try? readLink("/proc/self/exe") else { return false }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/setpriv")
    process.arguments = ["--reuid=65534", "--regid=65534", "--clear-groups", "test", "-r", binary, "-a", "-x", binary]
    try? process.run()
    process.waitUntilExit()
    return process.terminationStatus == 0
}()
