import Foundation
import Glibc
import Testing

extension Conformance {
    /// Fields of the specification, each seen from inside.
    @Suite
    struct FeatureTests {
        @Test("names, sysctls and clocks of new namespaces are the container's own")
        func namespaces() throws {
            let bundle = try Bundle()
            bundle.spec["hostname"] = "inside"
            bundle.change("linux") { linux in
                linux["sysctl"] = ["net.ipv4.ip_forward": "1", "kernel.msgmax": "4097"]
                linux["namespaces"] = ["pid", "mount", "uts", "ipc", "network", "cgroup", "time"].map { ["type": $0] }
                linux["timeOffsets"] = ["boottime": ["secs": 1_000_000_000]]
            }
            bundle.script(
                "cat /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax; cat /proc/uptime")
            let outcome = try bundle.runToEnd()
            let lines = outcome.output.split(separator: "\n")
            #expect(lines.prefix(3) == ["inside", "1", "4097"], "\(outcome.errors)")
            #expect(lines.last?.hasPrefix("1000") ?? false)
        }

        @Test("namespaces are joined by their paths, all kinds at once")
        func joining() throws {
            let bundle = try Bundle()
            try bundle.start("first")
            let pid = try #require(try bundle.pid("first"))
            let kinds = ["network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid", "cgroup": "cgroup"]
            bundle.change("linux") { linux in
                linux["namespaces"] =
                    kinds.map { ["type": $0.key, "path": "/proc/\(pid)/ns/\($0.value)"] }
                    + [["type": "mount"]]
            }
            bundle.script("for n in net ipc uts pid cgroup; do readlink /proc/self/ns/$n; done")
            let outcome = try bundle.runToEnd("second")
            let wanted = try run([
                "/bin/sh", "-c", "for n in net ipc uts pid cgroup; do readlink /proc/\(pid)/ns/$n; done",
            ])
            #expect(outcome.output == wanted.output, "\(outcome.errors)")
        }

        @Test("a user namespace maps ids, and another container joins it")
        func userNamespace() throws {
            let bundle = try Bundle()
            bundle.mapUsers()
            try bundle.start("first")
            #expect(
                try bundle.oci("exec", "first", "cat", "/proc/self/uid_map").output.split(separator: " ").contains(
                    "100000")
            )
            // A terminal belongs to an id that the container has.
            let terminal = try bundle.oci("exec", "--tty", "first", "busybox", "tty")
            #expect(terminal.status == 0 && terminal.output.hasPrefix("/dev/pts/"), "\(terminal)")
            let pid = try #require(try bundle.pid("first"))
            bundle.change("linux") { linux in
                linux["uidMappings"] = nil
                linux["gidMappings"] = nil
                linux["namespaces"] =
                    ["pid", "mount", "uts", "ipc", "network"].map { ["type": $0] }
                    + [["type": "user", "path": "/proc/\(pid)/ns/user"]]
            }
            bundle.payload("cat", "/proc/self/uid_map")
            let outcome = try bundle.runToEnd("second")
            #expect(outcome.output.split(separator: " ").contains("100000"), "\(outcome.errors)")
        }

        @Test("mount options: recursive read-only, a filled tmpfs, a remount, what podman hands on")
        func mounts() throws {
            let bundle = try Bundle()
            try "kept".write(toFile: "\(bundle.path)/rootfs/etc/file", atomically: true, encoding: .utf8)
            // A name that is not UTF-8 is copied too.
            let odd = Array("\(bundle.path)/rootfs/etc/odd".utf8CString.dropLast()) + [CChar(bitPattern: 0xe9), 0]
            #expect(symlink("file", odd) == 0)
            try FileManager.default.createDirectory(
                atPath: "\(bundle.path)/data/sub", withIntermediateDirectories: true)
            bundle.mount([
                ["destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "size=1m"]],
                [
                    "destination": "/data", "type": "bind", "source": "\(bundle.path)/data",
                    "options": ["rbind", "rro", "rnorelatime", "nocopy", "z", "Z", "U"],
                ],
                [
                    "destination": "/data/sub", "type": "tmpfs", "source": "own",
                    "options": ["nosuid", "noexec", "nodev"],
                ],
                ["destination": "/dev/shm", "type": "none", "options": ["remount", "bind", "ro"]],
            ])
            bundle.change("root") { $0["readonly"] = false }
            bundle.script(
                "cat /etc/odd*; touch /etc/new && echo; touch /data/x; touch /data/sub/x && echo own; touch /dev/shm/x")
            let outcome = try bundle.runToEnd()
            #expect(outcome.output == "kept\nown\n", "\(outcome.output) \(outcome.errors)")
            #expect(outcome.errors.contains("/data/x: Read-only") && outcome.errors.contains("/dev/shm/x: Read-only"))
        }

        @Test(
            "a mount is id-mapped as it is asked for, or refused", arguments: ["idmap", "ridmap", "idmap=uids=0-5-1"])
        func idmapWithoutMap(option: String) throws {
            let bundle = try Bundle()
            bundle.mount([
                ["destination": "/data", "type": "bind", "source": bundle.path, "options": ["rbind", option]]
            ])
            bundle.payload("true")
            let outcome = try bundle.runToEnd()
            #expect(outcome.status == 1 && outcome.errors.contains("mount /data: option idmap"), "\(outcome)")
            #expect(outcome.errors.contains("uidMappings"))
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("a mount is where a link of the image leads, also where nothing is there yet")
        func mountsThroughLinks() throws {
            let bundle = try Bundle()
            let links = [
                "etc/resolv.conf": "../run/systemd/resolve.conf", "run": "/var/run/",
                "etc/hosts": "../../../../../../../../etc/carrel-trap", "one": "two", "two": "one",
            ]
            for (name, target) in links { symlink(target, "\(bundle.path)/rootfs/\(name)") }
            try "bound".write(toFile: "\(bundle.path)/file", atomically: true, encoding: .utf8)
            bundle.change("root") { $0["readonly"] = false }
            bundle.mount(
                ["/etc/resolv.conf", "/etc/hosts"].map {
                    ["destination": $0, "type": "bind", "source": "\(bundle.path)/file", "options": ["bind", "ro"]]
                } + [["destination": "/run/deep", "type": "tmpfs", "source": "tmpfs"]])
            bundle.script(
                "cat /etc/resolv.conf /var/run/systemd/resolve.conf /etc/carrel-trap; grep -c deep /proc/mounts")
            let outcome = try bundle.runToEnd()
            #expect(outcome.output == "boundboundbound1\n", "\(outcome)")
            #expect(access("/etc/carrel-trap", F_OK) != 0)
            bundle.mount([["destination": "/one", "type": "tmpfs", "source": "tmpfs"]])
            #expect(try bundle.runToEnd().errors.contains("/one: Too many levels of symbolic links"))
        }

        @Test("a container with a user namespace has more mounts than one message takes descriptors")
        func manyMounts() throws {
            let bundle = try Bundle()
            bundle.mapUsers()
            let place = "\(bundle.path)/rootfs/mounts"
            try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
            for number in 0..<420 { _ = FileManager.default.createFile(atPath: "\(place)/\(number)", contents: nil) }
            let bind: [String: Any] = ["type": "bind", "source": "/etc/hostname", "options": ["bind", "ro"]]
            bundle.mount((0..<420).map { bind.merging(["destination": "/mounts/\($0)"]) { $1 } })
            bundle.script("grep -c ' /mounts/' /proc/mounts")
            let outcome = try bundle.runToEnd(limit: 20)
            #expect(outcome.output == "420\n", "\(outcome)")
        }

        @Test("an overlay has its layers, however long their paths are")
        func longLayers() throws {
            let bundle = try Bundle()
            let layers = ["a", "b:c", "d"].map { "\(bundle.path)/\(String(repeating: $0, count: 60))" }
            for (index, layer) in layers.enumerated() {
                try FileManager.default.createDirectory(atPath: layer, withIntermediateDirectories: false)
                try "\(index)".write(toFile: "\(layer)/\(index)", atomically: true, encoding: .utf8)
            }
            let value = layers.map { $0.replacingOccurrences(of: ":", with: "\\:") }.joined(separator: ":")
            bundle.mount([
                ["destination": "/data", "type": "overlay", "source": "overlay", "options": ["lowerdir=\(value)"]]
            ])
            bundle.script("cat /data/0 /data/1 /data/2")
            let outcome = try bundle.runToEnd()
            #expect(outcome.output == "012", "\(outcome.errors)")
        }

        @Test("what fails is told, however long a path is")
        func longPaths() throws {
            let bundle = try Bundle()
            let long = String(repeating: "/n", count: 3000)
            bundle.payload(long)
            let program = try bundle.runToEnd().errors
            #expect(program.contains("execve /n") && program.contains("File name too long"), "\(program.suffix(200))")
            bundle.payload("true")
            bundle.mount([["destination": long, "type": "tmpfs", "source": "tmpfs"]])
            let mount = try bundle.runToEnd().errors
            #expect(mount.contains("mounts: ") && mount.contains("; mount /n"), "\(mount.suffix(200))")
        }

        @Test("umask, groups, working directory, limits and the oom score are the process's")
        func process() throws {
            let bundle = try Bundle()
            bundle.change("process") { process in
                process["user"] = ["uid": 12, "gid": 34, "umask": 0o077, "additionalGids": [56, 78]]
                process["cwd"] = "/tmp"
                process["oomScoreAdj"] = 500
                process["rlimits"] = [["type": "RLIMIT_NOFILE", "soft": 100, "hard": 200]]
                process["ioPriority"] = ["class": "IOPRIO_CLASS_IDLE", "priority": 0]
                process["scheduler"] = ["policy": "SCHED_BATCH", "nice": 5]
            }
            bundle.script("id; umask; pwd; cat /proc/self/oom_score_adj; ulimit -n; cut -d' ' -f19,41 /proc/self/stat")
            #expect(
                try bundle.runToEnd().output
                    == "uid=12 gid=34 groups=56,78\n0077\n/tmp\n500\n100\n5 3\n")
        }

        @Test("the working directory may be closed to the user, as /root is in images")
        func closedDirectory() throws {
            let bundle = try Bundle()
            mkdir("\(bundle.path)/rootfs/closed", 0o700)
            bundle.change("process") { process in
                process["user"] = ["uid": 12, "gid": 34]
                process["cwd"] = "/closed"
            }
            bundle.script("readlink /proc/self/cwd; ls . || exec sleep 1000")
            try bundle.start()
            let inside = try bundle.oci("exec", "c", "sh", "-c", "readlink /proc/self/cwd; ls .")
            #expect(inside.output == "/closed\n" && inside.errors.contains("Permission denied"), "\(inside)")
            #expect(try bundle.oci("exec", "--cwd", "/nosuch", "c", "true").errors.contains("chdir /nosuch"))
        }

        /// How many tasks a container may have, and how much of a processor.
        private func limits(_ id: String) throws -> [String] {
            let places = ["pids/carrel/oci/\(id)", "cpu/carrel/oci/\(id)", "carrel/oci/\(id)"]
            let files = places.flatMap { place in
                ["pids.max", "cpu.cfs_quota_us", "cpu.max"].map { "/sys/fs/cgroup/\(place)/\($0)" }
            }
            return try files.filter { access($0, F_OK) == 0 }.map { try String(contentsOfFile: $0, encoding: .utf8) }
        }

        @Test("a memory limit that is too low for the start of a container is told as such")
        func tooLittleMemory() throws {
            let bundle = try Bundle()
            bundle.change("linux") { $0["resources"] = ["memory": ["limit": 4096]] }
            let outcome = try bundle.runToEnd()
            #expect(outcome.status == 1 && outcome.errors.contains("the memory limit is too low"), "\(outcome.errors)")
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("limits are in force in the container's cgroup, and change by update")
        func limits() throws {
            let bundle = try Bundle()
            bundle.change("linux") { linux in
                linux["resources"] = ["memory": ["limit": 50 << 20], "pids": ["limit": 20]]
            }
            try bundle.start()
            let places = [
                "/sys/fs/cgroup/memory/carrel/oci/c/memory.limit_in_bytes", "/sys/fs/cgroup/carrel/oci/c/memory.max",
            ]
            let file = try #require(places.first { FileManager.default.fileExists(atPath: $0) })
            #expect(try String(contentsOfFile: file, encoding: .utf8) == "\(50 << 20)\n")
            #expect(try bundle.oci("update", "--memory", "\(60 << 20)", "c").status == 0)
            #expect(try String(contentsOfFile: file, encoding: .utf8) == "\(60 << 20)\n")
            let stats = try bundle.oci("events", "--stats", "c").output
            #expect(stats.contains("\"limit\":\(60 << 20)") && stats.contains("\"pids\":{\"current\":"))
            // Nothing stands there that nobody has counted.
            #expect(!stats.contains("{}") && !stats.contains("null"), "\(stats)")
            #expect(try bundle.oci("update", "-r", "-", "c", input: "{\"memory\":{\"limit\":\(70 << 20)}}").status == 0)
            #expect(try String(contentsOfFile: file, encoding: .utf8) == "\(70 << 20)\n")
            for (size, bytes) in [("48M", 48 << 20), ("60mb", 60 << 20), ("65536k", 64 << 20), ("67108864", 64 << 20)] {
                #expect(try bundle.oci("update", "--memory", size, "c").status == 0)
                #expect(try String(contentsOfFile: file, encoding: .utf8) == "\(bytes)\n")
            }
            for size in ["512X", "M", "1.5G", "99999999999G", ""] {
                #expect(try bundle.oci("update", "--memory", size, "c").errors.contains("such as 512M"), "\(size)")
            }
            // Memory and swap together, beside the limit of memory that is in force; and never below that.
            let low = try bundle.oci("update", "--memory-swap", "32M", "c")
            #expect(low.status == 1 && low.errors.contains("at least the limit of memory"), "\(low.errors)")
            let swap = try bundle.oci("update", "--memory-swap", "96M", "c")
            #expect(swap.status == 0, "\(swap.errors)")
            // Engines that write every member write 0 for what they leave as it is.
            let zeros = """
                {"memory": {"limit": 0, "reservation": 0, "swap": 0}, "pids": {"limit": 0}, "blockIO": {"weight": 0},
                 "cpu": {"shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "realtimePeriod": 0, "cpus": "",
                         "mems": ""}}
                """
            #expect(try bundle.oci("update", "--cpu-quota", "50000", "c").status == 0)
            let before = try limits("c")
            #expect(before.contains("20\n") && before.contains { $0.hasPrefix("50000") }, "\(before)")
            let unchanged = try bundle.oci("update", "-r", "-", "c", input: zeros)
            #expect(unchanged.status == 0, "\(unchanged.errors)")
            #expect(try String(contentsOfFile: file, encoding: .utf8) == "\(64 << 20)\n")
            #expect(try limits("c") == before)
            let rule = #"{"devices": [{"allow": true, "type": "c", "major": 4294967297, "minor": 3}]}"#
            let device = try bundle.oci("update", "-r", "-", "c", input: rule)
            #expect(device.errors.contains("devices[0].major: expected at most 4095"), "\(device.errors)")
            for format in [["list", "--format", "xml"], ["ps", "--format", "xml", "c"]] {
                let refused = try run([runtimePath, "--root", bundle.state] + format)
                #expect(refused.status == 1 && refused.errors.contains("expected table or json, found xml"))
            }
            #expect(try bundle.oci("--log-format", "xml", "list").errors.contains("expected text or json, found xml"))
            #expect(try bundle.oci("ps", "--format", "json", "c").output.hasPrefix("["))
            // Any options of ps(1), and of them the container's alone.
            for (options, count) in [
                ([], 2), (["-o", "pid,args"], 2), (["aux"], 2), (["-ef"], 2), (["-o", "args"], 0),
            ] {
                let shown = try run([runtimePath, "--root", bundle.state, "ps", "c"] + options)
                #expect(shown.output.split(separator: "\n").count == count, "\(options): \(shown)")
                #expect(shown.status == (count == 0 ? 1 : 0))
            }
        }

        @Test("a device that no rule allows cannot be opened")
        func deviceRules() throws {
            let bundle = try Bundle()
            bundle.change("linux") { linux in
                linux["devices"] = [["path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11]]
                linux["resources"] = ["devices": [["allow": false, "access": "rwm"]]]
            }
            bundle.script(
                "dd if=/dev/kmsg of=/dev/null count=0 && echo opened; dd if=/dev/zero of=/dev/null count=1 2>/dev/null && echo zero"
            )
            #expect(try bundle.runToEnd().output == "zero\n")
            // Nor does an update with such rules take away what every container may use.
            bundle.payload("sleep", "1000")
            try bundle.start()
            let rules = #"{"devices": [{"allow": false, "access": "rwm"}]}"#
            #expect(try bundle.oci("update", "-r", "-", "c", input: rules).status == 0)
            let after = try bundle.oci("exec", "c", "sh", "-c", "echo > /dev/null && cat /dev/kmsg || echo refused")
            #expect(after.output == "refused\n" && !after.errors.contains("/dev/null"), "\(after)")
        }

        @Test("exec takes a whole process, keeps the status, and detaches with a pid file")
        func exec() throws {
            let bundle = try Bundle()
            try bundle.start()
            #expect(try bundle.oci("exec", "c", "sh", "-c", "exit 9").status == 9)
            #expect(
                try bundle.oci("exec", "--env", "A=b", "--cwd", "/tmp", "c", "sh", "-c", "echo $A $PWD").output
                    == "b /tmp\n")
            #expect(try bundle.oci("exec", "--user", "5:6", "c", "id").output == "uid=5 gid=6\n")
            #expect(try bundle.oci("exec", "c", "nosuch").status == 127)
            #expect(try bundle.oci("exec", "c", "/etc").status == 126)
            // What is not a program's end is not told as one: `test` ends with 1, too.
            #expect(try bundle.oci("exec", "nosuch", "true").status == 255)
            #expect(try bundle.oci("exec", "--cwd", "tmp", "c", "true").status == 255)
            let closed = try bundle.oci("exec", "--preserve-fds", "900", "c", "true")
            #expect(closed.status == 255 && closed.errors.contains("is not open"), "\(closed)")
            let file = "\(bundle.path)/process.json"
            try #"{"args":["sh","-c","echo $X"],"cwd":"/","user":{"uid":0,"gid":0},"env":["PATH=/bin","X=file"]}"#
                .write(
                    toFile: file, atomically: true, encoding: .utf8)
            #expect(try bundle.oci("exec", "--process", file, "c").output == "file\n")
            #expect(
                try bundle.oci("exec", "-d", "--pid-file", "\(bundle.path)/exec.pid", "c", "sleep", "1000").status == 0)
            let pid = try String(contentsOfFile: "\(bundle.path)/exec.pid", encoding: .utf8)
            #expect(try String(contentsOfFile: "/proc/\(pid)/comm", encoding: .utf8) == "sleep\n")
            let processes = try bundle.oci("exec", "c", "ps").output
            #expect(processes.split(separator: "\n").count { $0.hasSuffix("sleep 1000") } == 2, "\(processes)")
        }

        @Test("the number of a process takes the place of files alone")
        func pidFiles() throws {
            let bundle = try Bundle()
            let device = "\(bundle.path)/null"
            let pipe = "\(bundle.path)/pipe"
            mknod(device, S_IFCHR | 0o666, 1 << 8 | 3)
            mkfifo(pipe, 0o600)
            try bundle.start()
            for file in [device, pipe] {
                let made = try bundle.oci("create", "--bundle", [bundle.path, "--pid-file", file, "d"])
                #expect(made.status == 1 && made.errors.contains("--pid-file"), "\(made)")
                #expect(try bundle.oci("exec", "--pid-file", [file, "c", "true"]).status == 255)
            }
            #expect(try run(["test", "-c", device, "-a", "-p", pipe]).status == 0)
            #expect(try bundle.status("d") == nil)
        }

        @Test("a program of exec whose number or terminal cannot be handed over does not live on")
        func execThatFails() throws {
            let bundle = try Bundle()
            try bundle.start()
            func exec(_ words: [String]) throws -> Outcome {
                // Nor if it would outlive its terminal.
                try bundle.oci("exec", "--detach", words + ["c", "sh", "-c", "trap '' HUP; exec sleep 2000"])
            }
            let file = try exec(["--pid-file", "\(bundle.path)/nosuch/pid"])
            #expect(file.status != 0 && file.errors.contains("nosuch/pid"), "\(file)")
            let foreground = try bundle.oci("exec", "--pid-file", ["\(bundle.path)/nosuch/pid", "c", "sleep", "2000"])
            #expect(foreground.status != 0 && foreground.errors.contains("nosuch/pid"), "\(foreground)")
            // One who hangs up as soon as it is called. What is sent before it does is not refused.
            let socket = "\(bundle.path)/console"
            let server = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()\n"
            let pid = try spawn(
                ["python3", "-c", server + "while True: s.accept()[0].close()", socket],
                environment: ProcessInfo.processInfo.environment)
            defer {
                kill(pid, SIGKILL)
                waitpid(pid, nil, 0)
            }
            try wait { access(socket, F_OK) == 0 }
            var console = Outcome(status: 0, output: "", errors: "")
            for _ in 0..<20 where console.status == 0 {
                let file = "\(bundle.path)/pid"
                console = try exec(["--tty", "--console-socket", socket, "--pid-file", file])
                let pid = (try? String(contentsOfFile: file, encoding: .utf8)).flatMap { Int32($0) }
                if console.status == 0, let pid { kill(pid, SIGKILL) }
            }
            #expect(console.status != 0 && console.errors.contains("sendmsg"), "\(console)")
            let processes = try bundle.oci("exec", "c", "ps").output
            #expect(processes.split(separator: "\n").count { $0.contains("sleep") } == 1, "\(processes)")
        }

        @Test("a program of exec that does not come to run is waited for, so that the container can end")
        func execThatIsWaitedFor() throws {
            let bundle = try Bundle()
            try bundle.start()
            // Who gets orphans here waits for none, as many a PID 1 of a container does.
            let code = """
                import ctypes, os, subprocess, sys
                ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
                print(subprocess.run(sys.argv[1:]).returncode)
                print(open(f"/proc/self/task/{os.getpid()}/children").read())
                """
            for program in ["nosuch", "/etc"] {
                let words = [runtimePath, "--root", bundle.state, "exec", "c", program]
                let outcome = try run(["python3", "-c", code] + words)
                #expect(outcome.output == (program == "nosuch" ? "127\n\n" : "126\n\n"), "\(outcome)")
            }
            #expect(try bundle.oci("delete", "--force", "c").status == 0)
        }

        @Test(
            "a seccomp filter answers, logs or kills as its rules say, with and without no_new_privs",
            arguments: [true, false])
        func seccomp(noNewPrivileges: Bool) throws {
            let bundle = try Bundle()
            bundle.change("process") { $0["noNewPrivileges"] = noNewPrivileges }
            bundle.change("linux") {
                $0["seccomp"] = [
                    "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
                    "syscalls": [
                        ["names": ["mkdir", "mkdirat", "nosuchcall"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28]
                    ],
                ]
            }
            bundle.change("root") { $0["readonly"] = false }
            bundle.script("busybox mkdir /tmp/x; grep -e Seccomp: -e NoNewPrivs /proc/self/status")
            let outcome = try bundle.runToEnd()
            #expect(outcome.errors.contains("No space left on device"), "\(outcome.errors)")
            #expect(outcome.output == "NoNewPrivs:\t\(noNewPrivileges ? 1 : 0)\nSeccomp:\t2\n")
        }

        @Test("network devices of the host move in with their addresses, by another name")
        func networkDevices() throws {
            let bundle = try Bundle()
            bundle.script("ip -o addr show dev eth7; ip link show eth7 | grep -c UP; ls /sys/class/net")
            bundle.change("linux") { $0["netDevices"] = ["carrel0": ["name": "eth7"]] }
            try bundle.write()
            let call = "'\(runtimePath)' --root '\(bundle.state)' run --bundle '\(bundle.path)'"
            let outcome = try run([
                "/usr/bin/unshare", "-n", "/bin/sh", "-c",
                """
                ip link add carrel0 type veth peer name carrel1 && ip addr add 10.9.8.7/24 dev carrel0 || exit 77
                \(call) a; ip link show carrel0; \(call) b
                """,
            ])
            #expect(outcome.output.contains("10.9.8.7/24") && outcome.output.contains("eth7\nlo"), "\(outcome)")
            // It has gone with the container that had it: the second is told which is not there.
            #expect(outcome.errors.contains("linux.netDevices: carrel0") && outcome.status == 1, "\(outcome.errors)")
            bundle.change("linux") {
                $0["namespaces"] = ["pid", "mount", "uts", "ipc"].map { ["type": $0] }
            }
            #expect(try bundle.runToEnd().errors.contains("linux.netDevices"))
        }

        @Test("exec goes into a cgroup of the container's own, and no other")
        func execCgroup() throws {
            let bundle = try Bundle()
            try bundle.start()
            for hierarchy in try FileManager.default.contentsOfDirectory(atPath: "/sys/fs/cgroup") {
                let place = "/sys/fs/cgroup/\(hierarchy)/carrel/oci/c"
                // An empty cpuset of v1 takes nobody.
                if hierarchy != "cpuset", access(place, F_OK) == 0 { mkdir("\(place)/below", 0o755) }
            }
            mkdir("/sys/fs/cgroup/carrel/oci/c/below", 0o755)
            let inside = try bundle.oci("exec", "--cgroup", "below", "c", "cat", "/proc/self/cgroup")
            #expect(inside.output.contains(":/below\n"), "\(inside.output) \(inside.errors)")
            for path in ["..", "../..", "/..", "below/../..", "nosuch", "cgroup.procs", ""] {
                #expect(try bundle.oci("exec", "--cgroup", path, "c", "true").status != 0, "\(path)")
            }
        }

        @Test("exec goes where the container's process is, when the cgroup hands controllers down and takes nobody")
        func execBesideProcess() throws {
            let bundle = try Bundle()
            let top = access("/sys/fs/cgroup/unified", F_OK) == 0 ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup"
            let controllers = try String(contentsOfFile: "\(top)/cgroup.controllers", encoding: .utf8)
            guard let controller = ["hugetlb", "memory"].first(where: { controllers.contains($0) }) else { return }
            bundle.change("linux") { $0["resources"] = ["hugepageLimits": [["pageSize": "2MB", "limit": 0]]] }
            bundle.spec["mounts"] = (bundle.spec["mounts"] as? [[String: Any]] ?? []).map { mount in
                mount["type"] as? String == "cgroup" ? mount.merging(["options": ["rw"]]) { $1 } : mount
            }
            bundle.change("root") { $0["readonly"] = false }
            // As systemd does in there.
            bundle.script(
                """
                cd \(top); mkdir init; echo 0 > init/cgroup.procs; echo +\(controller) > cgroup.subtree_control
                cat cgroup.subtree_control > /tmp/handed; exec sleep 1000
                """)
            try bundle.start()
            let handed = "\(bundle.path)/rootfs/tmp/handed"
            try wait { (try? String(contentsOfFile: handed, encoding: .utf8)) == "\(controller)\n" }
            let inside = try bundle.oci("exec", "c", "cat", "/proc/self/cgroup")
            #expect(inside.output.contains("0::/init\n"), "\(inside)")
            // The top of a tree that is not ours is left as it was.
            try bundle.oci("delete", "--force", "c")
            let levels = "carrel/oci carrel ."
            let script = "cd \(top) && for level in \(levels); do echo -hugetlb > $level/cgroup.subtree_control; done"
            if top.hasSuffix("unified") { try run(["sh", "-c", script]) }
        }

        @Test("a container without a cgroup of its own runs, and takes no limits")
        func noCgroup() throws {
            let bundle = try Bundle()
            bundle.change("linux") { linux in
                linux["resources"] = ["devices": [["allow": false, "access": "rwm"]]]
            }
            try bundle.write()
            func call(_ words: String...) throws -> Outcome { try bundle.oci("--cgroup-manager", "disabled", words) }
            #expect(try call("run", "-d", "--bundle", bundle.path, "c").status == 0)
            #expect(bundle.leftovers(["c"]) == ["\(bundle.state)/c"])
            #expect(try call("pause", "c").errors.contains("no cgroup"))
            #expect(try call("update", "--memory", "1000000", "c").errors.contains("no cgroup"))
            #expect(try call("delete", "--force", "c").status == 0)
            bundle.change("linux") { $0["resources"] = ["pids": ["limit": 20]] }
            try bundle.write()
            #expect(try call("run", "--bundle", bundle.path, "c").errors.contains("linux.resources"))
            #expect(
                try bundle.oci("--cgroup-manager", "other", "run", "c").errors.contains(
                    "expected cgroupfs, systemd or disabled"))
        }

        @Test("an annotation that begins as a control of Carrel's and is none is refused")
        func annotations() throws {
            let bundle = try Bundle()
            bundle.payload("true")
            for (key, status) in [
                ("dev.carrel.exce", 1), ("dev.carrel.listeners", 1), ("org.other.exec", 0), ("dev.carrel.tenant", 0),
            ] {
                bundle.spec["annotations"] = [key: "x"]
                let outcome = try bundle.runToEnd()
                #expect(outcome.status == Int32(status) && outcome.errors.contains(key) == (status == 1), "\(key)")
            }
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("features names what there is, and nothing that is not")
        func features() throws {
            let outcome = try run([runtimePath, "features"])
            let object = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
            let linux = object?["linux"] as? [String: Any]
            #expect((linux?["namespaces"] as? [String])?.contains("time") == true)
            #expect((linux?["intelRdt"] as? [String: Any])?["enabled"] as? Bool == false)
            #expect((object?["mountOptions"] as? [String])?.contains("rro") == true)
            #expect((object?["annotations"] as? [String: String])?.keys.contains("dev.carrel.init") == true)
        }

        @Test("runc, crun and carrel-oci show a process the same ids, capabilities, limits and namespaces")
        func sameProbe() throws {
            let bundle = try Bundle()
            bundle.change("process") {
                $0["capabilities"] = ["bounding", "effective", "permitted"].reduce(into: [String: Any]()) {
                    $0[$1] = ["CAP_CHOWN", "CAP_KILL"]
                }
            }
            bundle.change("linux") {
                $0["namespaces"] = ["pid", "mount", "uts", "ipc", "network"].map { ["type": $0] }
            }
            bundle.spec["mounts"] = (bundle.spec["mounts"] as? [[String: Any]] ?? []).filter {
                $0["type"] as? String != "cgroup"
            }
            bundle.spec["hostname"] = "probe"
            bundle.spec["ociVersion"] = "1.0.2"
            bundle.script(
                """
                id; env | sort; pwd; umask; cat /proc/sys/kernel/hostname; ulimit -a
                grep -e ^Cap -e NoNewPrivs -e Seccomp: -e ^Groups /proc/self/status
                ls -lA /dev | grep -v total | sed 's/  */ /g' | cut -d' ' -f1,3-6,10-; ls /proc/self/fd
                mount | grep -v -e ' on / ' -e tmpfs -e /proc/ | sort
                """)
            let ours = try bundle.runToEnd()
            #expect(ours.status == 0, "\(ours.errors)")
            for other in ["/usr/sbin/runc", "/usr/bin/runc"] where access(other, X_OK) == 0 {
                let theirs = try run(
                    [other, "--root", "\(bundle.path)/other", "run", "--bundle", bundle.path, "probe-\(getpid())"])
                #expect(theirs.output == ours.output, "\(other) \(theirs.errors)")
                break
            }
        }
    }
}
