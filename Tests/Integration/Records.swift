import Documents
import Foundation
import Testing

extension Integration {
    /// Part 10: the report, the ledger, the audit log.
    @Suite struct Records {
        /// A report, or a recording, in a directory that the session can turn elsewhere is not written there.
        @Test(arguments: ["run", "seccomp record"]) func theReportIsNotLedElsewhere(command: String) throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                for place in ["work/out", "elsewhere"] { _ = try desk.directory(place) }
                let options = ["--workdir", work, command == "run" ? "--report" : "-o", work + "/out/r.json"]
                let ended = desk.carrel(
                    command.split(separator: " ").map(String.init) + options + [
                        "--", "sh", "-c", "mv out away; ln -s '\(desk.path)/elsewhere' out",
                    ])
                #expect(ended.errors.contains("out"), "\(ended)")
                #expect(Desk.list(desk.path + "/elsewhere") == [] && Desk.list(work).sorted() == ["away", "out"])
            }
        }

        @Test func theReportTellsTheWholeStory() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let inside = desk.run(
                    ["--tenant", "acme", "--session", "s-1", "--workdir", work, "--report", desk.path + "/r.json"],
                    ["sh", "-c", "exit 3"])
                #expect(inside.status == 3, "\(inside)")
                let report = try desk.json("r.json")
                #expect(report["schema"]?.string == "carrel.report/1")
                #expect(
                    report["session"]?.string == "s-1" && report["tenant"]?.string == "acme"
                        && report["image"]?.string == "host")
                #expect(report["command"]?.elements?.compactMap(\.string) == ["sh", "-c", "exit 3"])
                #expect(
                    report.at("profile.name")?.string == "default" && report.at("profile.sha256")?.string?.count == 64)
                #expect(report.at("exit.how")?.string == "exited" && report.at("exit.status")?.int == 3)
                let started = try #require(report["started"]?.string)
                #expect(started.hasSuffix("Z") && started < report["ended"]?.string ?? "")
                #expect(
                    (report.at("usage.memoryPeakBytes")?.int ?? 0) > 0
                        && (report.at("usage.cpuNanoseconds")?.int ?? 0) > 0)
                let phases = report["launch"]?.elements ?? []
                #expect(phases.count > 5)
                #expect(phases.compactMap { $0["microseconds"]?.int }.reduce(0, +) < 1_000_000)
                // The same, afterwards and from the ledger.
                #expect(try desk.parse(desk.carrel(["report", "s-1", "--json"]).output) == report)
                #expect(try desk.lastReport() == report)
                #expect(desk.carrel(["report", "s-1"]).output.contains("acme"))
                #expect(desk.carrel(["report", "nosuch"]).status == 125)
            }
        }

        @Test func aRefusalIsADecisionToo() throws {
            try withDesk { desk in
                desk.run(["--image", "/nowhere/at/all"], ["true"])
                let event = try #require(try desk.auditEvents().last)
                #expect(
                    event["event"]?.string == "refusal" && event["why"]?.string?.contains("/nowhere/at/all") == true,
                    "\(event)")
            }
        }

        @Test func startAndExitAreInTheAuditLog() throws {
            try withDesk { desk in
                desk.run(["--session", "seen"], ["true"])
                let events = try desk.auditEvents().filter { $0["session"]?.string == "seen" }.compactMap {
                    $0["event"]?.string
                }
                #expect(events == ["start", "exit"], "\(events)")
                #expect(desk.carrel(["audit", "verify"]).status == 0)
            }
        }

        @Test(arguments: ["change", "drop", "reorder", "truncate"]) func verifyFindsWhatWasDoneToIt(how: String) throws
        {
            try withDesk { desk in
                for _ in 0..<3 { desk.run([], ["true"]) }
                let file = desk.state + "/audit.jsonl"
                #expect(desk.carrel(["audit", "verify"]).status == 0)
                let edits = [
                    "change": "sed -i '2s/default/Default/' '\(file)'", "drop": "sed -i 3d '\(file)'",
                    "reorder": "sed -i '2{h;d};3{G}' '\(file)'", "truncate": "sed -i '$d' '\(file)'",
                ]
                Host.outside("cp '\(file)' '\(file).before'; \(edits[how] ?? "false")")
                try #require(Host.outside("cmp '\(file)' '\(file).before'").status != 0)
                let verified = desk.carrel(["audit", "verify"])
                #expect(verified.status != 0 && !(verified.output + verified.errors).isEmpty, "\(verified)")
            }
        }

        @Test func whatIsLeftOfADamagedLogIsADocument() throws {
            try withDesk { desk in
                desk.run(["--session", "seen"], ["true"])
                let file = desk.state + "/audit.jsonl"
                Host.outside("sed -i '1s/^./x/' '\(file)'")
                let printed = desk.carrel(["audit", "log", "--json"])
                #expect(printed.errors.contains("line 1 is no record"), "\(printed)")
                let events = try desk.parse(printed.output).elements
                #expect(events?.compactMap { $0["event"]?.string } == ["exit"], "\(printed)")
            }
        }

        @Test func concurrentWritersLoseNothing() throws {
            try withDesk { desk in
                let started = (0..<24).map {
                    desk.start(carrel: ["run", "--memory", "64MiB", "--session", "c-\($0)", "--", "true"])
                }
                for one in started { #expect(one.finish().status == 0, "\(one.errors)") }
                let names = try desk.read("state/ledger.jsonl").split(separator: "\n").map {
                    try desk.parse(String($0))["session"]?.string
                }
                #expect(Set(names) == Set((0..<24).map { "c-\($0)" }) && names.count == 24)
                #expect(desk.carrel(["audit", "verify"]).status == 0)
            }
        }

        @Test func anUnfinishedLineIsNotInTheWay() throws {
            try withDesk { desk in
                desk.run(["--session", "before"], ["true"])
                for name in ["ledger", "audit"] { Host.outside("printf '{\"half' >> '\(desk.state)/\(name).jsonl'") }
                #expect(desk.run(["--session", "after"], ["true"]).status == 0)
                for session in ["before", "after"] {
                    #expect(desk.carrel(["report", session]).status == 0, "\(session)")
                }
                #expect(desk.carrel(["audit", "verify"]).status == 0)
            }
        }

        @Test(.enabled(if: Host.isRoot, "mounts a small filesystem")) func aFullDiskLosesNoEarlierRecord() throws {
            try withDesk { desk in
                Host.outside("mount -t tmpfs -o size=2m,mode=700 carrel-test '\(desk.state)'")
                defer { Host.outside("umount -l '\(desk.state)'") }
                #expect(desk.run(["--session", "before"], ["true"]).status == 0)
                let ledger = desk.read("state/ledger.jsonl")
                _ = try desk.detached(session: "on-a-full-disk")
                defer {
                    Host.outside("rm -f '\(desk.state)/fill'")
                    desk.carrel(["kill", "--all"])
                }
                Host.outside("dd if=/dev/zero of='\(desk.state)/fill' bs=4k 2>/dev/null")
                // Often enough for refusals to fill what is left of the log's last page.
                for _ in 0..<20 { desk.run(["--session", "full"], ["true"]) }
                // A session can be ended all the same, and that it is not written down is told.
                let killed = desk.carrel(["kill", "on-a-full-disk"])
                #expect(killed.status == 0 && killed.errors.contains("audit log"), "\(killed)")
                #expect(Desk.list(desk.state + "/live").isEmpty)
                Host.outside("rm '\(desk.state)/fill'")
                #expect(desk.read("state/ledger.jsonl").hasPrefix(ledger))
                #expect(desk.run(["--session", "after"], ["true"]).status == 0)
                #expect(desk.carrel(["report", "before"]).status == 0 && desk.carrel(["report", "after"]).status == 0)
                #expect(desk.carrel(["audit", "verify"]).status == 0)
            }
        }

        @Test(.enabled(if: Host.isRoot, "mounts a small filesystem")) func whatCannotBeRemovedIsNotWaitedFor() throws {
            try withDesk { desk in
                Host.outside("mount -t tmpfs -o size=2m,mode=700 carrel-test '\(desk.state)'")
                defer { Host.outside("umount -l '\(desk.state)'") }
                _ = try desk.detached(session: "stays")
                let supervisor = try #require(try desk.json("state/sessions/stays.json")["supervisor"]?.int)
                Host.outside("mount -o remount,ro '\(desk.state)'")
                kill(Int32(supervisor), SIGKILL)
                let waited = desk.carrel(["wait", "stays"], timeout: 20)
                #expect(waited.status == 125 && waited.errors.contains("can be written"), "\(waited)")
                Host.outside("mount -o remount,rw '\(desk.state)'")
                #expect(desk.carrel(["wait", "stays"], timeout: 20).status == 137)
            }
        }

        @Test func secretsOfTheEnvironmentAreNotWrittenDown() throws {
            try withDesk { desk in
                desk.environment = ["TOKEN": "s3cr3t-of-mine"]
                #expect(desk.run(["--env", "TOKEN"], ["printenv", "TOKEN"]).output == "s3cr3t-of-mine")
                #expect(Host.outside("grep -rl s3cr3t-of-mine '\(desk.state)'").output == "")
                _ = try desk.detached(["--env", "TOKEN"], session: "d")
                // While it lives, for nobody but the owner.
                #expect(Host.outside("find '\(desk.state)/sessions' -type f -perm /077").output == "")
                desk.carrel(["kill", "d", "--signal", "KILL"])
            }
        }
    }
}
