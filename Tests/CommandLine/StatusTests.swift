import Documents
import Foundation
import Options
import Testing

@testable import carrel

/// What carrel exits with and tells, whatever the command line.
@Suite struct StatusTests {
    @Test(
        arguments: [
            ([], "expected a command"),
            (["nosuch"], "unknown command nosuch"),
            (["--nosuch"], "unknown option --nosuch"),
            (["runn"], "did you mean run?"),
            (["profile"], "expected one of: profile check"),
            (["profile", "chekc"], "did you mean profile check?"),
            (["run"], "expected a program to run"),
            (["run", "--"], "expected a program to run"),
            (["run", "--memroy", "1GiB", "--", "true"], "did you mean --memory?"),
            (["run", "--memory", "much", "--", "true"], "--memory: expected a size"),
            (["run", "--pass-fd", "1", "--", "true"], "--pass-fd 1: expected"),
            (["run", "--network", "host", "--", "true"], "--network: expected"),
            (["run", "--detach", "--tty", "--", "true"], "--detach and --tty exclude each other"),
            (["run", "--session", "../x", "--", "true"], "session \"../x\": expected"),
            (["kill"], "expected one of SESSION, --tenant, --profile, --image and --all, found none"),
            (["kill", "s", "--all"], "found 2"),
            (["kill", "s", "--signal", "NOPE"], "--signal NOPE: expected"),
            (["kill", "s", "--grace", "soon"], "--grace soon: expected a duration"),
            (["kill", "nosuch"], "there is no session \"nosuch\""),
            (["report", "nosuch"], "nosuch"),
            (["wait", "nosuch"], "nosuch"),
            (["logs", "nosuch"], "nosuch"),
            (["logs", "nosuch", "--follow"], "nosuch"),
            (["exec", "nosuch", "--", "true"], "nosuch"),
            (["audit", "verify", "--head", "12"], "--head 12: expected NUMBER:HASH"),
            (["completions", "tcsh"], "expected bash, zsh or fish"),
            (["man", "nosuch"], "unknown command nosuch"),
            (["profile", "show", "claud-code"], "claude-code"),
            (["seccomp", "show", "agent-defualt"], "did you mean agent-default?"),
            (["egress", "verify"], "there is no request log: no session had a way out in "),
            (["audit", "verify"], "there is no audit log: nothing was decided in "),
            // Options that would change nothing.
            (["metrics", "--into", "x", "--socket", "y"], "metrics: --socket and --into exclude each other"),
            (["spec", "--detach", "--", "true"], "spec: unknown option --detach"),
            (["spec", "--report", "r.json", "--", "true"], "spec: unknown option --report"),
            (["seccomp", "record", "--explain", "-o", "x", "--", "true"], "seccomp record: unknown option --explain"),
            (["seccomp", "explain", "s", "-o", "x"], "--output means nothing without --amend"),
            (["seccomp", "explain", "--follow", "--amend", "x"], "--follow and --amend exclude each other"),
            (["seccomp", "merge", "x", "--base", "y"], "--base means nothing without --held-out"),
            (["seccomp", "show", "agent-default", "--bpf", "--json"], "--bpf and --json exclude each other"),
            (["seccomp", "show", "agent-default", "--table", "-o", "x"], "--table and --output exclude each other"),
            (["capacity", "--json", "--csv"], "capacity: --json and --csv exclude each other"),
            (["top", "--once", "--interval", "1s"], "top: --interval and --once exclude each other"),
            (["top", "--interval", "1s"], "--interval is for a terminal"),
            (["man", "run", "--into", "/tmp"], "expected no command beside it, found run"),
            (["run", "--network", "gateway", "--", "true"], "--network: expected a profile with rules under egress"),
        ] as [([String], String)]) func failuresAre125AndOneClearError(arguments: [String], message: String) throws
    {
        let outcome = try call(carrelPath, arguments)
        #expect(outcome.status == 125 && outcome.output.isEmpty, "\(outcome)")
        #expect(outcome.errors.hasPrefix("carrel: ") && outcome.errors.contains(message), "\(outcome)")
        for line in outcome.errors.split(separator: "\n") {
            #expect(line.hasPrefix("carrel: ") || line.hasPrefix("  fix: "), "\(line)")
        }
    }

    @Test func foundWantingIs1() throws {
        #expect(try carrel("release", "--all").status == 1)
        let checked = try withFile("version: 1\nlimits: {memroy: 1GiB}\nnosuch: 2\n") {
            try carrel("profile", "check", $0)
        }
        #expect(checked.status == 1 && checked.output.split(separator: "\n").count == 2, "\(checked)")
        #expect(checked.output.contains(".txt:2:10: limits.memroy: ") && checked.output.contains(".txt:3:1: nosuch: "))
    }

    @Test func aSoundProfileIs0() throws {
        let checked = try carrel("profile", "check", repository + "/Profiles/session/default.yaml")
        #expect(checked.status == 0 && checked.output.hasSuffix("default.yaml: sound\n"), "\(checked)")
    }

    /// The examples of its help say what they promise.
    @Test func theExamplesOfEgressCheckHold() throws {
        func answer(_ line: String) throws -> Outcome {
            try call(carrelPath, line.split(separator: " ").dropFirst().map(String.init))
        }
        let lines = Verb.egressCheck.definition.examples.map(\.line.description)
        try #require(lines.count == 2)
        let package = try answer(lines[0])
        #expect(package.status == 0 && package.output.hasPrefix("allowed by npm/packages"), "\(package)")
        let publication = try answer(lines[1])
        #expect(publication.status == 1 && publication.output.hasPrefix("refused"), "\(publication)")
        // As a session of the profile is started without the option.
        let shut = try answer(lines[0].replacing(" --network gateway", with: ""))
        #expect(
            shut.status == 1 && shut.output.contains("network: none") && shut.output.contains("--network gateway"),
            "\(shut)")
    }

    @Test func versionAndHelpGoToOutput() throws {
        for arguments in [
            ["--version"], ["-V"], ["--help"], ["-h"], ["profile", "--help"], ["kill", "--help", "--nosuch"],
        ] {
            let outcome = try call(carrelPath, arguments)
            #expect(
                outcome.status == 0 && !outcome.output.isEmpty && outcome.errors.isEmpty, "\(arguments): \(outcome)")
        }
    }

    @Test func jsonIsOneDocument() throws {
        for arguments in [["ps", "--json"], ["stats", "--json"]] {
            let outcome = try call(carrelPath, arguments)
            #expect(try Node.parse(Array(outcome.output.utf8), file: "").elements?.isEmpty == true, "\(outcome)")
        }
        let profiles = try Node.parse(Array(try carrel("profile", "list", "--json").output.utf8), file: "")
        #expect(
            profiles.elements?.contains { $0["name"] == "default" && $0["description"]?.string?.isEmpty == false }
                == true)
        let profile = try Node.parse(Array(try carrel("profile", "show", "default", "--json").output.utf8), file: "")
        #expect(profile["name"] == "default")
        let spec = try carrel("spec", "--memory", "64MiB", "--env", "A=b", "--", "true", "--x")
        let document = try Node.parse(Array(spec.output.utf8), file: "")
        #expect(document["process"]?["args"] == ["true", "--x"], "\(spec)")
        #expect(document["process"]?["env"]?.elements?.contains("A=b") == true)
        #expect(document["linux"]?["resources"]?["memory"]?["limit"] == 67_108_864)
    }

    @Test func checksPrintWhatTheyFoundAsJSON() throws {
        let text = "version: 1\nlimits: {memroy: 1GiB}\nnosuch: 2\n"
        for command in ["profile check", "tenant check"] {
            let outcome = try withFile(text) {
                try call(carrelPath, command.split(separator: " ").map(String.init) + ["--json", $0])
            }
            let files = try #require(try Node.parse(Array(outcome.output.utf8), file: "").elements)
            #expect(outcome.status == 1 && files.count == 1 && files[0]["sound"] == false, "\(outcome)")
            let problems = try #require(files[0]["problems"]?.elements)
            #expect(problems.count == 2 && problems.allSatisfy { $0["file"] == files[0]["file"] }, "\(outcome)")
            #expect(problems[1]["line"] == 3 && problems[1]["column"] == 1 && problems[1]["field"] == "nosuch")
            #expect(problems[1]["message"]?.string?.hasPrefix("unknown; the fields here are ") == true)
        }
        let sound = try carrel(
            "profile", "check", "--json", repository + "/Profiles/session/default.yaml", "/nosuch.yaml")
        let files = try Node.parse(Array(sound.output.utf8), file: "")
        #expect(
            sound.status == 1 && files.elements?[0]["sound"] == true && files.elements?[0]["problems"] == [], "\(sound)"
        )
        #expect(files.elements?[1]["problems"]?.elements?[0]["line"]?.isNull == true, "\(sound)")
        let released = try carrel("release", "--all", "--json")
        #expect(try released.status == 1 && Node.parse(Array(released.output.utf8), file: "") == ["released": false])
    }

    @Test(.enabled(if: isInstalled("script"), "script(1) of util-linux is not installed"), arguments: [60, 80])
    func tablesFitTheTerminal(columns: Int) throws {
        for command in ["profile list", "seccomp show agent-default", "ps"] {
            let line = "stty cols \(columns); \(carrelPath) \(command)"
            let outcome = try call(
                "/usr/bin/env", ["script", "-qec", line, "/dev/null"], ["NO_COLOR": "1", "LC_ALL": "C.UTF-8"])
            for line in outcome.output.split(whereSeparator: \.isNewline) {
                #expect(line.count <= columns, "\(command): \(line)")
            }
        }
    }

    @Test func whatCannotBePrintedIsAnError() throws {
        for command in ["--help", "ps", "profile list", "man"] {
            let outcome = try call("/bin/sh", ["-c", "\(carrelPath) \(command) > /dev/full"])
            #expect(outcome.status == 125 && outcome.errors.contains("cannot print"), "\(command): \(outcome)")
        }
    }

    @Test func othersTextCannotSteerTheTerminal() throws {
        let outcome = try carrel("run", "--session", "\u{1b}]0;title\u{7}", "--", "true")
        #expect(outcome.status == 125 && !outcome.errors.contains("\u{1b}"), "\(outcome)")
        #expect(outcome.errors.contains("\\x1b]0;title\\x07"))
    }

    @Test(.enabled(if: isInstalled("script"), "script(1) of util-linux is not installed"))
    func colorsAreForTerminalsThatWantThem() throws {
        func onTerminal(_ environment: [String: String]) throws -> String {
            try call("/usr/bin/env", ["script", "-qec", "\(carrelPath) nosuch", "/dev/null"], environment).output
        }
        #expect(try onTerminal([:]).contains("\u{1b}[31mcarrel:"))
        #expect(try !onTerminal(["NO_COLOR": "1"]).contains("\u{1b}[31m"))
        #expect(try !onTerminal(["TERM": "dumb"]).contains("\u{1b}[31m"))
        #expect(try !carrel("nosuch").errors.contains("\u{1b}"))
    }
}
