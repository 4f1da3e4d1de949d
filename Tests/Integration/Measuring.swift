import Documents
import Foundation
import Testing

extension Integration {
    /// Parts 6 to 9: what sessions use, and what hosts have room for.
    @Suite(.serialized) struct Measuring {
        /// Sleeps, then for some time holds so many MB more, again and again.
        private static func bursts(_ megabytes: Int, seconds: Double) -> String {
            """
            import random, time
            end = time.time() + \(seconds)
            time.sleep(random.random() * 0.5)
            while time.time() < end:
                block = bytearray(\(megabytes) * 1000 * 1000)
                time.sleep(0.4)
                del block
                time.sleep(0.15 + random.random() * 0.8)
            """
        }

        @Test func thePeakIsTheKernelsOwn() throws {
            try withDesk { desk in
                let session = try desk.detached(
                    [], "\(Host.python) -c 'x = bytearray(40 << 20); del x' ; touch /tmp/done; sleep 600",
                    session: "peak-k")
                let waiting = desk.carrel([
                    "exec", session, "--", "sh", "-c", "while ! [ -e /tmp/done ]; do sleep 0.1; done",
                ])
                #expect(waiting.status == 0, "\(waiting)")
                let directories = Host.cgroups(of: "default").filter { $0.hasSuffix("/peak-k") }
                let files = directories.flatMap { ["\($0)/memory.peak", "\($0)/memory.max_usage_in_bytes"] }
                let kernel = try #require(
                    files.compactMap { try? String(contentsOfFile: $0, encoding: .utf8) }.first
                        .flatMap { Int64($0.split(separator: "\n")[0]) })
                #expect(desk.carrel(["kill", session]).status == 0)
                let report = try #require(try desk.lastReport().at("usage"))
                let peak = try #require(report["memoryPeakBytes"]?.int)
                // The kernel charges in batches of 64 pages a processor.
                let batch = Int64(64 * 4096 * sysconf(Int32(_SC_NPROCESSORS_CONF)))
                #expect(kernel > 40 << 20 && abs(peak - kernel) <= batch, "\(peak) against \(kernel)")
                #expect((report["pageCacheBytes"]?.int ?? -1) >= 0)
            }
        }

        @Test func theGuidesFigureIsThere() throws {
            try withDesk { desk in
                #expect(desk.python([], "x = bytearray(50 << 20)").status == 0)
                let resident = try #require(try desk.lastReport().at("usage.residentPeakBytes")?.int)
                #expect(resident > 50 << 20 && resident < 90 << 20)
            }
        }

        @Test func aCurveIsRecordedAtLittleCost() throws {
            try withDesk { desk in
                let inside = desk.python(
                    ["--curve", "--session", "curve-c", "--tmp", "64MiB"],
                    "import time\nx = bytearray(30 << 20)\nopen('/tmp/x', 'wb').write(bytes(20 << 20))\ntime.sleep(3.3)"
                )
                #expect(inside.status == 0, "\(inside)")
                let curve = try #require(try desk.lastReport().at("curve"))
                let samples = try #require(curve["samples"]?.int)
                #expect(samples >= 3 && Double(samples) <= inside.seconds + 2, "\(samples) in \(inside.seconds) s")
                #expect((curve["anonBytes"]?.int ?? 0) > 30 << 20 && (curve["shmemBytes"]?.int ?? 0) >= 20 << 20)
                #expect((curve["kernelBytes"]?.int ?? 0) > 0)
                #expect((curve["residentSumBytes"]?.int ?? 0) > 30 << 20)
                // On a busy machine too, a look costs well under a hundredth of its second.
                #expect((curve["costNanoseconds"]?.int ?? .max) / samples < 10_000_000)
                let lines = desk.read("state/curves/curve-c.jsonl").split(separator: "\n")
                #expect(lines.count == Int(samples) + 1)
            }
        }

        @Test func whoTouchesAnImagesPagesFirstDoesNotRaiseTheCeiling() throws {
            try withDesk { desk in
                let data = try desk.directory("data")
                let blob = data + "/blob"
                let made = Host.outside(
                    "dd if=/dev/zero of='\(blob)' bs=1M count=64 conv=fsync 2>/dev/null; chmod 644 '\(blob)'; "
                        + "dd of='\(blob)' oflag=nocache conv=notrunc,fdatasync count=0 2>/dev/null")
                #expect(made.status == 0, "\(made)")
                let profile = try desk.profile("reader", "mounts:\n  - { source: \(data), target: /data }")
                let measured = desk.carrel([
                    "measure", "--profile", profile, "--runs", "3", "--interval", "50ms", "--json", "--", "sh", "-c",
                    "cat /data/blob >/dev/null; sleep 0.4",
                ])
                #expect(measured.status == 0, "\(measured)")
                let document = try desk.parse(measured.output)
                #expect((document["sharedBytes"]?.int ?? 0) > 60 << 20, "the warm-up did not pay for the pages")
                let peaks = document["runs"]?.elements?.compactMap { $0["peakBytes"]?.int } ?? []
                #expect(peaks.count == 3 && peaks.allSatisfy { $0 < 16 << 20 }, "\(peaks)")
                #expect(document["leftOut"]?.int == 1)
            }
        }

        @Test func aCampaignGivesATableAPageAndACeilingForAdmission() throws {
            try withDesk { desk in
                let measured = desk.carrel(
                    [
                        "measure", "--runs", "29", "--parallel", "6", "--interval", "20ms", "--memory", "128MiB",
                        "--json", "--",
                    ]
                        + [Host.python, "-c", "import time; x = bytearray(20 << 20); time.sleep(0.15)"], timeout: 180)
                #expect(measured.status == 0, "\(measured)")
                let outcome = try desk.parse(measured.output)
                let ceiling = try #require(outcome["admissionCeilingBytes"]?.int)
                #expect(ceiling > 20 << 20 && ceiling < 64 << 20)
                #expect((outcome["peakOfSumBytes"]?.int ?? 0) > ceiling)
                let p99 = outcome["quantiles"]?.elements?.last
                #expect(p99?["upperBytes"]?.isNull == true && p99?["runsNeeded"]?.int == 270)

                let plan = try desk.parse(
                    desk.carrel(["capacity", "--host", "64GiB,128GiB", "--ceiling", "p90", "--json"]).output)
                #expect(plan.at("ceiling.isBound")?.bool == true && plan.at("ceiling.bytes")?.int == ceiling)
                let first = plan["hosts"]?.elements?.first
                #expect(first?.at("ceiling.sessions")?.int == (62 << 30) / ceiling)
                #expect(desk.carrel(["capacity", "--csv"]).output.components(separatedBy: "\r\n").count == 5)
                #expect(desk.carrel(["capacity"]).output.contains("needs 270 more runs"))
                let page = desk.path + "/report.html"
                #expect(desk.carrel(["capacity", "--html", page]).status == 0)
                let text = desk.read("report.html")
                #expect(text.contains("<svg ") && !text.contains("<script") && !text.contains("src="))

                // Admission goes by what was measured, for just this box.
                try desk.write("version: 1\nmemory: 300MiB\nreserve: 172MiB\n", to: "state/host.yaml", mode: 0o600)
                var sessions: [String] = []
                for index in 1...3 {
                    sessions.append(try desk.detached(["--memory", "128MiB"], session: "ceiling-\(index)"))
                }
                #expect(desk.run(["--memory", "127MiB"], ["true"]).status == 75)
                #expect(desk.carrel(["kill", "--all"]).status == 0)
            }
        }

        /// Drawn by a browser at a screen's and at a phone's width: nothing sticks out, and light and dark are two.
        @Test(.enabled(if: Host.has("chromium"), "needs chromium"))
        func theReportCanBeReadOnAScreenAndOnAPhone() throws {
            try withDesk { desk in
                let program = "import time; x = bytearray(20 << 20); time.sleep(0.2)"
                let measured = desk.carrel([
                    "measure", "--runs", "8", "--parallel", "4", "--interval", "20ms", "--", Host.python, "-c", program,
                ])
                #expect(measured.status == 0, "\(measured)")
                #expect(desk.carrel(["capacity", "--html", desk.path + "/report.html"]).status == 0)
                // A window has at least 500 pixels: a frame can be as narrow as a phone.
                func frame(_ width: Int) -> String {
                    "<iframe src='report.html' style='border:0;width:\(width)px;height:1400px'></iframe>"
                }
                func chromium(_ options: [String], _ page: String, _ body: String) throws -> Outcome {
                    let file = try desk.write("<body style='margin:0'>" + body, to: page)
                    return Host.outside(
                        [
                            "/usr/bin/chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                            "--allow-file-access-from-files", "--user-data-dir=\(desk.path)/chromium",
                            "--window-size=1280,1400",
                        ] + options + ["file://" + file], timeout: 120)
                }
                let script = """
                    <script>onload = () => document.body.dataset.widths =
                        [...document.querySelectorAll('iframe')].map(f => f.contentDocument.documentElement.scrollWidth)
                    </script>
                    """
                let drawn = try chromium(["--dump-dom"], "widths.html", frame(1280) + frame(390) + frame(320) + script)
                #expect(drawn.output.contains("data-widths=\"1280,390,320\""), "\(drawn)")
                for width in [1280, 390] {
                    var pictures: [Data?] = []
                    for scheme in ["0", "1"] {
                        let picture = "\(desk.path)/\(width)-\(scheme).png"
                        let shot = try chromium(
                            ["--blink-settings=preferredColorScheme=\(scheme)", "--screenshot=\(picture)"], "shot.html",
                            frame(width))
                        pictures.append(FileManager.default.contents(atPath: picture))
                        #expect(shot.status == 0 && pictures.last??.count ?? 0 > 20_000, "\(shot)")
                    }
                    #expect(pictures[0] != pictures[1])
                }
                // Its helpers end a moment after it.
                #expect(eventually { Host.processes(with: desk.path).isEmpty })
            }
        }

        @Test func runsThatFailAreNoMeasurement() throws {
            try withDesk { desk in
                let options = ["-n", "29", "--parallel", "8", "--warm-up", "0"]
                let measured = desk.carrel(["measure"] + options + ["--", "false"])
                #expect(measured.status == 1 && measured.output.contains("29 of 29 runs exited with 1"), "\(measured)")
                #expect(Desk.list(desk.state + "/ceilings").isEmpty)
                let plan = desk.carrel(["capacity"])
                #expect(plan.status == 125 && plan.errors.contains("29 of 29 runs exited with 1"), "\(plan)")
                let some = desk.carrel(
                    [
                        "measure", "-n", "3", "--json", "--tenant", "odd", "--", "sh", "-c",
                        "exit $((${CARREL_SESSION##*-} % 2))",
                    ])
                let document = try desk.parse(some.output)
                #expect(some.status == 0 && document["runs"]?.elements?.count == 1, "\(some)")
                let kind = document["unfinished"]?.elements?.first
                #expect(kind?["status"]?.int == 1 && kind?["runs"]?.int == 2, "\(some)")
                let validated = desk.carrel(["capacity", "validate", "-n", "2", "--sessions", "2", "--", "false"])
                #expect(
                    validated.status == 125 && validated.errors.contains("2 of 2 runs exited with 1"), "\(validated)")
            }
        }

        @Test func aClippedRunIsNoMeasurement() throws {
            try withDesk { desk in
                let measured = desk.carrel([
                    "measure", "--runs", "2", "--memory", "24MiB", "--json", "--", Host.python, "-c",
                    "x = bytearray(40 << 20)",
                ])
                #expect(measured.status == 1, "\(measured)")
                let document = try desk.parse(measured.output)
                #expect(document["runs"]?.elements?.allSatisfy { $0["clipped"]?.bool == true } == true)
                #expect(document["admissionCeilingBytes"]?.isNull == true)
                let plan = try desk.parse(desk.carrel(["capacity", "--json"]).output)
                #expect(plan["ceiling"]?.isNull == true && plan["clipped"]?.int == 2)
            }
        }

        /// A ceiling is no longer gone by once runs of what it is of have wanted more than their limit; until then it is told.
        @Test func aClippedRunTakesTheCeilingBack() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                func measure(_ runs: Int, _ command: [String]) throws -> Node {
                    try desk.parse(
                        desk.carrel(
                            [
                                "measure", "--runs", "\(runs)", "--parallel", "6", "--memory", "32MiB", "--workdir",
                                work,
                                "--json", "--",
                            ] + command, timeout: 180
                        ).output)
                }
                func berth() throws -> Int64? {
                    let session = try desk.detached(["--memory", "32MiB"], session: "berth")
                    defer { desk.carrel(["kill", session]) }
                    return desk.carrel(["metrics"]).lines.first { $0.hasPrefix("carrel_berths_taken_bytes ") }
                        .flatMap { Int64($0.split(separator: " ")[1]) }
                }
                let command = [
                    Host.python, "-c", "import os; x = bytearray(64 << 20 if os.path.exists('more') else 4 << 20)",
                ]
                let ceiling = try #require(try measure(29, command)["admissionCeilingBytes"]?.int)
                #expect(try berth() == ceiling)
                // Of another command: the ceiling is as it was.
                #expect(try measure(1, ["true"])["admissionCeilingBytes"]?.int == ceiling)
                #expect(try berth() == ceiling)
                try desk.write("", to: "work/more")
                #expect(try measure(1, command)["admissionCeilingBytes"]?.isNull == true)
                #expect(try berth() == 32 << 20)
            }
        }

        /// The bar, scaled: what is missed three times in a row on a busy machine is missed.
        @Test func thePeakOfTheSumIsPredicted() throws {
            try withDesk { desk in
                var error = 1.0
                for _ in 0..<3 where abs(error) > 0.1 {
                    let validated = desk.carrel(
                        ["capacity", "validate", "--sessions", "10", "--runs", "6", "--parallel", "3", "--json", "--"]
                            // Little work to fill them: on a busy machine larger ones would come one after the other.
                            + [Host.python, "-c", Self.bursts(24, seconds: 6)], timeout: 120)
                    try #require(validated.status == 0, "\(validated)")
                    let document = try desk.parse(validated.output)
                    error = document["error"]?.number ?? 1
                    #expect((document["measuredBytes"]?.int ?? 0) < (document["sumOfPeaksBytes"]?.int ?? 0) + (8 << 20))
                }
                #expect(abs(error) <= 0.1, "off by \(error)")
            }
        }

        @Test func linesThatAreNoReportsAreTold() throws {
            try withDesk { desk in
                #expect(desk.carrel(["measure", "-n", "3", "--", "true"]).status == 0)
                let whole = desk.read("state/ledger.jsonl")
                let last = try #require(whole.split(separator: "\n").last)
                // Figures that no kernel counts: each of them ended the plan by a signal.
                let peak = try #require(try desk.lastReport().at("usage.memoryPeakBytes")?.int)
                let strange = ["-5", "9223372036854775807", "\"x\""].map {
                    String(last).replacing("\"memoryPeakBytes\":\(peak)", with: "\"memoryPeakBytes\":\($0)")
                        .replacing("\"session\":\"", with: "\"session\":\"strange-")
                }
                try desk.write(
                    whole + strange.joined(separator: "\n") + "\n\0\0\n{\"torn", to: "state/ledger.jsonl", mode: 0o600)
                let line = whole.split(separator: "\n").count + 1
                let told = "5 lines of the ledger are no reports, and left out: \(desk.state)/ledger.jsonl:\(line):"
                let text = desk.carrel(["capacity"])
                #expect(text.status == 0 && text.output.contains(told), "\(text)")
                let plan = try desk.parse(desk.carrel(["capacity", "--json"]).output)
                #expect(plan["runs"]?.int == 3 && text.output.contains("note: some runs have no curve"))
                #expect(plan["notes"]?.elements?.first?.string?.hasPrefix(told) == true, "\(plan.json())")
                let report = desk.carrel(["report", try #require(try desk.parse(strange[0])["session"]?.string)])
                #expect(report.status == 125 && report.errors.contains(told), "\(report)")
                // How these ended can be read all the same.
                let metrics = desk.carrel(["metrics"]).output
                #expect(metrics.contains("carrel_ledger_unreadable_lines 2\n"), "\(metrics)")
                #expect(metrics.contains("carrel_sessions_ended_total{how=\"exited\"} 7\n"), "\(metrics)")
            }
        }

        /// A host's ledger grows without end: what a plan does not go by is read past.
        @Test func aPlanKeepsNoMoreOfTheLedgerThanItNeeds() throws {
            try withDesk { desk in
                #expect(desk.carrel(["measure", "-n", "3", "--", "true"]).status == 0)
                func resident() throws -> Int {
                    let program = """
                        import os, resource, subprocess
                        subprocess.run([os.environ["CARREL"], "capacity"], stdout=subprocess.DEVNULL, check=True)
                        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10)
                        """
                    let told = desk.around("\(Host.python) -c '\(program)'")
                    return try #require(Int(told.output), "\(told)")
                }
                let before = try resident()
                let whole = desk.read("state/ledger.jsonl")
                let last = String(try #require(whole.split(separator: "\n").last))
                let plain = last.replacing(/"campaign":\{[^}]*\}/, with: "\"campaign\":null") + "\n"
                #expect(plain != last + "\n")
                try desk.write(
                    String(repeating: plain, count: 6000) + whole, to: "state/ledger.jsonl", mode: 0o600)
                let after = try resident()
                #expect(after < before + (8 << 20), "\(before), \(after)")
            }
        }

        @Test func aClockThatIsSetMakesNoSessionLongerOrShorter() throws {
            try withDesk { desk in
                _ = try desk.detached([], "sleep 600", session: "clock")
                let path = "state/sessions/clock.json"
                let supervisor = Int32(try #require(try desk.json(path)["supervisor"]?.int))
                // A parked supervisor comes back with what its record says: here, that it began in an hour.
                try #require(
                    eventually {
                        let line = FileManager.default.contents(atPath: "/proc/\(supervisor)/cmdline") ?? Data()
                        return String(decoding: line, as: UTF8.self).contains("park")
                    })
                let began = try #require(try desk.json(path)["started"]?.string.flatMap { Timestamp($0) })
                let later = { (time: Timestamp) in
                    Timestamp(seconds: time.seconds + 3600, nanoseconds: time.nanoseconds)
                }
                var record = desk.read(path)
                for found in Set(record.matches(of: /"(started|ended)":"([^"]+)"/).map { String($0.output.2) }) {
                    record = record.replacing(found, with: later(try #require(Timestamp(found))).description)
                }
                try desk.write(record, to: path, mode: 0o600)
                #expect(desk.carrel(["kill", "clock"]).status == 0)
                let report = try desk.lastReport()
                let ended = try #require(report["ended"]?.string.flatMap { Timestamp($0) })
                #expect(report["started"]?.string == later(began).description)
                #expect(ended > later(began) && ended.seconds < later(began).seconds + 300, "\(ended)")
            }
        }

        @Test func aFullHostIsToldWithWhatHelpsACampaign() throws {
            try withDesk { desk in
                try desk.write("version: 1\nmemory: 100MiB\nreserve: 36MiB\n", to: "state/host.yaml", mode: 0o600)
                let full = desk.carrel([
                    "measure", "-n", "4", "--parallel", "4", "--warm-up", "0", "--memory", "32MiB", "--", "sleep", "60",
                ])
                #expect(full.status == 75 && full.errors.contains("the host is full"), "\(full)")
                #expect(
                    full.errors.contains("fix: measure fewer at a time") && !full.errors.contains("--wait"), "\(full)")
            }
        }

        @Test func anInterruptedCampaignLeavesNothing() throws {
            try withDesk { desk in
                let campaign = desk.around(
                    "\"$CARREL\" measure --runs 4 --parallel 4 --warm-up 0 -- sleep 60 & sleep 1.5; kill -INT $!; wait $!",
                    timeout: 40)
                #expect(campaign.status == 130 && campaign.seconds < 30, "\(campaign)")
                #expect(campaign.errors.contains("interrupted after 0 of 4 runs"))
            }
        }

        @Test func metricsAreWhatPrometheusReads() throws {
            try withDesk { desk in
                let session = try desk.detached(session: "m-1")
                let file = desk.path + "/carrel.prom"
                #expect(desk.carrel(["metrics", "--into", file]).status == 0)
                #expect(Desk.list(desk.path).filter { $0.hasPrefix("carrel.prom") } == ["carrel.prom"])
                let check = """
                    import sys
                    from prometheus_client.openmetrics.parser import text_string_to_metric_families
                    families = {family.name: family for family in text_string_to_metric_families(sys.stdin.read())}
                    print(families['carrel_sessions'].samples[0].value, len(families))
                    assert families['carrel_session_cpu_seconds'].unit == 'seconds'
                    assert families['carrel_session_memory_bytes'].samples[0].labels['session'] == 'm-1'
                    assert families['carrel_berths_taken_bytes'].samples[0].value == 1 << 30
                    """
                let parsed = Host.outside([Host.python, "-c", check], stdin: desk.read("carrel.prom"))
                #expect(parsed.status == 0 && parsed.output.hasPrefix("1"), "\(parsed)")

                // A berth whose start was killed before anything else of it was there is nobody's.
                let book = try #require(FileHandle(forUpdatingAtPath: desk.state + "/berths"))
                let taken = try #require(try book.readToEnd()).suffix(64)
                var lost = Data([0xff, 0xff, 0xff, 0x7f])
                lost.append(taken.dropFirst(4))
                try book.seekToEnd()
                try book.write(contentsOf: lost)
                #expect(desk.carrel(["metrics"]).output.contains("carrel_berths 1\n"))

                let server = desk.start(carrel: ["metrics", "--socket", desk.path + "/metrics.sock"])
                let scrape = """
                    import socket, sys, time
                    for _ in range(200):
                        try:
                            client = socket.socket(socket.AF_UNIX); client.connect(sys.argv[1]); break
                        except OSError: time.sleep(0.05)
                    client.sendall(b'GET /metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
                    answer = b''
                    while part := client.recv(65536): answer += part
                    head, body = answer.split(b'\\r\\n\\r\\n', 1)
                    if len(sys.argv) > 2: assert sys.argv[2].encode() in head and b'host.yaml' in body, answer; sys.exit()
                    assert b'openmetrics-text' in head and body.endswith(b'# EOF\\n'), answer
                    """
                // What an operator has just mistyped does not end it.
                try desk.write("version: one\n", to: "state/host.yaml", mode: 0o600)
                let refused = Host.outside([Host.python, "-c", scrape, desk.path + "/metrics.sock", " 500 "])
                #expect(refused.status == 0, "\(refused)")
                try desk.write("version: 1\n", to: "state/host.yaml", mode: 0o600)
                let scraped = Host.outside([Host.python, "-c", scrape, desk.path + "/metrics.sock"])
                #expect(scraped.status == 0, "\(scraped)")
                server.signal(SIGTERM)
                #expect(server.finish(within: 10).status == 0)
                #expect(!Desk.list(desk.path).contains("metrics.sock"))
                #expect(desk.carrel(["kill", session]).status == 0)
            }
        }

        @Test func topShowsWhatSessionsDo() throws {
            try withDesk { desk in
                let session = try desk.detached([], "while :; do :; done", session: "top-busy")
                let top = try desk.parse(desk.carrel(["top", "--json"]).output)
                let line = try #require(top.elements?.first)
                #expect(line["session"]?.string == "top-busy" && (line["cpus"]?.number ?? 0) > 0.1)
                #expect((line["memoryPeakBytes"]?.int ?? 0) > 0 && line["egress"]?.isNull == true)
                let text = desk.carrel(["top", "--once"])
                #expect(text.lines.first?.hasPrefix("SESSION") == true && text.lines.count == 2, "\(text)")
                #expect(desk.carrel(["kill", session]).status == 0)
            }
        }

        @Test func whatASessionHasUsedOfTheNetworkIsShown() throws {
            try withDesk { desk in
                let standIn = try EgressHandover.StandIn(desk)
                let session = try desk.detached(try EgressHandover.profile(desk), session: "net-1")
                let used = #""requests":2,"denied":0,"bytesUp":1000,"bytesDown":2000,"microdollars":1250000,"tokens":9"#
                try standIn.tell(#"{"type":"usage",\#(used)}"#)
                #expect(
                    try eventually {
                        let top = try desk.parse(desk.carrel(["top", "--json"]).output)
                        return top.elements?.first?.at("egress.bytesDown")?.int == 2000
                    })
                let text = desk.carrel(["top", "--once"]).output
                #expect(text.contains("2.9 KiB") && text.contains("$1.25"), "\(text)")
                let metrics = desk.carrel(["metrics"]).output
                let labels = "{session=\"net-1\",tenant=\"default\"}"
                #expect(metrics.contains("carrel_session_egress_sent_bytes_total\(labels) 1000\n"), "\(metrics)")
                #expect(metrics.contains("carrel_session_cost_dollars_total\(labels) 1.25\n"), "\(metrics)")
                // A supervisor that is killed takes none of it along.
                let supervisor = try #require(try desk.json("state/sessions/\(session).json")["supervisor"]?.int)
                kill(Int32(supervisor), SIGKILL)
                #expect(eventually { desk.carrel(["ps", "--json"]).output == "[]" })
                #expect(try desk.lastReport().at("egress.microdollars")?.int == 1_250_000)
            }
        }

        @Test func aSessionIsPinnedToAHost() throws {
            try withDesk { desk in
                let hosts = try desk.write(
                    "version: 1\nhosts:\n  - { name: a, berths: 10 }\n  - { name: b, berths: 30, sessions: 2 }\n",
                    to: "hosts.yaml")
                let names = (1...40).map { "s-\($0)" }
                let once = desk.carrel(["pin", "--hosts", hosts] + names)
                #expect(once.status == 0 && once.lines.count == 40, "\(once)")
                #expect(
                    desk.carrel(["pin", "--hosts", hosts, "s-7"]).output
                        == once.lines[6].split(separator: " ").last.map(String.init))
                let wrong = try desk.write("version: 1\nhosts:\n  - { name: a, berth: 10 }\n", to: "wrong.yaml")
                let refused = desk.carrel(["pin", "--hosts", wrong, "s-7"])
                #expect(refused.status == 125 && refused.errors.contains("wrong.yaml:3"), "\(refused)")
                let full = try desk.write(
                    "version: 1\nhosts:\n  - { name: a, berths: 1, sessions: 1 }\n", to: "full.yaml")
                #expect(desk.carrel(["pin", "--hosts", full, "s-7"]).status == 75)
            }
        }
    }
}
