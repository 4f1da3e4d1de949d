import Foundation
import Glibc
import Testing

extension Conformance {
    /// Cgroups that systemd makes. A real one is asked in the VM (Tests/VM/scopes); here, on whatever the host has, one that
    /// answers as it does.
    @Suite
    struct ScopeTests {
        /// Runs a script with that systemd at its place, in a mount namespace of its own.
        private func withSystemd(_ bundle: Bundle, _ script: String) throws -> Outcome {
            try bundle.write()
            let fixture =
                URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Fixtures/systemd.py"
            let whole = """
                mount -t tmpfs none /run && mkdir /run/systemd
                python3 '\(fixture)' /run/systemd/private '\(bundle.path)/calls' & p=$!
                for i in $(seq 200); do [ -S /run/systemd/private ] && break; sleep 0.05; done
                oci() { '\(runtimePath)' --root '\(bundle.state)' --systemd-cgroup "$@" </dev/null; }
                \(script)
                kill $p
                """
            return try run(["/usr/bin/unshare", "-m", "/bin/sh", "-c", whole])
        }

        @Test("a container is in the scope that systemd makes for it, with its limits in every hierarchy")
        func scope() throws {
            let bundle = try Bundle()
            bundle.change("linux") { linux in
                linux["cgroupsPath"] = "carrel.slice:test:one"
                linux["resources"] = ["memory": ["limit": 64 << 20], "pids": ["limit": 20]]
                linux["namespaces"] = ["pid", "mount", "uts", "ipc", "network"].map { ["type": $0] }
            }
            let outcome = try withSystemd(
                bundle,
                """
                oci run -d --bundle '\(bundle.path)' one
                oci exec one cat /proc/self/cgroup
                cat /sys/fs/cgroup/memory/carrel/test-one.scope/memory.limit_in_bytes \
                    /sys/fs/cgroup/carrel/test-one.scope/memory.max 2>/dev/null
                oci update --memory \(80 << 20) one
                cat /sys/fs/cgroup/memory/carrel/test-one.scope/memory.limit_in_bytes \
                    /sys/fs/cgroup/carrel/test-one.scope/memory.max 2>/dev/null
                oci pause one && oci resume one && oci delete --force one
                ls -d /sys/fs/cgroup/*/carrel/test-one.scope /sys/fs/cgroup/carrel/test-one.scope 2>/dev/null
                """)
            let lines = outcome.output.split(separator: "\n")
            #expect(lines.contains("0::/carrel/test-one.scope"), "\(outcome.output) \(outcome.errors)")
            #expect(lines.suffix(2) == ["\(64 << 20)", "\(80 << 20)"], "\(outcome.output) \(outcome.errors)")
            let calls = try String(contentsOfFile: "\(bundle.path)/calls", encoding: .utf8)
            #expect(
                calls == """
                    StartTransientUnit test-one.scope \(64 << 20)
                    SetUnitProperties test-one.scope \(80 << 20)
                    StopUnit test-one.scope

                    """)
            #expect(bundle.leftovers(["one"]).isEmpty)
        }

        @Test(
            "a scope that systemd does not make is an error that leaves nothing, and no one else's scope is stopped",
            arguments: ["refused", "hangup"])
        func refused(how: String) throws {
            let bundle = try Bundle()
            bundle.change("linux") { $0["cgroupsPath"] = "carrel.slice:test:\(how)" }
            let outcome = try withSystemd(bundle, "oci run --bundle '\(bundle.path)' one; echo $?")
            #expect(outcome.output == "1\n" && outcome.errors.contains("systemd"), "\(outcome.errors)")
            let calls = try String(contentsOfFile: "\(bundle.path)/calls", encoding: .utf8)
            #expect(calls.hasPrefix("StartTransientUnit test-\(how).scope") && !calls.contains("StopUnit"))
            #expect(bundle.leftovers(["one"]).isEmpty)
        }

        @Test("without systemd, and with a path that is not of it, the error says so")
        func absent() throws {
            let bundle = try Bundle()
            for path in ["/carrel/one", "a.slice:b", "a:b:c", "a.slice:../b:c", "a.slice:b:"] {
                bundle.change("linux") { $0["cgroupsPath"] = path }
                try bundle.write()
                let outcome = try bundle.oci("--systemd-cgroup", "run", "--bundle", bundle.path, "c")
                #expect(outcome.status == 1 && outcome.errors.contains("linux.cgroupsPath"), "\(outcome.errors)")
            }
            bundle.change("linux") { $0["cgroupsPath"] = "a.slice:b:c" }
            try bundle.write()
            let script = "mount -t tmpfs none /run; exec '\(runtimePath)' --root '\(bundle.state)' --systemd-cgroup"
            let outcome = try run(["unshare", "-m", "/bin/sh", "-c", "\(script) run --bundle '\(bundle.path)' c"])
            #expect(outcome.status == 1 && outcome.errors.contains("no systemd answers"), "\(outcome.errors)")
            #expect(bundle.leftovers(["c"]).isEmpty)
        }
    }
}
