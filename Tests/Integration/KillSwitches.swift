import Documents
import Foundation
import Testing

extension Integration {
    /// Ending, holding and pausing everything below a level at once.
    @Suite struct KillSwitches {
        static func tenant(_ desk: Desk) -> String { "t" + desk.path.suffix(6) }

        @Test func holdsAreKeptAtEveryLevel() throws {
            try withDesk { desk in
                let tenant = Self.tenant(desk)
                let levels = [
                    ["--all"], ["--tenant", tenant], ["--profile", "default"], ["--image", "host"], ["again"],
                ]
                let options = ["--tenant", tenant, "--session", "again"]
                for level in levels {
                    _ = try desk.detached(options, session: "again")
                    let killed = desk.carrel(["kill", "--hold", "--json"] + level)
                    #expect(killed.status == 0, "\(killed)")
                    #expect(try desk.parse(killed.output)["sessions"]?.elements?.count == 1, "\(level): \(killed)")
                    let refused = desk.run(options, ["echo", "started"])
                    #expect(
                        refused.status == 125 && refused.output.isEmpty
                            && refused.errors.contains("carrel release \(level.joined(separator: " "))"), "\(refused)")
                    #expect(desk.carrel(["release"] + level).status == 0)
                    #expect(desk.carrel(["release"] + level).status == 1)
                }
                #expect(desk.run(options, ["true"]).status == 0)
            }
        }

        @Test func aLevelWithoutASessionIsToldToBeOne() throws {
            try withDesk { desk in
                let held = desk.carrel(["kill", "--profile", "nodee", "--hold", "--json"])
                #expect(
                    held.status == 0 && held.errors.contains("no session was at the level --profile nodee"), "\(held)")
                #expect(held.errors.contains("did you mean node?") && held.errors.contains("carrel release"), "\(held)")
                let outcome = try desk.parse(held.output)
                #expect(outcome["sessions"]?.elements?.isEmpty == true)
                let paused = desk.carrel(["pause", "--tenant", "nosuch"])
                #expect(paused.status == 0 && paused.output.isEmpty, "\(paused)")
                #expect(
                    paused.errors.contains("no session was at the level --tenant nosuch; it is paused"), "\(paused)")
            }
        }

        @Test(arguments: [["a/../b"], ["--tenant", "../b"], ["--profile", "./b.yaml"], ["--profile", ""]])
        func aLevelIsAName(level: [String]) throws {
            try withDesk { desk in
                for command in [["kill", "--hold"], ["pause"], ["resume"], ["release"]] {
                    let refused = desk.carrel(command + level)
                    #expect(refused.status == 125 && refused.errors.contains("expected"), "\(command): \(refused)")
                }
            }
        }

        /// The kernel keeps a second change of `cgroup.events` within 10 ms for later, and forgets it when the cgroup is removed:
        /// who waits for it alone waits for ever. After a pause that is nearly always so.
        @Test func whoIsKilledRightAfterAChangeIsNotWaitedForInVain() throws {
            try withDesk { desk in
                let tenant = Self.tenant(desk)
                for level in [["--tenant", tenant], ["--image", "host"], ["again"], ["--tenant", tenant]] {
                    _ = try desk.detached(["--tenant", tenant], session: "again")
                    #expect(desk.carrel(["pause", "again"]).status == 0)
                    let killed = try desk.parse(desk.carrel(["kill", "--json"] + level).output)
                    #expect(killed["nanoseconds"]?.int ?? .max < 8_000_000_000, "\(killed.json())")
                }
            }
        }

        /// When it returns nothing is left, of those either that had come to their end by themselves.
        @Test func aKillWaitsForThoseThatAreEnding() throws {
            try withDesk { desk in
                let tenant = Self.tenant(desk)
                let work = try desk.directory("work")
                _ = try desk.detached(["--tenant", tenant, "--workdir", work], session: "ends")
                _ = try desk.detached(["--tenant", tenant], session: "lives")
                // Its supervisor waits here when the cgroup is gone.
                let claims = open(desk.state + "/workdirs.lock", O_RDWR | O_CLOEXEC)
                defer { close(claims) }
                try #require(claims >= 0 && flock(claims, LOCK_EX) == 0)
                kill(Int32(try desk.json("state/sessions/ends.json")["pid"]?.int ?? 0), SIGKILL)
                try #require(eventually { !Host.cgroups(of: tenant).contains { $0.hasSuffix("/ends") } })
                let killing = desk.start(carrel: ["kill", "--tenant", tenant])
                usleep(500_000)
                #expect(killing.isRunning, "it has returned: \(killing.output)")
                flock(claims, LOCK_UN)
                #expect(killing.finish(within: 20).status == 0)
                #expect(Desk.list(desk.state + "/live").isEmpty)
            }
        }

        /// Who made a cgroup of its own beside those of tenants is not one of the sessions.
        @Test(.enabled(if: Host.isRoot, "makes a cgroup")) func othersInTheTreeAreNotKilled() throws {
            try withDesk { desk in
                desk.run([], ["true"])
                let mount = Host.outside("awk '$3 == \"cgroup2\" {print $2; exit}' /proc/mounts").output
                let place = "\(mount)/carrel/\(Self.tenant(desk))"
                try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
                defer { rmdir(place) }
                let other = Command(["/bin/sh", "-c", "echo $$ >'\(place)/cgroup.procs'; echo in; exec sleep 600"])
                try #require(eventually { other.output == "in" }, "\(other.errors)")
                for level in [["--tenant", Self.tenant(desk)], ["--all"]] {
                    #expect(desk.carrel(["kill"] + level).status == 0)
                    #expect(other.isRunning, "\(level)")
                }
                other.signal(SIGKILL)
                _ = other.finish()
            }
        }

        @Test func theProofIsInTheAuditLog() throws {
            try withDesk { desk in
                let tenant = Self.tenant(desk)
                for name in ["a", "b"] {
                    _ = try desk.detached(["--tenant", tenant], "sleep 600 & sleep 600", session: name)
                }
                try #require(eventually { Host.processes(with: "sleep 600").count >= 4 })
                #expect(desk.carrel(["kill", "--tenant", tenant]).status == 0)
                let events = try desk.auditEvents()
                let asked = try #require(events.first { $0["event"]?.string == "kill" })
                #expect(asked["level"]?.string == "tenant.\(tenant)" && asked.at("by.uid")?.int == Int64(geteuid()))
                #expect(asked["sessions"]?.elements?.compactMap(\.string) == ["a", "b"])
                let done = try #require(events.first { $0["event"]?.string == "killed" })
                #expect(done["sessions"]?.int == 2 && done["processes"]?.int ?? 0 >= 6, "\(done.json())")
                #expect(done["nanoseconds"]?.int ?? 0 > 0 && done["seq"]?.int ?? 0 > asked["seq"]?.int ?? 0)
                #expect(desk.carrel(["audit", "verify"]).status == 0)
                // Each session's report names who it was, though one write ended both.
                #expect(try desk.lastReport().at("exit.by.uid")?.int == Int64(geteuid()))
            }
        }

        @Test func aLevelIsPausedInOneAndStartsNothingMeanwhile() throws {
            try withDesk { desk in
                let tenant = Self.tenant(desk)
                let work = try desk.directory("work")
                let script = "while :; do date +%s%N > now.new; mv now.new now; sleep 0.02; done"
                _ = try desk.detached(["--tenant", tenant, "--workdir", work], script, session: "p")
                try #require(eventually { desk.read("work/now") != "" })
                #expect(desk.carrel(["pause", "--tenant", tenant]).output == "p")
                let before = desk.read("work/now")
                usleep(300_000)
                #expect(desk.read("work/now") == before)
                let refused = desk.run(["--tenant", tenant], ["echo", "started"])
                #expect(
                    refused.status == 125 && refused.errors.contains("carrel resume --tenant \(tenant)"), "\(refused)")
                // One of them alone cannot go on while all of them stand.
                let alone = desk.carrel(["resume", "p"])
                #expect(alone.status == 125 && alone.errors.contains("carrel resume --tenant"), "\(alone)")
                #expect(desk.carrel(["resume", "--tenant", tenant]).output == "p")
                #expect(eventually { desk.read("work/now") != before })
                #expect(desk.run(["--tenant", tenant], ["true"]).status == 0)
                #expect(desk.carrel(["pause", "--image", "host"]).output == "p")
                #expect(desk.carrel(["kill", "--image", "host"]).status == 0)
                #expect(desk.carrel(["resume", "--image", "host"]).status == 0)
                #expect(desk.run([], ["true"]).status == 0)
            }
        }

        /// Who gives a session its grace can lose patience, and a session that goes on ends by itself later.
        @Test func aKillThatIsInterruptedHasEndedNothing() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let script = "trap '' TERM; touch up; until [ -e go ]; do sleep 0.05; done; exit 3"
                _ = try desk.detached(["--workdir", work], script, session: "on")
                try #require(eventually { FileManager.default.fileExists(atPath: work + "/up") })
                let killing = desk.start(carrel: ["kill", "on", "--signal", "TERM", "--grace", "60s"])
                let mark = desk.state + "/holds/.ended.session.on"
                try #require(eventually { FileManager.default.fileExists(atPath: mark) })
                killing.signal(SIGINT)
                _ = killing.finish(within: 20)
                try desk.write("", to: "work/go")
                #expect(desk.carrel(["wait", "on"]).status == 3)
                let exit = try #require(try desk.lastReport().at("exit"))
                #expect(exit["how"]?.string == "exited" && exit["by"]?.isNull == true, "\(exit.json())")
                #expect(eventually { desk.carrel(["ps"]).status == 0 && !FileManager.default.fileExists(atPath: mark) })
            }
        }

        /// Another state directory's start in a level that was paused: it is told why it cannot be, and what is in there of others
        /// keeps nobody from being resumed.
        @Test func whatWasPausedAsOneGoesOnWhoeverIsInIt() throws {
            try withDesk { desk in
                let tenant = Self.tenant(desk)
                _ = try desk.detached(["--tenant", tenant], session: "p")
                let level = try #require(
                    Host.cgroups(of: tenant).compactMap { cgroup in
                        FileManager.default.fileExists(atPath: cgroup + "/cgroup.freeze")
                            ? String(cgroup.dropLast(2)) : nil
                    }.first)
                #expect(desk.carrel(["pause", "--tenant", tenant]).output == "p")
                let other = try Desk()
                defer { other.clear() }
                let refused = other.run(["--tenant", tenant, "--session", "q"], ["true"], timeout: 20)
                #expect(refused.status == 125 && refused.errors.contains("since \(level) is frozen"), "\(refused)")
                Host.outside("mkdir '\(level)/another'")
                #expect(desk.carrel(["resume", "--tenant", tenant]).output == "p")
                #expect(Host.outside("cat '\(level)/cgroup.freeze'; rmdir '\(level)/another'").output == "0")
                #expect(other.run(["--tenant", tenant], ["true"]).status == 0)
                #expect(desk.carrel(["kill", "p"]).status == 0)
            }
        }

        /// Sessions of five processes that fork as fast as they can. `CARREL_FULL=1` for 500 of them; Tests/Benchmarks/limits
        /// measures it beside a bare write to `cgroup.kill`.
        @Test func nothingForksAwayAndNothingStartsMeanwhile() throws {
            try withDesk { desk in
                let isFull = ProcessInfo.processInfo.environment["CARREL_FULL"] != nil
                let count = isFull ? 500 : Host.isOwnKernel ? 10 : 60
                let tenant = Self.tenant(desk)
                // The memory of dead tasks is freed late: with a small limit the bombs would end themselves.
                try desk.write("version: 1\nadmission: false\n", to: "state/host.yaml", mode: 0o600)
                let go = try desk.directory("go")
                let profile = try desk.profile("bomb", "mounts:\n  - { source: \(go), target: /go }")
                let bomb =
                    "read x </go/pipe; for i in 1 2 3 4; do while :; do (:); done & done; while :; do (:); done"
                let script = """
                    # All begin at one moment, each with a line: the first would leave the starts of the rest no processor.
                    mkfifo -m 644 '\(go)/pipe'
                    exec 9<>'\(go)/pipe'
                    i=0
                    while [ $i -lt \(count) ]; do
                        "$CARREL" run --detach --tenant \(tenant) --profile '\(profile)' --memory 1GiB --session b-$i \
                            -- sh -c '\(bomb)' >/dev/null || exit
                        i=$((i + 1))
                    done
                    printf '%.0s\\n' $(seq \(count)) >&9
                    for i in $(seq 2000); do
                        [ $(cat /sys/fs/cgroup/{,pids/}carrel/\(tenant)/pids.current 2>/dev/null) -lt \(6 * count) ] || break
                        sleep 0.05
                    done
                    # One after the other, until the hold: none of these may live after the kill.
                    (i=0; while "$CARREL" run --detach --tenant \(tenant) --memory 1GiB --session late-$i -- sleep 600; do
                        i=$((i + 1)); done) >/dev/null 2>&1 &
                    sleep 0.5
                    "$CARREL" kill --tenant \(tenant) --hold --json
                    wait
                    """
                let ended = desk.around(script, timeout: 300)
                let outcome = try desk.parse(ended.output)
                #expect(outcome["sessions"]?.elements?.count ?? 0 >= count, "\(ended)")
                #expect(outcome["processes"]?.int ?? 0 >= 5 * count)
                #expect(eventually { Supervision.live(desk).isEmpty }, "\(Supervision.live(desk))")
                #expect(Host.cgroups(of: tenant).isEmpty)
                #expect(desk.carrel(["release", "--tenant", tenant]).status == 0)
            }
        }
    }
}
