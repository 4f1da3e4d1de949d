import Foundation
import Testing

extension Integration {
    /// Part 6: what can be executed.
    @Suite struct Landlock {
        static let needed: ConditionTrait = .enabled(if: Host.landlock >= 1, "this kernel has no Landlock")

        /// A profile that executes sh, cat, cp and chmod and nothing else.
        static func few(_ desk: Desk) throws -> [String] {
            let programs = ["sh", "cat", "cp", "chmod"].map { "/usr/bin/\($0)" }.joined(separator: ", ")
            return ["--profile", try desk.profile("few", extends: "strict", "exec:\n  allow: [\(programs)]")]
        }

        @Test(needed) func whatIsListedRuns() throws {
            try withDesk { desk in
                let inside = desk.sh(try Self.few(desk), "cat /etc/passwd | cat > /tmp/x; cp /tmp/x /tmp/y; echo fine")
                #expect(inside.status == 0 && inside.output == "fine", "\(inside)")
            }
        }

        @Test(needed, arguments: ["/usr/bin/python3", "/usr/bin/env", "/usr/bin/id", "/bin/ls", "/usr/bin/perl"])
        func whatIsNotListedDoesNot(program: String) throws {
            try withDesk { desk in
                #expect(desk.run([], [program, "--version"]).status == 0, "\(program) does not run in any session")
                let inside = desk.sh(try Self.few(desk), "\(program) --version")
                #expect(inside.status == 126 && inside.output.isEmpty, "\(inside)")
                // As the payload itself.
                #expect(try desk.run(Self.few(desk), [program, "--version"]).status == 126)
            }
        }

        @Test(needed, arguments: ["/tmp", "/workspace", "/home/agent", "/dev/shm"])
        func aCopyDoesNotRun(place: String) throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                for options in [try Self.few(desk), ["--profile", "strict"]] {
                    let inside = desk.sh(
                        options + ["--workdir", work],
                        "cp /usr/bin/id \(place)/copy; chmod 755 \(place)/copy; \(place)/copy")
                    #expect([126, 127].contains(inside.status) && !inside.output.contains("uid="), "\(inside)")
                }
            }
        }

        /// The loader maps what it is given without executing it: the mounts, where nothing may be mapped executable, close that.
        @Test(needed, arguments: ["/tmp", "/workspace", "/home/agent", "/dev/shm"])
        func theLoaderRunsNoCopy(place: String) throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let inside = desk.sh(
                    try Self.few(desk) + ["--workdir", work],
                    "cp /usr/bin/id \(place)/copy; for loader in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1; do $loader \(place)/copy; done"
                )
                #expect(inside.status != 0 && !inside.output.contains("uid="), "\(inside)")
            }
        }

        @Test(needed) func theLoaderRunsNothingThatIsNotListed() throws {
            try withDesk { desk in
                let loader = Host.outside("ls /lib64/ld-linux-*.so.* /lib/ld-linux-*.so.* 2>/dev/null | head -1").output
                #expect(Host.outside([loader, "/usr/bin/id"]).output.contains("uid="))
                let inside = desk.sh(try Self.few(desk), "\(loader) /usr/bin/id")
                #expect(inside.status != 0 && !inside.output.contains("uid="), "\(inside)")
            }
        }

        @Test(needed) func aFileInMemoryDoesNotRun() throws {
            try withDesk { desk in
                // A copy of Python itself, which may be read: what is executed is not the file that is listed.
                let program = """
                    def run():
                        memory = os.memfd_create('copy', 0)
                        os.write(memory, open('\(Host.python)', 'rb').read())
                        os.execve(memory, ['python3', '-c', 'print("ran")'], {})
                    print(attempt(run))
                    """
                #expect(desk.pythonOutside(program).output == "ran")
                let profile = try desk.profile("python-only", extends: "strict", "exec:\n  allow: [/usr/bin/python3]")
                let inside = desk.python(["--profile", profile], program)
                #expect(inside.output == "EACCES" || inside.output == "EPERM", "\(inside)")
            }
        }

        @Test func writablePlacesAreNotExecutableUnlessAsked() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                try desk.write("#!/bin/sh\necho ran\n", to: "work/run", mode: 0o755)
                let strict = ["--profile", "strict", "--workdir", work]
                #expect(desk.run(strict, ["/workspace/run"]).status == 126)
                let profile = try desk.profile("building", extends: "strict", "exec:\n  allow: none\n  from: [workdir]")
                let inside = desk.sh(["--profile", profile, "--workdir", work], "./run; cp run /tmp/run; /tmp/run")
                #expect(inside.output == "ran" && inside.status == 126, "\(inside)")
            }
        }

        /// The kernel says EACCES, whoever of mode, list and mount refuses: the field of the profile is told.
        @Test(needed) func aRefusalNamesTheFieldOfTheProfile() throws {
            try withDesk { desk in
                let few = try Self.few(desk)
                let told = "exec.allow of profile few lists 4 programs, and this is none of them"
                for program in ["/usr/bin/id", "id"] {
                    let refused = desk.run(few, [program])
                    #expect(refused.status == 126 && refused.errors.contains(told), "\(refused)")
                    #expect(refused.errors.contains("fix: add /usr/bin/id to exec.allow"), "\(refused)")
                }
                let session = try desk.detached(few, "cat /dev/zero >/dev/null", session: "few")
                let entered = desk.carrel(["exec", session, "--", "id"])
                #expect(entered.status == 126 && entered.errors.contains(told), "\(entered)")
                #expect(desk.carrel(["kill", session]).status == 0)
                let work = try desk.directory("work")
                try desk.write("#!/bin/sh\necho ran\n", to: "work/run", mode: 0o755)
                // Where the mount refuses as well, the list is not what to change.
                let mounted = desk.run(few + ["--workdir", work], ["/workspace/run"])
                #expect(mounted.status == 126 && !mounted.errors.contains("exec.allow"), "\(mounted)")
                for program in ["/workspace/run", "./run"] {
                    let refused = desk.run(["--workdir", work], [program])
                    #expect(refused.status == 126, "\(refused)")
                    #expect(
                        refused.errors.contains("profile default lets nothing in /workspace be executed")
                            && refused.errors.contains("exec.from"), "\(refused)")
                }
                // What no field of the profile is the reason of is told without one.
                let plain = desk.run([], ["/etc/passwd"])
                #expect(plain.status == 126 && !plain.errors.contains("profile"), "\(plain)")
            }
        }

        /// Signals and abstract sockets: two sessions of one tenant, which have the same ids.
        @Test(.enabled(if: Host.landlock >= 6, "this kernel's Landlock has no scopes")) func scopesAreInForce() throws {
            try withDesk { desk in
                let inside = desk.python([], "print(attempt(os.kill, 1, 0), attempt(os.kill, 1, 9))")
                #expect(inside.lines.first != "None None", "init can be signalled: \(inside)")
            }
        }
    }
}
