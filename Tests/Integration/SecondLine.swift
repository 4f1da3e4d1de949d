import Documents
import Foundation
import Testing

extension Integration {
    /// Limits that hold when the supervisor that holds them is stopped or gone.
    @Suite struct SecondLine {
        private func supervisor(_ desk: Desk, _ session: String) throws -> Int32 {
            Int32(try #require(try desk.json("state/sessions/\(session).json")["supervisor"]?.int))
        }

        /// Starts a session and stops its supervisor.
        private func stopped(_ desk: Desk, _ options: [String], _ script: String, session: String) throws -> Int32 {
            _ = try desk.detached(options, script, session: session)
            let supervisor = try supervisor(desk, session)
            kill(supervisor, SIGSTOP)
            return supervisor
        }

        private func exit(_ desk: Desk, of session: String) throws -> Node? {
            let lines = desk.read("state/ledger.jsonl").split(separator: "\n")
            return try lines.map { try desk.parse(String($0)) }.last { $0["session"]?.string == session }?["exit"]
        }

        @Test func theNextCallEndsWhatIsOverItsTime() throws {
            try withDesk { desk in
                _ = try stopped(desk, ["--timeout", "2s", "--grace", "0s"], "sleep 77123", session: "late")
                usleep(2_500_000)
                #expect(!Host.processes(with: "77123").isEmpty, "the first line held: nothing is shown")
                #expect(desk.carrel(["ps", "--json"]).output == "[]")
                #expect(Host.processes(with: "77123").isEmpty)
                let exit = try #require(try exit(desk, of: "late"))
                #expect(exit["how"]?.string == "timeout" && exit["status"]?.int == 124, "\(exit.json())")
                #expect(
                    try desk.auditEvents().contains {
                        $0["event"]?.string == "limit" && $0["session"]?.string == "late"
                            && $0["limit"]?.string == "timeout"
                    })
            }
        }

        @Test func processorTimeIsLimitedInAll() throws {
            try withDesk { desk in
                let busy = "while :; do :; done"
                let inside = desk.sh(["--cpu-time", "500ms", "--grace", "0s"], busy)
                #expect(inside.status == 124 && inside.seconds < 20, "\(inside)")
                let report = try desk.lastReport()
                #expect(report.at("exit.how")?.string == "cpuTime")
                let used = try #require(report.at("usage.cpuNanoseconds")?.int)
                #expect(used >= 500_000_000 && used < 3_000_000_000, "\(used)")
                #expect(desk.sh(["--cpu-time", "10s"], "sleep 0.2").status == 0)
                // The same without a supervisor that looks.
                _ = try stopped(desk, ["--cpu-time", "1s", "--grace", "0s"], busy, session: "busy")
                #expect(eventually(within: 30) { desk.carrel(["ps", "--json"]).output == "[]" })
                #expect(try exit(desk, of: "busy")?["how"]?.string == "cpuTime")
            }
        }

        @Test func whoIsBeyondItsCeilingForTooLongIsRecycled() throws {
            try withDesk { desk in
                let profile = try desk.profile("small", "limits:\n  ceiling: 32MiB\n  recycle: 2s\n  grace: 5s")
                let inside = desk.python(
                    ["--profile", profile],
                    """
                    import signal, sys, time
                    signal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(0)))
                    x = bytearray(48 << 20)
                    time.sleep(150)
                    """)
                #expect(inside.status == 124 && inside.seconds > 1.9 && inside.seconds < 140, "\(inside)")
                #expect(inside.output == "saved", "it had no time to save what it does")
                #expect(try desk.lastReport().at("exit.how")?.string == "recycled")
                // A peak is no reason, but for one that a slow machine has made as long as the limit.
                var peak: Outcome
                var isLong = false
                var tries = 0
                repeat {
                    peak = desk.python(
                        ["--profile", profile],
                        """
                        import signal, sys, time
                        began = time.monotonic()
                        over = lambda: time.monotonic() - began
                        signal.signal(signal.SIGTERM, lambda *_: (print('ended', over()), sys.exit(0)))
                        x = bytearray(48 << 20)
                        time.sleep(0.3)
                        del x
                        length = over()
                        over = lambda: length
                        time.sleep(2.5)
                        print('done')
                        """)
                    isLong = peak.output.split(separator: " ").last.flatMap { Double($0) }.map { $0 > 1.5 } ?? false
                    tries += 1
                } while isLong && tries < 4
                #expect(peak.output == "done", "\(peak)")
                // Without a supervisor: one look finds it beyond, a later one finds that it still is.
                _ = desk.run(
                    ["--profile", profile, "--detach", "--session", "fat"], [Host.python, "-c", Levels.hold(60)])
                try #require(eventually { desk.carrel(["logs", "fat"]).output == "up" })
                kill(try supervisor(desk, "fat"), SIGSTOP)
                desk.carrel(["ps"])
                usleep(2_200_000)
                #expect(eventually { desk.carrel(["ps", "--json"]).output == "[]" })
                #expect(try exit(desk, of: "fat")?["how"]?.string == "recycled")
            }
        }

        /// What is kept of a recycled session is what its program saves: started anew on the same workdir it goes on from there.
        @Test func whoIsRecycledGoesOnWhereItSaved() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let profile = try desk.profile("small", "limits:\n  ceiling: 32MiB\n  recycle: 1s\n  grace: 10s")
                let agent = """
                    import json, os, signal, sys, time
                    state = json.load(open('state')) if os.path.exists('state') else {'turns': 0, 'grows': True}
                    def save(*_):
                        time.sleep(0.5)
                        json.dump({'turns': state['turns'], 'grows': False}, open('state', 'w'))
                        sys.exit(0)
                    signal.signal(signal.SIGTERM, save)
                    if not state['grows']: sys.exit('goes on after turn %d' % state['turns'])
                    x = bytearray(48 << 20)
                    while True:
                        state['turns'] += 1
                        time.sleep(0.1)
                    """
                let options = ["--profile", profile, "--workdir", work]
                let first = desk.python(options, agent)
                #expect(first.status == 124, "\(first)")
                let exit = try #require(try desk.lastReport().at("exit"))
                #expect(exit["how"]?.string == "recycled" && exit["why"]?.string?.contains("anew") == true)
                let second = desk.python(options, agent)
                #expect(second.status == 1 && second.errors.hasPrefix("goes on after turn "), "\(second)")
                #expect(
                    try desk.auditEvents().contains {
                        $0["event"]?.string == "limit" && $0["how"]?.string == "recycled"
                    })
            }
        }

        @Test func idlenessIsSeenFromOneLookToTheNext() throws {
            try withDesk { desk in
                _ = try stopped(desk, ["--idle", "1s", "--grace", "0s"], "sleep 600", session: "idle")
                _ = try stopped(
                    desk, ["--idle", "1s", "--grace", "0s"], "while :; do :; done", session: "active")
                desk.carrel(["ps"])
                usleep(1_300_000)
                desk.carrel(["ps"])
                let live = Supervision.live(desk).filter { $0.hasSuffix(".json") }
                #expect(live == ["active.json"], "\(live)")
                #expect(try exit(desk, of: "idle")?["how"]?.string == "idle")
                desk.carrel(["kill", "--all"])
            }
        }

        /// Nobody's record keeps the calls for all others from their work.
        @Test func aDamagedRecordEndsNoCall() throws {
            try withDesk { desk in
                _ = try desk.detached(["--timeout", "600s"], "sleep 600", session: "damaged")
                let record = desk.read("state/sessions/damaged.json")
                for (member, value) in [
                    ("wallClockNanoseconds", "9223372036854775807"), ("startedMonotonic", "-1"), ("pidStarted", "-1"),
                ] {
                    let changed = record.replacingOccurrences(
                        of: "\"\(member)\": *[0-9]+", with: "\"\(member)\":\(value)", options: .regularExpression)
                    try #require(changed != record, "\(record)")
                    try desk.write(changed, to: "state/sessions/damaged.json", mode: 0o600)
                    for call in [["ps"], ["run", "--", "true"]] {
                        #expect(desk.carrel(call).status == 0, "\(member), \(call)")
                    }
                }
                try desk.write(record, to: "state/sessions/damaged.json", mode: 0o600)
                #expect(desk.carrel(["kill", "damaged"]).status == 0)
            }
        }

        /// What the kernel did is in its counters: it needs no supervisor to be told.
        @Test func wantOfMemoryIsToldWithoutASupervisor() throws {
            try withDesk { desk in
                _ = try stopped(
                    desk, ["--memory", "64MiB"], "sleep 1; exec '\(Host.python)' -c 'bytearray(1 << 30)'",
                    session: "full")
                #expect(eventually(within: 30) { desk.carrel(["ps", "--json"]).output == "[]" })
                let exit = try #require(try exit(desk, of: "full"))
                #expect(exit["how"]?.string == "oom" && exit["limit"]?.string == "session", "\(exit.json())")
            }
        }

        @Test func aStartEndsWhatIsLongOverdue() throws {
            try withDesk { desk in
                _ = try stopped(desk, ["--timeout", "100ms", "--grace", "0s"], "sleep 77124", session: "late")
                usleep(5_500_000)
                #expect(desk.run([], ["true"]).status == 0)
                #expect(Host.processes(with: "77124").isEmpty)
                #expect(try exit(desk, of: "late")?["how"]?.string == "timeout")
            }
        }

        /// A number that was a supervisor's is anybody's later.
        @Test(arguments: [["run", "--", "true"], ["ps"], ["kill", "late"]])
        func whoHasASupervisorsNumberByChanceIsLeftAlone(call: [String]) throws {
            try withDesk { desk in
                let gone = try stopped(desk, ["--timeout", "60s", "--grace", "0s"], "sleep 77128", session: "late")
                kill(gone, SIGKILL)
                try #require(eventually { Host.processes(with: "77128").isEmpty })
                let stranger = Command(["/bin/sleep", "600"])
                stranger.signal(SIGSTOP)
                defer { stranger.signal(SIGKILL) }
                // Long overdue.
                var record = desk.read("state/sessions/late.json")
                for (member, value) in [("supervisor", "\(stranger.pid)"), ("startedMonotonic", "1")] {
                    record = record.replacingOccurrences(
                        of: "\"\(member)\": *[0-9]+", with: "\"\(member)\":\(value)", options: .regularExpression)
                }
                try FileManager.default.moveItem(
                    atPath: desk.state + "/live/\(gone)-late", toPath: desk.state + "/live/\(stranger.pid)-late")
                try desk.write(record, to: "state/sessions/late.json", mode: 0o600)
                desk.carrel(call)
                #expect(stranger.isRunning, "\(desk.read("state/sessions/late.json"))")
                desk.carrel(["ps"])
                #expect(stranger.isRunning && Supervision.live(desk).isEmpty)
            }
        }

        @Test func theWatchNeedsNoOtherCall() throws {
            try withDesk { desk in
                let watch = desk.start(carrel: ["watch"])
                defer {
                    watch.signal(SIGTERM)
                    #expect(watch.finish(within: 5).status == 0)
                }
                _ = try stopped(desk, ["--timeout", "1s", "--grace", "0s"], "sleep 77125", session: "late")
                #expect(eventually(within: 30) { Supervision.live(desk).isEmpty })
                #expect(try exit(desk, of: "late")?["how"]?.string == "timeout")
                // A supervisor that is killed is swept after at once.
                _ = try desk.detached([], "sleep 77126", session: "lost")
                kill(try supervisor(desk, "lost"), SIGKILL)
                #expect(eventually(within: 30) { Supervision.live(desk).isEmpty })
                #expect(Host.processes(with: "77126").isEmpty)
            }
        }

        @Test func aStoppedSupervisorKeepsNobodyFromKilling() throws {
            try withDesk { desk in
                _ = try stopped(desk, [], "sleep 77127", session: "stopped")
                let killed = desk.carrel(["kill", "stopped"])
                #expect(killed.status == 0 && killed.seconds < 10, "\(killed)")
                #expect(Host.processes(with: "77127").isEmpty && Supervision.live(desk).isEmpty)
                #expect(try exit(desk, of: "stopped")?["how"]?.string == "killed")
            }
        }
    }
}
