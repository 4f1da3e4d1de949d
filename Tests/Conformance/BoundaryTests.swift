import Foundation
import Glibc
import Testing

extension Conformance {
    /// More of what well-made runtimes have got wrong: the container's own filesystems, its terminal, its cgroup, and what a
    /// process that joins it meets there.
    @Suite
    struct BoundaryTests {
        /// Everything that a container without a user namespace can be given.
        private func giveAllCapabilities(_ bundle: Bundle) {
            let all = ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_MKNOD", "CAP_KILL"]
            bundle.change("process") { process in
                process["capabilities"] = ["bounding": all, "effective": all, "permitted": all]
            }
        }

        @Test("exec joins a container that has put something else over /proc, /sys, /dev and its programs")
        func replacedViews() throws {
            let bundle = try Bundle()
            giveAllCapabilities(bundle)
            bundle.change("root") { $0["readonly"] = false }
            bundle.script(
                """
                mkdir -p /fake/self/attr /fake/sys; touch /fake/self/attr/exec /fake/self/oom_score_adj
                mount -o bind /fake /proc; mount -t tmpfs none /sys; mount -t tmpfs none /dev; mkdir /dev/pts
                touch /dev/pts/ptmx /dev/ptmx /dev/null /ready; while true; do sleep 1; done
                """)
            try bundle.start()
            try wait { access("\(bundle.path)/rootfs/ready", F_OK) == 0 }
            let plain = try bundle.oci("exec", "c", "echo", "inside")
            #expect(plain.output == "inside\n", "\(plain.errors)")
            // No terminal of a devpts that is none (CVE-2025-52565).
            let terminal = try bundle.oci("exec", "--tty", "c", "echo", "inside")
            #expect(terminal.status != 0 && terminal.errors.contains("ptmx"), "\(terminal.errors)")
            // Nothing was written where the container put it (CVE-2019-16884, CVE-2025-52881).
            for file in ["attr/exec", "oom_score_adj"] {
                let text = try String(contentsOfFile: "\(bundle.path)/rootfs/fake/self/\(file)", encoding: .utf8)
                #expect(text.isEmpty)
            }
            #expect(try bundle.oci("kill", "c", "KILL").status == 0)
            try wait { try bundle.status() == "stopped" }
        }

        @Test("exec of a program that the container replaces meanwhile runs nothing of the host's")
        func replacedProgram() throws {
            let bundle = try Bundle()
            bundle.change("root") { $0["readonly"] = false }
            bundle.script(
                """
                cp() { cat "$1" > "$2"; }; mkdir /x; cp /bin/busybox /x/one; echo '#!/proc/self/exe' > /x/two
                busybox chmod 755 /x/one /x/two; touch /ready
                while true; do for i in /x/one /x/two /proc/self/exe; do busybox ln -sf $i /x/run; done; done
                """)
            try bundle.start()
            try wait { access("\(bundle.path)/rootfs/ready", F_OK) == 0 }
            for _ in 0..<30 {
                let outcome = try bundle.oci("exec", "c", "/x/run", "--version")
                #expect(!outcome.output.contains("carrel-oci"), "\(outcome.output)")
            }
            #expect(try bundle.oci("--version").output.hasPrefix("carrel-oci"))
        }

        @Test("/dev or the console as a link of the image lead nowhere (CVE-2026-47766, CVE-2025-52565)")
        func deviceLinks() throws {
            let bundle = try Bundle()
            let outside = "\(bundle.path)/outside"
            try FileManager.default.createDirectory(atPath: outside, withIntermediateDirectories: false)
            rmdir("\(bundle.path)/rootfs/dev")
            symlink("../../../../../../../..\(outside)", "\(bundle.path)/rootfs/dev")
            bundle.change("root") { $0["readonly"] = false }
            let mounts = bundle.spec["mounts"] as? [[String: Any]] ?? []
            bundle.unmountDevices()
            bundle.change("linux") {
                $0["devices"] = [["path": "/dev/deep/kmsg", "type": "c", "major": 1, "minor": 11]]
            }
            bundle.payload("true")
            _ = try bundle.runToEnd()
            #expect(try FileManager.default.contentsOfDirectory(atPath: outside).isEmpty)
            // The console, where the image has a link to a file of the host.
            unlink("\(bundle.path)/rootfs/dev")
            mkdir("\(bundle.path)/rootfs/dev", 0o755)
            mkdir("\(bundle.path)/rootfs/dev/pts", 0o755)
            try "kept".write(toFile: "\(outside)/file", atomically: true, encoding: .utf8)
            symlink("../../../../../../../..\(outside)/file", "\(bundle.path)/rootfs/dev/console")
            bundle.spec["mounts"] = mounts.filter {
                let place = $0["destination"] as? String ?? ""
                return !place.hasPrefix("/dev") || place == "/dev/pts"
            }
            bundle.change("process") { $0["terminal"] = true }
            bundle.change("linux") { $0["devices"] = nil }
            let outcome = try bundle.runToEnd()
            #expect(outcome.status != 0, "\(outcome.output)")
            #expect(try String(contentsOfFile: "\(outside)/file", encoding: .utf8) == "kept")
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test(
            "nothing is mounted over a part of /proc but what is known to be harmless (CVE-2023-27561)",
            arguments: ["/proc/self/attr", "/proc/sys/kernel", "/proc/1", "/proc/thread-self/attr"])
        func mountsInProc(place: String) throws {
            let bundle = try Bundle()
            bundle.mount([["destination": place, "type": "tmpfs", "source": "tmpfs"]])
            bundle.payload("true")
            let outcome = try bundle.runToEnd()
            #expect(outcome.status == 1 && outcome.errors.contains("/proc"), "\(outcome.errors)")
        }

        @Test("no mount of the host's is left behind the root, nor seen in it (pivot_root)")
        func oldRoot() throws {
            let bundle = try Bundle()
            giveAllCapabilities(bundle)
            bundle.script("cat /proc/self/mountinfo; ls /proc/1/root/..; ls /..; mount -t tmpfs none /tmp; ls /tmp/..")
            let outcome = try bundle.runToEnd()
            #expect(!outcome.output.contains("usr\n") && !outcome.output.contains(" /home "), "\(outcome.output)")
            let lines = outcome.output.split(separator: "\n")
            let roots = lines.filter { $0.split(separator: " ").dropFirst(4).first == "/" }
            #expect(roots.count == 1)
        }

        @Test("the container's cgroup is its own and read-only, and no release agent can be set (CVE-2022-0492)")
        func cgroupFiles() throws {
            let bundle = try Bundle()
            giveAllCapabilities(bundle)
            bundle.script(
                """
                cat /proc/self/cgroup; n=0
                for f in $(busybox find /sys/fs/cgroup -name cgroup.procs -o -name release_agent -o -name tasks); do
                n=$((n+1)); echo 1 2>/dev/null > $f && echo "wrote $f"; done; [ $n -gt 0 ] && echo looked
                """)
            let outcome = try bundle.runToEnd()
            #expect(outcome.output.contains("looked") && !outcome.output.contains("wrote"), "\(outcome.output)")
            #expect(!outcome.output.contains("carrel/oci"), "\(outcome.output)")
        }

        @Test("a container that cannot be paused whole is thawed again, and what fails in one leaves it running")
        func frozen() throws {
            let bundle = try Bundle()
            try bundle.start()
            #expect(try bundle.oci("pause", "c").status == 0)
            #expect(try bundle.oci("pause", "c").errors.contains("paused"))
            #expect(try bundle.oci("update", "--memory", "nonsense", "c").status == 1)
            #expect(try bundle.status() == "paused")
            // A kill that is asked of a frozen container is carried out when it goes on, and by force at once.
            #expect(try bundle.oci("kill", "c", "KILL").status == 0)
            #expect(try bundle.oci("delete", "--force", "c").status == 0)
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("an unprivileged map of groups takes setgroups away first (CVE-2014-8989)")
        func setgroups() throws {
            let bundle = try Bundle()
            for place in [bundle.path, "\(bundle.path)/rootfs"] { chmod(place, 0o755) }
            let copy = "\(bundle.path)/carrel-oci"
            try FileManager.default.copyItem(atPath: runtimePath, toPath: copy)
            try run([copy, "spec", "--rootless", "--bundle", "\(bundle.path)/rootfs"])
            let file = "\(bundle.path)/rootfs/config.json"
            let text = try String(contentsOfFile: file, encoding: .utf8)
                .replacingOccurrences(of: "\"terminal\": true", with: "\"terminal\": false")
                .replacingOccurrences(of: "\"sh\"", with: "\"cat\", \"/proc/self/setgroups\"")
                .replacingOccurrences(of: "\"rootfs\"", with: "\"\(bundle.path)/rootfs\"")
                .replacingOccurrences(
                    of: "\"(containerID|hostID)\": [0-9]+", with: "\"$1\": 0", options: .regularExpression
                )
                .replacingOccurrences(of: "\"hostID\": 0", with: "\"hostID\": 24242")
            try text.write(toFile: file, atomically: true, encoding: .utf8)
            mkdir("\(bundle.path)/login", 0o700)
            chown("\(bundle.path)/login", 24_242, 24_242)
            let outcome = try run(
                [
                    "setpriv", "--reuid", "24242", "--regid", "24242", "--clear-groups", copy, "run", "--bundle",
                    "\(bundle.path)/rootfs", "s",
                ],
                environment: ["XDG_RUNTIME_DIR": "\(bundle.path)/login"])
            #expect(outcome.output == "deny\n", "\(outcome.errors)")
        }

        @Test("before the start, what the container's process shows is not the host's command line")
        func commandLine() throws {
            let bundle = try Bundle()
            try bundle.write()
            #expect(try bundle.oci("create", "--bundle", bundle.path, "c").status == 0)
            let shown = try bundle.oci("exec", "c", "cat", "/proc/1/cmdline").output
            #expect(shown.hasPrefix("carrel-oci\0") && !shown.contains(bundle.path), "\(shown)")
        }

        @Test("the caller's standard streams keep their owner")
        func standardStreams() throws {
            let bundle = try Bundle()
            let file = "\(bundle.path)/stdout"
            _ = FileManager.default.createFile(atPath: file, contents: nil)
            chown(file, 4321, 4321)
            bundle.change("process") { $0["user"] = ["uid": 77, "gid": 77] }
            bundle.payload("true")
            try bundle.write()
            let call = "'\(runtimePath)' --root '\(bundle.state)' run --bundle '\(bundle.path)' c"
            #expect(try run(["/bin/sh", "-c", "exec >'\(file)' 2>/dev/null </dev/null; \(call)"]).status == 0)
            var found = stat()
            stat(file, &found)
            #expect(found.st_uid == 4321)
            stat("/dev/null", &found)
            #expect(found.st_uid != 77)
        }

        @Test("the caller's session keyring is not the container's, unless that is asked for")
        func keyring() throws {
            let bundle = try Bundle()
            // Another user sees of it what it possesses alone.
            bundle.change("process") { $0["user"] = ["uid": 77, "gid": 77] }
            bundle.payload("cat", "/proc/keys")
            bundle.change("linux") { $0["maskedPaths"] = [String]() }
            try bundle.write()
            func keys(_ options: String) throws -> String {
                let call = "'\(runtimePath)' --root '\(bundle.state)' run \(options) --bundle '\(bundle.path)' c"
                // keyctl(2), KEYCTL_JOIN_SESSION_KEYRING
                let join = "import ctypes, os, sys; ctypes.CDLL(None).syscall(250, 1, b'outermost'); "
                return try run(["python3", "-c", join + "os.execv('/bin/sh', ['sh', '-c', sys.argv[1]])", call]).output
            }
            #expect(try keys("--no-new-keyring").contains("outermost"))
            let own = try keys("")
            #expect(own.contains("keyring") && !own.contains("outermost"), "\(own)")
        }

        @Test(
            "what there is not is an error by its name",
            arguments: [
                ("capabilities", ["bounding": ["CAP_NOSUCH"]] as [String: [String]], "CAP_NOSUCH"),
                ("rlimits", ["RLIMIT_NOSUCH": []], "RLIMIT_NOSUCH"),
            ])
        func unknown(field: String, value: [String: [String]], named: String) throws {
            let bundle = try Bundle()
            bundle.change("process") { process in
                process[field] =
                    field == "capabilities" ? value : [["type": value.keys.first ?? "", "soft": 1, "hard": 1]]
            }
            #expect(try bundle.runToEnd().errors.contains(named))
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("the filter holds for calls of the i386 and x32 interfaces")
        func otherInterfaces() throws {
            guard access("/usr/bin/gcc", X_OK) == 0 else { return }
            let bundle = try Bundle()
            // mkdir(2) by int 0x80, and by its x32 number: both must meet the filter's errno, or a filter's refusal.
            let source = """
                #include <stdio.h>
                int main(void) {
                    long number = 39, result;
                    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(0), "c"(0)
                        : "memory", "r8", "r9", "r10", "r11");
                    printf("%d\\n", (int) result);
                    number = 83 + 0x40000000;
                    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(0), "S"(0) : "rcx", "r11", "memory");
                    printf("%d\\n", (int) result);
                }
                """
            try source.write(toFile: "\(bundle.path)/calls.c", atomically: true, encoding: .utf8)
            let program = "\(bundle.path)/rootfs/bin/calls"
            #expect(try run(["gcc", "-static", "-o", program, "\(bundle.path)/calls.c"]).status == 0)
            bundle.payload("calls")
            bundle.change("linux") {
                $0["seccomp"] = [
                    "defaultAction": "SCMP_ACT_ALLOW",
                    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                    "syscalls": [["names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28]],
                ]
            }
            let outcome = try bundle.runToEnd()
            #expect(outcome.output == "-28\n-28\n", "\(outcome.output) \(outcome.errors)")
        }

        @Test("a container whose cgroup cannot be had does not start")
        func withoutCgroup() throws {
            let bundle = try Bundle()
            try bundle.write()
            let call = "'\(runtimePath)' --root '\(bundle.state)' run --bundle '\(bundle.path)' c"
            let script = "mount -t tmpfs none /sys/fs/cgroup; \(call)"
            let outcome = try run(["/usr/bin/unshare", "-m", "/bin/sh", "-c", script])
            #expect(outcome.status == 1 && outcome.errors.contains("cgroup"), "\(outcome.errors)")
            #expect(bundle.leftovers(["c"]).isEmpty)
        }
    }
}
