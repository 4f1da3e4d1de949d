import Foundation
import Testing

extension Integration {
    /// Part 5: what a process of a session may do, and what it was handed.
    @Suite struct Privileges {
        /// The members of /proc/PID/status, by name.
        static func status(_ text: String) -> [String: String] {
            var members: [String: String] = [:]
            for line in text.split(separator: "\n") {
                let parts = line.split(separator: ":", maxSplits: 1)
                if parts.count == 2 { members[String(parts[0])] = parts[1].trimmingCharacters(in: .whitespaces) }
            }
            return members
        }

        static func check(_ outcome: Outcome, _ location: SourceLocation = #_sourceLocation) {
            let status = status(outcome.output)
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                #expect(status[set] == "0000000000000000", "\(set): \(outcome)", sourceLocation: location)
            }
            #expect(status["NoNewPrivs"] == "1", sourceLocation: location)
            #expect(status["Seccomp"] == "2", sourceLocation: location)
            #expect(status["Uid"] == "1000\t1000\t1000\t1000", sourceLocation: location)
            #expect(status["Gid"] == "1000\t1000\t1000\t1000", sourceLocation: location)
            #expect(["", "1000"].contains(status["Groups"]), sourceLocation: location)
        }

        @Test(arguments: Host.isRoot ? [false, true] : [false]) func nothingIsLeftOfThem(ordinary: Bool) throws {
            try withDesk(ordinary: ordinary) { desk in
                Self.check(desk.run([], ["cat", "/proc/self/status"]))
            }
        }

        @Test func execGivesNoMore() throws {
            try withDesk { desk in
                let session = try desk.detached(session: "exec")
                Self.check(desk.carrel(["exec", session, "--", "cat", "/proc/self/status"]))
                let namespaces =
                    "for n in \(Namespaces.kinds.joined(separator: " ")); do readlink /proc/self/ns/$n; done"
                let inside = desk.carrel(["exec", session, "--", "sh", "-c", namespaces]).lines
                #expect(
                    inside.count == Namespaces.kinds.count
                        && Set(inside).isDisjoint(with: Host.outside(namespaces).lines))
                #expect(desk.carrel(["exec", session, "--", "sh", "-c", "exit 7"]).status == 7)
                desk.carrel(["kill", session, "--signal", "KILL"])
            }
        }

        @Test func initHasNothingEither() throws {
            try withDesk { desk in
                // PID 1 puts its filter on while the payload begins: until then it is without capabilities and untraceable.
                let status = Self.status(desk.sh([], "sleep 0.3; cat /proc/1/status").output)
                #expect(status["CapEff"] == "0000000000000000" && status["CapBnd"] == "0000000000000000")
                #expect(status["NoNewPrivs"] == "1" && status["Seccomp"] == "2")
            }
        }

        @Test func securebitsAreLocked() throws {
            try withDesk { desk in
                // All of SECBIT_NOROOT, NO_SETUID_FIXUP, KEEP_CAPS off, NO_CAP_AMBIENT_RAISE, each with its lock
                // (capabilities(7)).
                let bits = Int(desk.python([], "print(call(157, 27))").output) ?? 0
                #expect(bits & 0b1110_1111 == 0b1110_1111, "\(String(bits, radix: 2))")
            }
        }

        @Test func limitsOfTheProcessAreSet() throws {
            try withDesk { desk in
                let inside = desk.python(
                    ["--open-files", "321"],
                    """
                    import resource
                    # 1 and not 0: a limit of 0 does not hold where core_pattern names a program (core(5)).
                    print(resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_NOFILE))
                    print(open('/proc/self/oom_score_adj').read().strip(), attempt(lambda: os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-1000')))
                    print(oct(os.umask(0)), os.getcwd(), os.getsid(0) == os.getpid() or os.getsid(0) > 1)
                    print(resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY)
                    """)
                #expect(
                    inside.lines == ["(1, 1) (321, 321)", "500 EACCES", "0o22 /home/agent True", "True"], "\(inside)")
            }
        }

        @Test func theEnvironmentIsTheProfiles() throws {
            try withDesk { desk in
                desk.environment = ["SECRET_TOKEN": "x", "LD_LIBRARY_PATH": "/tmp", "PYTHONPATH": "/tmp", "GIVEN": "y"]
                let inside = desk.run(["--env", "GIVEN", "--env", "SET=z"], ["env"])
                #expect(inside.lines.contains("GIVEN=y") && inside.lines.contains("SET=z"), "\(inside)")
                for name in ["SECRET_TOKEN", "LD_LIBRARY_PATH", "PYTHONPATH", "CARREL_STATE"] {
                    #expect(!inside.lines.contains { $0.hasPrefix(name + "=") }, "\(name)")
                }
                #expect(inside.lines.contains("HOME=/home/agent"))
            }
        }

        /// CVE-2024-21626: descriptors that the runtime or its caller had open by chance.
        @Test func cve2024_21626_noDescriptorIsInherited() throws {
            try withDesk { desk in
                let list = "import os; print(*sorted(int(n) for n in os.listdir('/proc/self/fd')))"
                let inside = desk.around(
                    "exec 7</etc/passwd 8</ 9>/dev/null 200</usr; \"$CARREL\" run -- \(Host.python) -c \"\(list)\"")
                // The fourth is that of the listing itself.
                #expect(inside.output == "0 1 2 3", "\(inside)")
                let passed = desk.around(
                    "exec 7</etc/passwd 8</; \"$CARREL\" run --pass-fd 7 -- \(Host.python) -c \"\(list); print(len(os.read(7, 9)))\""
                )
                #expect(passed.lines == ["0 1 2 3 7", "9"], "\(passed)")
            }
        }

        /// CVE-2024-21626: the working directory is a descriptor of the host's tree.
        @Test(arguments: [
            "/proc/self/fd/3", "/proc/self/fd/7", "/proc/self/fd/8/../../..", "/proc/1/root", "/proc/self/cwd",
        ])
        func cve2024_21626_theWorkingDirectoryIsInside(target: String) throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let profile = try desk.profile("lost", "workdir:\n  target: \(target)")
                let inside = desk.around(
                    "exec 7</ 8</etc; \"$CARREL\" run --profile '\(profile)' --workdir '\(work)' -- sh -c 'pwd; ls -d ../../../../../../lost+found'"
                )
                #expect(inside.status != 0 && !inside.output.contains("lost+found"), "\(inside)")
                let here = desk.run(
                    ["--workdir", work],
                    [Host.python, "-c", "import os; print(os.getcwd(), os.readlink('/proc/self/cwd'))"])
                #expect(here.output == "/workspace /workspace", "\(here)")
            }
        }

        /// CVE-2019-5736: the runtime's own program, written to by way of /proc/PID/exe.
        @Test func cve2019_5736_theProgramCannotBeWritten() throws {
            let digest = Host.outside("sha256sum '\(Host.carrel)'").output
            try withDesk { desk in
                let attack = """
                    for pid in [n for n in os.listdir('/proc') if n.isdigit()] + ['self']:
                        for flags in (os.O_RDWR, os.O_WRONLY, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
                            print(pid, attempt(os.open, f'/proc/{pid}/exe', flags))
                    """
                let inside = desk.python([], attack)
                #expect(inside.status == 0 && inside.lines.count >= 12, "\(inside)")
                for line in inside.lines {
                    #expect(
                        ["EACCES", "EROFS", "ETXTBSY", "EPERM", "ENOENT"].contains(line.split(separator: " ")[1]),
                        "\(line)")
                }
                // The payload is what the first program of the session is: not carrel itself, and not an interpreter of it.
                let own = desk.run([], ["/proc/self/exe", "--version"])
                #expect(own.status == 126 || own.status == 127 || own.status == 125, "\(own)")
                let script = try desk.write("#!/proc/self/exe\n", to: "work/run", mode: 0o755)
                let loop = desk.run(["--workdir", (script as NSString).deletingLastPathComponent], ["/workspace/run"])
                #expect(loop.status != 0)
            }
            #expect(Host.outside("sha256sum '\(Host.carrel)'").output == digest)
        }

        /// The same where it counts most: the program belongs to the user that the session maps to, and a process of the
        /// session waits for one that has it open.
        @Test(.enabled(if: Host.isRoot, "starts it as another user"))
        func cve2019_5736_aUsersOwnProgramCannotBeWritten() throws {
            try withDesk(ordinary: true) { desk in
                let place = try desk.directory("bin")
                Host.outside(
                    """
                    cp "$(dirname '\(Host.carrel)')"/carrel* '\(place)'/ && cp -r '\(Host.repository)/Profiles' '\(desk.path)/' \
                    && chown -R \(Host.ordinaryID):\(Host.ordinaryID) '\(place)' '\(desk.path)/Profiles'
                    """)
                let digest = Host.outside("sha256sum '\(place)'/*").output
                let work = try desk.directory("work")
                try desk.write("#!/proc/self/exe\n", to: "work/run", mode: 0o755)
                let watcher =
                    Desk.prelude + """
                        import time
                        held = {}
                        open('up', 'w').close()
                        while not os.path.exists('stop'):
                            for pid in os.listdir('/proc'):
                                if not pid.isdigit() or int(pid) == os.getpid(): continue
                                try: program = os.readlink(f'/proc/{pid}/exe')
                                except OSError: continue
                                if 'carrel' in program and program not in held:
                                    try: held[program] = os.open(f'/proc/{pid}/exe', os.O_RDONLY)
                                    except OSError: pass
                        time.sleep(0.5)
                        for program, file in held.items():
                            print(program, attempt(os.open, f'/proc/self/fd/{file}', os.O_WRONLY | os.O_APPEND), flush=True)
                        """
                let mine = try desk.profile("mine", "exec:\n  from: [workdir]")
                let started = desk.around(
                    "'\(place)/carrel' run --detach --session watch --profile '\(mine)' --workdir '\(work)' -- \(Host.python) -c \"$ATTACK\"",
                    adding: ["ATTACK": watcher])
                try #require(started.status == 0, "\(started)")
                try #require(eventually { FileManager.default.fileExists(atPath: work + "/up") })
                for program in ["/workspace/run", "/proc/self/exe", "/proc/thread-self/exe"] {
                    for _ in 0..<5 {
                        let ran = desk.around("'\(place)/carrel' exec watch -- \(program) --version")
                        #expect(ran.status != 0 && !ran.output.contains("carrel"), "\(program): \(ran)")
                    }
                }
                try desk.write("", to: "work/stop")
                #expect(desk.carrel(["wait", "watch"]).status == 0)
                #expect(
                    !desk.carrel(["logs", "watch"]).lines.contains { Int($0.split(separator: " ").last ?? "") != nil })
                #expect(Host.outside("sha256sum '\(place)'/*").output == digest)
            }
        }

        /// CVE-2016-9962: a process of the runtime that the session can look into while it joins.
        @Test func cve2016_9962_initAndExecAreNotDumpable() throws {
            try withDesk { desk in
                let session = try desk.detached(
                    [],
                    """
                    while :; do for p in /proc/[0-9]*; do
                        case $(cat $p/comm 2>/dev/null) in carrel*) ;; *) continue;; esac
                        seen=$(grep -ao "exec.$CARREL_SESSION" $p/cmdline 2>/dev/null; ls $p/cwd/ $p/root/ 2>/dev/null; readlink $p/exe; cat $p/environ 2>/dev/null)
                        # It may have become its program meanwhile, which can be looked at.
                        case $(cat $p/comm 2>/dev/null) in carrel*) [ -z "$seen" ] || echo "$seen";; esac
                    done; done
                    """, session: "spy")
                for _ in 0..<20 { #expect(desk.carrel(["exec", session, "--", "true"]).status == 0) }
                #expect(desk.carrel(["logs", session]).output == "", "it saw something of carrel's")
                desk.carrel(["kill", session, "--signal", "KILL"])
                let first = desk.python(
                    [],
                    "for f in ('environ', 'maps', 'mem', 'auxv', 'stack'): print(attempt(lambda: len(open('/proc/1/' + f, 'rb').read(1))))"
                )
                #expect(first.lines.allSatisfy { ["EACCES", "EPERM", "ENOENT"].contains($0) }, "\(first)")
                #expect(desk.python([], "print(call(101, 16, 1, 0, 0))").output == "EPERM")
            }
        }

        /// Not for an instant either: an execve(2) makes a process dumpable again (PR_SET_DUMPABLE(2const)), and what then keeps
        /// a session from PID 1 is its Landlock domain.
        @Test func cve2016_9962_initCanNeverBeTraced() throws {
            try withDesk { desk in
                let program = """
                    import time
                    seen, end = set(), time.time() + 1.5
                    while time.time() < end:
                        for name in ('exe', 'environ', 'mem', 'maps', 'cwd', 'fd/0'):
                            try: seen.add(name + ' ' + (str(os.open('/proc/1/' + name, os.O_RDONLY)) and 'opened'))
                            except OSError: pass
                        if call(101, 16, 1, 0, 0) == 0: seen.add('traced'); call(101, 17, 1, 0, 0)
                    print(*seen)
                    """
                for _ in 0..<4 {
                    let inside = desk.python([], program)
                    #expect(inside.status == 0 && inside.output == "", "\(inside)")
                }
            }
        }

        /// CVE-2022-27650, CVE-2022-29162: capabilities in the inheritable set, found again by a file that has some.
        @Test(arguments: ["run", "exec"]) func cve2022_27650_nothingIsInheritable(verb: String) throws {
            try withDesk { desk in
                let read = ["grep", "CapInh", "/proc/self/status"]
                if verb == "run" { return #expect(desk.run([], read).output.hasSuffix("0000000000000000")) }
                let session = try desk.detached(session: "inheritable")
                #expect(desk.carrel(["exec", session, "--"] + read).output.hasSuffix("0000000000000000"))
                desk.carrel(["kill", session, "--signal", "KILL"])
            }
        }

        /// CVE-2022-0492, CVE-2023-25809: the host's cgroups by way of release_agent or a writable mount.
        @Test func cve2022_0492_cgroupsAreOutOfReach() throws {
            try withDesk { desk in
                let inside = desk.python(
                    [],
                    """
                    print(open('/proc/self/cgroup').read().count('..'))
                    print(all(line.rstrip().endswith(':/') for line in open('/proc/self/cgroup')))
                    print(' - cgroup' in open('/proc/self/mountinfo').read())
                    print(call(272, 0x10000000), call(272, 0x02000000), call(165, b'cgroup', b'/tmp', b'cgroup', 0, b'memory'))
                    """)
                #expect(inside.lines == ["0", "True", "False", "EPERM EPERM EPERM"], "\(inside)")
            }
        }

        @Test func theOwnerOfStdioIsNotChanged() throws {
            try withDesk { desk in
                let before = Host.outside("stat -c '%u %g %a' /dev/null").output
                let inside = desk.around("\"$CARREL\" run -- true </dev/null >/dev/null 2>/dev/null")
                #expect(inside.status == 0)
                #expect(Host.outside("stat -c '%u %g %a' /dev/null").output == before)
            }
        }

        @Test func stdioIsTheCallersOwn() throws {
            try withDesk { desk in
                let copied = desk.run([], ["sh", "-c", "cat; echo err >&2; exit 3"], stdin: "through")
                #expect(copied.output == "through" && copied.errors == "err" && copied.status == 3, "\(copied)")
                // The very pipe, and not a copy: its other end closes with the session.
                let piped = desk.around("head -c 10000000 /dev/zero | \"$CARREL\" run -- cat | wc -c")
                #expect(piped.output == "10000000", "\(piped)")
            }
        }

        /// A poisoned PATH, and variables that load code into a program which runs with more rights.
        @Test func theCallersEnvironmentLoadsNothing() throws {
            try withDesk(ordinary: Host.isRoot) { desk in
                let trap = try desk.directory("trap")
                for name in ["sh", "newuidmap", "newgidmap", "id", "mount", "carrel-init"] {
                    try desk.write(
                        "#!/bin/sh\necho \(name) >> '\(trap)/sprung'\nexit 1\n", to: "trap/\(name)", mode: 0o755)
                }
                desk.environment = [
                    "PATH": "\(trap):/usr/bin:/bin", "LD_PRELOAD": "\(trap)/none.so", "GLIBC_TUNABLES": "x",
                    "GCONV_PATH": trap,
                ]
                let inside = desk.run([], ["/bin/sh", "-c", "echo in; id -u"])
                #expect(inside.lines == ["in", "1000"], "\(inside)")
                #expect(desk.read("trap/sprung") == "")
            }
        }

        @Test func wordsThatMeanNothingAreErrors() throws {
            try withDesk { desk in
                let wrong = [
                    ["--no-such-option"], ["--memory", "lots"], ["--memory", "-1"], ["--memory", "1TBB"],
                    ["--timeout", "soon"],
                    ["--pids", "0"], ["--pids", "many"], ["--env", "=x"], ["--pass-fd", "x"], ["--pass-fd", "777"],
                    ["--memory"], ["--cpus", "-2"], ["--network", "host"], ["--seccomp", "nosuch"],
                    ["--profile", "nosuch"],
                ]
                for options in wrong {
                    let inside = desk.run(options, ["echo", "started"])
                    #expect(
                        inside.status == 125 && inside.output.isEmpty && !inside.errors.isEmpty, "\(options): \(inside)"
                    )
                }
            }
        }
    }
}
