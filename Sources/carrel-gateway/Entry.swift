import Documents
import Egress
import Glibc
import Options
import Syscalls

/// The host's egress gateway: reads the command line, calls one function of Egress.
@main
struct Entry {
    static func main() {
        do {
            try GatewayCommand.perform(CommandLine.unsafeArgv, CommandLine.argc)
        } catch let error as UsageError {
            tell("\(error.message)\n  fix: \(error.fix)")
            exit(2)
        } catch {
            tell("\(error)")
            exit(1)
        }
    }
}

/// `carrel-gateway serve`.
enum GatewayCommand {
    private static let state = Option("state", takes: "DIR", completing: .directory, "The state directory of carrel")
    private static let config = Option("config", takes: "FILE", completing: .file, "The operator's gateway.yaml")
    private static let idleExit = Option("idle-exit", takes: "TIME", "End after so long without a session: `30s`, `5m`")
    private static let serve = Command(
        "serve", in: "Serve", options: [state, config, idleExit], "Serve the sessions of a state directory")

    private static let program = Program(
        name: "carrel-gateway", version: Release.version, summary: "The egress gateway of Carrel's sessions",
        details: [
            """
            The one process of a host through which anything leaves a session with `network: gateway`. `carrel run` starts it \
            where none runs; as a service it is started before. SIGHUP: read the credentials again. SIGTERM: take no new \
            session, wait for what is under way, end.
            """
        ],
        root: Command("", options: [], "Serve sessions"), commands: [serve],
        exitStatuses: [("0", "It has ended in order"), ("1", "It cannot serve"), ("2", "It was called wrongly")],
        environment: [
            ("CREDENTIALS_DIRECTORY", "Where systemd has put the credentials that gateway.yaml names"),
            ("NOTIFY_SOCKET", "Where systemd waits to be told that sessions can come (Type=notify)"),
        ],
        files: [
            ("/etc/carrel/gateway.yaml", "Credentials, budgets, limits"),
            ("/var/lib/carrel/gateway", "Its sockets, authority, request log and budgets"),
        ])

    static func perform(
        _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>, _ count: Int32
    ) throws {
        let line = (1..<max(count, 1)).map { arguments[Int($0)].map { String(cString: $0) } ?? "" }
        if line.first == "--help" || line.first == "-h" { return print(program.help(), terminator: "") }
        if line.first == "--version" { return print("carrel-gateway \(Release.version)") }
        let page = try program.installation(line) { path, text in
            try replaceFile(path, with: text.utf8, mode: 0o644)
        }
        if let page { return print(page, terminator: "") }
        guard line.first == "serve" else { throw UsageError("expected the command serve", fix: usage) }
        let words = try serve.parse(arguments + 1, count: count - 1, of: "carrel-gateway")
        if words.has(.help) { return print(program.help(serve), terminator: "") }
        guard let directory = words[state], directory.hasPrefix("/") else {
            throw UsageError("expected --state with an absolute path", fix: usage)
        }
        var idle: UInt64?
        if let text = words[idleExit] {
            guard let value = nanoseconds(text) else {
                throw UsageError("--idle-exit: expected a time such as 30s, found \(text)", fix: usage)
            }
            idle = value
        }
        try serveGateway(state: directory, config: words[config], idleExit: idle)
    }

    private static let usage = "carrel-gateway serve --state DIR [--config FILE] [--idle-exit TIME]"

    private static func nanoseconds(_ text: String) -> UInt64? {
        let units: [Character: UInt64] = ["s": 1, "m": 60, "h": 3600]
        guard let unit = text.last.flatMap({ units[$0] }), let number = UInt64(text.dropLast()), number < 1 << 20 else {
            return nil
        }
        return number * unit * 1_000_000_000
    }
}
