import Documents
import Foundation
import Glibc
import Testing

extension Integration {
    /// Part 10 of the planner's: a start takes a berth first, and a full host says so.
    @Suite(.serialized) struct Admission {
        /// A host with room for this many sessions of 16 MiB.
        private func host(_ desk: Desk, berths: Int, _ more: String = "") throws {
            try desk.write(
                "version: 1\nmemory: \(berths * 16 + 100)MiB\nreserve: 100MiB\n\(more)", to: "state/host.yaml",
                mode: 0o600)
        }

        /// Starts sessions that sleep, all at once; gives each one's exit status.
        private func startTogether(_ desk: Desk, _ name: String, _ count: Int) -> [Int] {
            let script = """
                for i in $(seq \(count)); do
                    { "$CARREL" run --detach --memory 16MiB --session \(name)-$i -- sleep 600 >/dev/null 2>"$HOME/\(name)-$i.err"
                      echo $?; } &
                done
                wait
                """
            return desk.around(script, timeout: 240).lines.compactMap { Int($0) }
        }

        @Test func ofTwoHundredStartsAtOnceExactlyFiftyRun() throws {
            try withDesk { desk in
                try host(desk, berths: 50)
                let codes = startTogether(desk, "berth-a", 200)
                #expect(codes.count { $0 == 0 } == 50 && codes.count { $0 == 75 } == 150, "\(codes)")
                #expect(try desk.parse(desk.carrel(["ps", "--json"]).output).elements?.count == 50)
                let refused = desk.run(["--memory", "16MiB"], ["true"])
                #expect(refused.status == 75 && refused.seconds < 30)
                #expect(
                    refused.errors.contains(
                        "the host is full: 50 sessions have 800MiB of 800MiB, and this one needs 16MiB"))
                #expect(
                    refused.errors.contains("expected to end in 5") || refused.errors.contains("expected to end in 1h"))
                let refusal = try desk.auditEvents().last
                #expect(refusal?["event"]?.string == "refusal" && refusal?["why"]?.string?.contains("full") == true)

                // Supervisors that are killed leave their berths to others, and no more than those.
                let holders = Desk.list(desk.state + "/live").prefix(20).compactMap { Int32($0.prefix { $0 != "-" }) }
                for holder in holders { kill(holder, SIGKILL) }
                let again = startTogether(desk, "berth-b", 60)
                #expect(again.count { $0 == 0 } == 20 && again.count { $0 == 75 } == 40, "\(again)")
                #expect(desk.carrel(["kill", "--all"]).status == 0)
                #expect(desk.run(["--memory", "800MiB"], ["true"]).status == 0, "a berth was not given back")
            }
        }

        @Test func whoWaitsComesInTheOrderOfAsking() throws {
            try withDesk { desk in
                try host(desk, berths: 1)
                _ = try desk.detached(["--memory", "16MiB"], "sleep 600", session: "berth-first")
                let late = desk.run(["--memory", "16MiB", "--wait", "500ms"], ["true"])
                #expect(late.status == 75 && late.seconds >= 0.4 && late.seconds < 10, "\(late)")
                var waiting: [Command] = []
                for index in 1...3 {
                    waiting.append(
                        desk.start(carrel: [
                            "run", "--memory", "16MiB", "--wait", "60s", "--session", "berth-w-\(index)", "--", "sleep",
                            "0.2",
                        ]))
                    // Each has its ticket before the next comes.
                    let full = desk.carrel(["metrics"]).output
                    for _ in 0..<100 where !desk.carrel(["metrics"]).output.contains("carrel_starts_waiting \(index)") {
                        usleep(20_000)
                    }
                    #expect(!full.isEmpty)
                }
                let overtaking = desk.run(["--memory", "4MiB"], ["true"])
                #expect(overtaking.status == 75 && overtaking.errors.contains("wait"), "\(overtaking)")
                #expect(desk.carrel(["kill", "berth-first"]).status == 0)
                for one in waiting { #expect(one.finish(within: 60).status == 0) }
                let ends = try desk.auditEvents().filter { $0["event"]?.string == "start" }.compactMap {
                    $0["session"]?.string
                }
                #expect(ends.suffix(3) == ["berth-w-1", "berth-w-2", "berth-w-3"])
            }
        }

        /// Between its berth and its marker a start is not taken for a dead one, however long it has waited.
        @Test(.enabled(if: Host.isX86, "the call is named link(2) there"))
        func whoHasWaitedLongKeepsItsBerth() throws {
            try withDesk { desk in
                try host(desk, berths: 1)
                _ = try desk.detached(["--memory", "16MiB"], "sleep 600", session: "berth-first")
                let outcome = desk.around(
                    """
                    waits="run --memory 16MiB --wait 60s --session"
                    strace -o /dev/null -e trace=link -e inject=link:delay_enter=3000000 \
                        "$CARREL" $waits berth-w-1 -- true &
                    for look in $(seq 200); do
                        "$CARREL" metrics | grep -q "carrel_starts_waiting 1" && break
                        sleep 0.05
                    done
                    "$CARREL" $waits berth-w-2 -- true &
                    sleep 11
                    "$CARREL" kill berth-first
                    wait
                    """)
                #expect(outcome.errors.isEmpty, "\(outcome)")
                let events = try desk.auditEvents()
                let starts = events.filter { $0["event"]?.string == "start" }
                #expect(starts.compactMap { $0["session"]?.string }.suffix(2) == ["berth-w-1", "berth-w-2"])
                // Nor is the waiting a part of the session's time.
                let kill = try #require(events.first { $0["event"]?.string == "kill" }?["time"]?.string)
                let report = try desk.parse(desk.carrel(["report", "--json", "berth-w-1"]).output)
                #expect(try #require(report["started"]?.string) > kill)
            }
        }

        @Test func aTenantsBoundHoldsUpNobodyElse() throws {
            try withDesk { desk in
                try host(desk, berths: 10)
                #expect(desk.run(["--tenant", "acme", "--memory", "16MiB"], ["true"]).status == 0)
                try desk.write("version: 1\nsessions: 1\n", to: "state/tenants/acme.yaml", mode: 0o600)
                _ = try desk.detached(["--tenant", "acme", "--memory", "16MiB"], session: "berth-one")
                let second = desk.run(["--tenant", "acme", "--memory", "16MiB"], ["true"])
                #expect(second.status == 75 && second.errors.contains("it has 1 of its 1 sessions"), "\(second)")
                #expect(desk.run(["--tenant", "other", "--memory", "16MiB"], ["true"]).status == 0)
                #expect(desk.carrel(["kill", "berth-one"]).status == 0)
            }
        }

        /// Berths alone do not start a session: the host was promised more than it has, and tasks wait for memory.
        @Test(
            .enabled(
                if: Host.isOwnKernel && access("/proc/pressure/memory", R_OK) == 0,
                "needs a kernel of its own with memory.high and PSI"))
        func aHostThatIsShortOfMemoryStartsNothingLarge() throws {
            try withDesk { desk in
                try desk.write(
                    "version: 1\nmemory: 64GiB\nreserve: 1GiB\npressure: 5\n", to: "state/host.yaml", mode: 0o600)
                #expect(desk.run(["--memory", "32GiB"], ["true"]).status == 0, "there is no pressure yet")
                let options = ["--memory", "512MiB", "--memory-high", "24MiB", "--detach", "--session", "thrashes"]
                let program = "while True: x = bytearray(200 << 20)"
                #expect(desk.run(options, [Host.python, "-c", program]).status == 0)
                var refused = desk.run(["--memory", "32GiB"], ["true"])
                let end = Date().addingTimeInterval(60)
                while refused.status == 0 && Date() < end { refused = desk.run(["--memory", "32GiB"], ["true"]) }
                #expect(
                    refused.status == 75 && refused.errors.contains("the host is short of memory: tasks waited"),
                    "\(refused)")
                // What is there is given.
                #expect(desk.run(["--memory", "64MiB"], ["true"]).status == 0)
                // Who waits gets it when the host has memory again, or no task waits for it any more.
                let waited = desk.around(
                    """
                    "$CARREL" run --memory 32GiB --wait 60s -- true & start=$!
                    sleep 1
                    kill -0 $start && "$CARREL" kill thrashes && wait $start
                    """)
                #expect(waited.status == 0, "\(waited)")
            }
        }

        @Test func aRefusalSaysWhatHelps() throws {
            try withDesk { desk in
                try desk.write("version: 1\nsessions: 0\n", to: "state/tenants/none.yaml", mode: 0o600)
                let none = desk.run(["--tenant", "none"], ["true"])
                #expect(none.status == 75 && none.errors.contains("raise sessions"), "\(none)")
                // A ceiling that is a part of a MiB is not told as nothing.
                let campaign = ["measure", "-n", "29", "--parallel", "4", "--memory", "16MiB", "--", "true"]
                #expect(desk.carrel(campaign).status == 0)
                let bytes = try #require(Int(desk.read("state/ceilings/default").split(separator: " ")[1]))
                try desk.write("version: 1\nmemory: 4MiB\nreserve: 1MiB\n", to: "state/host.yaml", mode: 0o600)
                _ = try desk.detached(["--memory", "64MiB"], session: "berth-large")
                let full = desk.run(["--memory", "16MiB"], ["true"])
                let needs = "this one needs \((bytes + (1 << 20) - 1) >> 20)MiB"
                #expect(full.status == 75 && full.errors.contains(needs), "\(full)")
                #expect(desk.carrel(["kill", "--all"]).status == 0)
            }
        }

        @Test func theOperatorCanTurnItOff() throws {
            try withDesk { desk in
                try host(desk, berths: 1)
                _ = try desk.detached(["--memory", "16MiB"], session: "berth-one")
                #expect(desk.run(["--memory", "16MiB"], ["true"]).status == 75)
                try host(desk, berths: 1, "admission: false\n")
                #expect(desk.run(["--memory", "16MiB"], ["true"]).status == 0)
                try host(desk, berths: 1, "admision: false\n")
                let misspelt = desk.run(["--memory", "16MiB"], ["true"])
                #expect(misspelt.status == 125 && misspelt.errors.contains("did you mean admission?"), "\(misspelt)")
                try host(desk, berths: 1)
                #expect(desk.carrel(["kill", "berth-one"]).status == 0)
            }
        }

        @Test func aBerthCostsLittle() throws {
            try withDesk { desk in
                // Under pressure it has a look at what memory there is, whoever makes it.
                try desk.write("version: 1\npressure: 100\n", to: "state/host.yaml", mode: 0o600)
                #expect(desk.run([], ["true"]).status == 0)
                guard Host.has("strace") else { return }
                let trace = desk.around(
                    "strace -f -o \"$HOME/trace\" \"$CARREL\" run -- true; grep -c . \"$HOME/trace\"")
                #expect(trace.status == 0, "\(trace)")
                let lines = desk.read("trace").split(separator: "\n")
                // The book, twice (taken and given back), and what the host says of its memory.
                let book = lines.filter { $0.contains("/berths") }
                #expect(book.count == 2, "\(book)")
                #expect(
                    !lines.contains { $0.contains("meminfo") || $0.contains("ledger.jsonl") && $0.contains("RDONLY") })
            }
        }
    }
}
