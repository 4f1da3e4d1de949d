import Foundation
import Glibc
import Testing

extension Conformance {
    /// Bugs that well-made runtimes had, each tried here.
    @Suite
    struct HardeningTests {
        @Test("the container cannot write the runtime's program, whatever it does (CVE-2019-5736)")
        func ownProgram() throws {
            let bundle = try Bundle()
            let before = try FileManager.default.attributesOfItem(atPath: runtimePath)[.modificationDate] as? Date
            // As the payload itself: a script whose interpreter is the program that executes it.
            bundle.change("root") { $0["readonly"] = false }
            try "#!/proc/self/exe\n".write(toFile: "\(bundle.path)/rootfs/bin/evil", atomically: true, encoding: .utf8)
            chmod("\(bundle.path)/rootfs/bin/evil", 0o755)
            bundle.payload("/bin/evil")
            _ = try bundle.runToEnd()
            // By /proc, while exec joins, with every capability.
            bundle.change("process") {
                $0["capabilities"] = ["bounding", "effective", "permitted"].reduce(into: [String: Any]()) {
                    $0[$1] = ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"]
                }
            }
            bundle.script(
                """
                while true; do for p in /proc/[0-9]*; do
                case $(readlink $p/exe) in *carrel-oci*) echo pwned > $p/exe && echo WROTE > /tmp/wrote;; esac
                done; done
                """)
            try bundle.start()
            for _ in 0..<10 { try bundle.oci("exec", "c", "true") }
            #expect(!FileManager.default.fileExists(atPath: "\(bundle.path)/rootfs/tmp/wrote"))
            let after = try FileManager.default.attributesOfItem(atPath: runtimePath)[.modificationDate] as? Date
            #expect(before == after)
            #expect(try bundle.oci("--version").output.hasPrefix("carrel-oci"))
        }

        @Test("a payload by a magic link is refused (CVE-2019-5736)")
        func magicLink() throws {
            let bundle = try Bundle()
            bundle.payload("/proc/self/exe", "--version")
            let outcome = try bundle.runToEnd()
            #expect(outcome.status != 0 && !outcome.output.contains("carrel-oci version"))
        }

        @Test(
            "no descriptor of the host is open in the payload, in exec or behind a working directory (CVE-2024-21626)")
        func descriptors() throws {
            let bundle = try Bundle()
            bundle.script("ls -l /proc/self/fd | grep -v -e ' [012] ->' -e /proc/ -e total; true")
            try bundle.write()
            let call = "exec 7</etc/passwd 9</; exec '\(runtimePath)' --root '\(bundle.state)'"
            let outcome = try run(["/bin/bash", "-c", "\(call) run --bundle '\(bundle.path)' c"])
            #expect(!outcome.output.contains("passwd") && !outcome.output.contains(" 9 ->"), "\(outcome.output)")
            for number in 3...12 {
                bundle.change("process") { $0["cwd"] = "/proc/self/fd/\(number)" }
                bundle.script("cat etc/shadow root/.bashrc; ls ..")
                let escaped = try bundle.runToEnd()
                #expect(escaped.status != 0 && !escaped.output.contains("root:"), "\(number): \(escaped.output)")
            }
            bundle.change("process") { $0["cwd"] = "/" }
            bundle.payload("sleep", "1000")
            try bundle.start("d")
            for number in 3...12 {
                let escaped = try bundle.oci("exec", "--cwd", "/proc/self/fd/\(number)", "d", "ls")
                #expect(escaped.status != 0)
            }
        }

        @Test(
            "masked and read-only paths hold, and a link in the place of one is refused (CVE-2025-31133, CVE-2025-52881)"
        )
        func masks() throws {
            let bundle = try Bundle()
            bundle.script(
                "cat /proc/keys /proc/timer_list; ls /sys/firmware; echo x > /proc/sys/kernel/domainname || echo no")
            let outcome = try bundle.runToEnd()
            #expect(outcome.output == "no\n", "\(outcome.output)")
            symlink("/etc", "\(bundle.path)/rootfs/masked")
            bundle.change("linux") { $0["maskedPaths"] = ["/masked/passwd"] }
            let refused = try bundle.runToEnd().errors
            #expect(refused.contains("Too many levels of symbolic links") && refused.contains("linux.maskedPaths"))
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("the number that stands for no id is nobody's, and not root's")
        func noID() throws {
            let bundle = try Bundle()
            try bundle.start()
            for user in ["4294967295", "4294967295:5", "5:4294967295"] {
                let outcome = try bundle.oci("exec", "--user", user, "c", "id")
                #expect(outcome.status != 0 && outcome.output.isEmpty, "\(user): \(outcome.output)")
                #expect(outcome.errors.contains("process.user"), "\(outcome.errors)")
            }
            let group = try bundle.oci("exec", "--additional-gids", "4294967295", "c", "id")
            #expect(group.errors.contains("process.user.additionalGids[0]: expected an id"), "\(group.errors)")
            bundle.change("process") { $0["user"] = ["uid": 4_294_967_295, "gid": 5] }
            bundle.payload("id")
            let outcome = try bundle.runToEnd("d")
            #expect(outcome.status == 1 && outcome.errors.contains("process.user.uid: expected an id"), "\(outcome)")
        }

        @Test(
            "no mount leaves the root by a link of the image, nor by the old root (CVE-2021-30465, CVE-2024-45310, CVE-2026-87766)",
            arguments: ["", "../../../../../../../..", "/proc/self/root", "/proc/1/root"])
        func mountTargets(way: String) throws {
            let bundle = try Bundle()
            let outside = "\(bundle.path)/outside"
            try FileManager.default.createDirectory(atPath: outside, withIntermediateDirectories: false)
            symlink(way + outside, "\(bundle.path)/rootfs/link")
            bundle.mount([["destination": "/link/a", "type": "tmpfs", "source": "tmpfs"]])
            bundle.change("root") { $0["readonly"] = false }
            bundle.payload("true")
            _ = try bundle.runToEnd()
            #expect(try FileManager.default.contentsOfDirectory(atPath: outside).isEmpty)
        }

        @Test(
            "/proc and /sys are never mounted elsewhere by a link (CVE-2023-27561, CVE-2019-19921)",
            arguments: ["proc", "sys"])
        func kernelViews(name: String) throws {
            let bundle = try Bundle()
            rmdir("\(bundle.path)/rootfs/\(name)")
            symlink("tmp", "\(bundle.path)/rootfs/\(name)")
            bundle.payload("true")
            let outcome = try bundle.runToEnd()
            #expect(outcome.status == 1 && outcome.errors.contains("Too many levels"), "\(outcome.errors)")
        }

        @Test("a device is what it says, though the image has something else in its place (CVE-2026-41579)")
        func devices() throws {
            let bundle = try Bundle()
            bundle.unmountDevices()
            bundle.change("root") { $0["readonly"] = false }
            _ = FileManager.default.createFile(atPath: "\(bundle.path)/rootfs/dev/null", contents: Data("x".utf8))
            bundle.payload("true")
            let outcome = try bundle.runToEnd()
            #expect(outcome.status == 1 && outcome.errors.contains("verify device"), "\(outcome.errors)")
            #expect(try String(contentsOfFile: "\(bundle.path)/rootfs/dev/null", encoding: .utf8) == "x")
        }

        @Test("what is put in the place of a device, while that is being made, keeps its mode")
        func replacedDevice() throws {
            let bundle = try Bundle()
            bundle.unmountDevices()
            bundle.change("root") { $0["readonly"] = false }
            bundle.payload("true")
            try bundle.write()
            let victim = "\(bundle.path)/victim"
            _ = FileManager.default.createFile(atPath: victim, contents: nil, attributes: [.posixPermissions: 0o600])
            // Each device is held for a while as soon as it is there.
            let script = """
                (cd '\(bundle.path)/rootfs/dev' && until [ -c null ]; do sleep 0.01; done
                ln -s '\(victim)' link && mv -T link null) &
                strace -f -qq -o /dev/null --inject=mknodat:delay_exit=300000 "$@"; wait
                """
            let outcome = try run(
                ["timeout", "30", "bash", "-c", script, "bash", runtimePath, "--root", bundle.state, "run"]
                    + ["--bundle", bundle.path, "c"])
            #expect(outcome.errors.contains("verify device /dev/null"), "\(outcome)")
            var found = stat()
            #expect(stat(victim, &found) == 0 && found.st_mode & 0o777 == 0o600)
        }

        @Test("no capability is inheritable unless it was asked for (CVE-2022-27650, CVE-2022-29162)")
        func capabilities() throws {
            let bundle = try Bundle()
            bundle.payload("grep", "CapInh", "/proc/self/status")
            #expect(try bundle.runToEnd().output.hasSuffix("0000000000000000\n"))
            bundle.payload("sleep", "1000")
            try bundle.start("d")
            let inside = try bundle.oci("exec", "--cap", "CAP_NET_RAW", "d", "grep", "Cap", "/proc/self/status").output
            #expect(
                inside.contains("CapInh:\t0000000000000000") && inside.contains("CapEff:\t0000000020002420"),
                "\(inside)")
        }

        @Test(
            "ids of exec are digits and nothing else (CVE-2026-30892)",
            arguments: ["root", "-1", "+0", "0x0", "1:", ":1", " 1", "4294967296"])
        func strictUser(user: String) throws {
            let bundle = try Bundle()
            try bundle.start()
            #expect(try bundle.oci("exec", "--user", user, "c", "id").status != 0)
        }

        @Test("a state directory that others can write is refused")
        func stateDirectory() throws {
            let bundle = try Bundle()
            try bundle.write()
            try FileManager.default.createDirectory(atPath: bundle.state, withIntermediateDirectories: false)
            chmod(bundle.state, 0o777)
            for command in [["create", "--bundle", bundle.path, "c"], ["list"], ["delete", "--force", "c"]] {
                let outcome = try run([runtimePath, "--root", bundle.state] + command)
                #expect(outcome.status == 1 && outcome.errors.contains("only root"), "\(command) \(outcome.errors)")
            }
            chmod(bundle.state, 0o700)
            chown(bundle.state, 1234, 1234)
            #expect(try bundle.oci("list").errors.contains("owner 1234"))
            chown(bundle.state, 0, 0)
            // A link in the place of a container's directory is none.
            let kept = "\(bundle.path)/kept"
            try FileManager.default.createDirectory(atPath: kept, withIntermediateDirectories: false)
            try "kept".write(toFile: "\(kept)/state.json", atomically: false, encoding: .utf8)
            symlink(kept, "\(bundle.state)/evil")
            for command in [["state", "evil"], ["kill", "evil", "KILL"], ["delete", "--force", "evil"]] {
                let outcome = try run([runtimePath, "--root", bundle.state] + command)
                #expect(outcome.status == 1 && outcome.errors.contains("Not a directory"), "\(outcome.errors)")
            }
            #expect(access("\(kept)/state.json", F_OK) == 0)
        }

        @Test("a process number that has gone to another is not signalled")
        func processNumbers() throws {
            let bundle = try Bundle()
            try bundle.start()
            let record = "\(bundle.state)/c/state.json"
            // Processes are told apart by the clock tick of their start, which is ten milliseconds here.
            usleep(50_000)
            let other = Process()
            other.executableURL = URL(fileURLWithPath: "/bin/sleep")
            other.arguments = ["1000"]
            other.standardOutput = FileHandle.nullDevice
            other.standardError = FileHandle.nullDevice
            try other.run()
            // Not SIGTERM, which it may have inherited blocked.
            defer { kill(other.processIdentifier, SIGKILL) }
            let text = try String(contentsOfFile: record, encoding: .utf8)
            let changed = text.replacingOccurrences(
                of: "\"pid\":[0-9]+", with: "\"pid\":\(other.processIdentifier)", options: .regularExpression)
            try changed.write(toFile: record, atomically: true, encoding: .utf8)
            #expect(try bundle.status() == "stopped")
            #expect(try bundle.oci("kill", "c", "KILL").errors.contains("not running"))
            #expect(other.isRunning)
            try text.write(toFile: record, atomically: true, encoding: .utf8)
        }

        @Test(
            "a namespace path that is none, or another kind's, is refused",
            arguments: ["/etc/passwd", "/proc/self/ns/uts"])
        func namespacePaths(path: String) throws {
            let bundle = try Bundle()
            bundle.change("linux") { linux in
                linux["namespaces"] = [["type": "pid"], ["type": "mount"], ["type": "network", "path": path]]
            }
            bundle.spec["hostname"] = nil
            #expect(try bundle.runToEnd().errors.contains("linux.namespaces"))
        }

        @Test("a sysctl of the host is refused, by the field's name")
        func hostSysctl() throws {
            let bundle = try Bundle()
            bundle.change("linux") { $0["sysctl"] = ["kernel.panic": "1"] }
            #expect(try bundle.runToEnd().errors.contains("linux.sysctl"))
            bundle.change("linux") { linux in
                linux["sysctl"] = ["net.ipv4.ip_forward": "1"]
                linux["namespaces"] = [
                    ["type": "pid"], ["type": "mount"], ["type": "uts"],
                    ["type": "network", "path": "/proc/self/ns/net"],
                ]
            }
            #expect(try bundle.runToEnd().errors.contains("would change the host"))
        }

        @Test("the host's name stays, whatever a specification without a UTS namespace of its own has for one")
        func hostName() throws {
            let bundle = try Bundle()
            bundle.payload("true")
            let others = ["pid", "mount", "ipc"].map { ["type": $0] }
            let joined = others + [["type": "uts", "path": "/proc/self/ns/uts"]]
            for (name, namespaces) in [("", others), ("changed", joined)] {
                for member in ["hostname", "domainname"] {
                    bundle.spec["hostname"] = nil
                    bundle.spec["domainname"] = nil
                    bundle.spec[member] = name
                    bundle.change("linux") { $0["namespaces"] = namespaces }
                    try bundle.write()
                    let files = "/proc/sys/kernel/hostname /proc/sys/kernel/domainname"
                    let script = "for f in \(files); do echo before > $f; done; \"$@\"; cat \(files)"
                    let outcome = try run(
                        ["unshare", "-u", "sh", "-c", script, "sh", runtimePath, "--root", bundle.state, "run"]
                            + ["--bundle", bundle.path, "c"])
                    #expect(outcome.output == "before\nbefore\n", "\(outcome)")
                    #expect(name.isEmpty || outcome.errors.contains("\(member) would change the host"), "\(outcome)")
                }
            }
        }

        @Test("what the host has not is an error that names the field")
        func absentFields() throws {
            guard access("/sys/fs/selinux/enforce", F_OK) != 0 else { return }
            let bundle = try Bundle()
            bundle.change("process") { $0["selinuxLabel"] = "system_u:system_r:container_t:s0" }
            #expect(try bundle.runToEnd().errors.contains("process.selinuxLabel"))
            bundle.change("process") { $0["selinuxLabel"] = nil }
            bundle.change("linux") { $0["intelRdt"] = ["closID": "x"] }
            #expect(try bundle.runToEnd().errors.contains("linux.intelRdt"))
            bundle.change("linux") { linux in
                linux["intelRdt"] = nil
                linux["memoryPolicy"] = ["mode": "MPOL_BIND", "nodes": "0"]
            }
            #expect(try bundle.runToEnd().errors.contains("linux.memoryPolicy"))
            bundle.change("linux") { linux in
                linux["memoryPolicy"] = nil
                linux["resources"] = ["unified": ["nothing.max": "1"]]
            }
            #expect(try bundle.runToEnd().errors.contains("linux.resources: control nothing"))
        }

        @Test("the container cannot type into the caller's terminal (TIOCSTI, CVE-2017-5226)")
        func terminalInjection() throws {
            let bundle = try Bundle()
            bundle.script("cat /proc/self/stat | { read a b c d e f g rest; echo $g; }")
            // tty_nr, field 7 of proc_pid_stat(5): no controlling terminal.
            #expect(try bundle.runToEnd().output == "0\n")
        }
    }
}
