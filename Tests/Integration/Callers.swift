import Documents
import Foundation
import Glibc
import Testing

extension Integration {
    /// What a caller brings with it, and what becomes of a session when it does not stay.
    @Suite struct Callers {
        /// `carrel` with these arguments, of a caller that ignores a signal.
        private static func ignoring(_ signal: Int32, _ arguments: String) -> String {
            "exec python3 -c 'import os,signal,sys; signal.signal(\(signal), signal.SIG_IGN); "
                + "os.execv(sys.argv[1], sys.argv[1:])' \"$CARREL\" \(arguments)"
        }

        /// Where the end of children is ignored, the kernel keeps none (wait(2)): PID 1 would not hear of its program's.
        @Test(arguments: [SIGCHLD, SIGTERM, SIGPIPE]) func whatTheCallerIgnoresIsNotHandedOn(signal: Int32) throws {
            try withDesk { desk in
                let script = "exit $(grep SigIgn /proc/self/status | grep -vc 0000000000000000)"
                let ended = desk.around(Self.ignoring(signal, "run -- sh -c '\(script)'"))
                #expect(ended.status == 0 && ended.errors.isEmpty, "\(ended)")
            }
        }

        /// nohup(1) means the session.
        @Test func aHangupThatIsIgnoredEndsNothing() throws {
            try withDesk { desk in
                let script = "trap 'echo asked; exit 7' TERM; echo up; while :; do sleep 0.1; done"
                let ignoring = ["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\"", Host.carrel]
                let running = Command(
                    ignoring + ["run", "--", "sh", "-c", script],
                    environment: ["PATH": "/usr/bin:/bin", "HOME": desk.path, "CARREL_STATE": desk.state])
                try #require(eventually { running.output == "up" }, "\(running.errors)")
                running.signal(SIGHUP)
                usleep(300_000)
                #expect(running.output == "up", "a hangup has reached it")
                running.signal(SIGTERM)
                #expect(running.finish(within: 20).status == 7)
            }
        }

        /// Nothing that carrel opens becomes a standard descriptor.
        @Test(arguments: ["<&-", ">&-", "<&- >&-", "<&- >&- 2>&-"]) func descriptorsMayBeClosed(which: String) throws {
            try withDesk { desk in
                let attached = desk.around("\"$CARREL\" run -- sh -c 'exit 3' \(which)")
                #expect(attached.status == 3, "\(attached)")
                let detached = desk.around("\"$CARREL\" run --detach --session d -- sh -c 'echo said; exit 4' \(which)")
                #expect(detached.status == 0, "\(detached)")
                #expect(desk.carrel(["wait", "d"]).status == 4)
                #expect(desk.carrel(["logs", "d"]).output == "said")
                // What cannot be printed is an error still.
                if which.contains(" >&-") { #expect(desk.around("\"$CARREL\" ps \(which)").status == 125) }
            }
        }

        @Test func whatIsKeptCanBeReadAgain() throws {
            try withDesk { desk in
                #expect(desk.around("umask 777; \"$CARREL\" run -- true").status == 0)
                #expect(Host.outside("find '\(desk.state)' -type f ! -perm -400").output == "")
            }
        }

        /// A start whose caller is gone, as one that was interrupted while it waited for a berth, does not happen later.
        @Test func aStartEndsWithItsCaller() throws {
            try withDesk { desk in
                desk.run([], ["true"])
                // It waits to write down that it starts.
                let log = open(desk.state + "/audit.jsonl", O_RDWR | O_CLOEXEC)
                defer { close(log) }
                try #require(log >= 0 && flock(log, LOCK_EX) == 0)
                let starting = desk.start(carrel: ["run", "--detach", "--session", "orphan-75", "--", "sleep", "600"])
                let isWaiting = eventually {
                    let waiters = (try? String(contentsOfFile: "/proc/locks", encoding: .utf8)) ?? ""
                    let pids = Host.processes(with: "orphan-75").map { " \($0) " }
                    return waiters.split(separator: "\n").contains { line in
                        line.contains("->") && pids.contains { line.contains($0) }
                    }
                }
                try #require(isWaiting, "\(starting.errors)")
                starting.signal(SIGINT)
                #expect(starting.finish(within: 20).status == 130)
                #expect(eventually(within: 5) { Host.processes(with: "orphan-75").isEmpty }, "it goes on by itself")
                flock(log, LOCK_UN)
                #expect(desk.carrel(["ps", "--json"]).output == "[]")
            }
        }

        @Test(arguments: [[], ["--tty"]]) func aProgramThatEnteredEndsWithItsCaller(options: [String]) throws {
            try withDesk { desk in
                _ = try desk.detached(session: "entered")
                let entering = desk.start(carrel: ["exec"] + options + ["entered", "--", "sleep", "86400.75"])
                // The command and the program; their helper shows no command line.
                try #require(
                    eventually { Host.processes(with: "sleep\086400.75").count == 2 }, "\(entering.errors)")
                entering.signal(SIGKILL)
                _ = entering.finish()
                #expect(eventually(within: 5) { Host.processes(with: "86400.75").isEmpty }, "it lives on")
                #expect(desk.carrel(["kill", "entered"]).status == 0)
            }
        }

        @Test func theEndOfATerminalIsToldAsThat() throws {
            try withDesk { desk in
                let ended = desk.around(
                    """
                    exec /usr/bin/python3 - <<'END'
                    import os, pty
                    pid, terminal = pty.fork()
                    if pid == 0:
                        os.execv(os.environ['CARREL'], ['carrel', 'run', '--tty', 'sh', '-c', 'echo up; sleep 600'])
                    os.read(terminal, 1)
                    os.close(terminal)
                    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                    END
                    """)
                #expect(ended.output == "129", "\(ended)")
                let exit = try #require(try desk.lastReport().at("exit"))
                #expect(exit["why"]?.string == "ended by its terminal" && exit.at("by.pid")?.int == 0, "\(exit)")
            }
        }

        /// The limit is the caller's: what Carrel cannot write for it is told as on a full disk, and ends no program.
        @Test func aLimitOnFileSizesEndsNobody() throws {
            try withDesk { desk in
                _ = desk.run([], ["true"])
                let ended = desk.around(
                    """
                    ulimit -f 32
                    $CARREL run --detach --session long -- sh -c 'head -c 100000 /dev/zero; sleep 0.1; exit 4'
                    $CARREL wait long
                    """)
                #expect(ended.status == 4 && ended.output == "long", "\(ended)")
                let refused = desk.around("(ulimit -f 0; $CARREL run -- true) 2>&1 | cat; exit ${PIPESTATUS[0]}")
                #expect(refused.status == 125 && refused.output.contains("File too large"), "\(refused)")
            }
        }

        @Test func aGatewayThatIsShortOfDescriptorsSaysSo() throws {
            try withDesk { desk in
                let profile = try desk.profile(
                    "door", "network: gateway\negress: {allow: [{id: e, host: example.com, paths: [/**]}]}")
                let refused = desk.around("ulimit -n 48; $CARREL run --profile '\(profile)' -- true")
                #expect(
                    refused.status == 125 && refused.errors.contains("48 open files are too few for the gateway"),
                    "\(refused)")
            }
        }

        @Test func theStatusIsTheSameWhereNobodyReadsTheError() throws {
            try withDesk { desk in
                let told = desk.around(
                    "exec 3>&1; { sleep 0.1; $CARREL run -- nosuchprogram 2>&1; echo $? >&3; } | true")
                #expect(told.output == "127", "\(told)")
            }
        }

        @Test(arguments: [">/dev/full", "| true"]) func aSessionWhoseNameCannotBeToldIsEnded(output: String) throws {
            try withDesk { desk in
                let script = "{ sleep 0.1; $CARREL run --detach -- sleep 600; echo $? >&2; } \(output)"
                let told = desk.around(script).errors
                #expect(told.hasSuffix("125") && told.contains("cannot print the name"), "\(told)")
                #expect(eventually { Desk.list(desk.state + "/live").isEmpty })
                let named = desk.around(script.replacing("-- sleep", with: "--session named -- sleep")).errors
                #expect(named == "0", "\(named)")
                #expect(desk.carrel(["kill", "named"]).status == 0)
            }
        }

        /// A parent that does not wait for carrel keeps its number, not its session's name.
        @Test func aSupervisorThatNobodyWaitedForIsDead() throws {
            try withDesk { desk in
                let outcome = desk.around(
                    """
                    exec python3 - <<'END'
                    import os, subprocess
                    run = [os.environ['CARREL'], 'run', '--session', 'again']
                    first = subprocess.Popen(run + ['sh', '-c', 'echo up; sleep 600'], stdout=subprocess.PIPE)
                    first.stdout.readline()
                    first.kill()
                    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
                    print(subprocess.run(run + ['echo', 'again'], capture_output=True, text=True).stdout)
                    END
                    """)
                #expect(outcome.output == "again", "\(outcome)")
            }
        }

        /// Who cannot look at a process, for want of a descriptor or of memory, does not take it for a dead one.
        @Test func aCallThatIsShortOfDescriptorsEndsNoSession() throws {
            try withDesk { desk in
                _ = try desk.detached(session: "lives")
                for first in 1...20 {
                    _ = desk.around(
                        "strace -qq -o /dev/null -e trace=openat -e inject=openat:error=ENFILE:when=\(first)..\(first + 4) "
                            + "\"$CARREL\" ps")
                    try #require(Desk.list(desk.state + "/live").count == 1, "it was ended, from open \(first) on")
                }
                let sessions = try desk.parse(desk.carrel(["ps", "--json"]).output)
                #expect(sessions.elements?.first?["pids"]?.int ?? 0 > 1, "\(sessions)")
                #expect(desk.carrel(["kill", "lives"]).status == 0)
            }
        }

        /// Words that are no text would come to the program as others than they are.
        @Test func whatIsNoTextIsRefused() throws {
            try withDesk { desk in
                let word = desk.around("\"$CARREL\" run -- printf %s $'a\\xff'")
                #expect(word.status == 125 && word.output.isEmpty && word.errors.contains("argument 5"), "\(word)")
                let value = desk.around("WORD=$'a\\xff' \"$CARREL\" run --env WORD -- printenv WORD")
                #expect(value.status == 125 && value.output.isEmpty && value.errors.contains("WORD"), "\(value)")
                let text = desk.around("WORD=ä \"$CARREL\" run --env WORD -- printenv WORD")
                #expect(text.status == 0 && text.output == "ä", "\(text)")
            }
        }

        @Test func aLogIsOfOneSession() throws {
            try withDesk { desk in
                for word in ["first", "second"] {
                    _ = try desk.detached([], "echo \(word)", session: "twice")
                    #expect(desk.carrel(["wait", "twice"]).status == 0)
                    #expect(desk.carrel(["logs", "twice"]).output == word)
                }
            }
        }

        /// What was made in a workdir is found again where that was moved while sessions came and went.
        @Test func aWorkdirCanBeMoved() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let moved = desk.path + "/moved"
                let protecting = ["--profile", "python", "--workdir"]
                _ = try desk.detached(protecting + [work], session: "before")
                try FileManager.default.moveItem(atPath: work, toPath: moved)
                _ = try desk.detached(protecting + [moved], session: "after")
                #expect(desk.carrel(["kill", "--all"]).status == 0)
                #expect(Host.outside("ls -A '\(moved)'").output == "", "something is left")
            }
        }
    }
}
