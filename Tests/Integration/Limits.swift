import Documents
import Foundation
import Testing

extension Integration {
    /// Part 8: what a session can use, and how it is told when it was too much.
    @Suite struct Limits {
        static let hog = "x = []\nwhile True: x.append(bytearray(1 << 20))"

        @Test func tooMuchMemoryEndsItAsOOM() throws {
            try withDesk { desk in
                let inside = desk.python(["--memory", "64MiB", "--report", desk.path + "/r.json"], Self.hog)
                #expect(inside.status == 137, "\(inside)")
                #expect(inside.errors.contains("memory"), "it does not say why: \(inside)")
                let report = try desk.json("r.json")
                #expect(report.at("exit.how")?.string == "oom" && report.at("exit.status")?.int == 137)
                #expect(report.at("usage.memoryClipped")?.bool == true)
                let peak = try #require(report.at("usage.memoryPeakBytes")?.int)
                #expect(peak > 60 << 20 && peak <= 64 << 20)
                #expect(report.at("limits.inForce.memoryBytes")?.int == 64 << 20)
            }
        }

        @Test func aChildsHungerEndsTheWholeSession() throws {
            try withDesk { desk in
                let script = "\(Host.python) -c '\(Self.hog.replacingOccurrences(of: "\n", with: "\n"))' & sleep 60"
                let inside = desk.sh(["--memory", "64MiB"], script)
                #expect(inside.status == 137 && inside.seconds < 30, "\(inside)")
                let how = try desk.lastReport().at("exit.how")?.string
                #expect(how == "oom")
            }
        }

        @Test func temporaryFilesCountAsMemory() throws {
            try withDesk { desk in
                let inside = desk.sh(
                    ["--memory", "64MiB", "--tmp", "512MiB"],
                    "dd if=/dev/zero of=/tmp/x bs=1M count=256 2>/dev/null; echo survived")
                #expect(inside.status == 137 && !inside.output.contains("survived"), "\(inside)")
            }
        }

        @Test func enoughMemoryIsNotTold() throws {
            try withDesk { desk in
                let inside = desk.python(["--memory", "256MiB"], "x = bytearray(64 << 20)")
                #expect(inside.status == 0)
                let report = try desk.lastReport()
                #expect(report.at("usage.memoryClipped")?.bool == false)
                let peak = try #require(report.at("usage.memoryPeakBytes")?.int)
                #expect(peak > 64 << 20 && peak < 256 << 20)
            }
        }

        @Test func aForkBombStaysInside() throws {
            try withDesk { desk in
                let inside = desk.python(
                    ["--pids", "32"],
                    """
                    import time
                    children = 0
                    try:
                        while True:
                            if os.fork() == 0: time.sleep(60); os._exit(0)
                            children += 1
                    except OSError as error:
                        print(errno.errorcode[error.errno], children)
                    """)
                let words = inside.output.split(separator: " ")
                #expect(words.first == "EAGAIN" && (Int(words.last ?? "") ?? 99) <= 31, "\(inside)")
                let report = try desk.lastReport()
                #expect((report.at("usage.pidsPeak")?.int ?? 0) <= 32)
                #expect((report.at("usage.pidsLimitHits")?.int ?? 0) >= 1)
                // And the shell's own, which does not stop by itself.
                let bomb = desk.sh(["--pids", "32", "--timeout", "2s", "--grace", "0s"], ":(){ :|:& };:; sleep 60")
                #expect([124, 0, 2, 254].contains(bomb.status) && bomb.seconds < 20, "\(bomb)")
            }
        }

        @Test func theWallClockEndsIt() throws {
            try withDesk { desk in
                let inside = desk.sh(
                    ["--timeout", "500ms", "--grace", "30s"], "trap 'echo told; exit 0' TERM; sleep 60 & wait")
                #expect(inside.status == 124 && inside.seconds > 0.4 && inside.seconds < 25, "\(inside)")
                #expect(inside.output == "told", "it was not told to end")
                let exit = try #require(try desk.lastReport().at("exit"))
                #expect(exit["how"]?.string == "timeout" && exit["status"]?.int == 124)
            }
        }

        @Test func whoDoesNotListenIsKilled() throws {
            try withDesk { desk in
                let inside = desk.sh(
                    ["--timeout", "500ms", "--grace", "500ms"], "trap '' TERM; while :; do sleep 1; done")
                #expect(inside.status == 124 && inside.seconds > 0.9 && inside.seconds < 25, "\(inside)")
            }
        }

        @Test func idlenessEndsIt() throws {
            try withDesk { desk in
                let inside = desk.sh(["--idle", "1s", "--grace", "1s"], "sleep 60")
                #expect(inside.status == 124 && inside.seconds < 15, "\(inside)")
                let how = try desk.lastReport().at("exit.how")?.string
                #expect(how == "idle")
            }
        }

        /// Whoever goes on after a pause has his time again, but for the quarter between two looks.
        @Test func aPauseIsNoIdleness() throws {
            try withDesk { desk in
                let idle = 4.0
                let session = try desk.detached(["--idle", "4s", "--grace", "0s"], "sleep 600", session: "paused")
                desk.carrel(["pause", session])
                // Most of the time for which it may be idle, and no whole one.
                usleep(UInt32(idle * 0.8 * 1e6))
                let resumed = Date()
                desk.carrel(["resume", session])
                #expect(desk.carrel(["wait", session]).status == 124)
                #expect(try desk.lastReport().at("exit.how")?.string == "idle")
                #expect(-resumed.timeIntervalSinceNow > idle / 2)
            }
        }

        @Test func whoWorksIsNotIdle() throws {
            try withDesk { desk in
                let inside = desk.python(
                    ["--idle", "1s"], "import time\nend = time.time() + 4\nwhile time.time() < end: pass\nprint('done')"
                )
                #expect(inside.status == 0 && inside.output == "done", "\(inside)")
            }
        }

        @Test func processorTimeIsLimited() throws {
            try withDesk { desk in
                let program =
                    "import time\nend = time.time() + 2\nwhile time.time() < end: pass\nprint(time.process_time())"
                let half = Double(desk.python(["--cpus", "0.25"], program).output) ?? 9
                // On a busy machine it does not always get what it may have.
                var whole = 0.0
                for _ in 0..<4 where whole <= half * 1.5 {
                    whole = Double(desk.python(["--cpus", "2"], program).output) ?? 0
                }
                #expect(half < 0.9 && whole > half * 1.5, "\(half) \(whole)")
            }
        }

        @Test func aLimitOfTheCommandLineIsInForce() throws {
            try withDesk { desk in
                let inside = desk.run(
                    ["--memory", "96MiB", "--pids", "17", "--cpus", "1.5", "--timeout", "7m"], ["true"])
                #expect(inside.status == 0, "\(inside)")
                let limits = try #require(try desk.lastReport().at("limits.inForce"))
                #expect(limits["memoryBytes"]?.int == 96 << 20 && limits["pids"]?.int == 17)
                #expect(limits["cpus"]?.number == 1.5 && limits["wallClockNanoseconds"]?.int == 420_000_000_000)
                #expect(limits["swapBytes"]?.int == 0)
            }
        }
    }
}
