import Documents
import Records
import Testing

@testable import Session
@testable import carrel

/// What people read.
@Suite struct TextTests {
    private let plain = Style()

    @Test(
        arguments: [
            (0, "0 B"), (999, "999 B"), (1000, "1 KiB"), (1536, "1.5 KiB"), (61 << 20, "61 MiB"), (1 << 30, "1 GiB"),
            (1_288_490_189, "1.2 GiB"), (3 << 40, "3 TiB"), (5000 << 40, "5000 TiB"),
        ] as [(Int, String)]) func sizes(bytes: Int, text: String)
    { #expect(Quantity.size(bytes) == text) }

    @Test(
        arguments: [
            (0, "0 s"), (7, "7 ns"), (412_000, "412 µs"), (3_900_000, "3.9 ms"), (752_000_000, "752 ms"),
            (12_100_000_000, "12.1 s"),
            (72_000_000_000, "1m 12s"), (5_400_000_000_000, "1h 30m"), (180_000_000_000_000, "2d 2h"),
        ] as [(Int64, String)]) func durations(nanoseconds: Int64, text: String)
    {
        #expect(Quantity.duration(nanoseconds) == text)
    }

    @Test(
        "a record of the request log that is no request is told as what it is, and not as one that was allowed",
        arguments: [
            (#"{"time":"2026-11-29T12:00:00.1Z","event":"rotate","archive":"r.jsonl.9"}"#, "rotate  r.jsonl.9"),
            (#"{"time":"2026-11-29T12:00:00.1Z","event":"repair","found":["a torn end"]}"#, #"repair  ["a torn end"]"#),
            ("no record", "no record"),
        ]) func recordsOfTheLogItself(text: String, told: String) throws
    {
        let line = requestLine(try Node.parse(Array(text.utf8), file: "log"), plain)
        #expect(line.hasSuffix("  " + told + "\n") && !line.contains("allowed"))
        #expect(line.hasPrefix(text == "no record" ? "" : "2026-11-29 12:00:00 UTC  "))
    }

    @Test func commandsReadAsAShellReadsThem() {
        #expect(commandLine(["claude", "-p", "fix the test", "it's", ""]) == "claude -p 'fix the test' 'it'\\''s' ''")
    }

    @Test func bars() {
        #expect(plain.bar(0, width: 4) == "····")
        #expect(plain.bar(0.5, width: 4) == "██··")
        #expect(
            plain.bar(1, width: 4) == "████" && plain.bar(7, width: 4) == "████" && plain.bar(-1, width: 4) == "····")
        #expect(plain.bar(0.3, width: 10, empty: false) == "███")
        #expect(Style(hasBlocks: false).bar(0.5, width: 4) == "##..")
        for step in 0...64 { #expect(plain.bar(Double(step) / 64, width: 8).count == 8) }
    }

    @Test func columnsStandInLine() {
        var table = Table(("A", .left), ("NUMBER", .right), ("LAST", .left))
        table.add(["long name", "1", "x"])
        table.add(["b", "1234567", "\u{1b}[31mred\n"])
        #expect(
            table.text(plain) == """
                A           NUMBER  LAST
                long name        1  x
                b          1234567  \\x1b[31mred\\n

                """)
        #expect(table.text(Style(width: 24)).split(separator: "\n").last == "b          1234567  \\x1…")
    }

    @Test func whatATerminalHasNoRoomForIsLeftOutInOrder() {
        var table = Table(
            ("A", .left), ("B", .right), ("C", .right), ("WORDS", .left), leavingOut: [1, 2], wraps: true)
        table.add(["aaaa", "bbbb", "cccc", "one two three four five"])
        func lines(_ width: Int?) -> [Substring] { table.text(Style(width: width)).split(separator: "\n") }
        #expect(lines(nil) == ["A        B     C  WORDS", "aaaa  bbbb  cccc  one two three four five"])
        #expect(lines(41) == lines(nil))
        #expect(
            lines(30) == [
                "A        B     C  WORDS", "aaaa  bbbb  cccc  one two", "                  three four",
                "                  five",
            ])
        #expect(lines(26) == ["A        C  WORDS", "aaaa  cccc  one two three", "            four five"])
        #expect(lines(20) == ["A     WORDS", "aaaa  one two three", "      four five"])
        // Nothing more can be left out.
        #expect(lines(10) == ["A     WOR…", "aaaa  one…"])
        #expect(
            Style(width: 26).line("name  one two three four five", indent: 6)
                == "name  one two three four\n      five\n")
        #expect(plain.line("name  one two three four", indent: 6) == "name  one two three four\n")
    }

    @Test func tablesOfSessionsFit80Columns() {
        let status = SessionStatus(
            id: "s-abcdefghij", tenant: "a-tenant-of-ours", profile: "claude-code",
            command: ["claude", "-p", "fix all the tests that fail"], started: Timestamp(seconds: 1000), pid: 7,
            isDetached: true, state: "running", memoryBytes: 1100 << 20, memoryLimitBytes: 2 << 30, pids: 1234,
            cpuNanoseconds: 754_000_000_000)
        let narrow = sessionTable([status], now: Timestamp(seconds: 90_000), Style(width: 80))
        let wide = sessionTable([status], now: Timestamp(seconds: 90_000), plain)
        for line in narrow.split(separator: "\n") { #expect(line.count <= 80, "\(narrow)") }
        for title in ["SESSION", "STATE", "MEMORY", "COMMAND"] { #expect(narrow.contains(title), "\(narrow)") }
        for title in ["TENANT", "PROFILE", "LIMIT", "PIDS", "CPU"] { #expect(wide.contains(title), "\(wide)") }
        #expect(wide.contains("claude -p 'fix all the tests that fail'") && narrow.contains("claude -p"), "\(narrow)")
        let statistics = SessionStatistics(id: status.id, tenant: "a-tenant-whose-name-is-long", usage: nil)
        let figures = statisticsTable([statistics], Style(width: 80))
        for line in figures.split(separator: "\n") { #expect(line.count <= 80, "\(figures)") }
        for title in ["SESSION", "MEMORY", "PEAK OF LIMIT", "CPU"] { #expect(figures.contains(title), "\(figures)") }
    }

    @Test func aPausedSessionIsSeen() {
        func status(_ id: String, _ state: String, memory: UInt64?) -> SessionStatus {
            SessionStatus(
                id: id, tenant: "acme", profile: "default", command: ["sleep", "60"],
                started: Timestamp(seconds: 1000), pid: 7, isDetached: true, state: state, memoryBytes: memory,
                memoryLimitBytes: 64 << 20, pids: 2, cpuNanoseconds: 5_000_000)
        }
        let sessions = [status("a", "running", memory: 1 << 20), status("b", "paused", memory: nil)]
        let text = sessionTable(sessions, now: Timestamp(seconds: 1090), Style(isColored: true))
        let lines = text.split(separator: "\n")
        #expect(
            lines[1] == "a        acme    default  running  1m 30s   1 MiB  64 MiB     2  5 ms  sleep 60", "\(text)")
        #expect(lines[2].hasPrefix("\u{1b}[33mb") && lines[2].contains("paused   1m 30s       -"), "\(text)")
        #expect(sessionTable([], now: .now, plain) == "no session is running\n")
    }

    @Test func aReportTellsWhatHappened() {
        var report = Report(
            session: "s-42", tenant: "acme", host: Report.Host(name: "box", bootID: "b"), carrel: "0.1.0",
            profile: Report.Profile(name: "default", sha256: String(repeating: "a", count: 64)), image: "host",
            command: ["python3", "hog.py", "\u{1b}[2J"], started: Timestamp(seconds: 1_000_000_000),
            ended: Timestamp(seconds: 1_000_000_002),
            exit: Report.Exit(
                how: .oom, status: 137, signal: 9, why: "it ran out of memory",
                by: Report.Actor(uid: 0, pid: 12, comm: "bash")),
            limitsInForce: Report.Limits(memoryBytes: 64 << 20, pids: 256), cgroups: "hybrid",
            absent: [Report.Absence(name: "cpus", reason: "no cpu controller")],
            usage: Report.Usage(
                memoryPeakBytes: 64 << 20, memoryClipped: true, oomKills: 1, cpuNanoseconds: 1_000_000_000,
                cpuUserNanoseconds: 750_000_000, cpuSystemNanoseconds: 250_000_000, pidsPeak: 4, pidsLimitHits: 2),
            pressure: Report.Pressure(memory: .init(someMicroseconds: 1_200_000, fullMicroseconds: 0)),
            launch: [Report.Phase("profile", microseconds: 300), Report.Phase("clone", microseconds: 3600)],
            notes: ["a note"])
        #expect(
            report.text(plain) == """
                s-42  oom  status 137
                  it ran out of memory

                  command     python3 hog.py '\\x1b[2J'
                  tenant      acme
                  profile     default  sha256 aaaaaaaaaaaa
                  image       host
                  host        box, hybrid cgroups, carrel 0.1.0
                  started     2001-09-09 01:46:40 UTC
                  took        2 s

                  memory      ████████████████████  64 MiB of 64 MiB  100 %
                              came up against its limit: it wanted more
                              the kernel ended a process for want of memory
                  processes   ▍···················  4 of 256  2 %
                              was refused another 2 times
                  CPU         1 s  (750 ms user, 250 ms system)  50 % of a CPU
                  waited for  memory 1.2 s

                  launch      3.9 ms
                    profile     300 µs  █▋
                    clone       3.6 ms  ████████████████████

                  absent      cpus: no cpu controller
                  note        a note

                """)
        report.notes = ["its supervisor did not do it: the report was written by another call of carrel"]
        let narrow = report.text(Style(width: 80))
        for line in narrow.split(separator: "\n") { #expect(line.count <= 80, "\(narrow)") }
        #expect(narrow.hasSuffix("by another\n              call of carrel\n"), "\(narrow)")
    }
}
