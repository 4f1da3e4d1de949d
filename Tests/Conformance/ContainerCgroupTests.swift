import Foundation
import Glibc
import Testing

extension Conformance {
    /// What a container's cgroup holds it to, and who goes into it.
    @Suite
    struct ContainerCgroupTests {
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

        @Test("each option of update sets the limit that it names")
        func updateOptions() throws {
            let bundle = try Bundle()
            bundle.change("linux") { $0["resources"] = ["pids": ["limit": 20], "cpu": ["quota": 40000]] }
            try bundle.start()
            // The options, and what is in a file of v1 or of v2 then.
            let options: [([String], [String: String])] = [
                (["--memory", "64M"], ["memory.limit_in_bytes": "67108864", "memory.max": "67108864"]),
                (
                    ["--memory-reservation", "32M"],
                    ["memory.soft_limit_in_bytes": "33554432", "memory.low": "33554432"]
                ),
                (["--pids-limit", "33"], ["pids.max": "33"]),
                (
                    ["--cpu-quota", "50000", "--cpu-period", "200000"],
                    ["cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "200000", "cpu.max": "50000 200000"]
                ),
                (["--cpu-burst", "10000"], ["cpu.cfs_burst_us": "10000", "cpu.max.burst": "10000"]),
                (["--cpu-share", "512"], ["cpu.shares": "512"]), (["--cpu-idle", "1"], ["cpu.idle": "1"]),
                (["--cpuset-cpus", "0"], ["cpuset.cpus": "0"]), (["--cpuset-mems", "0"], ["cpuset.mems": "0"]),
                (["--blkio-weight", "200"], ["blkio.bfq.weight": "200"]),
            ]
            func place(_ name: String) -> String? {
                let places = ["\(name.split(separator: ".")[0])/carrel/oci/c/\(name)", "carrel/oci/c/\(name)"]
                return places.map { "/sys/fs/cgroup/" + $0 }.first { access($0, F_OK) == 0 }
            }
            var seen = 0
            for (words, files) in options {
                let there = files.compactMap { name, value in place(name).map { (file: $0, value: value) } }
                // Of a controller that the host has not.
                if there.isEmpty { continue }
                let updated = try run([runtimePath, "--root", bundle.state, "update"] + words + ["c"])
                #expect(updated.status == 0, "\(words): \(updated.errors)")
                for (file, value) in there {
                    #expect(try String(contentsOfFile: file, encoding: .utf8) == value + "\n", "\(file)")
                    seen += 1
                }
            }
            #expect(seen > 2)
        }

        @Test("events tells of the want of memory that a container has ended of")
        func lastEvent() throws {
            let bundle = try Bundle()
            bundle.change("linux") { $0["resources"] = ["memory": ["limit": 20 << 20]] }
            bundle.script(
                "until [ -e /dev/shm/go ]; do sleep 0.02; done; exec dd if=/dev/zero of=/dev/null bs=200M count=1")
            try bundle.start()
            let told = "\(bundle.path)/events"
            let follow = "exec '\(runtimePath)' --root '\(bundle.state)' events --interval 60 c >'\(told)'"
            let following = try spawn(["sh", "-c", follow], environment: ["PATH": "/usr/bin:/bin"])
            try wait { try access(told, F_OK) == 0 && String(contentsOfFile: told, encoding: .utf8).contains("stats") }
            // Both at once, then: that it has run out, and that it has ended.
            kill(following, SIGSTOP)
            try bundle.oci("exec", "c", "touch", "/dev/shm/go")
            try wait { try bundle.oci("state", "c").output.contains("stopped") }
            kill(following, SIGCONT)
            waitpid(following, nil, 0)
            #expect(try String(contentsOfFile: told, encoding: .utf8).contains("{\"type\":\"oom\",\"id\":\"c\"}"))
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
    }
}
