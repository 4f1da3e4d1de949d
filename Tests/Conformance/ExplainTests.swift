import Documents
import Foundation
import Glibc
import Testing

extension Conformance {
    /// `dev.carrel.explain`: what a container's filter refuses, told by an agent of the host.
    @Suite
    struct ExplainTests {
        private static let socket = "/run/carrel/explain.sock"

        /// `carrel seccomp agent`, with a state directory of its own.
        private final class Agent {
            let place: String
            private var pid: pid_t = 0

            /// - Parameter readerGoes: whether nobody reads what it prints.
            init(readerGoes: Bool = false) throws {
                place = makePlace("agent")
                if readerGoes { mkfifo(place + "/out", 0o600) }
                let reader = readerGoes ? open(place + "/out", O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1
                let script = "exec '\(carrelPath)' seccomp agent --json >'\(place)/out' 2>'\(place)/err'"
                pid = try spawn(
                    ["sh", "-c", script], environment: ["CARREL_STATE": place + "/state", "PATH": "/usr/bin:/bin"])
                try wait("no agent: \(read("err"))") { access(socket, F_OK) == 0 }
                if readerGoes { close(reader) }
            }

            deinit {
                end()
                try? FileManager.default.removeItem(atPath: place)
            }

            func read(_ name: String) -> String {
                (try? String(contentsOfFile: "\(place)/\(name)", encoding: .utf8)) ?? ""
            }

            /// What it has told, each as a document.
            func told() throws -> [Node] {
                try read("out").split(separator: "\n").map { try Node.parse(Array($0.utf8), file: "out") }
            }

            @discardableResult
            func end(_ signal: Int32 = SIGTERM) -> Int32 {
                guard pid > 0 else { return 0 }
                var word: Int32 = 0
                kill(pid, signal)
                waitpid(pid, &word, 0)
                pid = 0
                return word
            }
        }

        /// A bundle whose filter refuses two calls, each with an errno of its own.
        private func bundle(_ script: String, explain: String = "true") throws -> Bundle {
            let bundle = try Bundle()
            bundle.spec["annotations"] = ["dev.carrel.explain": explain]
            bundle.change("linux") { linux in
                linux["seccomp"] = [
                    "defaultAction": "SCMP_ACT_ALLOW",
                    "syscalls": [
                        ["names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28],
                        ["names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7],
                    ],
                ]
            }
            bundle.script(script)
            return bundle
        }

        @Test("whoever is neither the agent's user nor root is not heard, whatever the socket's mode")
        func others() throws {
            let agent = try Agent()
            var place = stat()
            stat("/run/carrel", &place)
            chmod("/run/carrel", 0o755)
            defer { chmod("/run/carrel", place.st_mode & 0o7777) }
            chmod(Self.socket, 0o666)
            // Who is heard is waited for.
            let script = """
                import socket, sys
                made = socket.socket(socket.AF_UNIX)
                made.settimeout(float(sys.argv[1]))
                made.connect('\(Self.socket)')
                try: print(made.recv(1))
                except TimeoutError: print('heard')
                """
            #expect(try run(["/usr/bin/python3", "-c", script, "0.2"]).output == "heard\n")
            let other = [
                "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/python3", "-c", script,
                "60",
            ]
            #expect(try run(other).output == "b''\n")
            withExtendedLifetime(agent) {}
        }

        @Test("each kind of refused call is told once, and answered as the filter would have")
        func told() throws {
            let agent = try Agent()
            let bundle = try bundle("mkdir /dev/shm/a; mkdir /dev/shm/a; mkdir /dev/shm/b; ls /dev/shm; echo end")
            let outcome = try bundle.runToEnd()
            #expect(outcome.output == "end\n", "\(outcome)")
            #expect(outcome.errors.components(separatedBy: "No space left on device").count == 4, "\(outcome)")
            try wait { try agent.told().count == 2 }
            let told = try agent.told()
            #expect(told.map { $0["container"]?.string } == ["oci:c", "oci:c"], "\(told.map { $0.json() })")
            #expect(told.map { $0["path"]?.string } == ["/dev/shm/a", "/dev/shm/b"])
            #expect(told.allSatisfy { $0["errno"]?.int == 28 && $0["executable"]?.string == "/bin/busybox" })
            // The change that would allow it is one of the container's own filter.
            #expect(told.first?["patch"]?.json().contains("mkdir") == true)
            #expect(agent.end() == 0)
            #expect(access(Self.socket, F_OK) != 0)
        }

        @Test("containers that are created and started, side by side, are told apart; with the agent go the answers")
        func created() throws {
            let agent = try Agent()
            let bundle = try bundle("while ! mkdir /dev/shm/x 2>/dev/shm/why; do sleep 0.1; done")
            try bundle.start("one")
            try bundle.start("two")
            try wait { try Set(agent.told().compactMap { $0["container"]?.string }) == ["oci:one", "oci:two"] }
            #expect(agent.end(SIGKILL) == SIGKILL)
            // The kernel's answer where nobody listens; nothing has become possible.
            try wait { try bundle.oci("exec", "one", "cat", "/dev/shm/why").output.contains("not implemented") }
            let refused = try bundle.oci("run", "--bundle", bundle.path, "three")
            #expect(refused.status != 0 && refused.errors.contains("carrel seccomp agent"), "\(refused)")
            unlink(Self.socket)
        }

        @Test("a container that cannot be explained does not start")
        func refusals() throws {
            let agent = try Agent()
            let odd = try bundle("echo started", explain: "yes").runToEnd()
            #expect(odd.status != 0 && odd.errors.contains("dev.carrel.explain: expected true or false"), "\(odd)")
            let bare = try bundle("echo started")
            bare.change("linux") { $0["seccomp"] = nil }
            let none = try bare.runToEnd()
            #expect(none.status != 0 && none.errors.contains("expected a filter"), "\(none)")
            #expect(try bundle("echo started", explain: "false").runToEnd().output == "started\n")
            let second = try run(
                [carrelPath, "seccomp", "agent"], environment: ["CARREL_STATE": agent.place], limit: 20)
            #expect(second.status == 125 && second.errors.contains("another agent listens"), "\(second)")
            #expect(agent.end() == 0)
        }

        @Test("whoever connects and says nothing, or too much, or hands over what is no filter, stops nobody")
        func badCallers() throws {
            let agent = try Agent()
            let bad = """
                import array, os, socket, time
                def caller(*parts, fds=()):
                    s = socket.socket(socket.AF_UNIX); s.connect("/run/carrel/explain.sock")
                    try:
                        for part in parts: s.sendmsg([part], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
                    except OSError: pass
                    return s
                kept = [caller(), caller(b"{"), caller(b"x" * (2 << 20)), caller(b"{}", fds=[0] * 40)]
                r, w = os.pipe()
                caller(b'{"state": {"id": "../../etc/x", "bundle": "/nowhere"}}', fds=[r]).close()
                caller(b"nonsense", fds=[os.open("/etc/passwd", os.O_RDONLY)]).close()
                os.write(w, b"data"); time.sleep(0.3)
                """
            #expect(try run(["python3", "-c", bad]).status == 0)
            let outcome = try bundle("mkdir /dev/shm/a; echo end").runToEnd()
            #expect(outcome.output == "end\n" && outcome.errors.contains("No space left"), "\(outcome)")
            try wait { try agent.told().count == 1 }
            #expect(agent.end() == 0)
        }

        @Test("a filter that refuses a call of the start itself fails the start, and is told")
        func refusesTheStart() throws {
            let agent = try Agent()
            let bundle = try bundle("echo started")
            bundle.change("linux") { linux in
                linux["seccomp"] = [
                    "defaultAction": "SCMP_ACT_ALLOW",
                    "syscalls": [["names": ["execve"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28]],
                ]
            }
            let outcome = try bundle.runToEnd(limit: 30)
            #expect(outcome.status != 0 && outcome.errors.contains("No space left"), "\(outcome)")
            try wait { try agent.told().first?["call"]?.string == "execve" }
        }

        @Test("an agent that goes before the start, or whose reader goes, lets nothing through")
        func goes() throws {
            var agent = try Agent()
            let bundle = try bundle("mkdir /dev/shm/a; echo end")
            try bundle.write()
            #expect(try bundle.oci("create", "--bundle", bundle.path, "c").status == 0)
            agent.end()
            let started = try bundle.oci("start", "c")
            #expect(started.status != 0 && started.errors.contains("nobody takes the filter's listener"), "\(started)")
            _ = try bundle.oci("delete", "--force", "c")
            agent = try Agent(readerGoes: true)
            let outcome = try bundle.runToEnd()
            #expect(outcome.output == "end\n" && outcome.errors.contains("No space left"), "\(outcome)")
            #expect(agent.end() == 0)
        }
    }
}
