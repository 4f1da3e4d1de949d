import Documents
import Foundation
import Testing

extension Integration {
    /// What the first pages tell a reader to write works as it is printed there.
    @Suite struct Pages {
        /// The gateway's configuration of a page.
        static func configuration(_ page: String) throws -> String {
            let text = try String(contentsOfFile: "\(Host.repository)/\(page)", encoding: .utf8)
            let start = try #require(text.range(of: "\ncredentials:\n"), "\(page) has no configuration")
            let lines = text[start.lowerBound...].dropFirst().split(separator: "\n")
            return lines.prefix { $0.hasPrefix(" ") || $0 == "credentials:" }.joined(separator: "\n") + "\n"
        }

        @Test(arguments: ["README.md", "Docs/ClaudeCode.md"]) func theGatewayIsConfiguredAsPrinted(page: String) throws
        {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                // What is not a reader's: another place for the key, and the tests' upstream instead of the real one.
                let elsewhere = try #require(desk.read("gateway.yaml").range(of: "\ntrust:"))
                let printed = try Self.configuration(page)
                    .replacingOccurrences(of: "/etc/carrel/anthropic.key", with: desk.path + "/keys/anthropic")
                try desk.write(printed + desk.read("gateway.yaml")[elsewhere.lowerBound...], to: "gateway.yaml")
                let work = try desk.directory("repo")
                desk.environment["ANTHROPIC_API_KEY"] = "sk-ant-of-the-caller"
                let body =
                    #"{"model": "claude-opus-5", "max_tokens": 16, "messages": [{"role": "user", "content": "fix the test"}]}"#
                let inside = desk.sh(
                    ["--profile", "claude-code", "--tenant", "acme", "--workdir", work],
                    "echo \"$ANTHROPIC_API_KEY\"; exec curl -sS --fail -H \"x-api-key: $ANTHROPIC_API_KEY\" "
                        + "-H 'anthropic-version: 2023-06-01' -H 'content-type: application/json' "
                        + "-d '\(body)' \"$ANTHROPIC_BASE_URL/v1/messages\"")
                #expect(inside.status == 0 && inside.lines.first?.hasPrefix("sk-ant-carrel-") == true, "\(inside)")
                let asked = try upstreams.requests(to: "api.anthropic.com")
                #expect(asked.map { Upstreams.header("x-api-key", of: $0) } == [[Upstreams.anthropicKey]])
            }
        }

        /// The command of the page, without what would have no effect there.
        @Test(arguments: ["README.md", "Docs/ClaudeCode.md"]) func noKeyIsGivenToASessionInVain(page: String) throws {
            let text = try String(contentsOfFile: "\(Host.repository)/\(page)", encoding: .utf8)
            let commands = text.split(separator: "\n").filter { $0.hasPrefix("carrel run --profile") }
            #expect(!commands.isEmpty && !commands.contains { $0.contains("--env ANTHROPIC_API_KEY") })
        }
    }
}
