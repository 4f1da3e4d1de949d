import Egress
import Glibc
import Options

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
        "serve", options: [state, config, idleExit], "Serve the sessions of a state directory")

    static func perform(
        _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>, _ count: Int32
    ) throws {
        let word = count > 1 ? arguments[1].map { String(cString: $0) } : nil
        if word == "--help" || word == "-h" { return print(help) }
        guard word == "serve" else { throw UsageError("expected the command serve", fix: usage) }
        let words = try serve.parse(arguments + 1, count: count - 1, of: "carrel-gateway")
        if words.has(.help) { return print(help) }
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

    private static let help = "usage: \(usage)\n\nSIGHUP: read the credentials again. SIGTERM: drain, end."
    private static let usage = "carrel-gateway serve --state DIR [--config FILE] [--idle-exit TIME]"

    private static func nanoseconds(_ text: String) -> UInt64? {
        let units: [Character: UInt64] = ["s": 1, "m": 60, "h": 3600]
        guard let unit = text.last.flatMap({ units[$0] }), let number = UInt64(text.dropLast()), number < 1 << 20 else {
            return nil
        }
        return number * unit * 1_000_000_000
    }
}
