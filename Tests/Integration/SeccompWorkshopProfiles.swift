import Documents
import Foundation
import Testing

extension Integration {
    /// The shipped filters (`Profiles/seccomp`), each rebuilt from recordings: sound, loadable by others, and closed.
    @Suite(.enabled(if: Host.isRoot && Host.isX86 && Host.has("gcc"), "needs root, gcc and x86-64"))
    struct SeccompProfiles {
        static let directory = Host.repository + "/Profiles/seccomp"
        static let names = Desk.list(directory).filter { $0.hasSuffix(".json") && !$0.hasSuffix(".meta.json") }
            .map { String($0.dropLast(5)) }

        @Test func thereIsOneForEachKindOfSession() {
            #expect(Set(Self.names).isSuperset(of: ["agent-default", "claude-code", "node", "python"]))
        }

        @Test func eachPassesLintAndHasItsProvenance() throws {
            try withDesk { desk in
                for name in Self.names {
                    let lint = desk.carrel(["seccomp", "lint", "\(Self.directory)/\(name).json"])
                    #expect(lint.status == 0, "\(lint)")
                    let file = "\(Self.directory)/\(name).meta.json"
                    let bytes = Array((try? Data(contentsOf: URL(fileURLWithPath: file))) ?? Data())
                    let meta = try Node.parse(bytes, file: file)
                    #expect(meta["callsAllowed"]?.int ?? 0 > 50 && meta["lost"]?.int == 0)
                    #expect(meta["recordings"]?.elements?.count ?? 0 >= 20)
                    let digest = Host.outside("sha256sum '\(Self.directory)/\(name).json' | cut -d' ' -f1").output
                    #expect(meta["profile"]?["sha256"]?.string == digest, "\(name) is not what its provenance says")
                }
            }
        }

        /// Static, for roots without a library; with the arguments it does no harm where nothing refuses it.
        private static func escape(_ desk: Desk) throws -> String {
            let work = try desk.directory("work")
            let built = Host.outside("gcc -O1 -static -o '\(work)/escape' '\(Host.fixtures)/escape.c'")
            try #require(built.status == 0, "\(built)")
            return work
        }

        @Test(arguments: names)
        func noWayOutIsOpenAtAnyWidth(name: String) throws {
            try withDesk { desk in
                let work = try Self.escape(desk)
                let ended = desk.run(
                    [
                        "-P", "claude-code", "--network", "none", "--seccomp", "\(Self.directory)/\(name).json", "-w",
                        work,
                    ],
                    ["/workspace/escape"])
                #expect(ended.status == 0 && ended.output.hasSuffix(" tried, 0 open"), "\(ended)")
                #expect(Int(ended.output.prefix { $0 != " " }) ?? 0 > 4000)
                // The program finds open ways where there are some.
                let all = try desk.write(#"{"defaultAction": "SCMP_ACT_ALLOW"}"#, to: "all.json")
                let free = desk.run(
                    ["-P", "claude-code", "--network", "none", "--seccomp", all, "-w", work], ["/workspace/escape"])
                #expect(free.status == 1 && free.lines.count > 1000, "\(free.lines.last ?? "")")
            }
        }

        @Test(arguments: ["runc", "crun", "podman"])
        func otherRuntimesLoadThem(runtime: String) throws {
            guard Host.outside("command -v \(runtime)").status == 0 else { return }
            try withDesk { desk in
                let work = try Self.escape(desk)
                for name in Self.names {
                    let place = try desk.directory("\(runtime)-\(name)")
                    let ended = Host.outside(
                        [
                            Host.python, Host.fixtures + "/foreign_runtime.py", runtime,
                            "\(Self.directory)/\(name).json",
                            work + "/escape", place,
                        ], timeout: 120)
                    #expect(ended.status == 0 && ended.output.hasSuffix(" tried, 0 open"), "\(name): \(ended)")
                }
            }
        }

        static let programs: [(String, String)] = [
            (
                "python",
                "python3 -c 'import ssl, sqlite3, subprocess; print(subprocess.check_output([\"echo\", \"1\"]).decode())'"
            ),
            ("node", "node -e 'require(\"child_process\").exec(\"echo 1\", (e, out) => console.log(out))'"),
            (
                "claude-code",
                "cd /tmp && git init -q x && echo 'int main(){return 0;}' > x.c && gcc -o /workspace/x x.c && /workspace/x && python3 -c 'print(1)'"
            ),
        ]

        @Test(arguments: programs)
        func programsRunBehindTheirOwn(name: String, script: String) throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let ended = desk.sh(["-P", "claude-code", "--network", "none", "--seccomp", name, "-w", work], script)
                #expect(ended.status == 0 && ended.output.split(separator: "\n").last == "1", "\(ended)")
            }
        }
    }
}
