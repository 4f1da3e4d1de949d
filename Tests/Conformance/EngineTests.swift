import Foundation
import Glibc
import Testing

extension Conformance {
    /// Engines of Debian's that drive the runtime.
    @Suite
    struct EngineTests {
        /// podman with a storage of its own, which a test's directory holds.
        final class Podman {
            let path: String
            /// For podman's configuration, and whoever it is run as.
            let environment: [String: String]
            /// What makes its users and ids known, and changes to its user.
            let prefix: [String]

            /// - Parameter user: an ordinary user's number, with ids of its own, whom only this podman knows; `nil` for root.
            init(user: UInt32? = nil) throws {
                path = makePlace("podman")
                chmod(path, 0o755)
                var environment = [
                    "PATH": criuPath, "CONTAINERS_CONF": "\(path)/containers.conf",
                    "CONTAINERS_STORAGE_CONF": "\(path)/storage.conf",
                    "HOME": path,
                ]
                if user != nil { environment["XDG_RUNTIME_DIR"] = "\(path)/login" }
                self.environment = environment
                let files = [
                    "storage.conf": """
                    [storage]
                    driver = "vfs"
                    runroot = "\(path)/run"
                    graphroot = "\(path)/root"
                    """,
                    // Within what a host without CAP_SYS_RESOURCE can give.
                    "containers.conf": """
                    [containers]
                    default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
                    netns = "none"
                    [engine]
                    cgroup_manager = "cgroupfs"
                    events_logger = "file"
                    tmp_dir = "\(path)/tmp"
                    runtime_supports_nocgroup = ["carrel-oci"]
                    """,
                    "ids": "containers:2000000:1000000\ndesk:3000000:65536\n",
                    "passwd": try String(contentsOfFile: "/etc/passwd", encoding: .utf8)
                        + "desk:x:\(user ?? 1):\(user ?? 1)::\(path):/bin/sh\n",
                    "group": try String(contentsOfFile: "/etc/group", encoding: .utf8) + "desk:x:\(user ?? 1):\n",
                ]
                for (name, text) in files {
                    try text.write(toFile: "\(path)/\(name)", atomically: true, encoding: .utf8)
                }
                try FileManager.default.createDirectory(atPath: "\(path)/login", withIntermediateDirectories: false)
                let bundle = try Bundle()
                try run(["tar", "-C", "\(bundle.path)/rootfs", "-cf", "\(path)/image.tar", "."])
                var script =
                    "for f in passwd group; do mount --bind '\(path)'/$f /etc/$f; done; "
                    + "for f in subuid subgid; do mount --bind '\(path)/ids' /etc/$f; done; cd '\(path)'; exec "
                if let user {
                    try run(["chown", "-R", "\(user):\(user)", path])
                    chmod("\(path)/login", 0o700)
                    script += "setpriv --reuid \(user) --regid \(user) --init-groups "
                }
                prefix = ["unshare", "-m", "sh", "-c", script + "\"$@\"", "sh"]
                let imported = try call("podman", "import", "\(path)/image.tar", "box")
                #expect(imported.status == 0, "\(imported.errors)")
            }

            @discardableResult
            func call(_ words: String...) throws -> Outcome {
                try run(prefix + words, environment: environment, limit: 90)
            }

            @discardableResult
            func callAsFunction(_ words: String...) throws -> Outcome {
                try run(
                    prefix + ["podman", "--runtime", runtimePath] + Self.placed(words), environment: environment,
                    limit: 90)
            }

            /// With the cgroups below ours: those of a pod's containers are where the pod's is.
            static func placed(_ words: [String]) -> [String] {
                let place = "--cgroup-parent=/carrel/podman"
                if words.first == "run" && !words.contains("--pod") { return ["run", place] + words.dropFirst() }
                if words.prefix(2) == ["pod", "create"] { return ["pod", "create", place] + words.dropFirst(2) }
                return words
            }

            func clear() {
                defer {
                    let places = "/sys/fs/cgroup/carrel/podman /sys/fs/cgroup/*/carrel/podman"
                    _ = try? run(["/bin/sh", "-c", "find \(places) -depth -type d -exec rmdir {} + 2>/dev/null"])
                }

                _ = try? self("rm", "-af", "-t", "0")
                _ = try? self("pod", "rm", "-af", "-t", "0")
                _ = try? call("podman", "system", "reset", "-f")
                try? FileManager.default.removeItem(atPath: path)
            }
        }

        @Test("podman runs containers, with each of the options that make them narrower", .timeLimit(.minutes(3)))
        func podmanRun() throws {
            let podman = try Podman()
            defer { podman.clear() }
            func once(_ options: String..., program: String...) throws -> Outcome {
                try run(
                    ["podman", "--runtime", runtimePath]
                        + Podman.placed(["run", "--rm"] + options + ["box"] + program),
                    environment: podman.environment, limit: 60)
            }
            #expect(try once(program: "echo", "hello").output == "hello\n")
            #expect(try once(program: "sh", "-c", "exit 7").status == 7)
            #expect(try once(program: "nosuch").status == 127)
            #expect(try once("--tty", program: "ls", "/dev/console").output.contains("/dev/console"))
            #expect(try once("--read-only", program: "touch", "/x").errors.contains("Read-only"))
            #expect(
                try once("--cap-drop", "all", program: "grep", "CapEff", "/proc/self/status").output
                    .hasSuffix("0000000000000000\n"))
            #expect(try once(program: "grep", "Seccomp:", "/proc/self/status").output == "Seccomp:\t2\n")
            #expect(
                try once("--security-opt", "seccomp=unconfined", program: "grep", "Seccomp:", "/proc/self/status")
                    .output
                    == "Seccomp:\t0\n")
            let filter = "\(podman.path)/filter.json"
            try """
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}
            """.write(toFile: filter, atomically: true, encoding: .utf8)
            #expect(
                try once("--security-opt", "seccomp=\(filter)", program: "mkdir", "/x").errors.contains("No space left")
            )
            #expect(
                try once("--security-opt", "no-new-privileges", program: "grep", "NoNewPrivs", "/proc/self/status")
                    .output
                    == "NoNewPrivs:\t1\n")
            #expect(try once("--init", program: "ps").output.contains("/run/podman-init -- ps"))
            let mapped = try podman("run", "--rm", "--userns=auto", "box", "cat", "/proc/self/uid_map")
            #expect(mapped.output.contains("2000000"), "\(mapped.errors)")
            // What OCI has no field for, as annotations.
            let listed = "dev.carrel.exec=/bin/busybox"
            #expect(try once("--annotation", listed, program: "id").output.hasPrefix("uid=0"))
            let refused = try once("--annotation", "dev.carrel.exec=/bin/nosuch", program: "id")
            #expect(
                refused.status != 0 && refused.errors.contains("Permission denied")
                    && refused.errors.contains("dev.carrel.exec lists 1 program, and this is none of them"),
                "\(refused.errors)")
            let unknown = try once("--annotation", "dev.carrel.scopes=everything", program: "id")
            #expect(unknown.status != 0 && unknown.errors.contains("dev.carrel.scopes"), "\(unknown.errors)")
        }

        @Test("podman's containers have carrel-init by annotation, and end as without", .timeLimit(.minutes(3)))
        func podmanInit() throws {
            let podman = try Podman()
            defer { podman.clear() }
            func asking(_ options: String..., program: String...) throws -> Outcome {
                let words = ["run", "--annotation", "dev.carrel.init=true"] + options + ["box"] + program
                return try run(
                    podman.prefix + ["podman", "--runtime", runtimePath] + Podman.placed(words),
                    environment: podman.environment)
            }
            #expect(try asking("--rm", program: "sh", "-c", "exit 7").status == 7)
            #expect(try asking("--rm", program: "sh", "-c", "kill -TERM $$").status == 143)
            #expect(try asking("--rm", program: "nosuch").status == 127)
            let shell = try asking("--rm", "--tty", program: "sh", "-i", "-c", "echo flags $-")
            #expect(shell.output.contains("flags cmi"), "\(shell.output)")
            let orphan = "(sh -c 'sleep 0.1; echo > /orphan' &); exec sleep 300"
            let started = try asking("-d", "--name", "d", program: "sh", "-c", orphan)
            #expect(started.status == 0, "\(started.errors)")
            #expect(try podman("exec", "d", "cat", "/proc/1/comm").output == "carrel-init\n")
            try wait { try podman("exec", "d", "ls", "/orphan").status == 0 }
            // Where nobody reaps, ps(1) shows what is left of it in brackets: [sh].
            try wait { try podman("exec", "d", "ps").output.contains("[sh]") == false }
            #expect(try podman("stop", "-t", "60", "d").status == 0)
            #expect(try podman("inspect", "-f", "{{.State.ExitCode}}", "d").output == "143\n")
        }

        @Test("podman keeps, enters, measures, pauses and removes containers and pods", .timeLimit(.minutes(3)))
        func podmanLife() throws {
            let podman = try Podman()
            defer { podman.clear() }
            let started = try podman(
                "run", "-d", "--name", "d", "--memory", "64m", "--pids-limit", "50", "--health-cmd", "CMD-SHELL true",
                "--health-interval", "disable", "box", "sleep", "300")
            #expect(started.status == 0, "\(started.errors)")
            #expect(try podman("exec", "d", "id").output.hasPrefix("uid=0"))
            #expect(try podman("exec", "d", "nosuch").status == 127)
            #expect(try podman("exec", "--tty", "--user", "5:6", "d", "id").output.hasPrefix("uid=5 gid=6"))
            #expect(try podman("stats", "--no-stream", "d").output.contains("67.11MB"))
            #expect(try podman("exec", "d", "cat", "/sys/fs/cgroup/pids/pids.max").output.hasPrefix("50") || isUnified)
            #expect(try podman("healthcheck", "run", "d").status == 0)
            #expect(try podman("inspect", "-f", "{{.State.Health.Status}}", "d").output == "healthy\n")
            #expect(try podman("pause", "d").status == 0)
            #expect(try podman("inspect", "-f", "{{.State.Status}}", "d").output == "paused\n")
            #expect(try podman("unpause", "d").status == 0)
            #expect(try podman("top", "d").output.contains("sleep 300"))
            #expect(try podman("kill", "d").status == 0)
            try wait { try podman("inspect", "-f", "{{.State.Status}}", "d").output == "exited\n" }
            #expect(try podman("inspect", "-f", "{{.State.ExitCode}}", "d").output == "137\n")
            #expect(try podman("start", "d").status == 0)
            #expect(try podman("rm", "-f", "-t", "0", "d").status == 0)
            #expect(try podman("pod", "create", "--name", "p").status == 0)
            let inPod = try podman("run", "-d", "--pod", "p", "--name", "one", "box", "sleep", "300")
            #expect(inPod.status == 0, "\(inPod.errors)")
            #expect(try podman("run", "-d", "--pod", "p", "--name", "two", "box", "sleep", "300").status == 0)
            let names = try ["one", "two"].map { try podman("exec", $0, "readlink", "/proc/self/ns/ipc").output }
            #expect(names[0] == names[1] && names[0].hasPrefix("ipc:"))
            #expect(try podman("pod", "rm", "-f", "-t", "0", "p").status == 0)
            #expect(try podman("ps", "-aq").output.isEmpty)
        }

        @Test(
            "podman writes a container down, and makes it again, also as another of an archive",
            .enabled(if: criuDirectory != nil, hasNoCRIU), .timeLimit(.minutes(3)))
        func podmanCheckpoint() throws {
            let podman = try Podman()
            defer { podman.clear() }
            let script = "i=0; while :; do i=$((i+1)); echo $i > /tmp/n; echo $i; sleep 0.1; done"
            let started = try podman(
                "run", "-d", "--name", "d", "--memory", "64m", "--pids-limit", "50", "box", "sh", "-c", script)
            #expect(started.status == 0, "\(started.errors)")
            func reached(_ name: String) throws -> Int {
                Int(try podman("exec", name, "cat", "/tmp/n").output.dropLast()) ?? 0
            }
            try wait { try reached("d") > 0 }
            let first = try reached("d")
            let written = try podman("container", "checkpoint", "d")
            #expect(written.status == 0, "\(written.errors)")
            #expect(try podman("inspect", "-f", "{{.State.Status}}", "d").output == "exited\n")
            let restored = try podman("container", "restore", "d")
            #expect(restored.status == 0, "\(restored.errors)")
            try wait { try reached("d") > first }
            #expect(try podman("exec", "d", "grep", "Seccomp:", "/proc/1/status").output == "Seccomp:\t2\n")
            let second = try reached("d")
            let archive = "\(podman.path)/archive.tar.gz"
            let exported = try podman("container", "checkpoint", "--export", archive, "d")
            #expect(exported.status == 0, "\(exported.errors)")
            #expect(try podman("rm", "-f", "-t", "0", "d").status == 0)
            let imported = try podman("container", "restore", "--import", archive, "--name", "e")
            #expect(imported.status == 0, "\(imported.errors)")
            try wait { try reached("e") > second }
            #expect(try podman("logs", "e").output.contains("\(second + 1)\n"))
        }

        private let isUnified = FileManager.default.fileExists(atPath: "/sys/fs/cgroup/cgroup.controllers")

        @Test("an ordinary user's podman runs, enters and removes containers", .timeLimit(.minutes(3)))
        func podmanRootless() throws {
            let podman = try Podman(user: 24_242)
            defer { podman.clear() }
            // The runtime of this build may be in a directory that only root can go into.
            let copy = "\(podman.path)/carrel-oci"
            try FileManager.default.copyItem(atPath: runtimePath, toPath: copy)
            let initPath = URL(fileURLWithPath: runtimePath).deletingLastPathComponent().path + "/carrel-init"
            try FileManager.default.copyItem(atPath: initPath, toPath: "\(podman.path)/carrel-init")
            func rootless(_ words: String...) throws -> Outcome {
                try run(
                    podman.prefix + ["podman", "--runtime", copy] + words, environment: podman.environment, limit: 90)
            }
            let map = try rootless("run", "--rm", "box", "cat", "/proc/self/uid_map")
            #expect(map.output.contains("24242") && map.output.contains("3000000"), "\(map.errors)")
            #expect(try rootless("run", "--rm", "--cgroups=disabled", "box", "id").output.hasPrefix("uid=0"))
            #expect(try rootless("run", "-d", "--name", "d", "box", "sleep", "300").status == 0)
            #expect(try rootless("exec", "d", "id").output.hasPrefix("uid=0"))
            #expect(try rootless("rm", "-f", "-t", "0", "d").status == 0)
            // With carrel-init, which nobody can look into, as PID 1 of one that is entered.
            let asked = try rootless(
                "run", "-d", "--name", "e", "--annotation", "dev.carrel.init=true", "box", "sleep", "300")
            #expect(asked.status == 0, "\(asked.errors)")
            #expect(try rootless("exec", "e", "cat", "/proc/1/comm").output == "carrel-init\n")
            #expect(try rootless("rm", "-f", "-t", "0", "e").status == 0)
        }

        @Test("buildah runs commands in a container that it builds", .timeLimit(.minutes(2)))
        func buildah() throws {
            let podman = try Podman()
            defer { podman.clear() }
            let made = try podman.call("buildah", "from", "--pull-never", "box").output.split(separator: "\n").last
            let name = String(try #require(made))
            defer { _ = try? podman.call("buildah", "rm", name) }
            func buildah(_ words: String...) throws -> Outcome {
                try run(
                    ["buildah", "--runtime", runtimePath, "run", "--isolation", "oci", name] + words,
                    environment: podman.environment)
            }
            #expect(try buildah("sh", "-c", "echo built > /made; id").output.hasPrefix("uid=0"))
            #expect(try buildah("cat", "/made").output == "built\n")
            #expect(try buildah("sh", "-c", "exit 3").errors.contains("exit status 3"))
        }

        /// containerd with all that it keeps in a directory of its own.
        private final class Containerd {
            let path: String
            private let daemon = Process()

            init(in place: String) throws {
                path = place
                try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
                let runtimes = "plugins.\"io.containerd.grpc.v1.cri\".containerd"
                try """
                version = 2
                root = "\(place)/root"
                state = "\(place)/state"
                [grpc]
                  address = "\(place)/socket"
                [plugins."io.containerd.grpc.v1.cri"]
                  sandbox_image = "docker.io/library/box:latest"
                  restrict_oom_score_adj = true
                  [\(runtimes)]
                    snapshotter = "native"
                    default_runtime_name = "carrel"
                  [\(runtimes).runtimes.carrel]
                    runtime_type = "io.containerd.runc.v2"
                    pod_annotations = ["dev.carrel.*"]
                    container_annotations = ["dev.carrel.*"]
                  [\(runtimes).runtimes.carrel.options]
                    BinaryName = "\(runtimePath)"
                  [plugins."io.containerd.grpc.v1.cri".cni]
                    bin_dir = "\(place)/cni"
                    conf_dir = "\(place)/cni"
                """.write(toFile: "\(place)/config.toml", atomically: true, encoding: .utf8)
                daemon.executableURL = URL(fileURLWithPath: "/usr/bin/containerd")
                daemon.arguments = ["-c", "\(place)/config.toml"]
                daemon.environment = ProcessInfo.processInfo.environment.merging(["PATH": criuPath]) { $1 }
                _ = FileManager.default.createFile(atPath: "\(place)/log", contents: nil)
                daemon.standardOutput = FileHandle.nullDevice
                daemon.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: "\(place)/log"))
                try daemon.run()
                try wait("containerd does not answer") { try self("version").status == 0 }
            }

            @discardableResult
            func callAsFunction(_ words: String...) throws -> Outcome {
                try run(["ctr", "-a", "\(path)/socket"] + words, limit: 60)
            }

            /// What it has complained of.
            var complaints: String {
                let log = (try? String(contentsOfFile: "\(path)/log", encoding: .utf8)) ?? ""
                return log.split(separator: "\n").filter { !$0.contains("level=info") }.joined(separator: "\n")
            }

            func end() {
                daemon.terminate()
                // A shim that was started by it may hold Foundation's own descriptor: it is not waited for by that.
                for _ in 0..<100 where kill(daemon.processIdentifier, 0) == 0 { usleep(50_000) }
                let mounts = "grep -o '\(path)/[^ ]*' /proc/self/mounts | sort -ru"
                _ = try? run(["/bin/sh", "-c", "\(mounts) | xargs -r umount -l"])
            }
        }

        @Test("a pod by the Kubernetes runtime interface lives its life in carrels", .timeLimit(.minutes(3)))
        func podByCRI() throws {
            let bundle = try Bundle()
            let ctr = try Containerd(in: "\(bundle.path)/ctr")
            defer { ctr.end() }
            let library = "\(bundle.path)/python"
            let installed = try run(
                ["python3", "-m", "pip", "install", "-q", "--target", library, "grpcio"], limit: 120)
            #expect(installed.status == 0, "\(installed.errors)")
            try run(["tar", "-C", "\(bundle.path)/rootfs", "-cf", "\(bundle.path)/layer.tar", "."])
            let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Fixtures"
            let archive = "\(bundle.path)/image.tar"
            let image = try run(["python3", "\(folder)/image.py", "\(bundle.path)/layer.tar", archive])
            #expect(image.status == 0, "\(image.errors)")
            let imported = try ctr(
                "-n", "k8s.io", "images", "import", "--snapshotter", "native", archive)
            #expect(imported.status == 0, "\(imported.errors)")
            let told = try run(
                ["python3", "\(folder)/cri.py", "\(ctr.path)/socket"], environment: ["PYTHONPATH": library],
                limit: 100)
            #expect(
                told.output == """
                    version containerd
                    sandbox 0
                    created created 0
                    started running 0
                    exec green 3
                    init carrel-init 0
                    privileges NoNewPrivs:\t1 0
                    read-only 1
                    memory \(80 << 20)
                    stopped exited 137
                    pods 0

                    """, "\(told.output) \(told.errors) \(ctr.complaints)")
        }

        @Test("containerd runs, enters, pauses and kills containers", .timeLimit(.minutes(3)))
        func containerd() throws {
            let bundle = try Bundle()
            let ctr = try Containerd(in: "\(bundle.path)/ctr")
            defer { ctr.end() }
            let place = ctr.path
            let root = "\(bundle.path)/rootfs"
            func once(_ id: String, _ words: String..., options: [String] = []) throws -> Outcome {
                try run(
                    [
                        "ctr", "-a", "\(place)/socket", "run", "--cgroup", "/carrel/ctr", "--rootfs", "--runc-binary",
                        runtimePath, "--rm",
                    ] + options + [root, id] + words)
            }
            #expect(try once("a", "echo", "hello").output == "hello\n")
            #expect(try once("b", "sh", "-c", "exit 5").status == 5)
            #expect(try once("c", "nosuch").errors.contains("No such file"))
            // The kernel keeps this signal from a PID 1 of its own.
            let asking = ["--annotation", "dev.carrel.init=true"]
            #expect(try once("f", "sh", "-c", "kill -TERM $$", options: asking).status == 143)
            #expect(
                try ctr(
                    "run", "--cgroup", "/carrel/ctr", "--rootfs", "--runc-binary", runtimePath, "-d", root, "d",
                    "sleep", "300"
                ).status == 0)
            #expect(try ctr("task", "exec", "--exec-id", "e", "d", "id").output.hasPrefix("uid=0"))
            #expect(try ctr("task", "pause", "d").status == 0)
            #expect(try ctr("task", "ls").output.contains("PAUSED"))
            #expect(try ctr("task", "resume", "d").status == 0)
            if criuDirectory != nil {
                let images = "\(place)/images"
                let written = try ctr("task", "checkpoint", "--image-path", images, "--work-path", "\(place)/work", "d")
                #expect(written.status == 0, "\(written.errors)")
                #expect(FileManager.default.fileExists(atPath: "\(images)/carrel.json"))
                #expect(try ctr("task", "ls").output.contains("RUNNING"))
            }
            #expect(try ctr("task", "kill", "-s", "SIGKILL", "d").status == 0)
            try wait { try ctr("task", "ls").output.contains("STOPPED") }
            _ = try ctr("task", "delete", "d")
            #expect(try ctr("container", "delete", "d").status == 0)
        }

        @Test(
            "every program of the OCI validation suite that runc or crun passes passes here",
            .enabled(if: suitePath != nil, "the suite could not be built: Fixtures/suite/build tells why"),
            .timeLimit(.minutes(15)))
        func validationSuite() throws {
            let suite = try #require(suitePath)
            // What its containers have been in, below the top of each hierarchy, and the controller that was handed down to one of
            // them; the bundles of programs that failed; and crun gives their standard input, /dev/null, to their user.
            defer {
                let places = "/sys/fs/cgroup/testdir /sys/fs/cgroup/*/testdir"
                let bundles = "rm -rf --one-file-system /tmp/ocitest[0-9]*"
                let handed = "echo -hugetlb > /sys/fs/cgroup/unified/cgroup.subtree_control"
                _ = try? run(
                    [
                        "sh", "-c",
                        "find \(places) -depth -type d -exec rmdir {} +; \(bundles); chown 0:0 /dev/null; \(handed)",
                    ])
            }
            let programs = try FileManager.default.contentsOfDirectory(atPath: "\(suite)/out").sorted()
            func passed(
                _ runtime: String, of programs: [String], hidingUnified: Bool = false
            ) throws -> Set<String> {
                var passed: Set<String> = []
                for program in programs {
                    let script = (hidingUnified ? "umount -l /sys/fs/cgroup/unified; " : "") + "exec out/\(program)"
                    let outcome = try run(
                        ["unshare", "-m", "sh", "-c", script], environment: ["RUNTIME": runtime], in: suite, limit: 60)
                    let text = outcome.output + outcome.errors
                    let lines = text.split(separator: "\n").map { $0.drop { $0 == " " } }
                        .filter { !$0.contains("# TODO") }
                    if outcome.status == 0, !lines.contains(where: { $0.hasPrefix("not ok") }),
                        lines.contains(where: { $0.hasPrefix("ok") || $0.hasPrefix("1..") })
                    {
                        passed.insert(program)
                    }
                }
                return passed
            }
            var ours = try passed(runtimePath, of: programs)
            let failed = programs.filter { !ours.contains($0) }
            let theirs = try passed("/usr/sbin/runc", of: failed).union(
                passed("/usr/bin/crun", of: failed, hidingUnified: true))
            // killsig signals its program as soon as that has started, which on a busy machine is not ready for it.
            ours.formUnion(try passed(runtimePath, of: theirs.sorted()))
            #expect(theirs.subtracting(ours).isEmpty)
            #expect(ours.count >= 38)
        }
    }
}

/// Where the programs of the OCI validation suite are, in `out`; `nil` where they cannot be built.
private let suitePath = fixture("suite")
