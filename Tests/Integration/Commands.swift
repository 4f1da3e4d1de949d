import Documents
import Foundation
import Testing

extension Integration {
    /// Parts 11 and 12, and what the command says and exits with.
    @Suite struct Commands {
        @Test func theStatusIsTheProgramsOwn() throws {
            try withDesk { desk in
                for status in [0, 1, 7, 125, 255] { #expect(desk.sh([], "exit \(status)").status == status) }
            }
        }

        @Test(arguments: [(SIGTERM, 143), (SIGKILL, 137), (SIGSEGV, 139), (SIGHUP, 129)] as [(Int32, Int32)])
        func aSignalIs128AndItsNumber(signal: Int32, status: Int32) throws {
            try withDesk { desk in
                #expect(desk.sh([], "kill -\(signal) $$").status == status)
                let exit = try #require(try desk.lastReport().at("exit"))
                #expect(exit["how"]?.string == "signaled" && exit["signal"]?.int == Int64(signal))
            }
        }

        @Test func notFoundAndNotExecutable() throws {
            try withDesk { desk in
                for program in ["no-such-program", "/usr/bin/no-such-program", "/etc/passwd/x"] {
                    let inside = desk.run([], [program])
                    #expect(inside.status == 127 && inside.errors.contains(program), "\(inside)")
                }
                let empty = desk.run([], [""])
                #expect(empty.status == 127 && empty.errors.contains("the program's name is empty"), "\(empty)")
                let named = desk.run([], ["no-such-program"])
                #expect(named.errors.contains("there is no no-such-program in PATH (/usr/local/bin:"), "\(named)")
                let beside = desk.run([], ["./agent"])
                #expect(
                    beside.status == 127 && beside.errors.contains("there is no ./agent in /home/agent"), "\(beside)")
                #expect(beside.errors.contains("fix: --workdir DIRECTORY"), "\(beside)")
                for program in ["/etc/passwd", "/usr"] {
                    let inside = desk.run([], [program])
                    #expect(inside.status == 126 && inside.errors.contains(program), "\(inside)")
                }
            }
        }

        @Test func wrongUseIs125AndSaysHow() throws {
            try withDesk { desk in
                for arguments in [
                    ["run"], ["run", "--"], ["nosuch"], ["run", "--nosuch", "--", "true"], ["kill"], ["logs"],
                ] {
                    let outcome = desk.carrel(arguments)
                    #expect(
                        outcome.status == 125 && outcome.output.isEmpty && !outcome.errors.isEmpty,
                        "\(arguments): \(outcome)")
                }
                #expect(desk.carrel(["run", "--memroy", "1GiB", "--", "true"]).errors.contains("--memory"))
            }
        }

        /// The documents of Docs/Reports.md.
        @Test func steeringCommandsPrintJSON() throws {
            try withDesk { desk in
                let name = try desk.detached(session: "s-json")
                let paused = desk.carrel(["pause", name, "--json"])
                #expect(try desk.parse(paused.output) == ["sessions": ["s-json"]], "\(paused)")
                let resumed = desk.carrel(["resume", "--all", "--json"])
                #expect(try desk.parse(resumed.output) == ["sessions": ["s-json"]], "\(resumed)")
                #expect(desk.carrel(["kill", name, "--hold"]).status == 0)
                let released = desk.carrel(["release", name, "--json"])
                #expect(try released.status == 0 && desk.parse(released.output) == ["released": true], "\(released)")
                let waited = desk.carrel(["wait", name, "--json"])
                let end = try desk.parse(waited.output)
                #expect(waited.status == 137 && end["session"] == "s-json" && end["status"] == 137, "\(waited)")
                #expect(try end["exit"] == desk.lastReport()["exit"] && end.at("exit.how") == "killed", "\(waited)")
            }
        }

        /// An empty path, as an unset variable gives it, is not the working directory.
        @Test func placesThatAreNoneAreRefusedBeforeTheStart() throws {
            try withDesk { desk in
                let file = try desk.write("x", to: "file")
                for (options, told) in [
                    (["--workdir", ""], "--workdir: expected a directory, found an empty path"),
                    (["--workdir", "nope"], "--workdir: expected a directory, found nothing at \(desk.path)/nope"),
                    (["--workdir", file], "--workdir: expected a directory, found something else at \(file)"),
                    (["--report", ""], "--report: expected a file, found an empty path"),
                    (["--report", desk.path], "--report: expected a file, found a directory at \(desk.path)"),
                    (["--report", "no/r.json"], "--report: there is no directory \(desk.path)/no"),
                    (["--report", file + "/r.json"], "there is no directory \(file)"),
                    (["--report", "/dev/null"], "--report: expected a file, found something else at /dev/null"),
                    (["--image", ""], "--image: expected host, or a directory: its name, or its path"),
                ] {
                    for more in [[], ["--detach"]] {
                        let run = desk.carrel(
                            ["run"] + more + options + ["--", "touch", "/workspace/started"], directory: desk.path)
                        #expect(run.status == 125 && run.output.isEmpty, "\(options): \(run)")
                        #expect(run.errors.contains(told) && !run.errors.contains(".new"), "\(options): \(run)")
                    }
                }
                #expect(!FileManager.default.fileExists(atPath: desk.path + "/started"))
                #expect(try desk.auditEvents().allSatisfy { $0["event"]?.string == "refusal" })
                #expect(!FileManager.default.fileExists(atPath: desk.state + "/ledger.jsonl"))
                // A report that takes an older one's place, with a name in the working directory.
                try desk.write("old", to: "r.json")
                let run = desk.carrel(["run", "--report", "r.json", "--", "true"], directory: desk.path)
                #expect(try run.status == 0 && desk.json("r.json")["schema"] != nil, "\(run)")
            }
        }

        /// What is written in place of an older file takes no device's place, nor a link's such as /dev/stdout is.
        @Test func aFileTakesThePlaceOfFilesAlone() throws {
            try withDesk { desk in
                desk.run([], ["true"])
                Host.outside("cd '\(desk.path)'; mkfifo pipe; ln -s pipe to-pipe; echo old > file; ln -s file to-file")
                for (command, option) in [(["capacity"], "--html"), (["metrics"], "--into")] {
                    for name in ["pipe", "to-pipe"] {
                        let refused = desk.carrel(command + [option, name], directory: desk.path)
                        #expect(refused.status == 125, "\(refused)")
                        #expect(refused.errors.contains("\(option): expected a file, found something else at \(name)"))
                    }
                    #expect(desk.carrel(command + [option, "to-file"], directory: desk.path).status == 0)
                }
                #expect(desk.read("file").hasSuffix("# EOF\n"))
                let kinds = Host.outside("cd '\(desk.path)'; stat -c %F pipe to-pipe file to-file").lines
                #expect(kinds == ["fifo", "symbolic link", "regular file", "symbolic link"], "\(kinds)")
                guard Host.isRoot else { return }
                Host.outside("mknod '\(desk.path)/null' c 1 3")
                let recorded = desk.carrel(["seccomp", "record", "-o", desk.path + "/null", "--", "true"])
                #expect(recorded.status == 125, "\(recorded)")
                #expect(Host.outside("stat -c %F '\(desk.path)/null'").output == "character special file")
            }
        }

        @Test func aVariableThatIsRefusedIsNamed() throws {
            try withDesk { desk in
                for (variable, name) in [("1X=2", "1X"), ("2Y", "2Y"), ("PATH=bin", "PATH"), ("HOME=/", "HOME")] {
                    let run = desk.run(["--env", variable], ["true"])
                    #expect(run.status == 125 && run.errors.contains(name), "\(run)")
                }
            }
        }

        @Test func helpAndVersion() throws {
            try withDesk { desk in
                let version = desk.carrel(["--version"])
                #expect(version.status == 0 && version.output.contains("0.") && version.errors.isEmpty)
                let help = desk.carrel(["--help"])
                for verb in [
                    "run", "ps", "stats", "logs", "exec", "pause", "resume", "kill", "wait", "report", "spec", "doctor",
                    "profile",
                ] {
                    #expect(help.output.contains(verb), "\(verb)")
                    let own = desk.carrel([verb, "--help"])
                    #expect(own.status == 0 && own.output.contains(verb), "\(verb): \(own)")
                    #expect(desk.carrel(["help", verb]).output == own.output, "\(verb)")
                }
                #expect(desk.carrel(["help"]).output == help.output)
                #expect(desk.carrel(["help", "nosuch"]).errors.contains("unknown command nosuch"))
                for option in ["--profile", "--tenant", "--workdir", "--memory", "--timeout", "--detach", "--report"] {
                    #expect(desk.carrel(["run", "--help"]).output.contains(option), "\(option)")
                }
            }
        }

        // MARK: profiles

        @Test(arguments: ["default", "claude-code", "node", "python", "strict"]) func shippedProfilesAreWhole(
            name: String
        ) throws {
            try withDesk { desk in
                let checked = desk.carrel(["profile", "check", Host.repository + "/Profiles/session/\(name).yaml"])
                #expect(checked.status == 0, "\(checked)")
                let shown = desk.carrel(["profile", "show", name])
                #expect(
                    shown.status == 0 && shown.output.contains("memory") && shown.output.contains("\(name).yaml:"),
                    "\(shown)")
                #expect(desk.sh(["--profile", name, "--network", "none"], "echo up").output == "up")
            }
        }

        @Test func everyErrorAtOnceWithItsPlace() throws {
            try withDesk { desk in
                let file = try desk.write(
                    "version: 1\nextends: default\nlimits:\n  memroy: 1GiB\n  pids: many\nworkdir:\n  access: writeable\nnetwork: host\nnosuch: 1\n",
                    to: "profiles/wrong.yaml")
                let beside = desk.carrel(["profile", "check", "wrong.yaml"], directory: desk.path + "/profiles")
                #expect(beside.output.hasPrefix("wrong.yaml:4:3: "), "\(beside)")
                let checked = desk.carrel(["profile", "check", file])
                let told = checked.output + checked.errors
                #expect(checked.status != 0)
                for place in [
                    "wrong.yaml:4:3", "wrong.yaml:5:9", "wrong.yaml:7:11", "wrong.yaml:8:10", "wrong.yaml:9:1",
                ] {
                    #expect(told.contains(place), "\(place): \(told)")
                }
                for field in ["limits.memroy", "limits.pids", "workdir.access", "network", "nosuch"] {
                    #expect(told.contains(field))
                }
                #expect(told.contains("memory"), "the nearest name is not told")
                let run = desk.run(["--profile", file], ["echo", "started"])
                #expect(run.status == 125 && run.output.isEmpty && run.errors.contains("wrong.yaml:5:9"), "\(run)")
            }
        }

        @Test func aNameThatIsNearlyRight() throws {
            try withDesk { desk in
                let run = desk.run(["--profile", "claud-code"], ["true"])
                #expect(run.status == 125 && run.errors.contains("claude-code"), "\(run)")
            }
        }

        @Test func aProfileThatOthersCanWriteDoesNotCount() throws {
            try withDesk { desk in
                let profile = try desk.profile("loose", "umask: \"077\"")
                #expect(desk.run(["--profile", profile], ["true"]).status == 0)
                chmod(profile, 0o666)
                let run = desk.run(["--profile", profile], ["echo", "started"])
                #expect(run.status == 125 && run.output.isEmpty && run.errors.contains("chmod"), "\(run)")
            }
        }

        @Test func brokenProfilesAreToldApart() throws {
            try withDesk { desk in
                let broken = [
                    "", "- a\n", "{", "version: 2\n", "version: 1\nextends: nosuch\n", "version: 1\nlimits: 3\n",
                    "\u{0}", "a: &x [*x]\n",
                ]
                for (index, text) in broken.enumerated() {
                    let file = try desk.write(text, to: "profiles/broken-\(index).yaml")
                    let run = desk.run(["--profile", file], ["echo", "started"])
                    #expect(run.status == 125 && run.output.isEmpty && run.errors.contains("broken-\(index)"), "\(run)")
                }
            }
        }

        // MARK: doctor

        @Test func doctorTellsWhatTheHostGives() throws {
            try withDesk { desk in
                let told = desk.carrel(["doctor", "--json"])
                #expect(told.status == 0, "\(told)")
                let text = try desk.parse(told.output).json().lowercased()
                for word in ["kernel", "cgroup", "landlock", "seccomp", "namespace", "id-mapped", "swap", "pressure"] {
                    #expect(
                        text.contains(word) || text.contains(word.replacingOccurrences(of: "-", with: "")), "\(word)")
                }
                #expect(text.contains(Host.outside("uname -r").output.lowercased()))
                #expect(desk.carrel(["doctor"]).output.count > 200)
            }
        }

        @Test func doctorTellsWhatKeepsSessionsFromStarting() throws {
            try withDesk { desk in
                func fact(_ name: String) throws -> Node? {
                    try desk.parse(desk.carrel(["doctor", "--json"]).output).elements?.first {
                        $0["name"]?.string == name
                    }
                }
                #expect(try fact("host.yaml")?["status"]?.string == "ok" && fact("holds") == nil)
                desk.carrel(["kill", "--profile", "strict", "--hold"])
                desk.carrel(["pause", "--tenant", "acme"])
                let holds = try #require(try fact("holds"))
                #expect(holds["value"]?.string == "tenant.acme is paused; profile.strict is held", "\(holds.json())")
                #expect(holds["fix"]?.string == "carrel resume --tenant acme; carrel release --profile strict")
                desk.carrel(["release", "--profile", "strict"])
                desk.carrel(["resume", "--tenant", "acme"])
                #expect(try fact("holds") == nil)

                if !FileManager.default.fileExists(atPath: "/etc/carrel/gateway.yaml") {
                    #expect(try fact("gateway.yaml")?["status"]?.string == "degraded")
                    let file = try desk.write("metrics: 9464\n", to: "state/gateway.yaml", mode: 0o600)
                    #expect(try fact("gateway.yaml")?["value"]?.string == file)
                }
                try desk.write("version: 1\nresrve: 2GiB\n", to: "state/host.yaml", mode: 0o600)
                let doctor = desk.carrel(["doctor"])
                #expect(doctor.status == 1 && doctor.output.contains("host.yaml:2:1: resrve: unknown"), "\(doctor)")
                #expect(!doctor.output.contains("everything that a session needs is there"))
                #expect(desk.run([], ["true"]).status == 125)
            }
        }
    }
}
