import Foundation
import Glibc
import Testing

/// The directory of a criu that starts on this kernel; `nil` where it cannot be built.
let criuDirectory = fixture("criu").map { $0 + "/bin" }

/// `PATH` with that criu first.
let criuPath =
    "\(criuDirectory ?? ""):\(ProcessInfo.processInfo.environment["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin")"

let hasNoCRIU: Comment = "criu could not be built: Fixtures/criu/build tells why"

extension Conformance {
    /// `checkpoint` and `restore`, by the criu of Debian's source.
    @Suite(.enabled(if: criuDirectory != nil, hasNoCRIU))
    struct CheckpointTests {
        /// A container whose payload counts, ten times a second, in a file of its own.
        func counting() throws -> Bundle {
            let bundle = try Bundle()
            bundle.script("i=0; while :; do i=$((i+1)); echo $i > /dev/shm/n; sleep 0.1; done")
            return bundle
        }

        func oci(_ bundle: Bundle, _ words: String...) throws -> Outcome {
            try run([runtimePath, "--root", bundle.state] + words, environment: ["PATH": criuPath])
        }

        /// Starts it, with nothing of the test's open.
        func begin(_ bundle: Bundle) throws {
            try bundle.write()
            let begun = try run([
                "/bin/sh", "-c", "exec \"$@\" </dev/null >/dev/null 2>&1", "sh", runtimePath, "--root", bundle.state,
                "run",
                "--detach", "--bundle", bundle.path, "c",
            ])
            #expect(begun.status == 0, "\(begun.errors)")
            try wait { try self.count(bundle) > 1 }
        }

        func checkpoint(_ bundle: Bundle, _ more: [String] = []) throws -> Outcome {
            try run(
                [runtimePath, "--root", bundle.state, "checkpoint", "--image-path", "\(bundle.path)/images"] + more
                    + ["c"], environment: ["PATH": criuPath])
        }

        func restore(_ bundle: Bundle, _ more: [String] = []) throws -> Outcome {
            let words =
                [runtimePath, "--root", bundle.state, "restore", "--detach", "--bundle", bundle.path] + more
                + (more.contains("--image-path") ? [] : ["--image-path", "\(bundle.path)/images"]) + ["c"]
            return try run(
                ["/bin/sh", "-c", "exec \"$@\" </dev/null >/dev/null", "sh"] + words, environment: ["PATH": criuPath])
        }

        /// Writes it down, and takes away what is left of it.
        func writeDown(_ bundle: Bundle, _ more: [String] = []) throws {
            let written = try checkpoint(bundle, more)
            #expect(written.status == 0, "\(written.errors)")
            #expect(try bundle.status() == "stopped")
            #expect(try oci(bundle, "delete", "c").status == 0)
        }

        /// Has it go on.
        func bringBack(_ bundle: Bundle, _ more: [String] = []) throws {
            let restored = try restore(bundle, more)
            #expect(restored.status == 0, "\(restored.errors)")
            #expect(try bundle.status() == "running")
        }

        func count(_ bundle: Bundle) throws -> Int {
            let pid = try #require(try bundle.pid())
            let text = (try? String(contentsOfFile: "/proc/\(pid)/root/dev/shm/n", encoding: .utf8)) ?? ""
            return Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
        }

        /// What of a process and its mounts must be the same.
        func looks(_ bundle: Bundle) throws -> [String] {
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
            bundle.mount([
                ["destination": "/data", "type": "bind", "source": volume, "options": ["rbind", "nosuid"]],
                ["destination": "/data2", "type": "bind", "source": volume, "options": ["bind", "ro", "nodev"]],
                ["destination": "/etc/file", "type": "bind", "source": "\(volume)/file", "options": ["bind", "ro"]],
                ["destination": "/data/t", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k", "noexec"]],
            ])
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
            try writeDown(bundle)
            #expect(bundle.leftovers(["c"]).isEmpty)
            var found = stat()
            #expect(stat("\(bundle.path)/images", &found) == 0 && found.st_mode & 0o077 == 0)

            try bringBack(bundle, ["--pid-file", "\(bundle.path)/pid"])
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
            try writeDown(bundle)
            try bringBack(bundle)
            #expect(try Set(looks(bundle)).symmetricDifference(before).isEmpty)
            try wait { try self.count(bundle) > reached }
            let pid = try #require(try bundle.pid())
            #expect(try String(contentsOfFile: "/proc/\(pid)/uid_map", encoding: .utf8).contains("100000"))
        }

        @Test("it can go on at once, and be written down in two steps")
        func leaveRunning() throws {
            let bundle = try counting()
            try begin(bundle)
            let left = try checkpoint(bundle, ["--leave-running"])
            #expect(left.status == 0, "\(left.errors)")
            let reached = try count(bundle)
            try wait { try self.count(bundle) > reached }
            #expect(try oci(bundle, "pause", "c").status == 0)
            let still = try checkpoint(bundle, ["--leave-running"])
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
            try bringBack(bundle, ["--image-path", "\(bundle.path)/steps/two"])
            try wait { try self.count(bundle) > reached }
        }

        @Test("one that stands still is written down, and goes on")
        func paused() throws {
            let bundle = try counting()
            try begin(bundle)
            #expect(try oci(bundle, "pause", "c").status == 0)
            let reached = try count(bundle)
            try writeDown(bundle)
            try bringBack(bundle)
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
            try writeDown(bundle)
            try bringBack(bundle)
            #expect(try Set(looks(bundle)).symmetricDifference(before).isEmpty)
            try run(["mount", "-t", "tmpfs", "late", "\(volume)/late"])
            #expect(try oci(bundle, "exec", "c", "grep", "-c", "late", "/proc/mounts").output == "2\n")
            #expect(try oci(bundle, "delete", "--force", "c").status == 0)
            try run(["umount", "\(volume)/late"])
            bind("rshared")
            try begin(bundle)
            let refused = try checkpoint(bundle, ["--work-path", "\(bundle.path)/work"])
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
            try writeDown(bundle, ["--tcp-established"])
            try bringBack(bundle, ["--tcp-established"])
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
            try writeDown(bundle)
            try bringBack(bundle)
            let pid = try #require(try bundle.pid())
            #expect(try name("/proc/\(pid)/ns/net") == name(network))
            // The host's own, where it had another.
            try writeDown(bundle)
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
            try writeDown(bundle)
            try bringBack(bundle)
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
            bundle.mount(
                ["/usr", "/lib", "/lib64"].map {
                    ["destination": $0, "type": "bind", "source": $0, "options": ["rbind", "ro"]]
                })
            bundle.script(
                "/usr/bin/python3 -c 'import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\n"
                    + "while 1: time.sleep(0.1); n = globals().get(\"n\", 0) + 1; open(\"/dev/shm/n\", \"w\").write(str(n))' & "
                    + "while :; do sleep 1; done")
            try begin(bundle)
            try writeDown(bundle)
            try bringBack(bundle)
            let reached = try count(bundle)
            try wait { try self.count(bundle) > reached }
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
            try writeDown(bundle)
            try? FileManager.default.removeItem(atPath: heard)
            try bringBack(bundle)
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
            let written = try checkpoint(bundle, ["--leave-running"])
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
