import Documents
import Foundation
import Testing

extension Integration {
    /// Part 9: what holds a session together, and what becomes of it when that is killed.
    @Suite struct Supervision {
        static func live(_ desk: Desk) -> [String] { Desk.list(desk.state + "/sessions") }

        @Test func initReapsOrphans() throws {
            try withDesk { desk in
                let inside = desk.python(
                    [],
                    """
                    import time
                    for _ in range(20):
                        if os.fork() == 0:
                            if os.fork() == 0: os._exit(0)
                            os._exit(0)
                    for _ in range(20): os.wait()
                    time.sleep(0.5)
                    print(len([n for n in os.listdir('/proc') if n.isdigit()]))
                    """)
                #expect(inside.output == "2", "\(inside)")
            }
        }

        @Test func whatIsLeftOfTheSessionEndsWithItsProgram() throws {
            try withDesk { desk in
                let inside = desk.sh([], "sleep 86400.31 & setsid sleep 86400.31 & echo first")
                #expect(inside.status == 0 && inside.output == "first", "\(inside)")
                #expect(Host.processes(with: "86400.31").isEmpty, "something of the session lives on")
            }
        }

        @Test(arguments: [SIGTERM, SIGINT]) func aSignalEndsTheSessionInOrder(signal: Int32) throws {
            try withDesk { desk in
                let name = signal == SIGTERM ? "TERM" : "INT"
                let running = desk.start(carrel: [
                    "run", "--", "sh", "-c",
                    "trap 'echo \(name); exit 5' \(name); trap 'echo TERM; exit 5' TERM; echo up; while :; do sleep 0.1; done",
                ])
                try #require(eventually { running.output == "up" }, "\(running.errors)")
                running.signal(signal)
                let ended = running.finish(within: 20)
                #expect(ended.status == 5 && ended.lines.count == 2, "\(ended)")
                let exit = try #require(try desk.lastReport().at("exit"))
                #expect(exit["how"]?.string == "killed" && exit["status"]?.int == 5, "\(exit)")
            }
        }

        /// At several moments of a start and of a life.
        @Test(arguments: [0, 500, 1000, 1500, 2000, 3000, 5000, 100_000])
        func afterKillNothingSurvives(microseconds: UInt32) throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let running = desk.start(carrel: [
                    "run", "--profile", "claude-code", "--network", "none", "--workdir", work, "--", "sleep", "54321",
                ])
                usleep(microseconds)
                running.signal(SIGKILL)
                #expect(running.finish().status == 137)
                #expect(eventually(within: 5) { Host.processes(with: "54321").isEmpty }, "the program survives")
                let next = desk.carrel(["ps", "--json"])
                #expect(next.status == 0, "\(next)")
                #expect(Host.outside("ls -A '\(work)'").output == "", "something is left in the workdir")
                // withDesk looks at the rest: records, cgroups, mounts, processes.
            }
        }

        @Test func aLostSessionIsInTheLedger() throws {
            try withDesk { desk in
                let running = desk.start(carrel: [
                    "run", "--session", "lost-one", "--", "sh", "-c", "echo up; sleep 600",
                ])
                try #require(eventually { running.output == "up" })
                running.signal(SIGKILL)
                _ = running.finish()
                desk.run([], ["true"])
                let reports = desk.read("state/ledger.jsonl").split(separator: "\n")
                let lost = try #require(reports.first { $0.contains("\"lost-one\"") })
                let report = try desk.parse(String(lost))
                #expect(report.at("exit.how")?.string == "lost")
                #expect(
                    desk.carrel(["metrics"]).lines.contains {
                        $0.hasPrefix("carrel_sessions_ended_total{") && $0.contains("how=\"lost\"")
                            && $0.hasSuffix(" 1")
                    })
                #expect(
                    try desk.auditEvents().contains {
                        $0["event"]?.string == "sweep" && $0["session"]?.string == "lost-one"
                    })
            }
        }

        /// A payload may change the limits of PID 1, which is of its user. It does so before PID 1 has done all that it has to do,
        /// and is a session that began and ended all the same.
        @Test(.enabled(if: Host.isX86 && Host.has("gcc"), "needs gcc and x86-64"))
        func aPayloadThatTakesDescriptorsFromPID1HasAReport() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                try desk.write(
                    """
                    #define CALL(n, a, b, c) ({ long r; register long r10 asm("r10") = 0; asm volatile("syscall" : "=a"(r) \
                    : "a"((long)(n)), "D"((long)(a)), "S"((long)(b)), "d"((long)(c)), "r"(r10) : "rcx", "r11", "memory"); r; })
                    void _start(void) { long none[2] = {0, 0}; CALL(60, CALL(302, 1, 7, none) == 0 ? 3 : 4, 0, 0); }
                    """, to: "work/none.c")
                let built = Host.outside("cd '\(work)' && gcc -O1 -nostdlib -static -o none none.c")
                try #require(built.status == 0, "\(built)")
                for number in 1...20 {
                    let options = ["--session", "none-\(number)", "--mount", work + ":/opt/none"]
                    let ended = desk.run(options, ["/opt/none/none"])
                    #expect(ended.status == 3 && ended.errors.isEmpty, "\(ended)")
                }
                #expect(desk.read("state/ledger.jsonl").split(separator: "\n").count { $0.contains("\"none-") } == 20)
            }
        }

        /// Killed between its ledger's report and its last step, a supervisor has not failed, and there is one report.
        @Test(arguments: ["rmdir", "renameat2", "unlink"]) func aSessionHasOneReport(call: String) throws {
            try withDesk { desk in
                desk.run([], ["true"])
                let copy = desk.path + "/report.json"
                // The calls of that kind at the end of a session.
                for number in 1...4 {
                    let before = desk.read("state/ledger.jsonl").split(separator: "\n").count
                    let id = "once-\(number)"
                    _ = desk.around(
                        "strace -qq -o /dev/null -e trace=\(call) -e inject=\(call):signal=KILL:when=\(number) "
                            + "\"$CARREL\" run --session \(id) --report '\(copy)' -- true")
                    #expect(desk.carrel(["ps"]).status == 0)
                    let reports = desk.read("state/ledger.jsonl").split(separator: "\n").dropFirst(before)
                    // Where it was killed before it had made anything, there is nothing to report.
                    #expect(reports.count == 1 || call == "renameat2" && number == 1 && reports.isEmpty, "\(reports)")
                    if desk.carrel(["report", id]).status == 0, let last = reports.last {
                        let report = try desk.parse(String(last))
                        #expect(try desk.json("report.json").at("exit.how") == report.at("exit.how"))
                    }
                    #expect(desk.run(["--session", id], ["true"]).status == 0, "the name is taken")
                }
            }
        }

        /// Whoever sweeps can be killed at that: the next one goes on.
        @Test func aKilledSweepIsTakenOver() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                for call in ["renameat2", "rmdir", "unlinkat", "write", "pwrite64"] {
                    for number in [1, 2, 3] {
                        let running = desk.start(carrel: [
                            "run", "--session", "swept", "--profile", "claude-code", "--network", "none", "--workdir",
                            work,
                            "--", "sh",
                            "-c",
                            "echo up; sleep 600",
                        ])
                        try #require(eventually { running.output == "up" }, "\(running.errors)")
                        running.signal(SIGKILL)
                        _ = running.finish()
                        _ = desk.around(
                            "strace -qq -o /dev/null -e trace=\(call) -e inject=\(call):signal=KILL:when=\(number) "
                                + "\"$CARREL\" ps")
                        let left = desk.carrel(["ps", "--json"])
                        #expect(left.output == "[]", "\(call) \(number): \(left)")
                        #expect(Desk.list(desk.state + "/live").isEmpty && Desk.list(work).isEmpty)
                    }
                }
            }
        }

        /// The process that holds a user namespace while the workdir's mount is made holds the caller's pipes too.
        @Test func whatHelpsAtAStartDoesNotOutliveIt() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let started = desk.around(
                    "strace -qq -o /dev/null -e trace=kill -e inject=kill:signal=KILL:when=1 "
                        + "\"$CARREL\" run --workdir '\(work)' -- true")
                #expect(started.status == (Host.isRoot ? 137 : 0), "\(started)")
                #expect(eventually(within: 5) { Host.processes(with: work).isEmpty }, "a helper is left")
                #expect(desk.carrel(["ps"]).status == 0)
            }
        }

        /// A supervisor becomes small to save memory: where it cannot, it goes on as it is.
        @Test func aSupervisorThatCannotParkStays() throws {
            try withDesk { desk in
                let programs = try desk.directory("programs/bin")
                for name in ["carrel", "carrel-init"] {
                    try FileManager.default.copyItem(
                        atPath: (Host.carrel as NSString).deletingLastPathComponent + "/\(name)",
                        toPath: "\(programs)/\(name)")
                }
                symlink(Host.repository + "/Profiles", desk.path + "/programs/Profiles")
                let outcome = desk.around(
                    "'\(programs)/carrel' run --detach --session stays -- sh -c 'sleep 2; exit 3' && "
                        + "rm '\(programs)/carrel-init' && \"$CARREL\" wait stays")
                #expect(outcome.status == 3, "\(outcome)")
                #expect(try desk.lastReport().at("notes")?.elements?.isEmpty == false)
            }
        }

        /// What sessions read, and what stands for missing files, is made with modes of its own.
        @Test func theCallersUmaskIsItsOwn() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                for mask in ["077", "022", "000"] {
                    let inside = desk.around(
                        "umask \(mask); \"$CARREL\" run --profile claude-code --network none --workdir '\(work)' -- "
                            + "sh -c 'ls .git && cat .envrc && umask && stat -c %a /dev/null'")
                    #expect(inside.status == 0 && inside.output == "0022\n666", "\(mask): \(inside)")
                    #expect(Desk.list(work).isEmpty, "\(mask)")
                }
            }
        }

        @Test func killingInitIsNotAWayOut() throws {
            try withDesk { desk in
                let running = desk.start(carrel: [
                    "run", "--session", "no-init", "--", "sh", "-c", "echo up; sleep 600",
                ])
                try #require(eventually { running.output == "up" })
                let inits = Host.cgroups(of: "default").filter { $0.hasSuffix("/no-init") }.flatMap {
                    Host.outside("cat '\($0)/cgroup.procs'").lines
                }
                .filter { Host.outside("cat /proc/\($0)/comm").output.hasPrefix("carrel-init") }
                try #require(!inits.isEmpty)
                if Host.isRoot {
                    for pid in Set(inits) { kill(Int32(pid) ?? 0, SIGKILL) }
                } else {
                    running.signal(SIGTERM)
                }
                #expect(running.finish(within: 10).status != 0)
            }
        }

        // MARK: detached

        @Test func aDetachedSessionHasNothingOfItsCaller() throws {
            try withDesk { desk in
                let started = desk.sh(["--detach", "--session", "d"], "echo out; echo err >&2; sleep 600")
                #expect(started.status == 0 && started.output == "d" && started.seconds < 5, "\(started)")
                let record = try desk.json("state/sessions/d.json")
                let supervisor = try #require(record["supervisor"]?.int)
                let stat =
                    Host.outside("cat /proc/\(supervisor)/stat").output.split(separator: ")").last?.split(
                        separator: " ") ?? []
                #expect(stat.count > 5 && stat[0] != "Z" && stat[4] == "0", "it is a zombie or has a terminal: \(stat)")
                let streams = Host.outside(
                    "for n in 0 1 2; do readlink /proc/\(supervisor)/fd/$n; done; readlink /proc/\(supervisor)/cwd"
                ).lines
                #expect(streams.allSatisfy { !$0.contains("carrel-io") && !$0.contains(desk.path) }, "\(streams)")
                #expect(eventually { desk.carrel(["logs", "d"]).lines.sorted() == ["err", "out"] })
                #expect(desk.carrel(["kill", "d", "--signal", "KILL"]).status == 0)
                #expect(eventually { Self.live(desk).isEmpty })
            }
        }

        @Test func waitGivesTheStatus() throws {
            try withDesk { desk in
                _ = try desk.detached([], "sleep 1; exit 23", session: "w")
                let waited = desk.carrel(["wait", "w"])
                #expect(waited.status == 23, "\(waited)")
                // Once more, now that it is over.
                #expect(desk.carrel(["wait", "w"]).status == 23)
                #expect(desk.carrel(["wait", "nosuch"]).status == 125)
            }
        }

        @Test func theLogHasACap() throws {
            try withDesk { desk in
                let profile = try desk.profile("chatty", "limits:\n  log: 64KiB")
                _ = try desk.detached(["--profile", profile], "seq 1 100000; echo last", session: "chatty")
                #expect(desk.carrel(["wait", "chatty"]).status == 0)
                let kept = Host.outside("cat '\(desk.state)'/logs/chatty* | wc -c").output
                #expect((Int(kept) ?? .max) <= 64 << 10 && (Int(kept) ?? 0) > 16 << 10, "\(kept)")
                #expect(desk.carrel(["logs", "chatty"]).lines.last == "last")
            }
        }

        @Test func psAndStatsTell() throws {
            try withDesk { desk in
                _ = try desk.detached(
                    ["--tenant", "acme"], "head -c 20000000 /dev/zero > /tmp/x; sleep 600", session: "busy")
                let sessions = try desk.parse(desk.carrel(["ps", "--json"]).output)
                let busy = try #require(sessions.elements?.first)
                #expect(busy["session"]?.string == "busy" && busy["tenant"]?.string == "acme")
                #expect(desk.carrel(["ps"]).output.contains("busy"))
                #expect(
                    try eventually {
                        let stats = try desk.parse(desk.carrel(["stats", "--json", "busy"]).output)
                        return stats.json().contains("memory")
                            && desk.carrel(["stats", "busy"]).output.contains("busy")
                    })
                #expect(desk.carrel(["stats", "nosuch"]).status == 125)
                desk.carrel(["kill", "--all", "--signal", "KILL"])
                #expect(eventually { desk.carrel(["ps", "--json"]).output == "[]" })
            }
        }

        @Test func pauseStopsItAndResumeGoesOn() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let session = try desk.detached(
                    ["--workdir", work], "while :; do date +%s%N > now.new; mv now.new now; sleep 0.02; done",
                    session: "p")
                try #require(eventually { desk.read("work/now") != "" })
                #expect(desk.carrel(["pause", session]).status == 0)
                let before = desk.read("work/now")
                usleep(300_000)
                #expect(desk.read("work/now") == before)
                #expect(desk.carrel(["ps"]).output.contains("paused"))
                // A program that would stand still, and its caller with it, is not started.
                let entered = desk.carrel(["exec", session, "--", "true"], timeout: 20)
                #expect(entered.status == 125 && entered.errors.contains("session p is paused"), "\(entered)")
                #expect(entered.errors.contains("carrel resume p"), "\(entered)")
                #expect(desk.carrel(["resume", session]).status == 0)
                #expect(eventually { desk.read("work/now") != before })
                // Killed while paused.
                #expect(desk.carrel(["pause", session]).status == 0)
                #expect(desk.carrel(["kill", session, "--signal", "TERM", "--grace", "1s"]).status == 0)
                #expect(eventually { Self.live(desk).isEmpty })
            }
        }

        /// A program whose session is paused when it is on its way already: its caller is told, and it does not start later.
        @Test func aPauseEndsAnExecThatHasNotStarted() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let session = try desk.detached(["--workdir", work], "sleep 600", session: "late")
                let cgroup = try #require(
                    Host.cgroups(of: "default").first {
                        $0.hasSuffix("/late") && FileManager.default.fileExists(atPath: $0 + "/cgroup.freeze")
                    })
                // While it waits to write the audit log it has seen that nothing is paused.
                let log = open(desk.state + "/audit.jsonl", O_RDWR | O_CLOEXEC)
                defer { close(log) }
                try #require(log >= 0 && flock(log, LOCK_EX) == 0)
                let entering = desk.start(carrel: ["exec", session, "--", "touch", "/workspace/late"])
                let isWaiting = eventually {
                    let waiters = (try? String(contentsOfFile: "/proc/locks", encoding: .utf8)) ?? ""
                    return waiters.split(separator: "\n").contains {
                        $0.contains("->") && $0.contains(" \(entering.pid) ")
                    }
                }
                try #require(isWaiting, "\(entering.errors)")
                Host.outside("echo 1 > '\(cgroup)/cgroup.freeze'")
                try #require(eventually { Host.outside("cat '\(cgroup)/cgroup.events'").lines.contains("frozen 1") })
                flock(log, LOCK_UN)
                let ended = entering.finish(within: 30)
                #expect(ended.status == 125 && ended.errors.contains("session late is paused"), "\(ended)")
                Host.outside("echo 0 > '\(cgroup)/cgroup.freeze'")
                #expect(desk.carrel(["exec", session, "--", "true"]).status == 0)
                #expect(!FileManager.default.fileExists(atPath: work + "/late"))
                #expect(desk.carrel(["kill", session]).status == 0)
            }
        }

        @Test func aSignalEndsAStartThatStandsStill() throws {
            try withDesk { desk in
                _ = desk.run([], ["true"])
                let log = open(desk.state + "/audit.jsonl", O_RDWR | O_CLOEXEC)
                defer { close(log) }
                try #require(log >= 0 && flock(log, LOCK_EX) == 0)
                let starting = desk.start(carrel: ["run", "--session", "still", "--", "true"])
                try #require(eventually { Desk.list(desk.state + "/sessions").contains("still.json") })
                let cgroup = try #require(
                    Host.cgroups(of: "default").first {
                        $0.hasSuffix("/still") && FileManager.default.fileExists(atPath: $0 + "/cgroup.freeze")
                    })
                Host.outside("echo 1 > '\(cgroup)/cgroup.freeze'")
                try #require(eventually { Host.outside("cat '\(cgroup)/cgroup.events'").lines.contains("frozen 1") })
                flock(log, LOCK_UN)
                starting.signal(SIGTERM)
                let ended = starting.finish(within: 20)
                #expect(ended.status == 143 && ended.errors.contains("signal 15 came before"), "\(ended)")
            }
        }

        @Test func aSessionsNameIsItsOwnWhileItLives() throws {
            try withDesk { desk in
                _ = try desk.detached(session: "once")
                let second = desk.run(["--session", "once"], ["echo", "started"])
                #expect(second.status == 125 && second.output.isEmpty && second.errors.contains("once"), "\(second)")
                desk.carrel(["kill", "once", "--signal", "KILL"])
                #expect(eventually { Self.live(desk).isEmpty })
                #expect(desk.run(["--session", "once"], ["true"]).status == 0)
            }
        }

        // MARK: kill

        @Test func killReachesWhatItNames() throws {
            try withDesk { desk in
                let profile = try desk.profile("other", "")
                _ = try desk.detached(["--tenant", "acme"], session: "a1")
                _ = try desk.detached(["--tenant", "acme"], session: "a2")
                _ = try desk.detached(["--tenant", "globex"], session: "g1")
                _ = try desk.detached(["--tenant", "globex", "--profile", profile], session: "g2")
                #expect(desk.carrel(["kill", "--tenant", "acme", "--signal", "KILL"]).status == 0)
                #expect(eventually { Self.live(desk) == ["g1.json", "g2.json"] }, "\(Self.live(desk))")
                #expect(desk.carrel(["kill", "--profile", "other", "--signal", "KILL"]).status == 0)
                #expect(eventually { Self.live(desk) == ["g1.json"] }, "\(Self.live(desk))")
                #expect(desk.carrel(["kill", "--all", "--signal", "KILL"]).status == 0)
                #expect(eventually { Self.live(desk) == [] })
                let killed = try #require(try desk.lastReport().at("exit"))
                #expect(killed["how"]?.string == "killed" && killed.at("by.uid")?.int == Int64(geteuid()), "\(killed)")
                #expect(desk.carrel(["kill", "nosuch"]).status == 125)
            }
        }

        @Test func killTellsFirstAndThenKills() throws {
            try withDesk { desk in
                _ = try desk.detached(
                    [], "trap 'echo told' TERM; echo up; while :; do sleep 0.1; done", session: "deaf")
                try #require(eventually { desk.carrel(["logs", "deaf"]).output == "up" })
                let started = Date()
                #expect(desk.carrel(["kill", "deaf", "--signal", "TERM", "--grace", "1s"]).status == 0)
                #expect(desk.carrel(["wait", "deaf"]).status == 137)
                #expect(Date().timeIntervalSince(started) < 10)
                #expect(desk.carrel(["logs", "deaf"]).lines.last == "told")
            }
        }

        @Test func holdRefusesNewSessions() throws {
            try withDesk { desk in
                _ = try desk.detached(["--tenant", "acme"], session: "a1")
                #expect(desk.carrel(["kill", "--tenant", "acme", "--signal", "KILL", "--hold"]).status == 0)
                let refused = desk.run(["--tenant", "acme"], ["echo", "started"])
                #expect(
                    refused.status == 125 && refused.output.isEmpty && refused.errors.contains("held"), "\(refused)")
                #expect(desk.run(["--tenant", "globex"], ["true"]).status == 0)
                #expect(desk.carrel(["release", "--tenant", "acme"]).status == 0)
                #expect(desk.run(["--tenant", "acme"], ["true"]).status == 0)
            }
        }
    }
}
