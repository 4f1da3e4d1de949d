import Foundation
import Glibc
import Testing

extension Conformance {
    /// Containers that share something: a PID namespace, the host's mounts, a cgroup's path.
    @Suite struct SharedPlaceTests {
        private let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Fixtures"

        /// A container that traces whatever comes into its PID namespace.
        private func stalker(_ capabilities: [String]) throws -> Bundle {
            let bundle = try Bundle()
            let program = "\(bundle.path)/rootfs/bin/stalker"
            #expect(try run(["gcc", "-static", "-O1", "-o", program, "\(fixtures)/stalker.c"]).status == 0)
            bundle.change("process") { $0["capabilities"] = sets(capabilities) }
            bundle.change("root") { $0["readonly"] = false }
            chmod("\(bundle.path)/rootfs/tmp", 0o777)
            bundle.script("exec stalker > /tmp/seen")
            return bundle
        }

        private func sets(_ capabilities: [String]) -> [String: Any] {
            ["bounding", "effective", "permitted"].reduce(into: [:]) { $0[$1] = capabilities }
        }

        private func seen(_ bundle: Bundle) -> String {
            (try? String(contentsOfFile: "\(bundle.path)/rootfs/tmp/seen", encoding: .utf8)) ?? ""
        }

        private let usual = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]

        @Test(
            "who shares a container's PID namespace cannot look into its making (CVE-2016-9962)",
            arguments: [false, true])
        func stalkedStart(sharesUsers: Bool) throws {
            let stalker = try stalker(sharesUsers ? usual + ["CAP_SYS_PTRACE"] : usual)
            if sharesUsers { stalker.mapUsers() }
            try stalker.start()
            try wait { seen(stalker).hasPrefix("ready") }
            let pid = try #require(try stalker.pid())
            let other = try Bundle()
            if sharesUsers { other.mapUsers() }
            other.change("process") { $0["capabilities"] = sets(usual) }
            other.change("linux") { linux in
                let shared = sharesUsers ? ["pid", "user"] : ["pid"]
                linux["namespaces"] =
                    shared.map { ["type": $0, "path": "/proc/\(pid)/ns/\($0)"] }
                    + ["mount", "uts", "ipc", "network"].map { ["type": $0] }
            }
            other.spec["mounts"] = (other.spec["mounts"] as? [[String: Any]] ?? []).filter {
                !(($0["destination"] as? String) ?? "").hasPrefix("/sys")
            }
            // Long enough for its payload to be caught, which shows that it is stalked.
            other.payload("sleep", "0.1")
            for number in 0..<6 {
                let outcome = try other.runToEnd("other\(number)")
                #expect(outcome.status == 0, "\(outcome.errors)")
            }
            #expect(seen(stalker).contains("seized sleep"), "\(seen(stalker))")
            #expect(!seen(stalker).contains("seized carrel"), "\(seen(stalker))")
        }

        @Test("a program that enters a container whose processes trace every one has no descriptor of the host's")
        func stalkedExec() throws {
            let stalker = try stalker(usual + ["CAP_SYS_PTRACE"])
            try stalker.start()
            try wait { seen(stalker).hasPrefix("ready") }
            for _ in 0..<6 { try stalker.oci("exec", "c", "sleep", "0.1") }
            #expect(seen(stalker).contains("seized"), "\(seen(stalker))")
            let paths = seen(stalker).split(separator: "\n").filter { $0.hasPrefix("fd /") }
            #expect(!paths.contains { $0.contains(stalker.state) || $0.contains("/sys/fs/cgroup") }, "\(paths)")
        }

        @Test("exec in a container that shares the host's mounts, or another's, is in its root")
        func execRoot() throws {
            let bundle = try Bundle()
            try "inside".write(toFile: "\(bundle.path)/rootfs/etc/where", atomically: true, encoding: .utf8)
            bundle.change("linux") { linux in
                linux["namespaces"] = ["pid", "ipc", "uts", "network"].map { ["type": $0] }
                linux["maskedPaths"] = nil
                linux["readonlyPaths"] = nil
            }
            bundle.spec["mounts"] = [["destination": "/proc", "type": "proc", "source": "proc"]]
            try bundle.start()
            #expect(try bundle.oci("exec", "c", "cat", "/etc/where").output == "inside")
            #expect(try bundle.oci("exec", "c", "ls", "/work", "/root").status != 0)
            let pid = try #require(try bundle.pid())
            let other = try Bundle()
            try "there".write(toFile: "\(other.path)/rootfs/etc/where", atomically: true, encoding: .utf8)
            other.spec["linux"] = bundle.spec["linux"]
            other.spec["mounts"] = bundle.spec["mounts"]
            other.change("linux") { linux in
                linux["namespaces"] =
                    ["pid", "ipc", "uts", "network"].map { ["type": $0] }
                    + [["type": "mount", "path": "/proc/\(pid)/ns/mnt"]]
            }
            try other.start("d")
            #expect(try other.oci("exec", "d", "cat", "/etc/where").output == "there")
            #expect(try other.oci("delete", "--force", "d").status == 0)
            #expect(try bundle.oci("delete", "--force", "c").status == 0)
            let mounts = try String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)
            #expect(!mounts.contains(other.path) && !mounts.contains(bundle.path))
        }

        @Test("no value of the kernel is written where a container whose mounts are joined has put something else")
        func sysctlElsewhere() throws {
            let first = try Bundle()
            first.change("process") { $0["capabilities"] = sets(["CAP_SYS_ADMIN"]) }
            first.change("root") { $0["readonly"] = false }
            first.change("linux") { $0["readonlyPaths"] = nil }
            first.script(
                """
                mkdir -p /tmp/fake/net/ipv4; echo fake > /tmp/fake/net/ipv4/ip_forward
                mount -o bind /tmp/fake /proc/sys && touch /tmp/ready
                exec sleep 1000
                """)
            try first.start()
            try wait { access("\(first.path)/rootfs/tmp/ready", F_OK) == 0 }
            let pid = try #require(try first.pid())
            let second = try Bundle()
            second.spec["mounts"] = nil
            second.payload("true")
            second.change("linux") { linux in
                linux["namespaces"] =
                    ["pid", "network", "uts"].map { ["type": $0] } + [["type": "mount", "path": "/proc/\(pid)/ns/mnt"]]
                linux["sysctl"] = ["net.ipv4.ip_forward": "1"]
                linux["maskedPaths"] = nil
                linux["readonlyPaths"] = nil
            }
            let outcome = try second.runToEnd("second")
            #expect(outcome.status == 1 && outcome.errors.contains("sysctl net.ipv4.ip_forward"), "\(outcome)")
            #expect(
                try String(contentsOfFile: "\(first.path)/rootfs/tmp/fake/net/ipv4/ip_forward", encoding: .utf8)
                    == "fake\n")
        }

        @Test("a create that is refused leaves the processes of its cgroup's owner alone")
        func othersCgroup() throws {
            let first = try Bundle()
            let path = "/carrel/shared-\(getpid())"
            defer {
                for hierarchy in (try? FileManager.default.contentsOfDirectory(atPath: "/sys/fs/cgroup")) ?? [] {
                    rmdir("/sys/fs/cgroup/\(hierarchy)\(path)")
                }
                rmdir("/sys/fs/cgroup\(path)")
            }
            first.change("linux") { $0["cgroupsPath"] = path }
            try first.start()
            let second = try Bundle()
            second.change("linux") { $0["cgroupsPath"] = path }
            try second.write()
            #expect(try second.oci("create", "--bundle", second.path, "second").errors.contains("exists already"))
            second.change("linux") { $0["resources"] = ["memory": ["useHierarchy": false]] }
            try second.write()
            #expect(try second.oci("create", "--bundle", second.path, "second").status != 0)
            #expect(try first.status() == "running" && second.status("second") == nil)
            // Nor does one that was killed before it had made a cgroup, by what it wrote down.
            try second.oci("create", "--bundle", second.path, "second")
            let record = "\(second.state)/third"
            try FileManager.default.createDirectory(atPath: record, withIntermediateDirectories: true)
            let text = """
                {"ociVersion":"1.2.0","id":"third","bundle":"/","rootfs":"/","created":"x","owner":0,"pid":0,
                "pidStarted":0,"cgroup":"\(path)","keepsCgroup":true,"hasCgroup":false,"annotations":{}}
                """
            try text.write(toFile: record + "/state.json", atomically: true, encoding: .utf8)
            #expect(try second.oci("delete", "--force", "third").status == 0)
            #expect(try first.status() == "running")
        }

        @Test("a cgroup that was there before takes one container after the other, and what they execute")
        func keptCgroup() throws {
            let bundle = try Bundle()
            let unified = "/sys/fs/cgroup/unified"
            let path = "/carrel/kept-\(getpid())"
            let directory = (access(unified, F_OK) == 0 ? unified : "/sys/fs/cgroup") + path
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            defer { rmdir(directory) }
            bundle.change("linux") { linux in
                linux["cgroupsPath"] = path
                linux["resources"] = nil
            }
            for _ in 0..<2 {
                try bundle.start()
                #expect(try bundle.oci("exec", "c", "true").status == 0)
                #expect(try bundle.oci("delete", "--force", "c").status == 0)
            }
            #expect(access(directory, F_OK) == 0)
        }

        @Test("a host directory that is bound to /dev, however that is written, is left as it is")
        func boundDevices() throws {
            let bundle = try Bundle()
            let devices = "\(bundle.path)/devices"
            try FileManager.default.createDirectory(atPath: devices, withIntermediateDirectories: true)
            for name in ["ptmx", "shm", "pts", "mqueue"] {
                try FileManager.default.createDirectory(atPath: "\(devices)/\(name)", withIntermediateDirectories: true)
            }
            let before = try FileManager.default.contentsOfDirectory(atPath: devices).sorted()
            bundle.unmountDevices()
            let usual = bundle.spec["mounts"] as? [[String: Any]] ?? []
            for destination in ["/dev", "/dev/", "//dev/.", "/./dev", "/tmp/../dev"] {
                let options = ["rbind", "rw"]
                bundle.spec["mounts"] =
                    usual + [["destination": destination, "type": "bind", "source": devices, "options": options]]
                bundle.payload("true")
                #expect(try bundle.runToEnd().status == 0)
                #expect(try FileManager.default.contentsOfDirectory(atPath: devices).sorted() == before)
            }
        }

        @Test("a host directory that is /dev by a link of the image, or was mounted there before, is left as it is")
        func devicesElsewhere() throws {
            let bundle = try Bundle()
            let devices = "\(bundle.path)/devices"
            let place = "\(bundle.path)/rootfs/dev"
            try FileManager.default.createDirectory(atPath: devices, withIntermediateDirectories: false)
            try "kept".write(toFile: "\(devices)/ptmx", atomically: true, encoding: .utf8)
            bundle.change("root") { $0["readonly"] = false }
            bundle.payload("true")
            let mounts = bundle.spec["mounts"] as? [[String: Any]] ?? []
            rmdir(place)
            mkdir("\(bundle.path)/rootfs/data", 0o755)
            symlink("/data", place)
            bundle.mount([["destination": "/data", "type": "bind", "source": devices, "options": ["rbind"]]])
            let linked = try bundle.runToEnd()
            #expect(linked.errors.contains("/dev: Too many levels of symbolic links"), "\(linked)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: devices) == ["ptmx"])
            unlink(place)
            mkdir(place, 0o755)
            bundle.spec["mounts"] = mounts
            bundle.unmountDevices()
            try #require(try run(["mount", "--bind", devices, place]).status == 0)
            defer { umount(place) }
            let mounted = try bundle.runToEnd()
            #expect(mounted.status == 0, "\(mounted.errors)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: devices) == ["ptmx"])
            #expect(try String(contentsOfFile: "\(devices)/ptmx", encoding: .utf8) == "kept")
        }

        @Test("the mounts of a container without a mount namespace go with it", arguments: [" ", "\\"])
        func mountsAtAnyPath(character: String) throws {
            let bundle = try Bundle()
            bundle.change("linux") { $0["namespaces"] = [["type": "pid"]] }
            bundle.change("linux") { $0["maskedPaths"] = [String]() }
            bundle.change("linux") { $0["readonlyPaths"] = [String]() }
            bundle.spec["hostname"] = nil
            bundle.spec["mounts"] = [["destination": "/proc", "type": "proc", "source": "proc"]]
            bundle.payload("true")
            try bundle.write()
            let place = "\(bundle.path)/b\(character)1"
            try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
            for name in ["rootfs", "config.json"] {
                try FileManager.default.copyItem(atPath: "\(bundle.path)/\(name)", toPath: "\(place)/\(name)")
            }
            let outcome = try bundle.oci("run", "--bundle", place, "c")
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(try !String(contentsOfFile: "/proc/self/mounts", encoding: .utf8).contains(bundle.path))
        }

        @Test("a created container that is held still can be looked at and let go, and does not start meanwhile")
        func pausedCreated() throws {
            let bundle = try Bundle()
            try bundle.write()
            #expect(try bundle.oci("create", "--bundle", bundle.path, "c").status == 0)
            #expect(try bundle.oci("pause", "c").status == 0)
            for _ in 0..<25 { #expect(try bundle.oci("state", "c", limit: 20).output.contains("created")) }
            #expect(try bundle.oci("list", limit: 20).status == 0)
            #expect(try bundle.oci("start", "c", limit: 20).errors.contains("paused"))
            #expect(try bundle.oci("resume", "c", limit: 20).status == 0)
            #expect(try bundle.oci("start", "c", limit: 20).status == 0)
            #expect(try bundle.status() == "running")
        }

        @Test("of the hooks that follow a start or an end, the one that fails is told and the others run")
        func followingHooks() throws {
            let bundle = try Bundle()
            let log = "\(bundle.path)/log"
            func hooks(_ name: String) -> [[String: Any]] {
                [["path": "/bin/false"], ["path": "/bin/sh", "args": ["sh", "-c", "echo \(name) >> '\(log)'"]]]
            }
            bundle.spec["hooks"] = ["poststart": hooks("started"), "poststop": hooks("stopped")]
            bundle.payload("true")
            let outcome = try bundle.runToEnd()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.errors.contains("poststart[0]") && outcome.errors.contains("poststop[0]"))
            #expect(try String(contentsOfFile: log, encoding: .utf8) == "started\nstopped\n")
        }

        @Test("a hook that follows the start can have the runtime do something to the container")
        func hookThatCalls() throws {
            let bundle = try Bundle()
            let words = ["--root", bundle.state, "update", "--pids-limit", "77", "c"]
            bundle.spec["hooks"] = ["poststart": [["path": runtimePath, "args": ["oci"] + words, "timeout": 10]]]
            try bundle.write()
            let run = try bundle.oci("run", "--detach", "--bundle", bundle.path, "c")
            #expect(run.status == 0 && run.errors.isEmpty, "\(run)")
            #expect(try bundle.oci("events", "--stats", "c").output.contains("\"limit\":77"))
            try bundle.oci("delete", "--force", "c")
            try bundle.start()
            #expect(try bundle.oci("events", "--stats", "c").output.contains("\"limit\":77"))
        }

        @Test("a path that is to be pinned and is not there refuses the start")
        func missingPin() throws {
            let bundle = try Bundle()
            bundle.spec["annotations"] = ["dev.carrel.pinnedPaths": "/no/such"]
            bundle.payload("true")
            let outcome = try bundle.runToEnd()
            #expect(outcome.status != 0 && outcome.errors.contains("/no/such"), "\(outcome.errors)")
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("limits are the payload's and not its builder's")
        func smallLimits() throws {
            let bundle = try Bundle()
            bundle.script("ulimit -n; ulimit -Hn")
            for files in [8, 16, 64] {
                bundle.change("process") {
                    $0["rlimits"] = [["type": "RLIMIT_NOFILE", "hard": files + 1, "soft": files]]
                }
                let outcome = try bundle.runToEnd()
                #expect(outcome.output == "\(files)\n\(files + 1)\n", "\(outcome.errors)")
            }
            bundle.change("process") { $0["rlimits"] = [["type": "RLIMIT_AS", "hard": 8 << 20, "soft": 8 << 20]] }
            bundle.script("ulimit -v")
            #expect(try bundle.runToEnd().output == "8192\n")
        }
    }
}
