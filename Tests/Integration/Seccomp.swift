import Foundation
import Testing

extension Integration {
    /// Part 7: calls from inside.
    @Suite(.enabled(if: Host.isX86, "the numbers are those of x86-64")) struct Seccomp {
        /// Calls that answer EPERM inside whatever their arguments are, with arguments that do no harm outside: there each
        /// fails in another way.
        static let forbidden: [(String, String)] = [
            ("mount", "165, 0, 0, 0, 0, 0"), ("umount2", "166, 0, 0"), ("pivot_root", "155, 0, 0"),
            ("chroot", "161, b'/none'"),
            ("fsopen", "430, 0, 0"), ("fsmount", "432, -1, 0, 0"), ("open_tree", "428, -1, 0, 0"),
            ("move_mount", "429, -1, 0, -1, 0, 0"),
            ("mount_setattr", "442, -1, 0, 0, 0, 0"), ("setns", "308, -1, 0"),
            ("bpf", "321, 9999, 0, 0"), ("perf_event_open", "298, 0, 0, 0, 0, 0"), ("userfaultfd", "323, 0xffff"),
            ("io_uring_setup", "425, 0, 0"), ("io_uring_enter", "426, -1, 0, 0, 0, 0, 0"),
            ("io_uring_register", "427, -1, 0, 0, 0"),
            ("keyctl", "250, 9999, 0, 0, 0, 0"), ("add_key", "248, 0, 0, 0, 0, 0"), ("request_key", "249, 0, 0, 0, 0"),
            ("kcmp", "312, -1, -1, 0, 0, 0"), ("pidfd_getfd", "438, -1, 0, 0"),
            ("open_by_handle_at", "304, -1, 0, 0"), ("name_to_handle_at", "303, -1, 0, 0, 0, 0"),
            ("init_module", "175, 0, 0, 0"), ("delete_module", "176, 0, 0"), ("kexec_load", "246, 0, 0, 0, 0xff"),
            ("swapon", "167, 0, 0"), ("acct", "163, b'/none'"), ("syslog", "103, 99, 0, 0"), ("iopl", "172, 9"),
            ("clock_settime", "227, -1, 0"), ("sethostname", "170, 0, -1"), ("quotactl", "179, -1, 0, 0, 0"),
            ("fanotify_init", "300, -1, 0"),
            ("ioperm", "173, 0xffff, 0xffff, 1"),
        ]

        @Test func knownForbiddenCallsAnswerEPERM() throws {
            let program = Self.forbidden.map { "print('\($0.0)', call(\($0.1)))" }.joined(separator: "\n")
            try withDesk { desk in
                let inside = desk.python([], program)
                let outside = desk.pythonOutside(program)
                #expect(inside.lines == Self.forbidden.map { $0.0 + " EPERM" }, "\(inside)")
                if Host.isRoot { #expect(!outside.output.contains("EPERM"), "\(outside)") }
                #expect(outside.lines.count == Self.forbidden.count)
            }
        }

        /// Those that the host has set aside are charged to no session's memory, whatever its limit.
        @Test func hugePagesAreRefused() throws {
            let huge = "print(call(9, 0, 2 << 20, 3, 0x44022, -1, 0), call(319, b'x', 4), call(29, 0, 4096, 0o5600))"
            let usual = "print(call(9, 0, 2 << 20, 3, 0x4022, -1, 0), call(319, b'x', 0), call(29, 0, 4096, 0o1600))"
            try withDesk { desk in
                let inside = desk.python([], huge + "\n" + usual)
                #expect(inside.lines.first == "ENOMEM ENOMEM ENOMEM", "\(inside)")
                #expect(inside.lines.last?.contains("E") == false, "\(inside)")
                // A kernel that has such pages gives at least the promise of one.
                if FileManager.default.fileExists(atPath: "/sys/kernel/mm/hugepages") {
                    let calls = "call(9, 0, 2 << 20, 3, 0x44022, -1, 0), call(319, b'x', 4)"
                    let outside = desk.pythonOutside("print(\(calls))")
                    #expect(!outside.output.contains("E"), "\(outside)")
                }
            }
        }

        /// A limit of zero does not hold where core_pattern names a program, which the kernel then starts as the host's root (core(5)).
        @Test(arguments: ["agent-default", "claude-code", "node", "python"])
        func theLimitOfCoreDumpsStays(filter: String) throws {
            try withDesk { desk in
                let inside = desk.python(
                    ["--seccomp", filter],
                    """
                    import resource
                    for limit in [(0, 1), (0, 0)]:
                        resource.setrlimit(4, limit)
                        call(160, 4, struct.pack('QQ', *limit))
                        call(302, os.getpid(), 1 << 32 | 4, struct.pack('QQ', *limit), 0)
                        print(*resource.getrlimit(4), *resource.prlimit(0, 4))
                    resource.setrlimit(7, (50, 60))
                    print(*resource.getrlimit(7))
                    """)
                #expect(inside.lines == ["1 1 1 1", "1 1 1 1", "50 60"], "\(inside)")
            }
        }

        @Test func unknownCallsAnswerENOSYS() throws {
            try withDesk { desk in
                let inside = desk.python([], "print(call(999), call(435, 0, 0), call(400), call(100000))")
                #expect(inside.output == "ENOSYS ENOSYS ENOSYS ENOSYS", "\(inside)")
            }
        }

        @Test(arguments: [
            0x1000_0000, 0x0002_0000, 0x2000_0000, 0x4000_0000, 0x0800_0000, 0x0400_0000, 0x0200_0000, 0x80,
        ])
        func newNamespacesAreRefused(flag: Int) throws {
            try withDesk { desk in
                // unshare(2), and clone(2) as fork with the flag.
                let clone = flag == 0x80 ? "" : "; print(call(56, \(flag) | 17, 0, 0, 0, 0))"
                let inside = desk.python([], "print(call(272, \(flag)))\(clone)")
                #expect(!inside.lines.isEmpty && inside.lines.allSatisfy { $0 == "EPERM" }, "\(inside)")
            }
        }

        /// The kernel hands a filter 64 bits of an `int`, and looks at 32 itself.
        @Test func intArgumentsAreComparedAt32Bits() throws {
            try withDesk { desk in
                let program = """
                    high = 1 << 32
                    print(call(41, high | 40, 1, 0), call(41, 40, 1, 0))              # AF_VSOCK
                    print(call(41, high | 38, 5, 0), call(41, high | 17, 3, 0))       # AF_ALG, AF_PACKET
                    print(call(16, 0, high | 0x5412, b'x'), call(16, 0, high | 0x541c, b'x'))
                    print(call(56, high | 0x10000011, 0, 0, 0, 0))
                    """
                let inside = desk.python([], program)
                let words = inside.output.split(whereSeparator: \.isWhitespace)
                #expect(words.count == 7 && words.allSatisfy { $0 == "EPERM" }, "\(inside)")
                if Host.isRoot {
                    let outside = desk.pythonOutside("print(call(41, (1 << 32) | 17, 3, 0))").output
                    #expect(Int(outside) != nil, "the high half is not ignored outside: \(outside)")
                }
            }
        }

        @Test(arguments: [
            (17, 3), (38, 5), (40, 1), (16, 3), (29, 3), (31, 3), (4, 2), (9, 5), (44, 3), (2, 3), (10, 3), (16, 1),
        ])
        func socketsOfOtherKindsAreRefused(family: Int, kind: Int) throws {
            try withDesk { desk in
                let protocolNumber = family == 16 && kind == 3 ? 15 : family == 2 || family == 10 ? 255 : 0
                let inside = desk.python(
                    [],
                    "print(call(41, \(family), \(kind), \(protocolNumber)), call(41, 2, 1, 0) != 'EPERM', call(41, 1, 1, 0) != 'EPERM')"
                )
                // A netlink socket of the route family tells a program its own addresses, and stays.
                let expected = family == 16 && kind == 1 ? inside.output : "EPERM True True"
                #expect(inside.output == expected && inside.output.hasSuffix("True True"), "\(inside)")
            }
        }

        /// The x32 call table has the same calls under other numbers, and i386 has other calls under the same.
        @Test func otherCallTablesAreRefused() throws {
            try withDesk { desk in
                for number in [39, 165] {
                    let inside = desk.python([], "print(call(0x40000000 | \(number), 0, 0, 0, 0, 0))")
                    // SIGSYS: a filter can do no more about a call of another table.
                    #expect(inside.output == "ENOSYS" || inside.status == 159, "\(inside)")
                }
                // int $0x80 with getpid's number in eax, in the program's own memory.
                let program = """
                    import mmap
                    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
                    page.write(bytes.fromhex('53b814000000cd805bc3'))
                    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
                    answer = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
                    print('pid' if answer == os.getpid() else answer)
                    """
                let outside = desk.pythonOutside(program)
                try #require(outside.output == "pid" || outside.status == 139, "\(outside)")
                let inside = desk.python([], program)
                #expect(inside.output == "-38" || inside.output == "-1" || inside.status > 128, "\(inside)")
            }
        }

        @Test func anotherFilterCannotLoosenIt() throws {
            try withDesk { desk in
                // A filter of the session's own that allows everything: the stricter answer wins (seccomp(2)).
                let program = """
                    allow = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0x7fff0000))
                    filter = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', 1, ctypes.addressof(allow)))
                    print(call(317, 1, 0, ctypes.byref(filter)), call(165, 0, 0, 0, 0, 0))
                    print(call(317, 1, 8, ctypes.byref(filter)))
                    """
                let inside = desk.python([], program)
                #expect(inside.lines.first == "0 EPERM" && inside.lines.last == "EPERM", "\(inside)")
            }
        }

        @Test(arguments: [
            (
                "python3",
                "python3 -c 'import ssl, sqlite3, subprocess, threading; t = threading.Thread(target=print, args=(1,)); t.start(); t.join()'"
            ),
            (
                "git",
                "cd /tmp && git init -q x && cd x && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m m && git log --oneline | wc -l"
            ),
            (
                "gcc",
                "cd /tmp && echo 'int main(){return 0;}' > x.c && gcc -o /workspace/x x.c && /workspace/x && echo 1"
            ),
            (
                "node",
                "node -e 'require(\"fs\").promises.readFile(\"/etc/passwd\").then(() => new (require(\"worker_threads\").Worker)(\"console.log(1)\", {eval: true}))'"
            ),
            ("perl", "perl -e 'print 1'"), ("make", "printf 'x:\\n\\t@echo 1\\n' > /tmp/m && make -sf /tmp/m"),
            ("bash", "for i in $(seq 50); do (true); done; echo 1"),
        ])
        func programsOfAgentsRun(name: String, script: String) throws {
            guard Host.has(name) else { return }
            try withDesk { desk in
                let work = try desk.directory("work")
                let inside = desk.sh(["--profile", "claude-code", "--network", "none", "--workdir", work], script)
                #expect(inside.status == 0 && inside.output == "1", "\(inside)")
            }
        }
    }
}
