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
