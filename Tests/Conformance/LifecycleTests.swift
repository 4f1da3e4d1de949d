import Foundation
import Glibc
import Testing

extension Conformance {
    /// The life of a container, and what can go wrong at each of its points (runtime.md of the specification).
    @Suite
    struct LifecycleTests {
        @Test("a container goes through created, running and stopped, and leaves nothing")
        func life() throws {
            let bundle = try Bundle()
            try bundle.write()
            #expect(
                try bundle.oci("create", "--bundle", bundle.path, "--pid-file", "\(bundle.path)/pid", "a").status == 0)
            #expect(try bundle.status("a") == "created")
            let pid = try String(contentsOfFile: "\(bundle.path)/pid", encoding: .utf8)
            #expect(try String(contentsOfFile: "/proc/\(pid)/comm", encoding: .utf8) != "sleep\n")
            #expect(try bundle.oci("start", "a").status == 0)
            #expect(try bundle.status("a") == "running")
            // The signal that only asks whether there is a process.
            #expect(try bundle.oci("kill", "a", "0").status == 0)
            // Nothing of ours beside it: the payload is what create's child became.
            #expect(try String(contentsOfFile: "/proc/\(pid)/comm", encoding: .utf8) == "sleep\n")
            #expect(try bundle.oci("delete", "a").errors.contains("that is not stopped: running"))
            #expect(try bundle.oci("kill", "a", "KILL").status == 0)
            try wait { try bundle.status("a") == "stopped" }
            #expect(try bundle.oci("kill", "a").errors.contains("container not running"))
            #expect(try bundle.oci("delete", "a").status == 0)
            #expect(try bundle.oci("state", "a").errors.contains("does not exist"))
            #expect(bundle.leftovers(["a"]).isEmpty)
        }

        @Test(
            "the exit status of run is the payload's", arguments: [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
        func exitStatus(script: String, status: Int) throws {
            let bundle = try Bundle()
            // PID 1 of a namespace is not killed from inside: a child of the shell is.
            bundle.script(script.hasPrefix("kill") ? "sh -c '\(script)'; exit $?" : script)
            #expect(try bundle.runToEnd().status == Int32(status))
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("run keeps the container where that is asked for, and stacks its root on the old one without a pivot")
        func keptAndStacked() throws {
            let bundle = try Bundle()
            bundle.script("ls -d /etc/shadow /root/.bashrc; ls -d /bin")
            try bundle.write()
            let stacked = try bundle.oci("run", "--no-pivot", "--keep", "--bundle", bundle.path, "c")
            #expect(stacked.output == "/bin\n", "\(stacked)")
            #expect(try bundle.oci("state", "c").output.contains("\"status\": \"stopped\""))
            #expect(try bundle.oci("delete", "c").status == 0)
        }

        @Test("exec takes privileges to gain, and waits where the container is paused, as it is told")
        func execFlags() throws {
            let bundle = try Bundle()
            bundle.change("process") { $0["noNewPrivileges"] = false }
            try bundle.start()
            for (words, value) in [([], "0"), (["--no-new-privs"], "1")] {
                let status = try run(
                    [runtimePath, "--root", bundle.state, "exec"] + words + ["c", "cat", "/proc/self/status"])
                #expect(status.output.contains("NoNewPrivs:\t\(value)\n"), "\(status)")
            }
            #expect(try bundle.oci("pause", "c").status == 0)
            #expect(try bundle.oci("exec", "c", "true").errors.contains("paused"))
            let waiting = try spawn(
                [runtimePath, "--root", bundle.state, "exec", "--ignore-paused", "c", "true"], environment: [:])
            usleep(50_000)
            #expect(waitpid(waiting, nil, WNOHANG) == 0)
            #expect(try bundle.oci("resume", "c").status == 0)
            var word: Int32 = -1
            #expect(waitpid(waiting, &word, 0) == waiting && word == 0)
        }

        @Test("a program that is not there is told by create, with 'no such file'")
        func absentProgram() throws {
            let bundle = try Bundle()
            bundle.payload("nosuch")
            try bundle.write()
            let outcome = try bundle.oci("create", "--bundle", bundle.path, "c")
            #expect(outcome.status == 1 && outcome.errors.contains("No such file or directory"))
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("what cannot be executed is told by create", arguments: ["/etc", "/etc/file"])
        func noProgram(path: String) throws {
            let bundle = try Bundle()
            try "text".write(toFile: "\(bundle.path)/rootfs/etc/file", atomically: true, encoding: .utf8)
            bundle.payload(path)
            try bundle.write()
            let outcome = try bundle.oci("create", "--bundle", bundle.path, "c")
            #expect(outcome.status == 1 && outcome.errors.contains("execve \(path): Permission denied"), "\(outcome)")
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("an id is taken once", arguments: ["", ".", "..", "a/b", "-x", "a b"])
        func ids(bad: String) throws {
            let bundle = try Bundle()
            try bundle.start("same")
            #expect(try bundle.oci("create", "--bundle", bundle.path, "same").errors.contains("already exists"))
            #expect(try bundle.status("same") == "running")
            #expect(try bundle.oci("create", "--bundle", bundle.path, "--", bad).status != 0)
        }

        @Test("hooks run in their order, with the state on standard input")
        func hooks() throws {
            let bundle = try Bundle()
            let log = "\(bundle.path)/log"
            func hook(_ name: String) -> [[String: Any]] {
                [["path": "/bin/sh", "args": ["sh", "-c", "echo \(name) $(cat) >> \(log)"]]]
            }
            bundle.spec["hooks"] = [
                "prestart": hook("prestart"), "createRuntime": hook("createRuntime"),
                "createContainer": hook("createContainer"), "poststart": hook("poststart"),
                "poststop": hook("poststop"),
                "startContainer": [["path": "/bin/sh", "args": ["sh", "-c", "cat > /tmp/inside"]]],
            ]
            bundle.change("root") { $0["readonly"] = false }
            try bundle.start()
            try bundle.oci("delete", "--force", "c")
            let lines = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n")
            #expect(
                lines.map { $0.prefix { $0 != " " } } == [
                    "prestart", "createRuntime", "createContainer", "poststart", "poststop",
                ])
            #expect(lines[1].contains("\"status\":\"creating\"") && lines[3].contains("\"status\":\"running\""))
            #expect(lines[4].contains("\"status\":\"stopped\"") && lines[0].contains("\"id\":\"c\""))
            let inside = try String(contentsOfFile: "\(bundle.path)/rootfs/tmp/inside", encoding: .utf8)
            #expect(inside.contains("\"status\":\"created\""))
        }

        @Test("hooks of the host's may do what the caller may, those of the container what its payload may")
        func hookCapabilities() throws {
            let bundle = try Bundle()
            let log = "\(bundle.path)/log"
            func hook(_ file: String) -> [[String: Any]] {
                [["path": "/bin/sh", "args": ["sh", "-c", "grep CapEff /proc/self/status >> \(file)"]]]
            }
            bundle.spec["hooks"] = [
                "createRuntime": hook(log), "createContainer": hook(log), "startContainer": hook("/tmp/inside"),
            ]
            bundle.change("root") { $0["readonly"] = false }
            bundle.script("cat /tmp/inside; grep CapBnd /proc/self/status")
            let outcome = try bundle.runToEnd()
            #expect(outcome.output == "CapEff:\t0000000020000420\nCapBnd:\t0000000020000420\n", "\(outcome)")
            let lines = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n")
            #expect(lines.count == 2 && lines[0] == lines[1], "\(lines)")
        }

        @Test("the state that hooks read is whole, however long its annotations are")
        func longState() throws {
            let bundle = try Bundle()
            let log = "\(bundle.path)/log"
            bundle.spec["annotations"] = ["long": String(repeating: "x", count: 300_000)]
            func hook(_ file: String) -> [[String: Any]] {
                [["path": "/bin/sh", "args": ["sh", "-c", "tail -c 4 >> \(file)"]]]
            }
            bundle.spec["hooks"] = [
                "createRuntime": hook(log), "createContainer": hook(log), "startContainer": hook("/tmp/inside"),
            ]
            symlink("busybox", "\(bundle.path)/rootfs/bin/tail")
            bundle.change("root") { $0["readonly"] = false }
            try bundle.start()
            let end = "xx\"}}".suffix(4)
            try wait { try bundle.oci("exec", "c", "cat", "/tmp/inside").output == end }
            #expect(try String(contentsOfFile: log, encoding: .utf8) == end + end)
        }

        @Test("a hook may take the longest time that there is")
        func patientHook() throws {
            let bundle = try Bundle()
            bundle.spec["hooks"] = ["createRuntime": [["path": "/bin/true", "timeout": Int64.max]]]
            bundle.payload("true")
            let outcome = try bundle.runToEnd()
            #expect(outcome.status == 0, "\(outcome.errors)")
        }

        @Test("without a cgroup and a PID namespace, kill reaches the first process alone, and says so")
        func killWithoutCgroup() throws {
            let bundle = try Bundle()
            bundle.change("linux") { linux in
                linux["namespaces"] = (linux["namespaces"] as? [[String: Any]] ?? []).filter {
                    $0["type"] as? String != "pid"
                }
                linux["resources"] = nil
            }
            try bundle.write()
            let made = try bundle.oci(
                "--cgroup-manager", "disabled", ["run", "--detach", "--bundle", bundle.path, "c"])
            try #require(made.status == 0, "\(made.errors)")
            #expect(try bundle.oci("kill", "--all", "c", "KILL").errors.contains("has no cgroup"))
            #expect(try bundle.status() == "running")
            #expect(try bundle.oci("kill", "c", "KILL").status == 0)
            try wait { try bundle.status() == "stopped" }
        }

        @Test(
            "a hook that fails, dies or hangs ends the creation and leaves nothing",
            arguments: ["exit 3", "kill -9 $$", "sleep 60"])
        func dyingHook(script: String) throws {
            let bundle = try Bundle()
            for kind in ["prestart", "createRuntime", "createContainer"] {
                bundle.spec["hooks"] = [kind: [["path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 1]]]
                try bundle.write()
                let outcome = try bundle.oci("create", "--bundle", bundle.path, "c", limit: 20)
                #expect(outcome.status == 1 && outcome.errors.contains("hooks.\(kind)[0]"))
                #expect(bundle.leftovers(["c"]).isEmpty)
            }
        }

        /// Lists the calls to the kernel of a command, by strace; then runs it once for some of them, killed just before that.
        private func killed(_ bundle: Bundle, _ command: String, _ check: (String) throws -> Void) throws {
            let runtime = "'\(runtimePath)' --root '\(bundle.state)'"
            let create = "create --bundle '\(bundle.path)'"
            func script(_ id: String, _ strace: String) -> String {
                let before =
                    switch command {
                    case "start": "\(runtime) \(create) \(id)"
                    case "delete": "\(runtime) \(create) \(id) && \(runtime) start \(id)"
                    default: "true"
                    }
                let words = ["create": create, "delete": "delete --force"][command] ?? command
                return "{ \(before) && strace -qq \(strace) \(runtime) \(words) \(id); } </dev/null"
            }
            let log = "\(bundle.path)/calls"
            #expect(try run(["/bin/sh", "-c", script("k0", "-o '\(log)'")]).status == 0)
            try bundle.oci("delete", "--force", "k0")
            var counts: [Substring: Int] = [:]
            let calls = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").map { line in
                let name = line.prefix { $0 != "(" }
                counts[name, default: 0] += 1
                return (name: name, ordinal: counts[name] ?? 0)
            }
            #expect(calls.count > 100)
            // Before the first the program has only just begun; the last is its end.
            for place in stride(from: 20, to: calls.count - 1, by: max(1, calls.count / killSteps)) {
                let (name, ordinal) = calls[place]
                let id = "k\(place)"
                let outcome = try run(
                    ["/bin/sh", "-c", script(id, "-o /dev/null --inject=\(name):signal=KILL:when=\(ordinal)")])
                // The calls of a run are not always the very same: one that was not reached is one that was done.
                #expect([0, 137].contains(outcome.status), "\(name) \(ordinal): \(outcome.errors)")
                try check(id)
                #expect(try bundle.oci("delete", "--force", id).status == 0, "\(name) \(ordinal)")
                #expect(bundle.leftovers([id]).isEmpty, "\(name) \(ordinal)")
            }
        }

        @Test("create that is killed between any two calls leaves only what delete takes away", .timeLimit(.minutes(2)))
        func killedCreateByCall() throws {
            let bundle = try Bundle()
            try bundle.write()
            try killed(bundle, "create") { id in
                try wait { try bundle.status(id) != "creating" }
                let state = try bundle.status(id)
                #expect(["created", "stopped", nil].contains(state))
            }
        }

        @Test(
            "start that is killed between any two calls has started the payload, or not", .timeLimit(.minutes(2)),
            arguments: ["false", "true"])
        func killedStartByCall(asksForInit: String) throws {
            let bundle = try Bundle()
            bundle.spec["annotations"] = ["dev.carrel.init": asksForInit]
            try bundle.write()
            try killed(bundle, "start") { id in
                let state = try bundle.status(id)
                #expect(["created", "running"].contains(state))
            }
        }

        @Test("delete that is killed between any two calls can be called again", .timeLimit(.minutes(2)))
        func killedDeleteByCall() throws {
            let bundle = try Bundle()
            try bundle.write()
            try killed(bundle, "delete") { _ in }
        }

        @Test("what the caller ignores the payload does not")
        func ignoredSignals() throws {
            let bundle = try Bundle()
            bundle.payload("grep", "SigIgn", "/proc/self/status")
            try bundle.write()
            let call = "trap '' HUP INT QUIT PIPE TERM USR1; exec '\(runtimePath)' --root '\(bundle.state)'"
            let outcome = try run(["/bin/bash", "-c", "\(call) run --bundle '\(bundle.path)' c"])
            #expect(outcome.output == "SigIgn:\t0000000000000000\n", "\(outcome.output) \(outcome.errors)")
        }

        @Test(
            "many cycles at once leave nothing, and a list grows no faster than what it lists", .timeLimit(.minutes(3)))
        func cycles() throws {
            let bundle = try Bundle()
            try bundle.write()
            let outcome = try run(
                ["Tests/Benchmarks/oci", "--cycles", "100", "--at-once", "20", "--list", "60", runtimePath],
                in: String(#filePath.dropLast("Tests/Conformance/LifecycleTests.swift".count)), limit: 170)
            #expect(outcome.status == 0, "\(outcome.output) \(outcome.errors)")
        }

        @Test("of two deletes at once one does it, and none fails halfway")
        func twoDeletes() throws {
            let bundle = try Bundle()
            for _ in 0..<5 {
                try bundle.start()
                let call = "'\(runtimePath)' --root '\(bundle.state)' delete --force c"
                let outcome = try run(["/bin/sh", "-c", "\(call) & a=$!; \(call) & b=$!; wait $a && wait $b"])
                #expect(outcome.status == 0, "\(outcome.errors)")
                #expect(bundle.leftovers(["c"]).isEmpty)
            }
        }

        @Test("one that another has made by the name while this was about to be made is left alone")
        func takenName() throws {
            let bundle = try Bundle()
            try bundle.write()
            let create = "--root '\(bundle.state)' create --bundle '\(bundle.path)' c"
            try bundle.oci("create", "--bundle", bundle.path, "first")
            // The directory is there, and its maker has not opened it yet.
            let slow = "strace -qq -o /dev/null -P c --inject=mkdirat:delay_exit=2000000"
            let script = """
                { \(slow) '\(runtimePath)' \(create) >/dev/null 2>'\(bundle.path)/late' & } </dev/null
                for n in $(seq 100); do [ -d '\(bundle.state)/c' ] && break; sleep 0.02; done
                '\(runtimePath)' --root '\(bundle.state)' delete --force c && '\(runtimePath)' \(create) </dev/null
                s=$?; wait; exit $s
                """
            #expect(try run(["/bin/sh", "-c", script]).status == 0)
            let late = try String(contentsOfFile: "\(bundle.path)/late", encoding: .utf8)
            #expect(late.contains("already exists"), "\(late)")
            #expect(try bundle.status() == "created")
        }

        @Test("run takes away what it has made, and not what has its name by then")
        func runOfAnother() throws {
            let bundle = try Bundle()
            try bundle.write()
            let runtime = "'\(runtimePath)' --root '\(bundle.state)'"
            let script = """
                slow='strace -qq -o /dev/null --inject=wait4,waitid,waitpid:delay_exit=2000000'
                { $slow \(runtime) run --bundle '\(bundle.path)' c & } </dev/null >/dev/null 2>&1
                for n in $(seq 200); do \(runtime) state c 2>&1 | grep -q running && break; sleep 0.02; done
                \(runtime) delete --force c && \(runtime) create --bundle '\(bundle.path)' c </dev/null >/dev/null
                s=$?; wait; exit $s
                """
            let outcome = try run(["/bin/sh", "-c", script])
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(try bundle.status() == "created")
        }

        @Test("a cgroup that stands still takes no container")
        func frozenCgroup() throws {
            let bundle = try Bundle()
            let name = "carrel/frozen-\(getpid())"
            bundle.change("linux") { $0["cgroupsPath"] = "/\(name)" }
            bundle.payload("true")
            try bundle.write()
            let freeze = """
                cd /sys/fs/cgroup; places=.; [ -e cgroup.procs ] || places=$(echo */)
                for t in $places; do mkdir -p $t/\(name); done
                echo 1 | tee $(ls -d \(name)/cgroup.freeze */\(name)/cgroup.freeze 2>/dev/null)
                """
            defer { _ = try? run(["/bin/sh", "-c", "rmdir /sys/fs/cgroup/\(name) /sys/fs/cgroup/*/\(name) 2>&1"]) }
            #expect(try run(["/bin/sh", "-c", freeze]).status == 0)
            let outcome = try bundle.oci("run", "--bundle", bundle.path, "c", limit: 20)
            #expect(outcome.status == 1 && outcome.errors.contains("/\(name) is frozen"), "\(outcome)")
        }

        @Test("a container that is paused can be deleted by force")
        func frozenDelete() throws {
            let bundle = try Bundle()
            try bundle.start()
            #expect(try bundle.oci("pause", "c").status == 0)
            #expect(try bundle.status() == "paused")
            #expect(try bundle.oci("exec", "c", "true").errors.contains("paused"))
            #expect(try bundle.oci("delete", "--force", "c").status == 0)
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("a state directory on a full disk is an error that leaves nothing")
        func fullDisk() throws {
            let bundle = try Bundle()
            try bundle.write()
            try FileManager.default.createDirectory(atPath: bundle.state, withIntermediateDirectories: false)
            let script = """
                mount -t tmpfs -o size=8k,mode=700 tmpfs '\(bundle.state)' && dd if=/dev/zero of='\(bundle.state)/.fill' 2>/dev/null
                '\(runtimePath)' --root '\(bundle.state)' create --bundle '\(bundle.path)' c; s=$?
                ls '\(bundle.state)'; exit $s
                """
            let outcome = try run(["/usr/bin/unshare", "-m", "/bin/sh", "-c", script])
            #expect(outcome.status == 1 && outcome.errors.contains("No space left"), "\(outcome.errors)")
            #expect(outcome.output.isEmpty, "\(outcome.output)")
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("two hundred containers are created at once, listed and removed", .timeLimit(.minutes(3)))
        func many() throws {
            let bundle = try Bundle()
            try bundle.write()
            let call = "'\(runtimePath)' --root '\(bundle.state)'"
            let script = """
                f=0; for i in $(seq 200); do \(call) create --bundle '\(bundle.path)' m$i </dev/null >/dev/null 2>&1 & done; wait
                \(call) list -q | wc -l
                for i in $(seq 200); do \(call) delete --force m$i & done; wait
                """
            let outcome = try run(["/bin/bash", "-c", script], limit: 170)
            #expect(outcome.output == "200\n", "\(outcome.output) \(outcome.errors)")
            #expect(bundle.leftovers((1...200).map { "m\($0)" }).isEmpty)
        }
    }
}

/// At how many places the commands are killed; `CARREL_OCI_KILLS=1000` is at all of them.
private let killSteps = ProcessInfo.processInfo.environment["CARREL_OCI_KILLS"].flatMap { Int($0) } ?? 25
