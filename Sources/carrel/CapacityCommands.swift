import Capacity
import Documents
import Glibc
import Options
import Session
import Syscalls

// Commands that measure sessions, plan hosts and watch them.

private let planning: StaticString = "Capacity"
private let question: StaticString = "What is asked"
private let campaign: StaticString = "How it is measured"

/// What a measured session can be given: what `run` takes, without what a session in the background has no use for.
private let measuredOptions: [Option] = [
    .profile, .tenant, .workdir, .image, .memory, .swap, .pids, .cpus, .openFiles, .tmp, .timeout, .idle, .grace,
    .seccomp, .network, .env,
]

extension Option {
    static let wait = Option(
        "wait", takes: "DURATION",
        "Where the host is full: how long to queue for a berth. Without it the answer comes at once, exit status 75")
    static let curve = Option(
        "curve", "Records the session's memory once a second: `curves/SESSION.jsonl` in the state directory")
    static let runs = Option("runs", letter: "n", takes: "NUMBER", under: campaign, "How many runs. Without it: 30")
    static let singleRuns = Option(
        "runs", letter: "n", takes: "NUMBER", under: campaign, "How many single runs. Without it: 8")
    static let parallel = Option(
        "parallel", takes: "NUMBER", under: campaign, "How many at a time. Without it: 1")
    static let warmUp = Option(
        "warm-up", takes: "NUMBER", under: campaign,
        "How many runs before, which do not count: the first to touch files is charged for them. Without it: 1")
    static let lookEvery = Option(
        "interval", takes: "DURATION", under: campaign, "The time from one look at a session's memory to the next")
    static let sessions = Option(
        "sessions", takes: "NUMBER", under: campaign, "How many sessions run at once. Without it: 20")
    static let planHost = Option(
        "host", takes: "SIZE[,SIZE...]", under: question, "Sizes of hosts. Without it: `64GiB,128GiB,256GiB,512GiB`")
    static let overhead = Option(
        "overhead", takes: "SIZE", under: question, "Memory of a host that sessions do not get. Without it: `2GiB`")
    static let ceiling = Option(
        "ceiling", takes: "QUANTILE", completing: .words("p90 p95 p99 max"), under: question,
        "What the ceiling bounds: `p90`, `p95`, `p99` (without it), `p99.9`, or `max`, the highest measured")
    static let risk = Option(
        "risk", takes: "PERCENT/day", under: question,
        "The risk of running out of memory that overcommit accepts. Without it: `1%/day`; also `/week` and `/year`")
    static let ofCampaign = Option(
        "campaign", takes: "NAME", under: question,
        "Only this campaign. Without it: the newest, and earlier ones of the same profile and command")
    static let ofProfile = Option(
        "profile", letter: "P", takes: "PROFILE", completing: profileNames, under: question,
        "The profile. Without it: that of the newest campaign")
    static let csv = Option("csv", "Prints the table as comma-separated values")
    static let html = Option(
        "html", takes: "FILE", completing: .file, "Writes the whole report as one page that needs nothing else")
    static let hosts = Option(
        "hosts", takes: "FILE", completing: .file, "The hosts, with their berths and sessions, as YAML")
    static let once = Option("once", "Prints once and ends")
    static let refresh = Option("interval", takes: "DURATION", "The time between two looks. Without it: `2s`")
    static let intoFile = Option(
        "into", takes: "FILE", completing: .file,
        "Writes the metrics to a file in one step, for the textfile collector of node_exporter")
    static let socket = Option(
        "socket", takes: "PATH", completing: .file,
        "Answers with the metrics on a Unix socket, as HTTP, until it is ended")
}

extension Command {
    static let measure = Command(
        "measure", in: planning, takesProgram: true,
        options: [.runs, .parallel, .warmUp, .lookEvery, .json] + measuredOptions,
        "Run representative sessions and measure their memory",
        details: [
            """
            Peaks are the kernel's own counters, not samples. A run that comes up against its limit is counted and is no \
            measurement. The sessions are ordinary ones, of tenant `measure` unless `--tenant` names another, and their \
            reports are in the ledger. Once 29 runs are there, `carrel run` admits sessions of the profile by what was \
            measured instead of by their limit. A run that does not exit with 0 is told, and is no measurement; ends with \
            1 where there is no other.
            """,
            """
            A bound of p99 that supposes nothing about the distribution takes 299 runs, p95 59, p90 29. Campaigns of one \
            profile and command add up.
            """,
        ],
        examples: [
            Example(
                "Thirty runs, five at a time",
                "carrel measure --profile claude-code --runs 30 --parallel 5 -- claude -p 'fix the test'")
        ])

    static let capacity = Command(
        "capacity", in: planning,
        options: [
            .ofProfile, .planHost, .overhead, .ceiling, .risk, .ofCampaign, .json, .csv, .html,
        ], "Tell how many sessions hosts have room for",
        details: [
            """
            Three ways of reckoning, beside each other: the guide's formula with the resident set for a ceiling, the \
            ceiling from the kernel's peaks, and overcommit at a risk that you choose. With what is needed if all \
            sessions are at their peak at one moment, and what changes with overhead and ceiling.
            """
        ],
        examples: [
            Example("Two sizes of host", "carrel capacity --host 64GiB,128GiB --overhead 2GiB --ceiling p99"),
            Example("A page to mail", "carrel capacity --risk 1%/day --html report.html"),
        ])

    static let capacityValidate = Command(
        "capacity validate", in: planning, takesProgram: true,
        options: [.sessions, .singleRuns, .parallel, .warmUp, .lookEvery, .json] + measuredOptions,
        "Predict the peak of a sum of sessions, and measure it",
        details: [
            """
            Single runs first (`--runs`, looked at every 50 ms where `--interval` does not say otherwise): their curves, \
            put on top of each other, predict. Then all at once, and the kernel's counter of the cgroup above them tells what it was.
            """
        ],
        examples: [Example("Forty agents at once", "carrel capacity validate --sessions 40 -P python -w . -- ./agent")])

    static let top = Command(
        "top", in: planning, options: [.once, .refresh, .json], "Watch live sessions: memory, processor, pressure",
        details: ["On a terminal the table is drawn anew until `q` is pressed; elsewhere it is printed once.", narrow])

    static let pin = Command(
        "pin", in: planning, operands: [Operand("SESSION", isRepeatable: true)], options: [.hosts, .json],
        "Tell which host a session belongs to",
        details: [
            """
            The same answer wherever it is asked: rendezvous hashing, weighted by berths, with bounded loads. A host that \
            goes moves its own sessions only. `hosts.yaml` has `version: 1` and a list `hosts` of `name`, `berths`, \
            `sessions` (how many it has now) and `draining`; `factor` (1.25) is how far above its share a host may go.
            """
        ],
        examples: [Example("One session", "carrel pin s-42 --hosts hosts.yaml")])

    static let metrics = Command(
        "metrics", in: planning, options: [.intoFile, .socket], synopsis: "[--into FILE | --socket PATH]",
        "Print the host's metrics as OpenMetrics",
        examples: [
            Example(
                "For node_exporter, every minute by cron",
                "carrel metrics --into /var/lib/node_exporter/textfile_collector/carrel.prom"),
            Example("On a socket", "carrel metrics --socket /run/carrel/metrics.sock"),
        ])
}

extension Verb {
    private func number(
        _ words: Words, _ option: Option, _ usual: Int, atLeast least: Int = 1
    ) throws(SessionError) -> Int {
        guard let text = words[option] else { return usual }
        guard let number = Int(text), least...100_000 ~= number else {
            throw SessionError("--\(option.name) \(text): expected a number from \(least) to 100000")
        }
        return number
    }

    private func span(_ words: Words, _ option: Option, _ usual: Int64) throws(SessionError) -> Int64 {
        guard let text = words[option] else { return usual }
        guard let span = TimeSpan.parse(text), span >= 1_000_000 else {
            throw SessionError("--\(option.name) \(text): expected a duration such as 1s or 50ms")
        }
        return span
    }

    private func measureRequest(
        _ words: Words, _ option: Option, runs: Int, interval: Int64
    ) throws(SessionError) -> MeasureRequest {
        var session = try request(words)
        if words[.tenant] == nil { session.tenant = "measure" }
        var measure = MeasureRequest(session)
        measure.runs = try number(words, option, runs)
        measure.parallel = try number(words, .parallel, 1)
        measure.warmUps = try number(words, .warmUp, 1, atLeast: 0)
        measure.interval = try span(words, .lookEvery, interval)
        return measure
    }

    /// Tells on a terminal how far it is.
    private func showProgress(_ over: Int, _ total: Int) {
        guard isatty(2) == 1 else { return }
        let line = "\r\(over) of \(total) runs" + (over == total ? "\u{1b}[K\r" : "")
        try? writeAll(line.utf8, to: .standardError)
    }

    func measure(_ words: Words) throws(SessionError) -> Int32 {
        let request = try measureRequest(words, .runs, runs: 30, interval: 1_000_000_000)
        let outcome = try Carrel().measure(request, progress: showProgress)
        if words.has(.json) {
            try put(outcome.node)
        } else {
            try put(measureText(outcome, parallel: request.parallel, Style(for: 1)))
        }
        return outcome.measurements.peaks.measured.isEmpty ? 1 : 0
    }

    func validateCapacity(_ words: Words) throws(SessionError) -> Int32 {
        let request = try measureRequest(words, .singleRuns, runs: 8, interval: 50_000_000)
        let sessions = try number(words, .sessions, 20)
        let validation = try Carrel().validate(request, sessions: sessions, progress: showProgress)
        if words.has(.json) {
            try put(validation.node)
        } else {
            try put(validationText(validation, Style(for: 1)))
        }
        return 0
    }

    func planCapacity(_ words: Words) throws(SessionError) -> Int32 {
        try refuse([.json, .csv], in: words)
        let question = try planQuestion(words)
        let carrel = try Carrel()
        guard let measurements = try carrel.measurements(profile: words[.ofProfile], campaign: words[.ofCampaign])
        else {
            throw SessionError(
                "nothing was measured" + (words[.ofProfile].map { " of profile \($0)" } ?? "")
                    + (words[.ofCampaign].map { " in campaign \($0)" } ?? ""),
                fix: "carrel measure --profile PROFILE --runs 30 -- CMD")
        }
        if measurements.runs.isEmpty {
            throw SessionError("nothing was measured: " + measurements.unfinishedText.joined(separator: "; "))
        }
        let plan = CapacityPlan(measurements, question)
        if let file = words[.html] {
            let page = PlanPage(plan, version: Carrel.version).html
            try writeFile(file, page, "--html")
        }
        if words.has(.json) {
            try put(plan.node)
        } else if words.has(.csv) {
            try put(plan.csv)
        } else if words[.html] == nil {
            try put(planText(plan, Style(for: 1)))
        }
        return 0
    }

    private func planQuestion(_ words: Words) throws(SessionError) -> PlanQuestion {
        var question = PlanQuestion()
        func size(_ text: String, _ option: Option) throws(SessionError) -> Double {
            // `64` is no host of 64 bytes: its unit was forgotten.
            guard let size = ByteSize.parse(text), size >= 1 << 20 else {
                throw SessionError("--\(option.name) \(text): expected a size such as 64GiB")
            }
            return Double(size)
        }
        if let text = words[.planHost] {
            question.hosts = []
            for part in text.split(separator: ",", omittingEmptySubsequences: false) {
                question.hosts.append(try size(String(part), .planHost))
            }
        }
        if let text = words[.overhead] { question.overhead = text == "0" ? 0 : try size(text, .overhead) }
        if let text = words[.ceiling] {
            let number = text.hasPrefix("p") ? Double(text.dropFirst()) : nil
            guard text == "max" || number.map({ 50...99.9 ~= $0 }) == true else {
                throw SessionError("--ceiling \(text): expected p50 to p99.9, or max")
            }
            question.quantile = number.map { $0 / 100 }
        }
        if let text = words[.risk] {
            let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            let days = ["day": 1.0, "week": 7, "month": 30, "year": 365]
            guard parts.count == 2, let span = days[String(parts[1])], parts[0].hasSuffix("%"),
                let percent = Double(parts[0].dropLast()), percent > 0, percent < 100
            else { throw SessionError("--risk \(text): expected a percentage a time, such as 1%/day or 5%/year") }
            question.risk = percent / 100 / span
            question.riskText = text
        }
        return question
    }

    func pinSessions(_ words: Words) throws(SessionError) -> Int32 {
        guard let file = words[.hosts] else {
            throw SessionError("pin: expected --hosts FILE", fix: "carrel pin --help tells what is in it")
        }
        let pin: HostPin
        do {
            pin = try HostPin(try readFile(file), file: file)
        } catch { throw SessionError(error is Problems ? "\(error)" : "--hosts: \(error)") }
        var answers: [Node] = []
        for session in words.operands {
            try checkName(session, of: "session")
            guard let host = pin.host(for: session) else {
                throw SessionError(
                    "no host has room for \(session): all are at their bound, full or draining",
                    fix: "add a host to \(file), or raise factor", exitStatus: 75)
            }
            answers.append([
                "session": Node(.string(session)), "host": Node(.string(host.name)),
                "bound": Node(.integer(Int64(pin.bound(of: host)))),
                "order": Node(.sequence(pin.order(of: session).map { Node(.string($0.name)) })),
            ])
            if !words.has(.json) { try put(words.operands.count == 1 ? "\(host.name)\n" : "\(session) \(host.name)\n") }
        }
        if words.has(.json) { try put(Node(.sequence(answers))) }
        return 0
    }

    func printMetrics(_ words: Words) throws(SessionError) -> Int32 {
        try refuse([.socket, .intoFile], in: words)
        let carrel = try Carrel()
        if let path = words[.socket] {
            try carrel.serveMetrics(at: path)
        } else if let file = words[.intoFile] {
            let text = try carrel.metrics()
            try writeFile(file, text, "--into")
        } else {
            try put(try carrel.metrics())
        }
        return 0
    }

    func watchSessions(_ words: Words) throws(SessionError) -> Int32 {
        for once in [Option.once, .json] { try refuse([.refresh, once], in: words) }
        let interval = try span(words, .refresh, 2_000_000_000)
        let carrel = try Carrel()
        var gauge = SessionGauge(carrel)
        let isOnTerminal = isatty(1) == 1 && isatty(0) == 1
        if words.has(.refresh) && !isOnTerminal {
            throw SessionError("top: --interval is for a terminal: elsewhere it prints once", fix: "leave it out")
        }
        if words.has(.json) || words.has(.once) || !isOnTerminal {
            _ = try gauge.look()
            // Rates need two looks.
            usleep(250_000)
            let lines = try gauge.look()
            if words.has(.json) {
                try put(Node(.sequence(lines.map(\.node))))
            } else {
                try put(topTable(lines, Style(for: 1)))
            }
            return 0
        }
        return try LiveScreen.run(every: Int(interval / 1_000_000)) { () throws(SessionError) in
            let lines = try gauge.look()
            return try topHead(lines, carrel.berthUse()) + topTable(lines, Style(for: 1))
        }
    }
}
