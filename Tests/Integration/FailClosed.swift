import Documents
import Foundation
import Testing

extension Integration {
    /// What the host cannot give is a refusal to start: each primitive is taken away in turn.
    @Suite struct FailClosed {
        /// Calls that a launch needs, each for a control. `=` is the error of a kernel or a policy that does not have it.
        static let primitives = [
            "clone3=EPERM", "clone3=ENOSPC", "clone3=EINVAL",  // namespaces: forbidden, too many, not built in
            "unshare=EPERM", "pivot_root=EPERM", "umount2=EPERM", "openat2=ENOSYS", "move_mount=EPERM",
            "open_tree=EPERM",
            "fsopen=ENODEV", "fsmount=EPERM", "mount_setattr=EINVAL", "mount_setattr=ENOSYS",
            "setsid=EPERM", "setgroups=EPERM", "setresuid=EPERM", "setresgid=EPERM", "capset=EPERM",
            "prctl:0:24=EPERM",  // PR_CAPBSET_DROP
            "prctl:0:28=EPERM",  // PR_SET_SECUREBITS
            "prctl:0:38=EINVAL",  // PR_SET_NO_NEW_PRIVS
            "prctl:0:4=EINVAL",  // PR_SET_DUMPABLE
            "prctl:0:1=EINVAL",  // PR_SET_PDEATHSIG
            "keyctl=ENOSYS", "prlimit64=EPERM", "seccomp=ENOSYS", "seccomp=EINVAL", "close_range=ENOSYS",
            "landlock_create_ruleset=ENOSYS", "landlock_create_ruleset=EOPNOTSUPP", "landlock_restrict_self=EPERM",
            "ioctl:1:0x8914=EPERM",  // SIOCSIFFLAGS: loopback
            "sethostname=EPERM", "chdir=EACCES",
        ]

        @Test(.enabled(if: Host.isRoot, "a filter that leaves no_new_privs alone needs root"), arguments: primitives)
        func withoutItNothingStarts(primitive: String) throws {
            try withDesk { desk in
                // With all of them it starts.
                #expect(desk.run(["--profile", "strict"], ["/usr/bin/echo", "started"]).output == "started")
                let without = desk.around(
                    "exec \(Host.python) '\(Host.fixtures)/without.py' \(primitive) -- \"$CARREL\" run --profile strict -- /usr/bin/echo started"
                )
                #expect(without.output.isEmpty, "it started: \(without)")
                #expect(without.status == 125 && without.errors.contains("carrel"), "\(without)")
            }
        }

        @Test(.enabled(if: Host.isRoot, "a filter that leaves no_new_privs alone needs root"))
        func whatAProfileCanDoWithoutIsToldAsAbsent() throws {
            try withDesk { desk in
                let profile = try desk.profile("lax", "controls:\n  optional: [landlock.scope]")
                let without =
                    "exec \(Host.python) '\(Host.fixtures)/without.py' landlock_create_ruleset=ENOSYS -- \"$CARREL\" run"
                let started = desk.around("\(without) --profile \(profile) -- echo started")
                #expect(started.status == 0 && started.output == "started", "\(started)")
                let absent = try desk.lastReport()["controlsAbsent"]?.elements ?? []
                #expect(absent.compactMap { $0["name"]?.string } == ["landlock.scope"])
                let refused = desk.around("\(without) -- echo started")
                #expect(refused.status == 125 && refused.errors.lowercased().contains("landlock"), "\(refused)")
                #expect(refused.errors.contains("controls: {optional: [landlock.scope]} in a profile"), "\(refused)")
            }
        }

        /// As in a container that is not privileged.
        @Test(.enabled(if: Host.isRoot, "drops a capability of root's"))
        func rootWithoutTheRightToMountIsToldWhichItNeeds() throws {
            try withDesk { desk in
                let lesser = "exec setpriv --bounding-set=-sys_admin --inh-caps=-all"
                let refused = desk.around("\(lesser) \"$CARREL\" run -- true")
                #expect(refused.status == 125 && refused.errors.contains("fix: run with CAP_SYS_ADMIN"), "\(refused)")
            }
        }

        @Test(.enabled(if: Host.isRoot, "mounts a filesystem"))
        func aWorkdirThatMapsNoIDsIsRefusedWithTheWaysOut() throws {
            try withDesk { desk in
                let lax = try desk.profile("lax", "controls:\n  optional: [idmap]")
                let work = try desk.directory("ramfs")
                let on = "exec unshare -m sh -c 'mount -t ramfs none \(work) && exec \"$CARREL\" run --workdir \(work)"
                let refused = desk.around("\(on) -- echo started'")
                #expect(refused.status == 125 && refused.output.isEmpty, "\(refused)")
                #expect(refused.errors.contains("mount /workspace") && refused.errors.contains("optional: [idmap]"))
                #expect(desk.around("\(on) --profile \(lax) -- echo started'").output == "started")
                let absent = try desk.lastReport()["controlsAbsent"]?.elements ?? []
                #expect(absent.contains { $0["name"]?.string == "idmap" })
            }
        }

        /// A hierarchy that is not there, in a mount namespace of this test's own.
        @Test(.enabled(if: Host.isRoot, "mounts over a hierarchy"), arguments: ["memory", "pids"])
        func withoutAControllerNothingStarts(controller: String) throws {
            try withDesk { desk in
                let hide =
                    "for place in /sys/fs/cgroup/\(controller) /sys/fs/cgroup; do mountpoint -q $place && mount -t tmpfs none $place && break; done"
                let refused = desk.around("exec unshare -m sh -c '\(hide); exec \"$CARREL\" run -- echo started'")
                #expect(refused.status == 125 && refused.output.isEmpty, "\(refused)")
                #expect(refused.errors.contains(controller) || refused.errors.contains("cgroup"), "\(refused)")
                let profile = try desk.profile("lax", "controls:\n  optional: [memory, swap, pids, cpus]")
                let started = desk.around(
                    "exec unshare -m sh -c '\(hide); exec \"$CARREL\" run --profile \(profile) -- echo started'")
                #expect(started.status == 0 && started.output == "started", "\(started)")
                let absent = try #require(try desk.lastReport()["controlsAbsent"]?.elements)
                #expect(absent.contains { $0["name"]?.string == controller }, "\(absent)")
            }
        }

        /// What a cgroup counts cannot be held without one, whatever a profile can do without.
        @Test(.enabled(if: Host.isRoot, "only root becomes an ordinary user"), arguments: ["--idle", "--cpu-time"])
        func withoutACgroupNothingStartsThatItWouldCount(option: String) throws {
            try withDesk { desk in
                let profile = try desk.profile("lax", "controls:\n  optional: [memory, swap, pids, cpus]")
                chown(desk.state, Host.ordinaryID, Host.ordinaryID)
                let user = "exec setpriv --reuid \(Host.ordinaryID) --regid \(Host.ordinaryID) --clear-groups"
                let run = "\(user) \"$CARREL\" run --profile \(profile)"
                let refused = desk.around("\(run) \(option) 1s -- echo started")
                #expect(refused.status == 125 && refused.output.isEmpty, "\(refused)")
                #expect(refused.errors.contains("cannot be held") && refused.errors.contains("none"), "\(refused)")
                let started = desk.around("\(run) -- echo started")
                #expect(started.output == "started", "\(started)")
            }
        }

        @Test func withoutItsPartsNothingStarts() throws {
            try withDesk { desk in
                // carrel-init, profiles and filters are looked for beside the program.
                let place = try desk.directory("bin")
                Host.outside("cp '\(Host.carrel)' '\(place)'/carrel")
                let alone = desk.around("exec '\(place)/carrel' run -- echo started")
                #expect(alone.status == 125 && alone.output.isEmpty && !alone.errors.isEmpty, "\(alone)")
                Host.outside("cp -r '\(Host.repository)/Profiles' '\(desk.path)/Profiles'")
                let halfway = desk.around("exec '\(place)/carrel' run -- echo started")
                #expect(halfway.status == 125 && halfway.errors.contains("carrel-init"), "\(halfway)")
                Host.outside("cp \"$(dirname '\(Host.carrel)')/carrel-init\" '\(place)'/")
                #expect(desk.around("exec '\(place)/carrel' run -- echo started").output == "started")
                Host.outside("rm '\(desk.path)'/Profiles/seccomp/agent-default.json")
                let open = desk.around("exec '\(place)/carrel' run -- echo started")
                #expect(open.status == 125 && open.output.isEmpty && open.errors.contains("agent-default"), "\(open)")
            }
        }

        @Test func aStateDirectoryOfOthersDoesNotCount() throws {
            try withDesk { desk in
                chmod(desk.state, 0o777)
                let refused = desk.run([], ["echo", "started"])
                #expect(
                    refused.status == 125 && refused.output.isEmpty && refused.errors.contains("chmod"), "\(refused)")
                chmod(desk.state, 0o700)
                #expect(desk.run([], ["echo", "started"]).output == "started")
            }
        }

        @Test func aSpoiledCacheIsNotLoaded() throws {
            try withDesk { desk in
                #expect(desk.run([], ["true"]).status == 0)
                let cached = Host.outside("find '\(desk.state)/cache' -type f").lines
                try #require(!cached.isEmpty)
                // One instruction: allow everything.
                for file in cached { Host.outside("printf '\\006\\000\\000\\000\\000\\000\\377\\177' > '\(file)'") }
                let inside = desk.python([], "print(call(165, 0, 0, 0, 0, 0))")
                #expect(inside.output != "EFAULT" && (inside.output == "EPERM" || inside.status == 125), "\(inside)")
            }
        }
    }
}
