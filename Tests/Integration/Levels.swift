import Documents
import Foundation
import Testing

extension Integration {
    /// What bounds a tenant's sessions together, and what bounds all: and whose limit it was is told.
    @Suite struct Levels {
        /// A tenant of this test alone: cgroups of a tenant's name are the host's.
        static func tenant(_ desk: Desk, _ bounds: String) throws -> String {
            let name = "t" + desk.path.suffix(6)
            try desk.write("version: 1\n\(bounds)\n", to: "state/tenants/\(name).yaml", mode: 0o600)
            return name
        }

        static func hold(_ megabytes: Int) -> String {
            "x = bytearray(\(megabytes) << 20)\nimport signal\nprint('up', flush=True)\nsignal.pause()"
        }
        static let isUnified = Host.outside("stat -f -c %T /sys/fs/cgroup").output == "cgroup2fs"

        @Test func aSessionKilledForItsTenantsLimitSaysSo() throws {
            try withDesk { desk in
                let tenant = try Self.tenant(desk, "memory: 96MiB")
                // Admission would not let the two in together.
                try desk.write("version: 1\nadmission: false\n", to: "state/host.yaml", mode: 0o600)
                // The second asks for more when it is the larger already: the kernel does not take the first for it.
                for (name, megabytes) in [("one", 40), ("two", 80)] {
                    let options = ["--tenant", tenant, "--memory", "90MiB", "--detach", "--session", name]
                    _ = desk.run(options, [Host.python, "-c", Self.hold(megabytes)])
                    if name == "one" { try #require(eventually { desk.carrel(["logs", "one"]).output == "up" }) }
                }
                try #require(
                    eventually(within: 30) { Supervision.live(desk) == ["one.json"] }, "\(Supervision.live(desk))")
                let exit = try #require(try desk.lastReport().at("exit"))
                #expect(exit["how"]?.string == "oom" && exit["limit"]?.string == "tenant", "\(exit.json())")
                #expect(exit["why"]?.string?.contains("tenant") == true)
                let shown = try desk.parse(desk.carrel(["tenant", "show", "--json", tenant]).output)
                #expect(shown.at("bounds.memoryBytes")?.int == 96 << 20 && shown.at("usage.sessions")?.int == 1)
                #expect(shown.at("usage.memoryBytes")?.int ?? 0 > 32 << 20)
                // Its own limit is told as that, within the same tenant.
                let own = desk.python(["--tenant", tenant, "--memory", "20MiB"], Limits.hog)
                #expect(own.status == 137)
                #expect(try desk.lastReport().at("exit.limit")?.string == "session")
                desk.carrel(["kill", "--all"])
            }
        }

        @Test func aTenantsTasksAreCountedTogether() throws {
            try withDesk { desk in
                let tenant = try Self.tenant(desk, "pids: 12")
                let first = ["--tenant", tenant, "--session", "first"]
                _ = try desk.detached(first, "for i in 1 2 3 4 5; do sleep 600 & done; wait", session: "first")
                try #require(
                    eventually {
                        let shown = desk.carrel(["tenant", "show", "--json", tenant]).output
                        return (try? desk.parse(shown).at("usage.pids")?.int) ?? 0 >= 7
                    })
                let second = desk.python(
                    ["--tenant", tenant],
                    """
                    import time
                    children = 0
                    try:
                        while True:
                            if os.fork() == 0: time.sleep(60); os._exit(0)
                            children += 1
                    except OSError as error:
                        print(errno.errorcode[error.errno], children)
                    """)
                #expect(second.output.hasPrefix("EAGAIN"), "\(second)")
                #expect(Int(second.output.split(separator: " ").last ?? "") ?? 99 < 5)
                desk.carrel(["kill", "--all"])
            }
        }

        @Test func aTenantsFileWithAnErrorRefusesItsStarts() throws {
            try withDesk { desk in
                let tenant = try Self.tenant(desk, "memory: lots\nsesions: 4")
                let refused = desk.run(["--tenant", tenant], ["echo", "started"])
                #expect(refused.status == 125 && refused.output.isEmpty, "\(refused)")
                #expect(refused.errors.contains("\(tenant).yaml:2:9: memory:"), "\(refused)")
                #expect(refused.errors.contains("did you mean sessions?"), "\(refused)")
                #expect(desk.carrel(["tenant", "check", desk.state + "/tenants/\(tenant).yaml"]).status == 1)
                #expect(desk.run(["--tenant", "other"], ["true"]).status == 0)
            }
        }

        @Test(.enabled(if: Host.isOwnKernel, "needs a kernel of its own: it bounds all sessions of the host"))
        func theHostKeepsItsReserve() throws {
            try withDesk { desk in
                let total = Host.outside("awk '/MemTotal/ {print $2}' /proc/meminfo").output
                let reserve = (Int(total) ?? 0) / 1024 - 160
                try desk.write("version: 1\nreserve: \(reserve)MiB\n", to: "state/host.yaml", mode: 0o600)
                let hog = desk.python(["--memory", "400MiB"], Limits.hog)
                #expect(hog.status == 137, "\(hog)")
                let exit = try #require(try desk.lastReport().at("exit"))
                #expect(exit["how"]?.string == "oom" && exit["limit"]?.string == "host", "\(exit.json())")
                try desk.write("version: 1\nreserve: none\n", to: "state/host.yaml", mode: 0o600)
                #expect(desk.python(["--memory", "400MiB"], "x = bytearray(200 << 20)").status == 0)
            }
        }

        @Test func aBoundThatItsFileNoLongerHasIsLifted() throws {
            try withDesk { desk in
                let tenant = try Self.tenant(desk, "memory: 64MiB\npids: 30")
                _ = try desk.detached(["--tenant", tenant, "--memory", "32MiB"], session: "stays")
                try desk.write("version: 1\npids: 30\n", to: "state/tenants/\(tenant).yaml", mode: 0o600)
                let more = desk.python(["--tenant", tenant], "x = bytearray(100 << 20)")
                #expect(more.status == 0, "\(more)")
                let shown = try desk.parse(desk.carrel(["tenant", "show", "--json", tenant]).output)
                #expect(shown.at("bounds.memoryBytes")?.isNull == true && shown.at("bounds.pids")?.int == 30)
                let bomb = desk.sh(["--tenant", tenant], "for i in $(seq 40); do sleep 30 & done 2>&1")
                #expect(bomb.output.contains("fork"), "the other bound went too: \(bomb)")
                desk.carrel(["kill", "--all"])
            }
        }

        @Test func whoIsSlowedDownIsToldSo() throws {
            try withDesk { desk in
                let slow = desk.python(
                    ["--cpus", "0.2"], "import time\nend = time.time() + 1\nwhile time.time() < end: pass")
                #expect(slow.status == 0)
                let throttled = try #require(try desk.lastReport().at("throttled")?.elements?.first)
                #expect(throttled["resource"]?.string == "cpu" && throttled["by"]?.string == "session")
                #expect(throttled["times"]?.int ?? 0 > 2 && throttled["stalledMicroseconds"]?.int ?? 0 > 100_000)
                // Python itself takes some 8 MiB; a few above the mark are few waits.
                let high = desk.python(
                    ["--memory", "128MiB", "--memory-high", "48MiB"], "x = bytearray(44 << 20)\nprint('done')")
                guard Self.isUnified else {
                    #expect(high.status == 125 && high.errors.contains("memory.high"), "\(high)")
                    return
                }
                #expect(high.output == "done", "\(high)")
                let memory = try #require(
                    try desk.lastReport().at("throttled")?.elements?.first { $0["resource"]?.string == "memory" })
                #expect(memory["by"]?.string == "session" && memory["times"]?.int ?? 0 > 0, "\(memory.json())")
            }
        }

        @Test(.enabled(if: isUnified, "cgroup v1 tells nobody of a refused fork; the report counts it"))
        func aRefusedForkIsWrittenDownWhenItHappens() throws {
            try withDesk { desk in
                _ = try desk.detached(
                    ["--pids", "5"], "for i in 1 2 3 4 5 6; do sleep 600 & done; wait; sleep 600", session: "f")
                #expect(
                    try eventually {
                        try desk.auditEvents().contains {
                            $0["event"]?.string == "limit" && $0["limit"]?.string == "pids"
                                && $0["session"]?.string == "f"
                        }
                    })
                desk.carrel(["kill", "--all"])
            }
        }

        /// Many die of their own limit beside one that must not notice. `CARREL_FULL=1` for a thousand.
        @Test func whoRunsOutOfMemoryHarmsNoNeighbour() throws {
            try withDesk { desk in
                let isFull = ProcessInfo.processInfo.environment["CARREL_FULL"] != nil
                let count = isFull ? 1000 : Host.isOwnKernel ? 20 : 150
                let name = "t" + desk.path.suffix(6)
                _ = try desk.detached(
                    ["--tenant", name, "--memory", "32MiB"], "while :; do sleep 0.1; done", session: "neighbour")
                let script = """
                    i=0
                    while [ $i -lt \(count / 10) ]; do
                        for n in 0 1 2 3 4 5 6 7 8 9; do
                            "$CARREL" run --tenant \(name) --memory 12MiB --session o-$i-$n -- tail /dev/zero 2>/dev/null &
                        done
                        wait
                        i=$((i + 1))
                    done
                    """
                _ = desk.around(script, timeout: 600)
                let reports = try desk.read("state/ledger.jsonl").split(separator: "\n").map {
                    try desk.parse(String($0))
                }
                #expect(reports.count == count)
                let other = reports.filter {
                    $0.at("exit.how")?.string != "oom" || $0.at("exit.limit")?.string != "session"
                }
                #expect(other.isEmpty, "\(other.prefix(3).map { $0.at("exit")?.json() ?? "" })")
                #expect(Supervision.live(desk) == ["neighbour.json"])
                desk.carrel(["kill", "--all"])
                #expect(try desk.lastReport().at("usage.oomKills")?.int == 0)
            }
        }
    }
}
