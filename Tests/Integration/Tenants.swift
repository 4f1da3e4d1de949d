import Foundation
import Testing

extension Integration {
    /// Part 3: what belongs to a tenant is nobody else's.
    @Suite struct Tenants {
        /// A profile with a config directory, which `default` need not have.
        static func configured(_ desk: Desk) throws -> [String] {
            ["--profile", try desk.profile("kept", "config:\n  target: /config\n  variable: AGENT_CONFIG")]
        }

        @Test func theConfigDirectoryIsTheTenantsAndStays() throws {
            try withDesk { desk in
                let options = try Self.configured(desk)
                #expect(desk.sh(options + ["--tenant", "acme"], "echo mine > $AGENT_CONFIG/memory").status == 0)
                #expect(desk.sh(options + ["--tenant", "acme"], "cat /config/memory").output == "mine")
                let other = desk.sh(
                    options + ["--tenant", "globex"], "ls -A /config; grep -r mine / --include memory 2>/dev/null; true"
                )
                #expect(other.status == 0 && other.output == "", "\(other)")
                #expect(desk.read("state/tenants/acme/config/memory") == "mine\n")
            }
        }

        @Test func theWorkdirKeepsItsOwner() throws {
            try withDesk(ordinary: false) { desk in
                let work = try desk.directory("work")
                if Host.isRoot { Host.outside("chown \(Host.ordinaryID):\(Host.ordinaryID) '\(work)'") }
                try desk.write("theirs", to: "work/given")
                if Host.isRoot { Host.outside("chown \(Host.ordinaryID):\(Host.ordinaryID) '\(work)/given'") }
                let inside = desk.sh(
                    ["--workdir", work],
                    "pwd; stat -c %u . given; mkdir d; echo x > d/made; cat given; echo more >> given")
                #expect(inside.lines == ["/workspace", "1000", "1000", "theirs"], "\(inside)")
                let owner = Host.isRoot ? Host.ordinaryID : geteuid()
                #expect(
                    Host.outside("stat -c %u '\(work)'/d '\(work)'/d/made '\(work)'/given").lines
                        == Array(repeating: "\(owner)", count: 3))
                #expect(desk.read("work/given") == "theirsmore\n")
            }
        }

        @Test(.enabled(if: Host.isRoot, "files of several owners need root"))
        func whatTheWorkdirsOwnerMayNotTheSessionMayNot() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                Host.outside("chown \(Host.ordinaryID) '\(work)'")
                try desk.write("root's", to: "work/secret", mode: 0o600)
                let inside = desk.python(
                    ["--workdir", work], "print(attempt(os.open, 'secret', os.O_RDONLY), os.stat('secret').st_uid)")
                #expect(inside.output == "EACCES 65534", "\(inside)")
            }
        }

        @Test(arguments: ["", ".", "..", "../x", "a/b", "-x", "a b", "é", String(repeating: "x", count: 65)])
        func namesAreChecked(name: String) throws {
            try withDesk { desk in
                for option in ["--tenant", "--session"] {
                    let inside = desk.carrel(["run", "\(option)=\(name)", "--", "echo", "started"])
                    #expect(
                        inside.status == 125 && inside.output.isEmpty && !inside.errors.isEmpty,
                        "\(option) \(name): \(inside)")
                }
            }
        }

        @Test func theWorkdirMustBeADirectory() throws {
            try withDesk { desk in
                let file = try desk.write("x", to: "file")
                for workdir in [file, "/nowhere/at/all"] {
                    let inside = desk.sh(["--workdir", workdir], "echo started")
                    #expect(inside.status == 125 && inside.errors.contains(workdir), "\(inside)")
                }
            }
        }

        /// Two sessions alive at once, each looking for what the other has.
        @Test func twoTenantsSeeNothingOfEachOther() throws {
            let hold =
                Desk.prelude + """
                    s = socket.socket(socket.AF_UNIX); s.bind('\\0secret-of-acme'); s.listen(1)
                    shm = libc.shmget(0x5eed, 4096, 0o1666)
                    queue = libc.msgget(0x5eed, 0o1666)
                    open('/dev/shm/secret-of-acme', 'w').write('x'); open('/tmp/secret-of-acme', 'w').write('x')
                    assert shm >= 0 and queue >= 0
                    open('up', 'w').write('x')
                    import time; time.sleep(600)
                    """
            let look = """
                s = socket.socket(socket.AF_UNIX)
                print(attempt(lambda: s.connect('\\0secret-of-acme') or 'connected'))
                print(libc.shmget(0x5eed, 0, 0), libc.msgget(0x5eed, 0))
                print(os.path.exists('/dev/shm/secret-of-acme'), os.path.exists('/tmp/secret-of-acme'))
                print(any(bytes('secret-of-', 'ascii') + b'acme' in open(f'/proc/{p}/cmdline', 'rb').read() for p in os.listdir('/proc') if p.isdigit() and int(p) != os.getpid()))
                """
            try withDesk { desk in
                let work = try desk.directory("acme")
                let started = desk.run(
                    ["--detach", "--session", "a", "--tenant", "acme", "--workdir", work], [Host.python, "-c", hold])
                try #require(started.status == 0, "\(started)")
                try #require(
                    eventually { FileManager.default.fileExists(atPath: work + "/up") }, "\(desk.carrel(["logs", "a"]))"
                )
                let other = desk.python(["--tenant", "globex"], look)
                #expect(other.lines == ["ECONNREFUSED", "-1 -1", "False False", "False"], "\(other)")
                #expect(desk.carrel(["kill", "a", "--signal", "KILL"]).status == 0)
            }
        }

        @Test func keyringsAreTheSessionsOwn() throws {
            // A key in the caller's session keyring, which a session must not be able to name.
            let script = """
                \(Host.python) -c '
                import ctypes, os, sys
                libc = ctypes.CDLL(None)
                libc.syscall(250, 1, None)                                     # keyctl(KEYCTL_JOIN_SESSION_KEYRING)
                assert libc.syscall(248, b"user", b"secret-of-caller", b"x", 1, -3) > 0      # add_key
                assert b"secret-of-caller" in open("/proc/keys", "rb").read()
                os.execv(sys.argv[1], sys.argv[1:])
                ' "$CARREL" run -- \(Host.python) -c '
                import ctypes
                libc = ctypes.CDLL(None)
                print(libc.syscall(249, b"user", b"secret-of-caller", None, 0))   # request_key
                print(b"secret-of-caller" in open("/proc/keys", "rb").read())
                '
                """
            try withDesk { desk in
                let inside = desk.around(script)
                #expect(inside.lines.first == "-1" && inside.lines.last != "True", "\(inside)")
            }
        }
    }
}
