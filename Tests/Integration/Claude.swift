import Documents
import Foundation
import Testing

extension Host {
    /// The Claude Code CLI, fetched once from PyPI.
    static let claude: String? = {
        let found = outside([fixtures + "/claude_cli.sh"], timeout: 600)
        return found.status == 0 ? found.output : nil
    }()
}

extension Integration {
    /// The real Claude Code CLI, whole turns with a tool call, against a Messages API on the host.
    ///
    /// A session has no network. The API comes in as a Unix socket in the workdir, which the CLI speaks to by itself
    /// (`ANTHROPIC_UNIX_SOCKET`).
    @Suite(.enabled(if: Host.claude != nil, "claude-agent-sdk cannot be had from PyPI, and CARREL_CLAUDE is not set"))
    struct Claude {
        /// Two tenants' places, and the API that serves both.
        final class Office {
            let desk: Desk
            let profile: String
            let api: Command

            init(_ desk: Desk, script: String? = nil) throws {
                self.desk = desk
                let cli = try #require(Host.claude)
                profile = try desk.profile(
                    "claude-test", extends: "claude-code",
                    "network: none\nmounts:\n  - source: \((cli as NSString).deletingLastPathComponent)\n    target: /opt/claude"
                )
                var listeners: [String] = []
                for tenant in ["acme", "globex"] {
                    listeners += ["--listen", "unix:" + (try desk.directory("work-" + tenant)) + "/api.sock"]
                }
                api = Command(
                    [
                        Host.python, Host.fixtures + "/messages_api.py", "--record", desk.path + "/requests.jsonl",
                        "--address", desk.path + "/up",
                    ]
                        + listeners + (script.map { ["--script", $0] } ?? []))
                try #require(eventually { FileManager.default.fileExists(atPath: desk.path + "/up") }, "\(api.errors)")
            }

            func close() { api.signal(SIGKILL) }

            func start(_ tenant: String, _ options: [String] = [], _ arguments: [String]) -> Command {
                desk.start(
                    carrel: [
                        "run", "--profile", profile, "--tenant", tenant, "--workdir", desk.path + "/work-" + tenant,
                        "--env", "ANTHROPIC_API_KEY=key-" + tenant, "--env",
                        "ANTHROPIC_UNIX_SOCKET=/workspace/api.sock", "--env", "ANTHROPIC_BASE_URL=http://localhost",
                    ] + options + ["--", "/opt/claude/claude"] + arguments)
            }

            /// What the API was asked on behalf of a tenant.
            func requests(_ tenant: String) throws -> [Node] {
                try desk.read("requests.jsonl").split(separator: "\n").map { try desk.parse(String($0)) }
                    .filter { $0["key"]?.string == "key-" + tenant }
            }

            /// The results of tools in the last request.
            func toolResults(_ tenant: String) throws -> [Node] {
                let messages = try requests(tenant).last?.at("body.messages")?.elements ?? []
                return messages.flatMap { $0["content"]?.elements ?? [] }.filter { $0["type"]?.string == "tool_result" }
            }
        }

        static let turn = ["-p", "fix the test", "--allowedTools", "Bash"]

        @Test func twoTenantsWorkATurnAtTheSameTime() throws {
            try withDesk { desk in
                let office = try Office(desk)
                defer { office.close() }
                // What each has from before: settings and memory of its own.
                for tenant in ["acme", "globex"] {
                    let made = desk.sh(
                        ["--profile", office.profile, "--tenant", tenant],
                        "echo 'The code word of \(tenant) is \(tenant)-memory.' > $CLAUDE_CONFIG_DIR/CLAUDE.md; "
                            + "echo '{\"env\": {\"OWN_SETTING\": \"\(tenant)-setting\"}}' > $CLAUDE_CONFIG_DIR/settings.json"
                    )
                    try #require(made.status == 0, "\(made)")
                }
                let turns = ["acme", "globex"].map { ($0, office.start($0, [], Self.turn)) }
                for (tenant, running) in turns {
                    let ended = running.finish(within: 120)
                    #expect(ended.status == 0 && ended.output == "Done: fixed.txt made by key-\(tenant).", "\(ended)")
                }
                for (tenant, other) in [("acme", "globex"), ("globex", "acme")] {
                    #expect(desk.read("work-\(tenant)/fixed.txt") == "made by key-\(tenant)\n")
                    let results = try office.toolResults(tenant)
                    let result = try #require(results.first, "no tool was called")
                    #expect(results.count == 1 && result["is_error"]?.bool != true, "\(results)")
                    #expect(result.json().contains("made by key-\(tenant)"))
                    // Its own memory and settings reached it, the other's did not.
                    let asked = try office.requests(tenant).map { $0.json() }.joined()
                    #expect(asked.contains("\(tenant)-memory") && !asked.contains("\(other)-memory"))
                    let config = desk.state + "/tenants/\(tenant)/config"
                    #expect(!Host.outside("find '\(config)/projects' -name '*.jsonl'").lines.isEmpty, "no transcript")
                    #expect(Host.outside("grep -rl '\(tenant)' '\(config)'").output != "")
                    #expect(
                        Host.outside("grep -rlE '\(other)|key-\(other)' '\(config)' '\(desk.path)/work-\(tenant)'")
                            .output == "")
                    #expect(
                        Host.outside("ls -A '\(desk.path)/work-\(tenant)' | sort").lines == ["api.sock", "fixed.txt"])
                    if Host.isRoot {
                        #expect(Host.outside("stat -c %u '\(desk.path)/work-\(tenant)/fixed.txt'").output == "0")
                    }
                }
            }
        }

        @Test func theNextSessionGoesOnWhereItStopped() throws {
            try withDesk { desk in
                let office = try Office(desk)
                defer { office.close() }
                let first = office.start("acme", [], Self.turn).finish(within: 120)
                try #require(first.status == 0, "\(first)")
                let second = office.start("acme", [], ["-p", "--continue", "and now?"]).finish(within: 120)
                #expect(second.output == "There is nothing left in the script.", "\(second)")
                let other = office.start("globex", [], ["-p", "--continue", "and now?"]).finish(within: 120)
                #expect(
                    other.status != 0 || !other.output.contains("nothing left"), "it goes on with another's: \(other)")
            }
        }

        @Test func itMayBypassPermissionsForItIsNotRoot() throws {
            try withDesk { desk in
                let office = try Office(desk)
                defer { office.close() }
                let ended = office.start("acme", [], ["-p", "fix the test", "--dangerously-skip-permissions"]).finish(
                    within: 120)
                #expect(ended.status == 0 && desk.read("work-acme/fixed.txt") == "made by key-acme\n", "\(ended)")
            }
        }

        /// Hooks and settings that the agent would leave for its next session, or for the user's own.
        @Test func itsToolsCannotChangeProtectedFiles() throws {
            try withDesk { desk in
                let script = try desk.write(
                    #"[[{"type":"tool_use","name":"Bash","input":{"command":"mkdir -p .claude; echo '{}' > .claude/settings.json; echo x > .mcp.json; echo x > made"}}],[{"type":"text","text":"done"}]]"#,
                    to: "script.json")
                let office = try Office(desk, script: script)
                defer { office.close() }
                let ended = office.start("acme", [], ["-p", "x", "--dangerously-skip-permissions"]).finish(within: 120)
                #expect(ended.output == "done", "\(ended)")
                #expect(Host.outside("ls -A '\(desk.path)/work-acme' | sort").lines == ["api.sock", "made"])
            }
        }

        /// The same socket for a program that knows no Unix sockets: a relay inside listens where the program looks.
        @Test func itWorksThroughARelayInside() throws {
            try withDesk { desk in
                let office = try Office(desk)
                defer { office.close() }
                let work = desk.path + "/work-acme"
                Host.outside("cp '\(Host.fixtures)/relay.py' '\(work)'")
                let ended = desk.run(
                    [
                        "--profile", office.profile, "--tenant", "acme", "--workdir", work, "--env",
                        "ANTHROPIC_API_KEY=key-acme",
                        "--env", "ANTHROPIC_BASE_URL=http://127.0.0.1:8080",
                    ], [Host.python, "relay.py", "8080", "api.sock", "--", "/opt/claude/claude"] + Self.turn,
                    timeout: 120)
                #expect(ended.status == 0 && ended.output == "Done: fixed.txt made by key-acme.", "\(ended)")
                #expect(try office.toolResults("acme").count == 1)
            }
        }

        /// The same turn with the API inside the session, beside the CLI: no socket of the host's at all.
        @Test func itWorksWithAnAPIBesideIt() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                Host.outside("cp '\(Host.fixtures)/messages_api.py' '\(work)'")
                let cli = try #require(Host.claude)
                let profile = try desk.profile(
                    "beside", extends: "claude-code",
                    "network: none\nmounts:\n  - source: \((cli as NSString).deletingLastPathComponent)\n    target: /opt/claude"
                )
                let script = """
                    \(Host.python) messages_api.py --listen tcp:127.0.0.1:8080 --address /tmp/up & api=$!
                    while [ ! -e /tmp/up ]; do sleep 0.02; done
                    ANTHROPIC_BASE_URL=http://127.0.0.1:8080 /opt/claude/claude -p 'fix the test' --allowedTools Bash </dev/null
                    status=$?; kill $api; exit $status
                    """
                let ended = desk.sh(
                    [
                        "--profile", profile, "--workdir", work, "--report", desk.path + "/r.json", "--env",
                        "ANTHROPIC_API_KEY=key",
                    ], script,
                    timeout: 120)
                #expect(ended.status == 0 && ended.output == "Done: fixed.txt made by key.", "\(ended)")
                #expect(desk.read("work/fixed.txt") == "made by key\n")
                let peak = try #require(try desk.json("r.json").at("usage.memoryPeakBytes")?.int)
                #expect(peak > 50 << 20 && peak < 1 << 30)
            }
        }
    }
}
