import Documents
import Foundation
import Testing

extension Integration {
    /// Explanation of what a filter refuses (`--explain`, `carrel seccomp explain`).
    @Suite(.enabled(if: Host.isRoot && Host.isX86 && Host.has("gcc"), "needs root, gcc and x86-64"))
    struct SeccompExplain {
        private static func explained(_ desk: Desk, _ session: String) throws -> Node {
            try desk.parse(desk.carrel(["seccomp", "explain", session, "--json"]).output)
        }

        private static func isParked(_ pid: Int32, _ desk: Desk) -> Bool {
            let line = (try? String(contentsOfFile: "/proc/\(pid)/cmdline", encoding: .utf8)) ?? ""
            return line.hasPrefix("carrel-init") && line.contains(desk.state)
        }

        /// Two hundred calls by three programs: named, decoded, and allowed by their patch.
        @Test func everyCallOfTheCorpusIsExplainedAndItsPatchAllowsIt() throws {
            try withDesk { desk in
                let place = try desk.directory("corpus")
                let script = Host.fixtures + "/denied_calls.py"
                let ended = desk.around(
                    "\(Host.python) '\(script)' \"$CARREL\" '\(place)' '\(Host.repository)/Profiles/seccomp/agent-default.json'",
                    timeout: 400)
                let words = ended.output.split(separator: " ")
                #expect(
                    ended.lines.count == 1 && words.last == "cases" && Int(words.first ?? "") ?? 0 >= 200, "\(ended)")
            }
        }

        static let refused = "unshare -U true 2>/dev/null; unshare -U true 2>/dev/null"

        @Test func reportAndAuditLogHaveThem() throws {
            try withDesk { desk in
                desk.sh(["--explain", "--session", "told"], Self.refused)
                let denials = try #require(try desk.lastReport()["denials"])
                #expect(denials["count"]?.int == 2 && denials["calls"]?.elements?.count == 1)
                let call = try #require(denials["calls"]?.elements?.first)
                #expect(call["text"]?.string == "unshare(CLONE_NEWUSER)" && call["count"]?.int == 2)
                #expect(call["executable"]?.string == "/usr/bin/unshare")
                let events = try desk.auditEvents().filter { $0["event"]?.string == "denial" }
                #expect(events.count == 1 && events[0]["call"]?.string == "unshare(CLONE_NEWUSER)")
                #expect(desk.carrel(["audit", "verify"]).status == 0)
                let text = desk.carrel(["seccomp", "explain", "told"]).output
                for part in ["2 × unshare(CLONE_NEWUSER) = EPERM", "/usr/bin/unshare", "high", "SCMP_ACT_ALLOW"] {
                    #expect(text.contains(part), "\(text)")
                }
                #expect(Desk.list(desk.state + "/denials").isEmpty)
            }
        }

        @Test func theAmendedFilterLetsTheProgramPass() throws {
            try withDesk { desk in
                let profile = Host.repository + "/Profiles/seccomp/agent-default.json"
                let program = "print(call(250, 0, -3, 0, 0, 0) != 'EPERM', call(41, 16, 3, 12), call(272, 0x10000000))"
                // No rule can name call 500: the others are allowed all the same.
                let before = desk.python(["--explain", "--session", "one"], program + "; call(500)")
                #expect(before.output == "False EPERM EPERM", "\(before)")
                let wider = desk.path + "/wider.json"
                let amended = desk.carrel(["seccomp", "explain", "one", "--amend", profile, "-o", wider])
                #expect(amended.status == 0, "\(amended)")
                // Whoever reads nothing but this reads what it costs.
                let told = amended.errors.split(separator: "\n").filter { $0.contains(": risk ") }
                #expect(told.count == 3 && amended.output.isEmpty, "\(amended)")
                #expect(amended.errors.contains("\nsyscall_500("), "\(amended)")
                #expect(amended.errors.contains(": stays refused: no rule can name it"), "\(amended)")
                #expect(
                    told.contains { $0.hasPrefix("unshare(CLONE_NEWUSER): risk high: a user namespace gives ") }
                        && told.contains { $0.hasPrefix("keyctl(") && $0.contains(": risk high: ") }, "\(amended)")
                let after = desk.python(["--explain", "--session", "two", "--seccomp", wider], program)
                #expect(after.lines.last?.hasPrefix("True") == true && !after.output.contains("EPERM"), "\(after)")
                // Neighbours of what was allowed stay refused.
                let near = desk.python(
                    ["--seccomp", wider], "print(call(250, 1, 0), call(41, 16, 3, 15), call(272, 0x20000))")
                #expect(near.output == "EPERM ENOSYS EPERM", "\(near)")
            }
        }

        @Test func aParkedSupervisorIsWokenByADenial() throws {
            try withDesk { desk in
                let name = try desk.detached(
                    ["--explain"], "sleep 2; \(Self.refused); sleep 2; unshare -n true 2>/dev/null; sleep 600",
                    session: "asleep")
                try #require(
                    eventually { Host.processes(with: "park").contains { Self.isParked($0, desk) } })
                let followed = desk.start(carrel: ["seccomp", "explain", name, "--follow", "--json"])
                try #require(eventually { (try? Self.explained(desk, name))?["count"]?.int == 3 })
                let found = try Self.explained(desk, name)
                let texts = (found["calls"]?.elements ?? []).map {
                    "\($0["count"]?.int ?? 0) \($0["text"]?.string ?? "")"
                }
                #expect(texts == ["2 unshare(CLONE_NEWUSER)", "1 unshare(CLONE_NEWNET)"])
                desk.carrel(["kill", name])
                let lines = try followed.finish(within: 20).lines.map { try desk.parse(String($0)) }
                #expect(
                    lines.map { $0["session"] } == [Node(.string(name)), Node(.string(name))] && lines[0]["kind"] == nil
                )
                #expect(try desk.lastReport().at("denials.count")?.int == 3)
            }
        }

        /// Sessions of some milliseconds, whose files are gone before somebody would have looked for them now and then.
        @Test func thoseOfShortSessionsAreToldToo() throws {
            try withDesk { desk in
                let followed = desk.start(carrel: ["seccomp", "explain", "--follow", "--json"])
                // It watches.
                _ = try desk.detached(["--explain"], "while :; do unshare -U true; sleep 0.1; done", session: "long")
                try #require(eventually { !followed.output.isEmpty }, "\(followed.errors)")
                for number in 1...20 { desk.sh(["--explain", "--session", "short-\(number)"], "exec unshare -U true") }
                followed.signal(SIGTERM)
                let told = followed.finish(within: 20).lines.filter { $0.contains("\"session\":\"short-") }
                #expect(told.count > 10, "\(told.count) of 20")
                desk.carrel(["kill", "long"])
            }
        }

        @Test func aFloodIsAnsweredAndCounted() throws {
            try withDesk { desk in
                let program = "print(sum(call(165, 0, 0, 0, 0, 0) == 'EPERM' for _ in range(20000)))"
                let flood = desk.python(["--explain", "--session", "flood"], program, timeout: 60)
                #expect(flood.output == "20000", "\(flood)")
                let denials = try #require(try desk.lastReport()["denials"])
                #expect(denials["count"]?.int == 20000)
                #expect(denials["unexplained"]?["mount"]?.int ?? 0 > 10000)
                #expect(try desk.auditEvents().count { $0["event"]?.string == "denial" } < 300)
            }
        }

        /// No answer is no permission, and what a killed supervisor knew is in the report.
        @Test func aSupervisorThatIsStoppedOrKilledAllowsNothing() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let script =
                    "unshare -U true 2>/dev/null; touch /workspace/ready; while [ ! -e /workspace/go ]; do sleep 0.05; done; "
                    + "unshare -U touch /workspace/through"
                let running = desk.start(carrel: [
                    "run", "--explain", "--session", "stopped", "-w", work, "-P", "claude-code", "--network", "none",
                    "--", "sh", "-c",
                    script,
                ])
                try #require(eventually { FileManager.default.fileExists(atPath: work + "/ready") })
                kill(running.pid, SIGSTOP)
                try desk.write("", to: "work/go")
                usleep(1_500_000)
                #expect(!FileManager.default.fileExists(atPath: work + "/through"))
                kill(running.pid, SIGKILL)
                _ = running.finish(within: 20)
                desk.carrel(["ps"])
                #expect(!FileManager.default.fileExists(atPath: work + "/through"))
                #expect(try desk.lastReport().at("denials.count")?.int == 1)
            }
        }

        @Test func withoutItWhatCannotBeSeenIsSaid() throws {
            try withDesk { desk in
                desk.sh(["--session", "plain"], Self.refused)
                let found = try Self.explained(desk, "plain")
                #expect(found["explained"]?.bool == false && found["unseen"]?.string?.contains("explain") == true)
                #expect(try desk.lastReport()["denials"]?.isNull == true)
                #expect(desk.carrel(["seccomp", "explain", "nobody"]).status == 125)
            }
        }

        @Test func aFilterThatAsksSomeoneElseIsRefused() throws {
            try withDesk { desk in
                let filter = try desk.write(
                    """
                    {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]}
                    """, to: "asking.json")
                let refused = desk.run(["--seccomp", filter], ["true"])
                #expect(refused.status == 125 && refused.errors.contains("SCMP_ACT_NOTIFY"), "\(refused)")
            }
        }
    }
}
