import Documents
import Foundation
import Testing

/// A recording, as the tests look at it.
struct Recorded {
    let document: Node

    init(_ desk: Desk, _ name: String) throws { document = try desk.json(name) }

    private var calls: [Node] { document["calls"]?.elements ?? [] }

    func call(_ name: String) -> Node? { calls.first { $0["name"]?.string == name } }
    func allowed(_ name: String) -> Int64 { call(name)?["allowed"]?.int ?? 0 }
    func denied(_ name: String) -> Int64 {
        (call(name)?["denied"]?.elements ?? []).reduce(0) { $0 + ($1["count"]?.int ?? 0) }
    }

    /// All calls, with what the filter made of them and which arguments were seen.
    var set: Set<String> {
        var found: Set<String> = []
        for call in calls {
            let name = call["name"]?.string ?? ""
            if call["allowed"]?.int ?? 0 > 0 { found.insert(name) }
            for denial in call["denied"]?.elements ?? [] { found.insert("\(name)=\(denial["errno"]?.int ?? 0)") }
            for seen in call["arguments"]?.elements ?? [] {
                let values = (seen["scalars"]?.elements ?? []).map { String($0["value"]?.uint ?? 0) }
                found.insert("\(name)(\(values.joined(separator: ",")))")
            }
        }
        return found
    }

    /// The names alone, whatever the filter made of them.
    var names: Set<String> { Set(calls.compactMap { $0["name"]?.string }) }
}

extension Integration {
    /// Recording (`carrel seccomp record`): what is seen, by whom, and that nothing is lost.
    @Suite(.enabled(if: Host.isRoot && Host.isX86 && Host.has("gcc"), "needs root, gcc and x86-64"))
    struct SeccompRecording {
        /// A program without a C library: its calls are those of its text.
        private static func compile(_ desk: Desk, _ name: String, _ body: String) throws -> String {
            let work = try desk.directory("work")
            try desk.write(
                """
                #define CALL(n, a, b, c) ({ long r; __asm__ volatile("syscall" : "=a"(r) : "a"((long)(n)), "D"((long)(a)), \
                "S"((long)(b)), "d"((long)(c)) : "rcx", "r11", "memory"); r; })
                void _start(void) { \(body) CALL(60, 0, 0, 0); }
                """, to: "work/\(name).c")
            let built = Host.outside("cd '\(work)' && gcc -O1 -nostdlib -static -o \(name) \(name).c")
            try #require(built.status == 0, "\(built)")
            return work
        }

        /// Pipes and links that an image has in the place of what tells of it make nobody wait, and tell of nothing else.
        @Test(.enabled(if: Host.has("busybox"), "needs busybox-static")) func anImageTellsOfItselfAlone() throws {
            try withDesk { desk in
                let image = try Integration.Root.image(
                    desk,
                    """
                    mkdir -p usr/lib/x86_64-linux-gnu var/lib/dpkg && mkfifo usr/lib/os-release usr/lib/x86_64-linux-gnu/libc.so.6
                    ln -s /usr/lib/os-release etc/os-release; ln -s /var/lib/dpkg/arch-native var/lib/dpkg/status
                    ln -s '\(desk.path)/list' var/lib/dpkg/arch-native
                    """)
                try desk.write("the host's", to: "list")
                let ended = Self.record(desk, "image.rec", "ebpf", ["--image", image], ["/bin/true"], timeout: 20)
                #expect(ended.status == 0, "\(ended)")
                let place = try #require(try desk.json("image.rec")["environments"]?.elements?.first)
                #expect(place["libc"]?.string == "" && place["system"] == nil && place["image"] == nil, "\(place)")
            }
        }

        private static func record(
            _ desk: Desk, _ file: String, _ source: String = "ebpf", _ options: [String] = [], _ command: [String],
            timeout: Double = 120
        ) -> Outcome {
            desk.carrel(
                ["seccomp", "record", "--by", source, "-o", "\(desk.path)/\(file)"] + options + ["--"] + command,
                timeout: timeout)
        }

        @Test(arguments: ["ebpf", "notify"])
        func aProgramsOwnCallsAreRecordedAndNoneOfTheLaunchers(source: String) throws {
            try withDesk { desk in
                // getppid, getuid twice, mount (denied), socket(AF_ALG) (denied), socket(AF_UNIX), exit.
                let work = try Self.compile(
                    desk, "few",
                    """
                    CALL(110, 0, 0, 0); CALL(102, 0, 0, 0); CALL(102, 0, 0, 0); CALL(165, 0, 0, 0); CALL(41, 38, 5, 0); \
                    CALL(41, 1, 0x80001, 0);
                    """)
                let ended = Self.record(
                    desk, "few.rec", source, ["-P", "claude-code", "--network", "none", "-w", work], ["/workspace/few"])
                #expect(ended.status == 0, "\(ended)")
                let recorded = try Recorded(desk, "few.rec")
                #expect(
                    recorded.set == [
                        "execve", "getppid", "getuid", "mount=1", "socket=1", "socket(38,5,0)", "socket",
                        "socket(1,1,0)",
                        "exit",
                    ])
                #expect(recorded.allowed("getuid") == 2 && recorded.allowed("execve") == 1)
                let document = recorded.document
                #expect(document["source"]?.string == source && document["lost"]?.int == 0)
                let programs = try #require(document["executables"]?.elements)
                #expect(programs.map { $0["path"]?.string } == ["/workspace/few"])
                let id = Host.outside("readelf -n '\(work)/few' | sed -n 's/.*Build ID: /build-id:/p'").output
                #expect(programs[0]["identity"]?.string == id && id.count > 30)
                let place = try #require(document["environments"]?.elements?.first)
                #expect(place["kernel"]?.string == Host.outside("uname -r").output)
                #expect(place["architecture"]?.string == "x86_64")
                let libc = Host.outside("ldd --version | sed -n '1s/.* //p'").output
                #expect(place["libc"]?.string == "glibc \(libc)")
                #expect(place["system"]?.string == Host.outside(". /etc/os-release; echo $ID $VERSION_ID").output)
                let packages = Host.outside("cat /usr/lib/os-release /var/lib/dpkg/status | sha256sum | cut -d' ' -f1")
                #expect(place["image"]?.string == "packages:sha256:" + packages.output)
            }
        }

        /// A filter like agent-default that lets strace work.
        private static func tracing(_ desk: Desk) throws -> String {
            let filter = desk.path + "/tracing.json"
            let made = desk.carrel(["seccomp", "allow", "agent-default", "ptrace", "-o", filter])
            try #require(made.status == 0 && made.errors.contains("ptrace: risk medium"), "\(made)")
            return filter
        }

        /// The calls in a log of strace.
        private static func names(_ desk: Desk, inLog log: String) throws -> Set<String> {
            let read = desk.carrel(["seccomp", "merge", log, "-o", desk.path + "/log.rec"])
            try #require(read.status == 0, "\(read)")
            return try Recorded(desk, "log.rec").names
        }

        static let workloads: [(String, String)] = [
            ("git", "cd /tmp && git init -q x && cd x && git status --short"),
            ("python3", "python3 -m pip --version"),
            ("gcc", "cd /tmp && echo 'int main(){return 0;}' > x.c && gcc -o x x.c"),
            ("perl", "perl -e 'use Socket; socket(S, AF_INET, SOCK_STREAM, 0); mkdir q(/tmp/y); chroot q(/tmp/y)'"),
        ]

        /// The same run seen in three ways: by eBPF, by a listener, and by strace inside.
        @Test(arguments: workloads)
        func eBPFAndListenerAndStraceSeeTheSameCalls(name: String, script: String) throws {
            guard Host.has(name), Host.has("strace") else { return }
            try withDesk { desk in
                let work = try desk.directory("work")
                let options = [
                    "-P", "claude-code", "--network", "none", "-w", work, "--seccomp", try Self.tracing(desk),
                ]
                // A signal at another moment makes another call of one run: what differs three times differs.
                var different = ""
                for _ in 0..<3 {
                    different = try Self.differences(desk, work, options, script)
                    if different.isEmpty { return }
                }
                Issue.record("\(different)")
            }
        }

        /// What two recordings and a log of strace of three runs do not have in common.
        private static func differences(
            _ desk: Desk, _ work: String, _ options: [String], _ script: String
        ) throws -> String {
            let one = record(desk, "a.rec", "ebpf", options, ["sh", "-c", script])
            let two = record(desk, "b.rec", "notify", options, ["sh", "-c", script])
            let traced = desk.run(
                options, ["strace", "-f", "-o", "/workspace/trace", "sh", "-c", script], timeout: 120)
            try #require(one.status == two.status && two.status == traced.status, "\(one) \(two) \(traced)")
            let (byKernel, byListener) = (try Recorded(desk, "a.rec"), try Recorded(desk, "b.rec"))
            // strace's own exec of the shell is its first line.
            let seen = try names(desk, inLog: work + "/trace")
            try #require(seen.count > 10)
            return byKernel.set.symmetricDifference(byListener.set).union(byKernel.names.symmetricDifference(seen))
                .sorted().joined(separator: " ")
        }

        /// What programs with many threads call is not the same in two runs, so one is seen twice: by eBPF from outside, and by
        /// strace inside. What strace does not have are its own calls.
        private static func expectEqualInOneRun(
            _ desk: Desk, _ work: String, _ options: [String], _ command: [String], timeout: Double = 120
        ) throws -> Outcome {
            let options = options + ["-w", work, "--seccomp", try tracing(desk)]
            let strace = ["strace", "-f", "-o", "/workspace/trace"]
            let ended = record(desk, "one.rec", "ebpf", options, strace + command, timeout: timeout)
            try #require(ended.status == 0, "\(ended)")
            let (all, seen) = (try Recorded(desk, "one.rec"), try names(desk, inLog: work + "/trace"))
            let alone = record(desk, "own.rec", "ebpf", options, strace + ["sh", "-c", "true & kill -0 $$; wait"])
            try #require(alone.status == 0, "\(alone)")
            #expect(all.document["lost"]?.int == 0 && seen.count > 30)
            #expect(seen.subtracting(all.names).isEmpty)
            // In a long run strace's memory grows, and it asks for attributes of the programs that it follows. The child that it
            // tries PTRACE_SEIZE on is ended before it comes to pause(2), or after.
            let own = try Recorded(desk, "own.rec").names.union([
                "brk", "mmap", "munmap", "mremap", "getxattr", "pause",
            ])
            let others = all.names.subtracting(seen).subtracting(own)
            #expect(others.isEmpty, "\(others)")
            return ended
        }

        @Test(.enabled(if: Host.has("node") && Host.has("strace"), "needs node and strace"))
        func eBPFAndStraceSeeTheSameCallsOfNode() throws {
            try withDesk { desk in
                let script = "require('fs').readdirSync('/usr'); require('child_process').execSync('true')"
                _ = try Self.expectEqualInOneRun(
                    desk, try desk.directory("work"), ["-P", "claude-code", "--network", "none"],
                    ["node", "-e", script])
            }
        }

        @Test(.enabled(if: Host.claude != nil && Host.has("strace"), "needs the CLI and strace"))
        func eBPFAndStraceSeeTheSameCallsOfAWholeTurnOfTheRealCLI() throws {
            try withDesk { desk in
                let office = try Claude.Office(desk)
                defer { office.close() }
                let options =
                    ["--profile", office.profile, "--tenant", "acme", "--env", "ANTHROPIC_API_KEY=key-acme"] + [
                        "--env", "ANTHROPIC_UNIX_SOCKET=/workspace/api.sock", "--env",
                        "ANTHROPIC_BASE_URL=http://localhost",
                    ]
                let ended = try Self.expectEqualInOneRun(
                    desk, desk.path + "/work-acme", options, ["/opt/claude/claude"] + Claude.turn, timeout: 300)
                #expect(ended.output == "Done: fixed.txt made by key-acme.", "\(ended)")
            }
        }

        @Test func deniedCallsAreCountedOneByOne() throws {
            try withDesk { desk in
                let work = try Self.compile(
                    desk, "thousand", "for (int i = 0; i < 1000; i++) CALL(165, 0, 0, 0); CALL(999, 0, 0, 0);")
                for source in ["ebpf", "notify"] {
                    let options = ["-P", "claude-code", "--network", "none", "-w", work]
                    let ended = Self.record(desk, "t.rec", source, options, ["/workspace/thousand"])
                    #expect(ended.status == 0, "\(ended)")
                    let recorded = try Recorded(desk, "t.rec")
                    #expect(recorded.denied("mount") == 1000 && recorded.allowed("mount") == 0)
                    #expect(recorded.denied("syscall_999") == 1)
                }
            }
        }

        @Test func aHundredSessionsAtOnceLoseNothing() throws {
            try withDesk { desk in
                // The processes begin when all are there, so that they overlap.
                let work = try Self.compile(
                    desk, "many",
                    "while (CALL(21, \"/workspace/go\", 0, 0) < 0) CALL(24, 0, 0, 0); "
                        + "for (int i = 0; i < 20000; i++) CALL(110, 0, 0, 0); for (int i = 0; i < 50; i++) CALL(165, 0, 0, 0);"
                )
                try desk.write("version: 1\nadmission: false\n", to: "state/host.yaml", mode: 0o600)
                let script = """
                    for i in $(seq 100); do
                        "$CARREL" seccomp record --by ebpf -o '\(desk.path)/'$i.rec -P claude-code --network none -w '\(work)' --cpus 2 -- \
                            /workspace/many & jobs="$jobs $!"
                    done
                    sleep 3; touch '\(work)/go'
                    for job in $jobs; do wait $job || echo failed $job; done
                    """
                let ended = desk.around(script, timeout: 240)
                #expect(ended.status == 0 && ended.output == "", "\(ended)")
                for number in 1...100 {
                    let recorded = try Recorded(desk, "\(number).rec")
                    #expect(recorded.allowed("getppid") == 20000 && recorded.denied("mount") == 50)
                    #expect(recorded.document["lost"]?.int == 0)
                    // Those that came late did not have to wait.
                    #expect(
                        recorded.names.subtracting(["sched_yield"])
                            == ["access", "execve", "exit", "getppid", "mount"])
                }
            }
        }

        @Test func argumentsWithoutRoomAreToldAndFailTheCommand() throws {
            try withDesk { desk in
                let work = try Self.compile(
                    desk, "wide", "for (int i = 0; i < 20000; i++) CALL(16, 0, 0x100000 + i, 0);")
                let ended = Self.record(
                    desk, "w.rec", "ebpf", ["-P", "claude-code", "--network", "none", "-w", work], ["/workspace/wide"])
                #expect(ended.status == 125 && ended.errors.contains("too many different ones"), "\(ended)")
                let recorded = try Recorded(desk, "w.rec")
                #expect(recorded.allowed("ioctl") == 20000)
                #expect(recorded.call("ioctl")?["unlisted"]?.int ?? 0 > 3000)
            }
        }

        @Test func aListenerAboveTheSessionIsTold() throws {
            try withDesk { desk in
                let under = [Host.python, Host.fixtures + "/under_a_listener.py", "$CARREL"]
                func run(_ source: String) -> Outcome {
                    desk.around(
                        under.joined(separator: " ")
                            + " seccomp record --by \(source) -o '\(desk.path)/x.rec' -- /usr/bin/true")
                }
                let refused = run("notify")
                #expect(refused.status == 125 && refused.errors.contains("has one already"), "\(refused)")
                #expect(!FileManager.default.fileExists(atPath: desk.path + "/x.rec"))
                let recorded = run("ebpf")
                #expect(recorded.status == 0, "\(recorded)")
            }
        }

        @Test func anOrdinaryUserRecordsByAListener() throws {
            try withDesk(ordinary: true) { desk in
                let ended = desk.carrel(["seccomp", "record", "-o", desk.path + "/o.rec", "--", "/usr/bin/true"])
                guard ended.status == 0 else {
                    // Some hosts give ordinary users no sessions at all.
                    #expect(desk.run([], ["/usr/bin/true"]).status != 0, "\(ended)")
                    return
                }
                let recorded = try Recorded(desk, "o.rec")
                #expect(recorded.document["source"]?.string == "notify" && recorded.allowed("execve") == 1)
                let refused = desk.carrel(
                    ["seccomp", "record", "--by", "ebpf", "-o", desk.path + "/p.rec", "--", "/usr/bin/true"])
                #expect(refused.status == 125 && refused.errors.contains("CAP_BPF"), "\(refused)")
            }
        }

        @Test func noOtherProgramEntersARecordedSession() throws {
            try withDesk { desk in
                let recording = desk.start(carrel: [
                    "seccomp", "record", "-o", desk.path + "/r.rec", "--session", "rec", "--", "sleep", "600",
                ])
                try #require(eventually { desk.carrel(["ps", "--names"]).output == "rec" })
                let refused = desk.carrel(["exec", "rec", "--", "true"])
                #expect(refused.status == 125 && refused.errors.contains("being recorded"), "\(refused)")
                desk.carrel(["kill", "rec"])
                let ended = recording.finish(within: 20)
                #expect(ended.status == 137, "\(ended)")
                #expect(try Recorded(desk, "r.rec").names.contains("clock_nanosleep"))
            }
        }

        @Test func theStatusIsTheProgramsAndBadUseIsRefused() throws {
            try withDesk { desk in
                let ended = Self.record(desk, "s.rec", "ebpf", [], ["sh", "-c", "exit 7"])
                #expect(ended.status == 7, "\(ended)")
                for arguments in [
                    ["seccomp", "record", "--", "true"], ["seccomp", "record", "-o", "/none/x.rec", "--", "true"],
                    ["seccomp", "record", "-o", desk.path + "/x.rec", "--by", "guess", "--", "true"],
                    ["seccomp", "record", "-o", desk.path + "/x.rec", "--", "/none/such"],
                ] {
                    let refused = desk.carrel(arguments)
                    #expect(refused.status >= 125 && refused.status <= 127 && !refused.errors.isEmpty, "\(refused)")
                }
                #expect(!FileManager.default.fileExists(atPath: desk.path + "/x.rec"))
            }
        }
    }
}
