import Foundation
import Glibc
import Testing

/// The directory of a criu that starts on this kernel; `nil` where it cannot be built.
let criuDirectory: String? = {
    let repository = String(#filePath.dropLast("/Tests/Conformance/CheckpointTests.swift".count))
    let place = repository + "/.build/criu"
    let built = try? run(["\(repository)/Tests/Conformance/Fixtures/criu/build", place], limit: 400)
    if built?.status == 0 { return place + "/bin" }
    print("criu:", built?.errors ?? "its build did not start")
    return nil
}()

/// `PATH` with that criu first.
let criuPath =
    "\(criuDirectory ?? ""):\(ProcessInfo.processInfo.environment["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin")"

let hasNoCRIU: Comment = "criu could not be built: Fixtures/criu/build tells why"

extension Conformance {
    /// `checkpoint` and `restore`, by the criu of Debian's source.
    @Suite(.enabled(if: criuDirectory != nil, hasNoCRIU))
    struct CheckpointTests {
        /// A container whose payload counts, ten times a second, in a file of its own.
        private func counting() throws -> Bundle {
            let bundle = try Bundle()
            bundle.script("i=0; while :; do i=$((i+1)); echo $i > /dev/shm/n; sleep 0.1; done")
            return bundle
        }

        private func oci(_ bundle: Bundle, _ words: String...) throws -> Outcome {
            try run([runtimePath, "--root", bundle.state] + words, environment: ["PATH": criuPath])
        }

        /// Starts it, with nothing of the test's open.
        private func begin(_ bundle: Bundle) throws {
            try bundle.write()
            let begun = try run([
                "/bin/sh", "-c", "exec \"$@\" </dev/null >/dev/null 2>&1", "sh", runtimePath, "--root", bundle.state,
                "run",
                "--detach", "--bundle", bundle.path, "c",
            ])
            #expect(begun.status == 0, "\(begun.errors)")
            try wait { try self.count(bundle) > 1 }
        }

        private func checkpoint(_ bundle: Bundle, _ more: String...) throws -> Outcome {
            try run(
                [runtimePath, "--root", bundle.state, "checkpoint", "--image-path", "\(bundle.path)/images"] + more
                    + ["c"], environment: ["PATH": criuPath])
        }

        private func restore(_ bundle: Bundle, _ more: String...) throws -> Outcome {
            let words =
                [runtimePath, "--root", bundle.state, "restore", "--detach", "--bundle", bundle.path] + more
                + (more.contains("--image-path") ? [] : ["--image-path", "\(bundle.path)/images"]) + ["c"]
            return try run(
                ["/bin/sh", "-c", "exec \"$@\" </dev/null >/dev/null", "sh"] + words, environment: ["PATH": criuPath])
        }

        private func count(_ bundle: Bundle) throws -> Int {
            let pid = try #require(try bundle.pid())
            let text = (try? String(contentsOfFile: "/proc/\(pid)/root/dev/shm/n", encoding: .utf8)) ?? ""
            return Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
        }

        /// What of a process and its mounts must be the same.
        private func looks(_ bundle: Bundle) throws -> [String] {
            let pid = try #require(try bundle.pid())
            let mounts = try String(contentsOfFile: "/proc/\(pid)/mountinfo", encoding: .utf8).split(separator: "\n")
                .map { line in
                    let fields = line.split(separator: " ")
                    // Whose the empty files are that stand for masks: nobody's inside, once the host has made them.
                    return fields[3...].joined(separator: " ").replacingOccurrences(
                        of: "nr_inodes=4,mode=555,uid=100000,gid=100000", with: "nr_inodes=4,mode=555")
                }
            let names = [
                "Uid:", "Gid:", "Groups:", "CapI", "CapP", "CapE", "CapB", "CapA", "NoNew", "Seccomp", "Umask",
            ]
            let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8).split(separator: "\n")
                .filter { line in names.contains { line.hasPrefix($0) } }.map(String.init)
            let cgroup = try String(contentsOfFile: "/proc/\(pid)/cgroup", encoding: .utf8)
            return mounts.sorted() + status + [
                try String(contentsOfFile: "/proc/\(pid)/limits", encoding: .utf8), cgroup,
            ]
        }

        @Test("a container goes on where it was written down, with everything that holds it as before")
        func life() throws {
            let bundle = try counting()
            let volume = "\(bundle.path)/volume"
            try FileManager.default.createDirectory(atPath: "\(volume)/kept", withIntermediateDirectories: true)
            try "hello\n".write(toFile: "\(volume)/file", atomically: false, encoding: .utf8)
            var mounts = bundle.spec["mounts"] as? [[String: Any]] ?? []
            mounts += [
                ["destination": "/data", "type": "bind", "source": volume, "options": ["rbind", "nosuid"]],
                ["destination": "/data2", "type": "bind", "source": volume, "options": ["bind", "ro", "nodev"]],
                ["destination": "/etc/file", "type": "bind", "source": "\(volume)/file", "options": ["bind", "ro"]],
                ["destination": "/data/t", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k", "noexec"]],
            ]
            bundle.spec["mounts"] = mounts
            bundle.change("linux") { linux in
                linux["readonlyPaths"] = (linux["readonlyPaths"] as? [String] ?? []) + ["/data/kept"]
                linux["resources"] = ["memory": ["limit": 64 << 20], "pids": ["limit": 20]]
                linux["seccomp"] = [
                    "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                    "syscalls": [["names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28]],
                ]
            }
            bundle.change("process") { process in
                process["rlimits"] = [["type": "RLIMIT_NOFILE", "soft": 100, "hard": 200]]
                process["oomScoreAdj"] = 321
            }
            try begin(bundle)
            let before = try looks(bundle)
            let reached = try count(bundle)
            let written = try checkpoint(bundle)
            #expect(written.status == 0, "\(written.errors)")
            #expect(try bundle.status() == "stopped")
            #expect(try oci(bundle, "delete", "c").status == 0)
            #expect(bundle.leftovers(["c"]).isEmpty)
            var found = stat()
            #expect(stat("\(bundle.path)/images", &found) == 0 && found.st_mode & 0o077 == 0)

            let restored = try restore(bundle, "--pid-file", "\(bundle.path)/pid")
            #expect(restored.status == 0, "\(restored.errors)")
            #expect(try bundle.status() == "running")
            #expect(try Set(looks(bundle)).symmetricDifference(before).isEmpty)
            try wait { try self.count(bundle) > reached }
            let pid = try #require(try bundle.pid())
            #expect(try String(contentsOfFile: "\(bundle.path)/pid", encoding: .utf8) == String(pid))
            // What would be the caller's if nobody thought of it.
            for kind in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
                let (own, ours) = ("/proc/\(pid)/ns/\(kind)", "/proc/self/ns/\(kind)")
                #expect(
                    try FileManager.default.destinationOfSymbolicLink(atPath: own)
                        != FileManager.default.destinationOfSymbolicLink(atPath: ours), "\(kind)")
            }
            let inside =
                "cat /sys/fs/cgroup/pids/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null | grep -x 1; "
                + "cat /data/file; mkdir /data/x; touch /data2/x; touch /data/kept/x; touch /proc/acpi/x; cat /proc/keys"
            let entered = try oci(bundle, "exec", "c", "sh", "-c", inside)
            #expect(entered.output == "1\nhello\n", "\(entered.output) \(entered.errors)")
            #expect(entered.errors.contains("/data/x': No space left"))
            #expect(entered.errors.components(separatedBy: "Read-only file system").count == 4, "\(entered.errors)")
            #expect(try oci(bundle, "delete", "--force", "c").status == 0)
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("a container with a user namespace goes on, and reads nothing of the host's directory of images")
        func userNamespace() throws {
            let bundle = try counting()
            bundle.mapUsers()
            try begin(bundle)
            let before = try looks(bundle)
            let reached = try count(bundle)
            let written = try checkpoint(bundle)
            #expect(written.status == 0, "\(written.errors)")
            #expect(try oci(bundle, "delete", "c").status == 0)
            let restored = try restore(bundle)
            #expect(restored.status == 0, "\(restored.errors)")
            #expect(try Set(looks(bundle)).symmetricDifference(before).isEmpty)
            try wait { try self.count(bundle) > reached }
            let pid = try #require(try bundle.pid())
            #expect(try String(contentsOfFile: "/proc/\(pid)/uid_map", encoding: .utf8).contains("100000"))
        }

        @Test("it can go on at once, and be written down in two steps")
        func leaveRunning() throws {
            let bundle = try counting()
            try begin(bundle)
            let left = try checkpoint(bundle, "--leave-running")
            #expect(left.status == 0, "\(left.errors)")
            let reached = try count(bundle)
            try wait { try self.count(bundle) > reached }
            #expect(try oci(bundle, "pause", "c").status == 0)
            let still = try checkpoint(bundle, "--leave-running")
            #expect(still.status == 0, "\(still.errors)")
            #expect(try bundle.status() == "paused")
            #expect(try oci(bundle, "resume", "c").status == 0)
            let on = try count(bundle)
            try wait { try self.count(bundle) > on }
            let first = try oci(
                bundle, "checkpoint", "--pre-dump", "--image-path", "\(bundle.path)/steps/one", "c")
            // A kernel without CONFIG_MEM_SOFT_DIRTY cannot tell which memory has changed.
            if first.errors.contains("Tracking memory is not available") { return }
            #expect(first.status == 0, "\(first.errors)")
            let second = try oci(
                bundle, "checkpoint", "--parent-path", "../one", "--image-path", "\(bundle.path)/steps/two", "c")
            #expect(second.status == 0, "\(second.errors)")
            #expect(try oci(bundle, "delete", "c").status == 0)
            let restored = try restore(bundle, "--image-path", "\(bundle.path)/steps/two")
            #expect(restored.status == 0, "\(restored.errors)")
            try wait { try self.count(bundle) > reached }
        }

        @Test("one that stands still is written down, and goes on")
        func paused() throws {
            let bundle = try counting()
            try begin(bundle)
            #expect(try oci(bundle, "pause", "c").status == 0)
            let reached = try count(bundle)
            let written = try checkpoint(bundle)
            #expect(written.status == 0, "\(written.errors)")
            #expect(try bundle.status() == "stopped")
            #expect(try oci(bundle, "delete", "c").status == 0)
            let restored = try restore(bundle)
            #expect(restored.status == 0, "\(restored.errors)")
            #expect(try bundle.status() == "running")
            try wait { try self.count(bundle) > reached }
        }

        @Test(
            "a mount that gets the host's events gets them afterwards; one that passes its own on to the host is refused"
        )
        func propagation() throws {
            let bundle = try counting()
            let volume = "\(bundle.path)/volume"
            try FileManager.default.createDirectory(atPath: "\(volume)/late", withIntermediateDirectories: true)
            try run(["mount", "--bind", volume, volume])
            defer { _ = try? run(["umount", "-R", "-l", volume]) }
            try run(["mount", "--make-shared", volume])
            let mounts = bundle.spec["mounts"] as? [[String: Any]] ?? []
            func bind(_ option: String) {
                bundle.spec["mounts"] =
                    mounts + [
                        ["destination": "/data", "type": "bind", "source": volume, "options": ["rbind", option]],
                        [
                            "destination": "/data2", "type": "bind", "source": volume,
                            "options": ["rbind", "ro", option],
                        ],
                    ]
            }
            bind("rslave")
            try begin(bundle)
            let before = try looks(bundle)
            #expect(before.contains { $0.contains(" /data ") && $0.contains("master:") })
            let written = try checkpoint(bundle)
            #expect(written.status == 0, "\(written.errors)")
            #expect(try oci(bundle, "delete", "c").status == 0)
            let restored = try restore(bundle)
            #expect(restored.status == 0, "\(restored.errors)")
            #expect(try Set(looks(bundle)).symmetricDifference(before).isEmpty)
            try run(["mount", "-t", "tmpfs", "late", "\(volume)/late"])
            #expect(try oci(bundle, "exec", "c", "grep", "-c", "late", "/proc/mounts").output == "2\n")
            #expect(try oci(bundle, "delete", "--force", "c").status == 0)
            try run(["umount", "\(volume)/late"])
            bind("rshared")
            try begin(bundle)
            let refused = try checkpoint(bundle, "--work-path", "\(bundle.path)/work")
            #expect(
                refused.status == 1 && refused.errors.contains("mount /data: one that is shared"), "\(refused.errors)")
            #expect(try bundle.status() == "running")
        }

        @Test("connections go on where that is asked for, and are refused otherwise")
        func connections() throws {
            let bundle = try counting()
            bundle.script(
                "busybox nc -l -p 5 -e cat & sleep 0.3; "
                    + "(i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done) | busybox nc 127.0.0.1 5 > /dev/shm/all & "
                    + "while :; do sed -n '$p' /dev/shm/all > /dev/shm/n; sleep 0.1; done")
            try begin(bundle)
            #expect(try checkpoint(bundle).errors.contains("consider using --tcp-established"))
            #expect(try bundle.status() == "running")
            let written = try checkpoint(bundle, "--tcp-established")
            #expect(written.status == 0, "\(written.errors)")
            #expect(try oci(bundle, "delete", "c").status == 0)
            let restored = try restore(bundle, "--tcp-established")
            #expect(restored.status == 0, "\(restored.errors)")
            let reached = try count(bundle)
            try wait { try self.count(bundle) > reached + 2 }
        }

        @Test("a network namespace that it has joined is joined again, and no other")
        func joinedNetwork() throws {
            let bundle = try counting()
            let holder = try spawn(
                ["unshare", "--net", "sleep", "300"], environment: ProcessInfo.processInfo.environment)
            defer {
                kill(holder, SIGKILL)
                waitpid(holder, nil, 0)
            }
            let network = "/proc/\(holder)/ns/net"
            func name(_ path: String) throws -> String {
                try FileManager.default.destinationOfSymbolicLink(atPath: path)
            }
            try wait { try name(network) != name("/proc/self/ns/net") }
            bundle.change("linux") { linux in
                linux["namespaces"] =
                    ["pid", "mount", "uts", "ipc", "cgroup"].map { ["type": $0] }
                    + [["type": "network", "path": network]]
            }
            try begin(bundle)
            let written = try checkpoint(bundle)
            #expect(written.status == 0, "\(written.errors)")
            #expect(try oci(bundle, "delete", "c").status == 0)
            let restored = try restore(bundle)
            #expect(restored.status == 0, "\(restored.errors)")
            let pid = try #require(try bundle.pid())
            #expect(try name("/proc/\(pid)/ns/net") == name(network))
            // The host's own, where it had another.
            #expect(try checkpoint(bundle).status == 0)
            #expect(try oci(bundle, "delete", "c").status == 0)
            bundle.change("linux") { linux in
                linux["namespaces"] =
                    ["pid", "mount", "uts", "ipc", "cgroup"].map { ["type": $0] }
                    + [["type": "network", "path": "/proc/self/ns/net"]]
            }
            try bundle.write()
            let refused = try restore(bundle)
            #expect(
                refused.status == 1 && refused.errors.contains("the network namespace is the caller's"),
                "\(refused.errors)")
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("values of the kernel that criu does not keep are as the specification has them")
        func sysctls() throws {
            let bundle = try counting()
            let values = [
                "net.ipv4.ip_unprivileged_port_start": "80", "net.core.somaxconn": "77", "kernel.msgmax": "4096",
            ]
            bundle.change("linux") { $0["sysctl"] = values }
            try begin(bundle)
            #expect(try checkpoint(bundle).status == 0)
            #expect(try oci(bundle, "delete", "c").status == 0)
            let restored = try restore(bundle)
            #expect(restored.status == 0, "\(restored.errors)")
            for (name, value) in values {
                let path = "/proc/sys/" + name.replacingOccurrences(of: ".", with: "/")
                #expect(try oci(bundle, "exec", "c", "cat", path).output == "\(value)\n", "\(name)")
            }
        }

        @Test(
            "a process with threads that is not the one at the top goes on",
            .enabled(if: access("/usr/bin/python3", X_OK) == 0))
        func threads() throws {
            let bundle = try counting()
            var mounts = bundle.spec["mounts"] as? [[String: Any]] ?? []
            for place in ["/usr", "/lib", "/lib64"] {
                mounts.append(["destination": place, "type": "bind", "source": place, "options": ["rbind", "ro"]])
            }
            bundle.spec["mounts"] = mounts
            bundle.script(
                "/usr/bin/python3 -c 'import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\n"
                    + "while 1: time.sleep(0.1); n = globals().get(\"n\", 0) + 1; open(\"/dev/shm/n\", \"w\").write(str(n))' & "
                    + "while :; do sleep 1; done")
            try begin(bundle)
            #expect(try checkpoint(bundle).status == 0)
            #expect(try oci(bundle, "delete", "c").status == 0)
            let restored = try restore(bundle)
            #expect(restored.status == 0, "\(restored.errors)")
            let reached = try count(bundle)
            try wait { try self.count(bundle) > reached }
        }

        @Test("mounts that criu could write down and not make again are refused before")
        func mountsRefused() throws {
            for (place, option, why) in [("/a\nb", "ro", "line end"), ("/data", "unbindable", "unbindable")] {
                let bundle = try counting()
                var mounts = bundle.spec["mounts"] as? [[String: Any]] ?? []
                mounts.append(
                    ["destination": place, "type": "bind", "source": bundle.path, "options": ["bind", option]])
                bundle.spec["mounts"] = mounts
                try begin(bundle)
                let refused = try checkpoint(bundle)
                #expect(refused.status == 1 && refused.errors.contains(why), "\(refused.errors)")
                #expect(try bundle.status() == "running")
            }
        }

        @Test("what would be lost is refused by its name, and the container goes on")
        func refusals() throws {
            let changes: [(String, (Bundle) -> Void)] = [
                ("annotations: dev.carrel.exec", { $0.spec["annotations"] = ["dev.carrel.exec": "/bin/busybox"] }),
                ("annotations: dev.carrel.init", { $0.spec["annotations"] = ["dev.carrel.init": "true"] }),
                (
                    "linux.namespaces",
                    { bundle in
                        bundle.change("linux") { linux in
                            linux["namespaces"] = ["mount", "uts", "ipc"].map { ["type": $0] }
                        }
                    }
                ),
            ]
            for (name, change) in changes {
                let bundle = try counting()
                change(bundle)
                try bundle.start()
                let refused = try checkpoint(bundle)
                #expect(refused.status == 1 && refused.errors.contains(name), "\(refused.errors)")
                #expect(try bundle.status() == "running")
                #expect(!FileManager.default.fileExists(atPath: "\(bundle.path)/images"))
                #expect(try oci(bundle, "delete", "--force", "c").status == 0)
            }
            let bundle = try counting()
            try begin(bundle)
            let without = try run([
                "env", "PATH=/nonexistent", runtimePath, "--root", bundle.state, "checkpoint", "--image-path",
                "\(bundle.path)/images", "c",
            ])
            #expect(without.errors.contains("criu is not installed"), "\(without.errors)")
            #expect(try restore(bundle, "--image-path", "\(bundle.path)/nothing").errors.contains("--image-path: open"))
            #expect(try bundle.status() == "running")
        }

        @Test("a directory that another user could write to holds no images")
        func directories() throws {
            let bundle = try counting()
            try begin(bundle)
            let images = "\(bundle.path)/images"
            try FileManager.default.createDirectory(atPath: images, withIntermediateDirectories: false)
            chmod(images, 0o777)
            #expect(try checkpoint(bundle).errors.contains("only user 0 can write"))
            chmod(images, 0o700)
            chown(images, 12_345, 12_345)
            #expect(try checkpoint(bundle).errors.contains("only user 0 can write"))
            rmdir(images)
            symlink("/tmp", images)
            #expect(try checkpoint(bundle).status == 1)
            #expect(try bundle.status() == "running")
        }

        @Test(
            "a container that would come back with less that holds it is killed before it runs",
            arguments: ["\"NoNewPrivs\": \"1\"", "\"Seccomp\": \"2\"", "/proc/keys ro", "/ ro", "\"its own\""])
        func differences(held: String) throws {
            let bundle = try counting()
            bundle.change("linux") { linux in
                linux["seccomp"] = ["defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"]]
            }
            // What was there in the record, and is not what criu makes. A payload that ran for an instant would have written.
            let volume = "\(bundle.path)/volume"
            try FileManager.default.createDirectory(atPath: volume, withIntermediateDirectories: false)
            bundle.script("i=0; while :; do i=$((i+1)); echo $i > /data/n; echo 2 > /dev/shm/n; done")
            bundle.spec["mounts"] =
                (bundle.spec["mounts"] as? [[String: Any]] ?? []) + [
                    ["destination": "/data", "type": "bind", "source": volume, "options": ["bind"]]
                ]
            try begin(bundle)
            #expect(try checkpoint(bundle).status == 0)
            #expect(try oci(bundle, "delete", "c").status == 0)
            let record = "\(bundle.path)/images/carrel.json"
            let text = try String(contentsOfFile: record, encoding: .utf8)
            let changes = ["1\"": "7\"", "2\"": "1\"", " ro": " rw", "its own\"": "the caller's\""]
            let other = changes.reduce(held) { $0.hasSuffix($1.key) ? $0.dropLast($1.key.count) + $1.value : $0 }
            #expect(text.contains(held), "\(text)")
            let reached = try String(contentsOfFile: "\(volume)/n", encoding: .utf8)
            try text.replacingOccurrences(of: held, with: other).write(
                toFile: record, atomically: false, encoding: .utf8)
            let refused = try restore(bundle)
            #expect(refused.status == 1 && refused.errors.contains("came back with"), "\(refused.errors)")
            #expect(try String(contentsOfFile: "\(volume)/n", encoding: .utf8) == reached)
            #expect(bundle.leftovers(["c"]).isEmpty)
            // A record that says nothing holds nothing against it.
            for damaged in ["{}", "{\"version\": 1}", "[", ""] {
                try damaged.write(toFile: record, atomically: false, encoding: .utf8)
                let refused = try restore(bundle)
                #expect(refused.status == 1 && refused.errors.contains("carrel.json"), "\(refused.errors)")
            }
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("a restore that is killed at any time leaves what delete takes away")
        func killed() throws {
            let bundle = try counting()
            try begin(bundle)
            #expect(try checkpoint(bundle).status == 0)
            #expect(try oci(bundle, "delete", "c").status == 0)
            func remains() throws -> [String] {
                try FileManager.default.contentsOfDirectory(atPath: "/tmp").filter { $0.hasPrefix(".criu") }.sorted()
            }
            let before = try remains()
            for milliseconds in [5, 15, 30, 45, 60, 80] {
                let script =
                    "\"$@\" </dev/null >/dev/null 2>&1 & sleep 0.0\(milliseconds < 10 ? "0" : "")\(milliseconds); "
                    + "kill -9 $!; wait $! 2>/dev/null; true"
                try run(
                    [
                        "/bin/sh", "-c", script, "sh", runtimePath, "--root", bundle.state, "restore", "--detach",
                        "--bundle", bundle.path, "--image-path", "\(bundle.path)/images", "c",
                    ], environment: ["PATH": criuPath])
                let deleted = try oci(bundle, "delete", "--force", "c")
                #expect(deleted.status == 0, "\(milliseconds) ms: \(deleted.errors)")
                #expect(bundle.leftovers(["c"]).isEmpty, "\(milliseconds) ms")
            }
            #expect(try remains() == before)
            let restored = try restore(bundle)
            #expect(restored.status == 0, "\(restored.errors)")
        }

        @Test("a specification that would hold it otherwise is refused by its field")
        func otherSpecification() throws {
            let bundle = try counting()
            try begin(bundle)
            #expect(try checkpoint(bundle).status == 0)
            #expect(try oci(bundle, "delete", "c").status == 0)
            let was = bundle.spec
            let changes: [(String, (Bundle) -> Void)] = [
                ("linux.seccomp", { $0.change("linux") { $0["seccomp"] = ["defaultAction": "SCMP_ACT_ALLOW"] } }),
                ("process.capabilities", { $0.change("process") { $0["capabilities"] = [String: Any]() } }),
                ("root.readonly", { $0.change("root") { $0["readonly"] = false } }),
                ("linux.maskedPaths", { $0.change("linux") { $0["maskedPaths"] = ["/etc"] } }),
                ("mounts", { $0.spec["mounts"] = Array(($0.spec["mounts"] as? [Any] ?? []).dropLast()) }),
            ]
            for (field, change) in changes {
                bundle.spec = was
                change(bundle)
                try bundle.write()
                let refused = try restore(bundle)
                #expect(refused.status == 1 && refused.errors.contains("\(field) is not"), "\(refused.errors)")
            }
            bundle.spec = was
            bundle.spec["hostname"] = "another"
            try bundle.write()
            #expect(try restore(bundle).status == 0)
        }

        @Test("hooks hear of a restored container as of a new one, and one that fails ends it")
        func hooks() throws {
            let bundle = try counting()
            let heard = "\(bundle.path)/heard"
            func hook(_ kind: String, _ end: String = "") -> [[String: Any]] {
                [["path": "/bin/sh", "args": ["sh", "-c", "cat >/dev/null; echo \(kind) >> \(heard)\(end)"]]]
            }
            let kinds = ["prestart", "createRuntime", "poststart", "poststop"]
            bundle.spec["hooks"] = Dictionary(uniqueKeysWithValues: kinds.map { ($0, hook($0)) })
            try begin(bundle)
            #expect(try checkpoint(bundle).status == 0)
            #expect(try oci(bundle, "delete", "c").status == 0)
            try? FileManager.default.removeItem(atPath: heard)
            let restored = try restore(bundle)
            #expect(restored.status == 0, "\(restored.errors)")
            #expect(try oci(bundle, "delete", "--force", "c").status == 0)
            #expect(
                try String(contentsOfFile: heard, encoding: .utf8) == kinds.map { "\($0)\n" }.joined())
            bundle.change("hooks") { $0["createRuntime"] = hook("createRuntime", "; exit 3") }
            try bundle.write()
            let refused = try restore(bundle)
            #expect(refused.status == 1 && refused.errors.contains("exit status 3"), "\(refused.errors)")
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("in the foreground, the caller gets the exit status and what the payload writes")
        func foreground() throws {
            let bundle = try Bundle()
            bundle.script("echo $$ > /dev/shm/n; while [ ! -e /dev/shm/go ]; do sleep 0.1; done; echo done; exit 7")
            bundle.change("root") { $0["readonly"] = false }
            try bundle.write()
            let script = "\"$@\" </dev/null | cat >/dev/null &"
            try run([
                "/bin/sh", "-c", script, "sh", runtimePath, "--root", bundle.state, "run", "--bundle", bundle.path, "c",
            ])
            try wait {
                try bundle.status() == "running" && self.oci(bundle, "exec", "c", "ls", "/dev/shm/n").status == 0
            }
            let written = try checkpoint(bundle, "--leave-running")
            #expect(written.status == 0, "\(written.errors)")
            #expect(try oci(bundle, "exec", "c", "touch", "/dev/shm/go").status == 0)
            try wait { try bundle.status() == nil }
            // It was written down before: what it waits for comes from outside.
            let late =
                "(sleep 1; exec \"$0\" --root \"$1\" exec c touch /dev/shm/go) & \"$0\" --root \"$1\" restore --bundle \"$2\" "
                + "--image-path \"$2/images\" c | cat; exit ${PIPESTATUS[0]}"
            let ended = try run(
                ["/bin/bash", "-c", late, runtimePath, bundle.state, bundle.path], environment: ["PATH": criuPath])
            #expect(ended.status == 7 && ended.output == "done\n", "\(ended.status) \(ended.output) \(ended.errors)")
            #expect(bundle.leftovers(["c"]).isEmpty)
        }
    }
}
