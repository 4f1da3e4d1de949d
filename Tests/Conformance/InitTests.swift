import Foundation
import Glibc
import Testing

extension Conformance {
    /// The annotation `dev.carrel.init`: carrel-init as PID 1 of a container.
    @Suite
    struct InitTests {
        private let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Fixtures"

        /// A bundle that asks for it, or does not.
        private func bundle(_ asks: Bool = true) throws -> Bundle {
            let bundle = try Bundle()
            if asks { bundle.spec["annotations"] = ["dev.carrel.init": "true"] }
            bundle.change("root") { $0["readonly"] = false }
            return bundle
        }

        private func exists(_ bundle: Bundle, _ path: String) -> Bool {
            FileManager.default.fileExists(atPath: "\(bundle.path)/rootfs/\(path)")
        }

        /// The states of the children of a process, as ps(1) has them.
        private func children(of pid: Int64) throws -> [String] {
            try run(["ps", "-o", "stat=", "--ppid", "\(pid)"]).output.split(separator: "\n").map(String.init)
        }

        private func field(_ name: String, of pid: Int64) throws -> String? {
            try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8).split(separator: "\n")
                .first { $0.hasPrefix("\(name):") }?.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces)
        }

        @Test(
            "what has lost its parent is reaped, of exec's programs too; without the annotation nobody does",
            arguments: [true, false])
        func orphans(asks: Bool) throws {
            let bundle = try bundle(asks)
            bundle.script("(sh -c 'sleep 0.1; echo > /tmp/first' &); exec sleep 1000")
            try bundle.start()
            let pid = try #require(try bundle.pid())
            #expect(
                try bundle.oci("exec", "c", "sh", "-c", "(sh -c 'sleep 0.1; echo > /tmp/second' &); exit 9").status == 9
            )
            try wait { exists(bundle, "tmp/first") && exists(bundle, "tmp/second") }
            // With it the payload alone; without, the payload is PID 1 and does not look after two that are not its own.
            try wait { try children(of: pid).map { $0.first } == (asks ? ["S"] : ["Z", "Z"]) }
        }

        @Test(
            "the exit status is the payload's; what a signal killed ends as a shell tells it",
            arguments: [
                ("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -KILL $$", 137),
                ("kill -SEGV $$", 139),
            ])
        func exitStatus(script: String, status: Int32) throws {
            let bundle = try bundle()
            bundle.script(script)
            let outcome = try bundle.runToEnd()
            #expect(outcome.status == status, "\(outcome.errors)")
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("a signal reaches the payload, whoever sends it and whoever the payload has become")
        func signals() throws {
            let bundle = try bundle()
            bundle.script("trap 'echo got; exit 5' TERM; echo > /tmp/ready; while true; do sleep 0.05; done")
            try bundle.write()
            // By run itself, which hands on what it gets.
            let call = "'\(runtimePath)' --root '\(bundle.state)' run --bundle '\(bundle.path)' c"
            let outcome = try run([
                "/bin/sh", "-c",
                "\(call) & p=$!; while [ ! -e '\(bundle.path)/rootfs/tmp/ready' ]; do sleep 0.05; done; kill -TERM $p; wait $p",
            ])
            #expect(outcome.output == "got\n" && outcome.status == 5, "\(outcome.errors)")
            // By kill, from root to another user: as servers that drop their rights.
            try "user:x:77:77::/:/bin/sh\n".write(
                toFile: "\(bundle.path)/rootfs/etc/passwd", atomically: true, encoding: .utf8)
            bundle.change("process") {
                $0["capabilities"] = ["bounding", "effective", "permitted"].reduce(into: [String: Any]()) {
                    $0[$1] = ["CAP_SETUID", "CAP_SETGID", "CAP_KILL"]
                }
            }
            bundle.payload("busybox", "start-stop-daemon", "-S", "-c", "user", "-x", "/bin/sleep", "--", "1000")
            try bundle.start("d")
            let pid = try #require(try bundle.pid("d"))
            try wait { try run(["ps", "-o", "uid=,comm=", "--ppid", "\(pid)"]).output.contains("77 sleep") }
            #expect(try bundle.oci("kill", "d", "TERM").status == 0)
            try wait { try bundle.status("d") == "stopped" }
        }

        @Test(
            "PID 1 is carrel-init, small, and holds no descriptor, no word of the caller's and no right but to signal")
        func nothingHeld() throws {
            let bundle = try bundle()
            bundle.change("process") {
                $0["noNewPrivileges"] = false
                $0["cwd"] = "/tmp"
            }
            bundle.script(
                "ls -l /proc/self/fd > /tmp/fds; grep NoNewPrivs /proc/self/status >> /tmp/fds; exec sleep 1000")
            try bundle.write()
            let call = "exec 3</etc/passwd 4</etc/group 5</; exec '\(runtimePath)' --root '\(bundle.state)' "
            let outcome = try run(
                [
                    "/bin/bash", "-c",
                    call + "run -d --preserve-fds 2 --bundle '\(bundle.path)' c </dev/null >/dev/null",
                ],
                environment: ["CARREL_SECRET": "of the caller"])
            #expect(outcome.status == 0, "\(outcome.errors)")
            let pid = try #require(try bundle.pid())
            try wait { try run(["ps", "-o", "comm=", "--ppid", "\(pid)"]).output == "sleep\n" }
            #expect(try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").isEmpty)
            #expect(try Data(contentsOf: URL(fileURLWithPath: "/proc/\(pid)/environ")).isEmpty)
            let words = try String(contentsOfFile: "/proc/\(pid)/cmdline", encoding: .utf8).split(separator: "\0")
            #expect(words.prefix(2) == ["carrel-init", "container"] && words.count == 4, "\(words)")
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/cwd") == "/")
            for (name, value) in [
                ("NoNewPrivs", "1"), ("Seccomp", "2"), ("Threads", "1"), ("CapPrm", "0000000000000020"),
                ("CapEff", "0000000000000020"), ("CapInh", "0000000000000000"), ("CapAmb", "0000000000000000"),
            ] {
                #expect(try field(name, of: pid) == value, "\(name)")
            }
            let memory = try String(contentsOfFile: "/proc/\(pid)/smaps_rollup", encoding: .utf8)
            let own = memory.split(separator: "\n").first { $0.hasPrefix("Anonymous:") }?.split(separator: " ")
            #expect((own.flatMap { Int($0[1]) } ?? .max) < 100, "\(memory)")
            // What is the payload's is not less for it.
            let inside = try String(contentsOfFile: "\(bundle.path)/rootfs/tmp/fds", encoding: .utf8)
            #expect(inside.contains(" 3 -> /etc/passwd") && inside.contains(" 4 -> /etc/group"), "\(inside)")
            #expect(!inside.contains(" 5 -> /\n") && inside.contains("NoNewPrivs:\t0"), "\(inside)")
            // A container that may not signal others has a PID 1 that may not either.
            bundle.change("process") { $0["capabilities"] = nil }
            try bundle.start("d")
            let second = try #require(try bundle.pid("d"))
            #expect(try field("CapPrm", of: second) == "0000000000000000")
        }

        @Test(
            "a payload cannot look into PID 1, nor write its program with every right (CVE-2019-5736, CVE-2016-9962)",
            arguments: [[], ["CAP_KILL", "CAP_NET_RAW"], everyRight])
        func attacks(capabilities: [String]) throws {
            let bundle = try bundle()
            let program = "\(bundle.path)/rootfs/bin/tracer"
            #expect(try run(["gcc", "-static", "-O1", "-o", program, "\(fixtures)/tracer.c"]).status == 0)
            let own = URL(fileURLWithPath: runtimePath).deletingLastPathComponent().path + "/carrel-init"
            let before = try Data(contentsOf: URL(fileURLWithPath: own))
            bundle.change("process") {
                $0["noNewPrivileges"] = false
                $0["capabilities"] = ["bounding", "effective", "permitted"].reduce(into: [String: Any]()) {
                    $0[$1] = capabilities
                }
            }
            // That it can do all of it where nothing is in its way.
            bundle.payload("tracer", "0")
            let possible = try bundle.runToEnd().output.split(separator: "\n")
            #expect(possible.count == (capabilities == everyRight ? 16 : 14), "\(possible)")
            bundle.payload("tracer", "1")
            for _ in 0..<5 {
                let outcome = try bundle.runToEnd()
                // Who may trace whatever is in the container finds a PID 1 that has nothing.
                #expect(
                    outcome.output
                        == (capabilities == everyRight
                            ? "trace\nread maps\nread mem\nread exe\ncopy memory\ncompare\ntried\n" : "tried\n"),
                    "\(outcome.errors)")
            }
            // A program that has entered before the start meets the runtime, and the same program of ours unopened.
            bundle.payload("sleep", "1000")
            try bundle.write()
            #expect(try bundle.oci("create", "--bundle", bundle.path, "d").status == 0)
            let entered = try bundle.oci("exec", "d", "tracer", "1")
            #expect(!entered.output.contains("write") && entered.output.hasSuffix("tried\n"), "\(entered.output)")
            #expect(try Data(contentsOf: URL(fileURLWithPath: own)) == before)
        }

        @Test("the payload has the terminal: job control is on, and what is typed interrupts it")
        func terminal() throws {
            let bundle = try bundle()
            bundle.change("process") { $0["terminal"] = true }
            bundle.script(
                """
                sh -i -c 'echo flags $-'; cut -d' ' -f5-8 /proc/self/stat; cut -d' ' -f6,7 /proc/1/stat
                trap 'echo interrupted; exit 4' INT; echo ready > /dev/tty; while true; do sleep 0.05; done
                """)
            try bundle.write()
            let outcome = try run(
                [
                    "python3", "\(fixtures)/terminal.py", runtimePath, "--root", bundle.state, "run", "--bundle",
                    bundle.path, "c",
                ])
            let lines = outcome.output.split(separator: "\n").map(String.init).drop { !$0.hasPrefix("flags") }
            #expect(lines.first?.contains("m") == true, "\(outcome)")
            // Process group, session, terminal and its foreground group (proc_pid_stat(5)); PID 1 is in a session without one.
            let numbers = try #require(lines.dropFirst().first).split(separator: " ")
            #expect(numbers.count == 4 && numbers[2] != "0" && numbers[3] == numbers[0], "\(outcome)")
            #expect(lines.dropFirst(2).first == "1 0", "\(outcome)")
            #expect(lines.contains { $0.contains("interrupted") } && outcome.status == 4, "\(outcome)")
        }

        @Test("hooks inside run before it, and one that fails ends the start")
        func hooks() throws {
            let bundle = try bundle()
            bundle.spec["hooks"] = [
                "startContainer": [["path": "/bin/sh", "args": ["sh", "-c", "echo $PPID > /tmp/inside"]]]
            ]
            bundle.script("cat /tmp/inside; echo $PPID")
            #expect(try bundle.runToEnd().output == "1\n1\n")
            bundle.spec["hooks"] = ["startContainer": [["path": "/bin/sh", "args": ["sh", "-c", "exit 3"]]]]
            try bundle.write()
            #expect(try bundle.oci("create", "--bundle", bundle.path, "c").status == 0)
            let started = try bundle.oci("start", "c")
            #expect(started.status == 1 && started.errors.contains("hooks.startContainer[0]"), "\(started.errors)")
            #expect(try bundle.oci("delete", "--force", "c").status == 0)
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("what fails behind the fork is told by the payload")
        func absentInterpreter() throws {
            let bundle = try bundle()
            try "#!/bin/nosuch\n".write(toFile: "\(bundle.path)/rootfs/bin/bad", atomically: true, encoding: .utf8)
            chmod("\(bundle.path)/rootfs/bin/bad", 0o755)
            bundle.payload("bad")
            try bundle.write()
            #expect(try bundle.oci("create", "--bundle", bundle.path, "c").status == 0)
            let started = try bundle.oci("start", "c")
            #expect(started.status == 1 && started.errors.contains("execve /bin/bad"), "\(started.errors)")
            try wait { try bundle.status() == "stopped" }
        }

        @Test("a list of programs and Landlock's scopes are the payload's, and no matter to PID 1")
        func landlock() throws {
            let bundle = try bundle()
            bundle.spec["annotations"] = [
                "dev.carrel.init": "true", "dev.carrel.exec": "/bin/busybox", "dev.carrel.scopes": "signal",
            ]
            try FileManager.default.copyItem(
                atPath: "\(bundle.path)/rootfs/bin/busybox", toPath: "\(bundle.path)/rootfs/etc/busybox")
            bundle.script("cat /proc/1/comm; kill -TERM 1; /etc/busybox true; echo $?; kill -TERM $$")
            let outcome = try bundle.runToEnd()
            #expect(
                outcome.output == "carrel-init\n126\n" && outcome.status == 143, "\(outcome.output) \(outcome.errors)")
            bundle.payload("sleep", "1000")
            try bundle.start()
            // What the list refuses is told as that, and what it does not is not.
            let told = "dev.carrel.exec lists 1 program, and this is none of them"
            let entered = try bundle.oci("exec", "c", "/etc/busybox", "true")
            #expect(entered.status == 126 && entered.errors.contains(told), "\(entered)")
            try "#!/bin/busybox true\n".write(
                toFile: "\(bundle.path)/rootfs/etc/plain", atomically: true, encoding: .utf8)
            let plain = try bundle.oci("exec", "c", "/etc/plain")
            #expect(plain.status == 126 && plain.errors.contains("Permission denied"), "\(plain)")
            #expect(!plain.errors.contains("dev.carrel.exec"), "\(plain)")
            #expect(try bundle.oci("kill", "c").status == 0)
            try wait { try bundle.status() == "stopped" }
            #expect(try bundle.oci("delete", "c").status == 0)
            bundle.payload("/etc/busybox", "true")
            let refused = try bundle.runToEnd()
            #expect(refused.status != 0 && refused.errors.contains(told), "\(refused)")
        }

        @Test("the container's filter is the payload's: PID 1 has its own, of the few calls that it makes")
        func seccomp() throws {
            let bundle = try bundle()
            bundle.change("linux") {
                $0["seccomp"] = [
                    "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                    "syscalls": [
                        [
                            "names": ["kill", "rt_sigtimedwait", "execveat", "prctl", "mkdir", "mkdirat"],
                            "action": "SCMP_ACT_ERRNO", "errnoRet": 28,
                        ]
                    ],
                ]
            }
            bundle.script(
                "mkdir /tmp/x; grep -h Seccomp_filters /proc/1/status /proc/self/status; echo > /tmp/ready; exec sleep 1000"
            )
            try bundle.write()
            let call = "'\(runtimePath)' --root '\(bundle.state)'"
            let outcome = try run([
                "/bin/sh", "-c",
                """
                \(call) run --bundle '\(bundle.path)' c & p=$!
                while [ ! -e '\(bundle.path)/rootfs/tmp/ready' ]; do sleep 0.05; done
                \(call) kill c TERM; wait $p
                """,
            ])
            #expect(
                outcome.output == "Seccomp_filters:\t1\nSeccomp_filters:\t1\n" && outcome.status == 143, "\(outcome)")
            #expect(outcome.errors.contains("No space left"), "\(outcome.errors)")
        }

        @Test("a filter's listener goes to the agent, and nothing of that stays", arguments: [true, false])
        func listener(asks: Bool) throws {
            let bundle = try bundle(asks)
            bundle.change("linux") {
                $0["seccomp"] = [
                    "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                    "listenerPath": "\(bundle.path)/agent",
                    "syscalls": [["names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"]],
                ]
            }
            bundle.script("mkdir /tmp/x; ps -o ppid,comm > /tmp/ps; grep -v -e ps -e PPID /tmp/ps; exit 3")
            try bundle.write()
            let outcome = try run([
                "/bin/sh", "-c",
                """
                python3 '\(fixtures)/agent.py' '\(bundle.path)/agent' & p=$!
                while [ ! -S '\(bundle.path)/agent' ]; do sleep 0.05; done
                '\(runtimePath)' --root '\(bundle.state)' run --bundle '\(bundle.path)' c; s=$?
                [ $s = 3 ] || kill $p; wait $p; exit $s
                """,
            ])
            #expect(outcome.errors.contains("No space left") && outcome.status == 3, "\(outcome)")
            let lines = outcome.output.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
            #expect(lines.sorted() == (asks ? ["0 carrel-init", "1 sh", "c"] : ["0 sh", "c"]), "\(outcome.output)")
        }

        @Test("anything but true and false is refused, and false is as nothing")
        func values() throws {
            let bundle = try bundle()
            for value in ["yes", "True", "1", "", "true\n"] {
                bundle.spec["annotations"] = ["dev.carrel.init": value]
                let outcome = try bundle.runToEnd()
                #expect(
                    outcome.status == 1 && outcome.errors.contains("dev.carrel.init: expected true or false"),
                    "\(outcome.errors)")
                #expect(bundle.leftovers(["c"]).isEmpty)
            }
            bundle.spec["annotations"] = ["dev.carrel.init": "false"]
            bundle.payload("cat", "/proc/1/comm")
            #expect(try bundle.runToEnd().output == "cat\n")
        }

        @Test(
            "it needs a PID namespace of the container's own: neither the host's nor a joined one",
            arguments: [true, false])
        func namespaces(joins: Bool) throws {
            let bundle = try bundle()
            let kinds = ["mount", "uts", "ipc", "network", "cgroup"].map { ["type": $0] }
            bundle.change("linux") {
                $0["namespaces"] = kinds + (joins ? [["type": "pid", "path": "/proc/self/ns/pid"]] : [])
            }
            let outcome = try bundle.runToEnd()
            #expect(
                outcome.status == 1 && outcome.errors.contains("dev.carrel.init: a new PID namespace is needed"),
                "\(outcome.errors)")
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("without carrel-init beside the runtime nothing starts")
        func absent() throws {
            let bundle = try bundle()
            try bundle.write()
            let copy = "\(bundle.path)/carrel-oci"
            try FileManager.default.copyItem(atPath: runtimePath, toPath: copy)
            let outcome = try run([copy, "--root", bundle.state, "run", "--bundle", bundle.path, "c"])
            #expect(outcome.status == 1 && outcome.errors.contains("dev.carrel.init"), "\(outcome.errors)")
            #expect(outcome.errors.contains("\(bundle.path)/carrel-init: No such file"), "\(outcome.errors)")
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("a user namespace, which has its programs by way of the parent, is no difference")
        func userNamespace() throws {
            let bundle = try bundle()
            bundle.mapUsers()
            bundle.payload("sleep", "1000")
            try bundle.start()
            #expect(try bundle.oci("exec", "c", "cat", "/proc/1/comm").output == "carrel-init\n")
            #expect(try bundle.oci("kill", "c").status == 0)
            try wait { try bundle.status() == "stopped" }
        }
    }
}

/// Enough to go wherever a container without a user namespace can be.
private let everyRight = [
    "CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_KILL", "CAP_CHECKPOINT_RESTORE",
]
