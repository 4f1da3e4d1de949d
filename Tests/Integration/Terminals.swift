import Foundation
import Testing

extension Integration {
    /// Part 5, its end: the caller's terminal is not the session's, and a session can have one of its own.
    @Suite struct Terminals {
        static func on(_ desk: Desk, _ options: [String] = [], _ command: [String]) -> Outcome {
            let words = ([Host.python, Host.fixtures + "/on_a_terminal.py"] + options + command).map {
                "'" + $0.replacingOccurrences(of: "'", with: "'\\''") + "'"
            }
            return desk.around(words.joined(separator: " "), timeout: 30)
        }

        /// CVE-2017-5226: input typed into the caller's terminal from inside, run by the caller's shell afterwards.
        @Test(arguments: [[], ["--tty"]]) func cve2017_5226_nothingCanBeTyped(options: [String]) throws {
            try withDesk { desk in
                let attack =
                    Desk.prelude + """
                        import fcntl, termios
                        print(attempt(lambda: fcntl.ioctl(0, termios.TIOCSTI, b'x')), attempt(lambda: fcntl.ioctl(0, 0x541c, b'\\x02')))
                        print(call(16, 0, 0x100005412, b'x'))
                        """
                let inside = Self.on(desk, [], [Host.carrel, "run"] + options + ["--", Host.python, "-c", attack])
                let words = inside.output.split(whereSeparator: \.isWhitespace).map(String.init)
                #expect(
                    words.count == 3 && words.allSatisfy { ["EPERM", "EIO", "ENOTTY", "EACCES"].contains($0) },
                    "\(inside)")
            }
        }

        @Test func theCallersTerminalDoesNotControlTheSession() throws {
            try withDesk { desk in
                let inside = Self.on(
                    desk, [],
                    [
                        Host.carrel, "run", "--", Host.python, "-c",
                        "import os\ntry: os.open('/dev/tty', os.O_RDWR)\nexcept OSError as e: print(e.errno)",
                    ])
                #expect(inside.output == "6", "\(inside)")
            }
        }

        @Test func aTerminalOfItsOwn() throws {
            try withDesk { desk in
                let inside = Self.on(
                    desk, [], [Host.carrel, "run", "--tty", "--", "sh", "-c", "tty; stty size; exit 5"])
                #expect(inside.lines.first?.hasPrefix("/dev/") == true && inside.lines.last == "45 123", "\(inside)")
                #expect(inside.status == 5)
            }
        }

        @Test(arguments: Host.isRoot ? [false, true] : [false]) func whoEntersHasATerminalToo(ordinary: Bool) throws {
            try withDesk(ordinary: ordinary) { desk in
                let session = try desk.detached(session: "entered")
                let script = "tty; stat -c 'of %u' $(tty); echo written >$(tty); exit 5"
                let inside = desk.carrel(["exec", "--tty", session, "--", "sh", "-c", script])
                #expect(inside.status == 5 && inside.output.hasPrefix("/dev/pts/"), "\(inside)")
                #expect(inside.output.contains("of 1000") && inside.output.contains("written"), "\(inside)")
                #expect(desk.carrel(["kill", session]).status == 0)
            }
        }

        @Test func theWindowsSizeAndInputAreCarried() throws {
            try withDesk { desk in
                let script = "trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.1; done"
                let inside = Self.on(
                    desk, ["--resize", "99", "33"], [Host.carrel, "run", "--tty", "--", "sh", "-c", script])
                #expect(inside.lines.last == "33 99" && inside.status == 4, "\(inside)")
                let typed = Self.on(
                    desk, ["--type", "hello\\n"],
                    [Host.carrel, "run", "--tty", "--", "sh", "-c", "echo ready; read line; echo got $line"])
                #expect(typed.lines.last == "got hello", "\(typed)")
            }
        }

        @Test func controlCReachesTheSession() throws {
            try withDesk { desk in
                let script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done"
                let inside = Self.on(
                    desk, ["--type", "\\x03"], [Host.carrel, "run", "--tty", "--", "sh", "-c", script])
                #expect(inside.output.contains("caught") && inside.status == 9, "\(inside)")
            }
        }

        /// The program blocks writing, so it reads nothing; the caller reads what is shown, or not before the report is there.
        @Test(arguments: [true, false]) func theWallClockEndsWhatNobodyReads(callerReads: Bool) throws {
            try withDesk { desk in
                let caller = [Host.python, Host.fixtures + "/between_pipes.py", "--feed", "300000"]
                let patience = callerReads ? [] : ["--after", desk.state + "/ledger.jsonl"]
                let session = ["run", "--tty", "--timeout", "4s", "--grace", "1s", "--", "sh", "-c"]
                let words = caller + patience + [Host.carrel] + session + ["stty raw -echo; echo ready; cat"]
                let inside = desk.around(words.map { "'\($0)'" }.joined(separator: " "))
                #expect(inside.status == 124 && inside.output.hasPrefix("same "), "\(inside)")
                if callerReads { #expect(inside.output == "same 300000") }
                let how = try desk.lastReport().at("exit.how")?.string
                #expect(how == "timeout")
            }
        }

        @Test func aFileAsInputIsTypedToItsEnd() throws {
            try withDesk { desk in
                let text = (0..<2000).map { "line \($0)" }
                let inside = desk.carrel(
                    ["run", "--tty", "--timeout", "30s", "--", "sh", "-c", "stty -echo; cat"],
                    stdin: text.joined(separator: "\n") + "\n")
                #expect(inside.status == 0 && inside.output.hasSuffix("line 1998\r\nline 1999"), "\(inside)")
            }
        }

        @Test func withoutATerminalOfTheCallersItHasTheUsualSize() throws {
            try withDesk { desk in
                let inside = desk.run(["--tty"], ["sh", "-c", "tty; stty size"])
                #expect(inside.status == 0 && inside.output.hasSuffix("24 80"), "\(inside)")
            }
        }
    }
}
