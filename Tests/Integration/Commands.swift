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
                }
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
                #expect(desk.sh(["--profile", name], "echo up").output == "up")
            }
        }

        @Test func everyErrorAtOnceWithItsPlace() throws {
            try withDesk { desk in
                let file = try desk.write(
                    "version: 1\nextends: default\nlimits:\n  memroy: 1GiB\n  pids: many\nworkdir:\n  access: writeable\nnetwork: host\nnosuch: 1\n",
                    to: "profiles/wrong.yaml")
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
    }
}
