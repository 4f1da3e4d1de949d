import Documents
import Foundation
import Testing

extension Integration {
    /// The workshop's commands, as somebody uses them who has read Docs/Seccomp.md.
    @Suite(.enabled(if: Host.isRoot && Host.isX86, "needs root and x86-64"))
    struct SeccompWorkshop {
        private static let work = "ls -l /usr | head -3; python3 -c 'import socket; socket.socket(socket.AF_UNIX)'; :"

        /// From three runs to a filter that lets them through and little else.
        @Test func theWholeLoop() throws {
            try withDesk { desk in
                func seccomp(_ words: String...) -> Outcome {
                    desk.carrel(["seccomp"] + words, directory: desk.path, timeout: 120)
                }
                for number in 1...3 {
                    let ended = seccomp("record", "-o", "run\(number).rec", "--", "sh", "-c", Self.work)
                    try #require(ended.status == 0, "\(ended)")
                }
                let merged = seccomp("merge", "run1.rec", "run2.rec", "run3.rec", "-o", "all.rec", "--held-out", "3")
                #expect(merged.status == 0 && merged.output.hasPrefix("3 runs, "), "\(merged)")
                for part in ["by Chao2", "chance that the next run", "held out: "] {
                    #expect(merged.output.contains(part), "\(merged)")
                }
                let figures = try desk.parse(seccomp("merge", "all.rec", "--below", "0.001", "--json").output)
                #expect(figures["runs"]?.int == 3 && figures["lost"]?.int == 0)
                #expect(figures["runsNeeded"] != nil && figures.at("unseen.nextRunBreaks") != nil)

                let made = seccomp("synthesize", "all.rec", "--base", "agent-default", "-o", "tight.json")
                #expect(made.status == 0 && made.errors.contains("calls allowed"), "\(made)")
                let meta = try desk.json("tight.meta.json")
                let digest = Host.outside("sha256sum '\(desk.path)/tight.json' | cut -d' ' -f1").output
                #expect(meta["profile"]?["sha256"]?.string == digest && meta["runs"]?.int == 3)
                #expect(meta["environments"]?.elements?.first?["image"]?.string?.hasPrefix("packages:sha256:") == true)

                let lint = seccomp("lint", "tight.json")
                #expect(lint.status == 0, "\(lint)")
                let test = seccomp("test", "tight.json", "all.rec")
                #expect(test.status == 0 && test.output.contains("all would pass"), "\(test)")
                let diff = try desk.parse(seccomp("diff", "agent-default", "tight.json", "--json").output)
                let kinds = Set((diff["differences"]?.elements ?? []).compactMap { $0["kind"]?.string })
                #expect(diff["same"]?.bool == false && kinds.contains("closed") && !kinds.contains("opened"))
                #expect(seccomp("diff", "tight.json", "agent-default").output.contains("opened"))

                let behind = desk.sh(["--seccomp", desk.path + "/tight.json"], Self.work)
                #expect(behind.status == 0 && !behind.output.isEmpty && behind.errors.isEmpty, "\(behind)")
                let other = desk.python(
                    ["--seccomp", desk.path + "/tight.json"], "print(call(41, 2, 1, 0), call(165))")
                #expect(other.output == "ENOSYS EPERM", "\(other)")

                // A run that does more: offline it is told what would be refused, and diff tells what to allow.
                let more = seccomp(
                    "record", "-o", "more.rec", "--", "python3", "-c", "import socket; socket.socket(socket.AF_INET)")
                try #require(more.status == 0, "\(more)")
                let refused = seccomp("test", "tight.json", "more.rec")
                #expect(refused.status == 1 && refused.output.contains("socket (argument 0 = 0x2"), "\(refused)")
                let wider = seccomp("allow", "tight.json", "socket", "-o", "wider.json")
                #expect(wider.status == 0, "\(wider)")
                #expect(seccomp("test", "wider.json", "more.rec", "all.rec").status == 0)
            }
        }

        /// rename(2) would put a file in the place of /dev/null, for the whole host.
        @Test func whatIsNoFileIsNotReplaced() throws {
            try withDesk { desk in
                let pipe = desk.path + "/pipe"
                #expect(mkfifo(pipe, 0o600) == 0)
                for words in [
                    ["allow", "agent-default", "ptrace", "-o", pipe], ["record", "-o", pipe, "--", "true"],
                    ["record", "-o", desk.path, "--", "true"],
                ] {
                    let refused = desk.carrel(["seccomp"] + words)
                    #expect(
                        refused.status == 125 && refused.errors.contains("--output: expected a file, found "),
                        "\(refused)")
                }
                #expect(Host.outside("stat -c %F '\(pipe)'").output == "fifo")
            }
        }

        /// The documented way to a filter for debuggers, with names as they are written there.
        @Test func aFilterIsFoundWhereItsNameSays() throws {
            try withDesk { desk in
                func carrel(_ words: String...) -> Outcome { desk.carrel(words, directory: desk.path) }
                let made = carrel("seccomp", "allow", "agent-default", "ptrace", "-o", "debug.json")
                try #require(made.status == 0, "\(made)")
                let traced = ["--", "python3", "-c", "import ctypes; print(ctypes.CDLL(None).ptrace(0, 0, 0, 0))"]
                #expect(desk.carrel(["run"] + traced).output == "-1")
                let named = desk.carrel(["run", "--seccomp", "debug.json"] + traced, directory: desk.path)
                #expect(named.output == "0", "\(named)")
                try desk.write("version: 1\nextends: default\nseccomp: debug.json\n", to: "base.yaml")
                try desk.write("version: 1\nextends: ../base.yaml\n", to: "profiles/debug.yaml")
                let profile = desk.carrel(["run", "-P", desk.path + "/profiles/debug.yaml"] + traced)
                #expect(profile.output == "0", "\(profile)")
                // Another program of the session has it too, from wherever it is started.
                for choice in [["--seccomp", "./debug.json"], ["-P", "profiles/debug.yaml"]] {
                    let options = ["run", "-d", "-s", "d-1"] + choice + ["--", "sleep", "600"]
                    let started = desk.carrel(options, directory: desk.path)
                    #expect(started.output == "d-1", "\(started)")
                    let supervisor = try desk.json("state/sessions/d-1.json")["supervisor"]?.int ?? 0
                    #expect(Host.outside("readlink /proc/\(supervisor)/cwd").output == "/")
                    let entered = desk.carrel(["exec", "d-1"] + traced)
                    #expect(entered.output == "0", "\(entered)")
                    #expect(desk.carrel(["kill", "d-1"]).status == 0)
                }
                chmod(desk.path + "/debug.json", 0o666)
                let loose = desk.carrel(["run", "--seccomp", "debug.json"] + traced, directory: desk.path)
                #expect(loose.status == 125 && loose.errors.contains("chmod go-w"), "\(loose)")
            }
        }

        @Test func aCapabilityIsTakenAsItIsMeant() throws {
            try withDesk { desk in
                let file = try desk.write(
                    """
                    {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                    {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}}]}
                    """, to: "docker.json")
                func show(_ words: String...) -> Outcome { desk.carrel(["seccomp", "show", file] + words) }
                let with = show("--cap", "CAP_SYS_ADMIN").output
                #expect(with != show().output)
                for name in ["SYS_ADMIN", "sys_admin", "cap_sys_admin"] { #expect(show("--cap", name).output == with) }
                for verb in [["show", file], ["lint", file], ["diff", file, file], ["allow", file, "read"]] {
                    let wrong = desk.carrel(["seccomp"] + verb + ["--cap", "CAP_SYS_ADMN"])
                    #expect(wrong.status == 125 && wrong.errors.contains("did you mean CAP_SYS_ADMIN?"), "\(wrong)")
                }
            }
        }

        @Test func oneBadFileIsAFindingAmongOthers() throws {
            try withDesk { desk in
                let bad = try desk.write("{\"defaultAction\": \"SCMP_ACT_WHAT\"}", to: "bad.json")
                let files = [desk.path + "/none.json", bad, "agent-default"]
                let lint = desk.carrel(["seccomp", "lint"] + files)
                #expect(lint.status == 1 && lint.output.contains("agent-default: nothing wrong"), "\(lint)")
                #expect(
                    lint.output.contains("none.json: error: ") && lint.output.contains("bad.json:1:19: error: "),
                    "\(lint)")
                // As `*.json` of a directory names them: where a filter is from is said beside it, and is none.
                let shipped = Host.outside("'\(Host.carrel)' seccomp lint '\(Host.repository)'/Profiles/seccomp/*.json")
                #expect(shipped.status == 0 && !shipped.output.contains("meta.json"), "\(shipped)")
                let document = desk.carrel(["seccomp", "lint", "--json"] + files)
                let list = try desk.parse(document.output).elements ?? []
                #expect(document.status == 1)
                #expect(
                    list.filter { $0["level"]?.string == "error" }.compactMap { $0["file"]?.string }
                        == Array(files[..<2]))
            }
        }

        @Test func aRunIsCountedOnce() throws {
            try withDesk { desk in
                func seccomp(_ words: String...) -> Outcome { desk.carrel(["seccomp"] + words, directory: desk.path) }
                for name in ["a", "b"] {
                    #expect(seccomp("record", "-o", "\(name).rec", "--", "/usr/bin/true").status == 0)
                }
                // Two runs that do the same are two.
                let merged = seccomp("merge", "a.rec", "b.rec", "-o", "all.rec")
                #expect(merged.status == 0 && merged.output.hasPrefix("2 runs, "), "\(merged)")
                #expect(Host.outside("cp '\(desk.path)/a.rec' '\(desk.path)/copy.rec'").status == 0)
                for files in [("a.rec", "a.rec"), ("a.rec", "copy.rec"), ("all.rec", "b.rec")] {
                    for verb in ["merge", "synthesize"] {
                        let twice = seccomp(verb, files.0, files.1)
                        #expect(
                            twice.status == 125 && twice.errors.contains("\(files.0) and \(files.1) have the same run"),
                            "\(twice)")
                    }
                }
                let log = try desk.write("1 read(0, \"\", 1) = 0\n1 +++ exited with 0 +++\n", to: "log")
                #expect(seccomp("merge", log, log).errors.contains("the same run"))
            }
        }

        @Test func aFilterIsShownAsTableAsProgramAndForTheKernel() throws {
            try withDesk { desk in
                func show(_ words: String...) -> Outcome { desk.carrel(["seccomp", "show", "agent-default"] + words) }
                let table = show()
                #expect(table.status == 0 && table.output == show("--table").output)
                #expect(table.lines.contains { $0.hasPrefix("mount") && $0.contains("EPERM") }, "\(table)")
                #expect(table.lines.contains { $0.hasPrefix("socket") && $0.contains("AF_UNIX") }, "\(table)")
                let rows = try #require(try desk.parse(show("--json").output).elements)
                #expect(rows.count > 300 && rows.contains { $0["call"]?.string == "read" && $0["number"]?.int == 0 })
                let arm = try #require(try desk.parse(show("--arch", "aarch64", "--json").output).elements)
                #expect(arm.contains { $0["call"]?.string == "read" && $0["number"]?.int == 63 })
                let program = show("--bpf")
                #expect(program.output.contains("jeq") && program.output.contains("; kill process"))
                let written = show("-o", desk.path + "/program")
                let size = Host.outside("stat -c %s '\(desk.path)/program'").output
                #expect(written.status == 0 && Int(size) == 8 * program.lines.count)
                let bad = show("--arch", "sparc")
                #expect(bad.status == 125 && bad.errors.contains("expected x86_64 or aarch64"))
            }
        }

        static let mistakes: [(command: [String], file: String, told: String)] = [
            (["lint"], "{ \"defaultAction\": \"SCMP_ACT_NO\" }", "bad.json:1:20: error: defaultAction"),
            (["lint"], "{\n  \"syscalls\": 7\n}", "bad.json:2:15: error: syscalls"),
            (["show"], "{", "bad.json:1:2: expected a name"),
            (["diff", "agent-default"], "[]", "bad.json:1:1"),
            (["test", "agent-default"], "{\n \"version\": 9 }", "bad.json:2:13: version: expected 1"),
            (["merge"], "close(3) = 0\nhello\n", "bad.json:2:1: expected a line of strace"),
            (["synthesize"], "{ \"version\": 1 }", "bad.json:1:"),
            (
                ["allow", "agent-default", "ptarce"], "",
                "expected the name of a system call, found ptarce; did you mean ptrace?"
            ),
        ]

        @Test(arguments: mistakes)
        func mistakesAreToldWithTheirPlace(command: [String], file: String, told: String) throws {
            try withDesk { desk in
                if !file.isEmpty { try desk.write(file, to: "bad.json") }
                let words = ["seccomp"] + command + (file.isEmpty ? [] : ["bad.json"])
                let ended = desk.carrel(words, directory: desk.path)
                #expect(ended.status != 0 && (ended.errors + ended.output).contains(told), "\(ended)")
                let output = desk.carrel(words + (command[0] == "merge" ? ["-o", "x"] : []), directory: desk.path)
                #expect(output.status != 0 && !FileManager.default.fileExists(atPath: desk.path + "/x"))
            }
        }

        /// Docker's conditions, and a bundle's config.json.
        @Test(.enabled(if: FileManager.default.fileExists(atPath: "/usr/share/containers/seccomp.json")))
        func othersFilesAreRead() throws {
            try withDesk { desk in
                let file = "/usr/share/containers/seccomp.json"
                let plain = desk.carrel(["seccomp", "show", file, "--json"])
                let admin = desk.carrel(["seccomp", "show", file, "--json", "--cap", "CAP_SYS_ADMIN"])
                func bpf(_ shown: Outcome) throws -> [String] {
                    (try desk.parse(shown.output).elements ?? [])
                        .filter { $0["call"]?.string == "bpf" && $0["architecture"]?.string == "x86_64" }
                        .compactMap { $0["answer"]?.string }
                }
                #expect(try bpf(plain) == ["EPERM"] && bpf(admin) == ["allowed"])
                let filter = try String(
                    contentsOfFile: Host.repository + "/Profiles/seccomp/node.json", encoding: .utf8)
                try desk.write(
                    "{ \"ociVersion\": \"1.2.0\", \"linux\": { \"seccomp\": \(filter) } }", to: "config.json")
                let same = desk.carrel(["seccomp", "diff", "node", "config.json"], directory: desk.path)
                #expect(same.status == 0 && same.output.contains("both mean the same"), "\(same)")
            }
        }
    }
}
