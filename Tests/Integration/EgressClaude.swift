import Documents
import Foundation
import Glibc
import Testing

extension Integration {
    /// Issue 4: the real Claude Code CLI, whole turns with a tool call, through the gateway: by the relay, and by the
    /// transparent path where it is told of no other address.
    @Suite(.enabled(if: Host.claude != nil, "claude-agent-sdk cannot be had from PyPI, and CARREL_CLAUDE is not set"))
    struct EgressClaude {
        static func profile(_ desk: Desk, _ upstreams: Upstreams) throws -> [String] {
            let cli = try #require(Host.claude)
            let mount = "mounts:\n  - source: \((cli as NSString).deletingLastPathComponent)\n    target: /opt/claude"
            return ["--profile", try desk.profile("claude-door", extends: "claude-code", mount)]
        }

        @Test(arguments: ["", "unset ANTHROPIC_BASE_URL HTTPS_PROXY https_proxy ALL_PROXY all_proxy; "])
        func aWholeTurnWithATool(setting: String) throws {
            try withDesk { desk in
                let script =
                    #"[[{"type": "tool_use", "name": "Bash", "input": {"command": "env > seen; echo fixed > fixed.txt; while [ ! -e go ]; do sleep 0.1; done"}}], [{"type": "text", "text": "Done."}]]"#
                let upstreams = try Upstreams(desk, script: try desk.write(script, to: "script.json"))
                let work = try desk.directory("work")
                let running = desk.start(
                    carrel: ["run", "--workdir", work, "--session", "turn"] + (try Self.profile(desk, upstreams)) + [
                        "--", "/bin/sh", "-c",
                        setting + "exec /opt/claude/claude -p 'fix it' --allowedTools Bash --output-format json",
                    ])
                try #require(
                    eventually(within: 240) { desk.read("work/fixed.txt") == "fixed\n" },
                    "\(running.output) \(running.errors)")
                // In the middle of the turn the key is nowhere in the session: not in the agent's memory either.
                let pid = try #require(try desk.json("state/sessions/turn.json")["pid"]?.int)
                let found = Host.outside(
                    [Host.python, Host.fixtures + "/search_session.py", String(pid), Upstreams.anthropicKey],
                    timeout: 300)
                #expect(found.status == 0 && found.lines.count == 1, "\(found)")
                try desk.write("", to: "work/go")
                let ended = running.finish(within: 240)
                let result = try desk.parse(ended.output)
                #expect(ended.status == 0 && result["result"]?.string == "Done.", "\(ended)")
                #expect(desk.read("work/seen").contains("ANTHROPIC_API_KEY=sk-ant-carrel-"))
                let asked = try upstreams.requests(to: "api.anthropic.com").filter { $0["method"]?.string == "POST" }
                #expect(asked.count >= 2)
                for request in asked { #expect(Upstreams.header("x-api-key", of: request) == [Upstreams.anthropicKey]) }
                // What it cost is what the CLI itself reckons.
                let usage = try #require(try desk.lastReport()["egress"])
                let dollars = try #require(result["total_cost_usd"]?.number)
                #expect(usage["microdollars"]?.number == (dollars * 1_000_000).rounded(), "\(usage.json()) \(dollars)")
            }
        }
    }
}
