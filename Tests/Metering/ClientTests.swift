import Documents
import Foundation
import Testing

@testable import Metering

/// The real Claude Code CLI, from PyPI, reckons what a turn cost by prices of its own.
@Suite(.enabled(if: Client.path != nil, "claude-agent-sdk cannot be had from PyPI, and CARREL_CLAUDE is not set"))
struct ClientTests {
    @Test(
        "the charges of a turn are what the client itself reports", .timeLimit(.minutes(5)),
        arguments: ["claude-opus-5", "claude-haiku-5-5", "claude-sonnet-4-5"])
    func agrees(_ model: String) throws {
        let scratch = Scratch()
        let usage =
            #"{"input_tokens":1234,"output_tokens":567,"cache_creation_input_tokens":8901,"cache_read_input_tokens":93456,"#
            + #""cache_creation":{"ephemeral_5m_input_tokens":901,"ephemeral_1h_input_tokens":8000},"inference_geo":"us","#
            + #""server_tool_use":{"web_search_requests":2}}"#
        let api = try Client.start([
            "/usr/bin/python3", Client.fixtures + "/messages_api.py", "--listen", "tcp:127.0.0.1:0", "--address",
            scratch.file("up"), "--answers", scratch.file("answers"), "--usage", usage,
        ])
        defer { kill(api.processIdentifier, SIGKILL) }
        for _ in 0..<200 where !FileManager.default.fileExists(atPath: scratch.file("up")) { usleep(50_000) }
        let address = try String(contentsOfFile: scratch.file("up"), encoding: .utf8).dropFirst(4)
        let output = Pipe()
        // Nobody waits for these processes: Process.waitUntilExit() and exit tests take each other's children.
        _ = try Client.start(
            [
                try #require(Client.path), "-p", "fix the test", "--allowedTools", "Bash", "--model", model,
                "--output-format", "json",
            ],
            [
                "HOME": scratch.path, "PATH": "/usr/bin:/bin", "ANTHROPIC_API_KEY": "key",
                "ANTHROPIC_BASE_URL": "http://\(address)", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            ], in: scratch.path, output)
        let told = output.fileHandleForReading.readDataToEndOfFile()
        let report = try Node.parse(Array(told), file: "the client's report")
        let dollars = try #require(report["total_cost_usd"]?.number)

        var charged: UInt64 = 0
        let answers = try String(contentsOfFile: scratch.file("answers"), encoding: .utf8).split(separator: "\n")
        for line in answers {
            let answer = try node(String(line))
            var made = try exchange(Array(try #require(answer["asked"]?.string).utf8))
            made.response(status: 200, headers: [("content-type", try #require(answer["type"]?.string))])
            made.received(Array(try #require(answer["answered"]?.string).utf8))
            let outcome = made.finish(aborted: false)
            #expect(outcome.isComplete && !outcome.charge.isEstimated && outcome.model == model)
            charged += outcome.charge.nanodollars
        }
        #expect(answers.count >= 2)
        // Each charge is rounded up to a nanodollar; the client reckons with fractions.
        let exact = dollars * 1e9
        #expect(Double(charged) > exact - 0.5 && Double(charged) < exact + Double(answers.count) + 0.5)
    }
}

private enum Client {
    static let fixtures = Files.repository + "/Tests/Integration/Fixtures"

    /// The CLI, fetched once.
    static let path: String? = {
        let output = Pipe()
        guard (try? start([fixtures + "/claude_cli.sh"], nil, in: nil, output)) != nil else { return nil }
        let path = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        return FileManager.default.isExecutableFile(atPath: path) ? path : nil
    }()

    static func start(
        _ command: [String], _ environment: [String: String]? = nil, in directory: String? = nil,
        _ output: Pipe? = nil
    ) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: command[0])
        process.arguments = Array(command.dropFirst())
        if let environment { process.environment = environment }
        if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
        process.standardInput = FileHandle.nullDevice
        if let output { process.standardOutput = output }
        try process.run()
        return process
    }
}
