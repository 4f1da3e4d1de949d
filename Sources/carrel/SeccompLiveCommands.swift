import Documents
import Options
import Session
import Workshop

// Commands of the seccomp workshop on live sessions.

/// The heading of the commands of the family `seccomp`.
let seccompGroup: StaticString = "System call filters"
private let recording: StaticString = "Recording"

extension Option {
    static let recordingFile = Option(
        "output", letter: "o", takes: "FILE", completing: .file, under: recording, "Where the recording goes")
    static let recordingSource = Option(
        "by", takes: "SOURCE", completing: .choices("ebpf notify"), under: recording,
        "What sees the calls: `ebpf`, or a listener of the filter, `notify`. Without it: `ebpf` where it is to be had")
}

extension Option {
    static let followDenials = Option(
        "follow", letter: "f",
        "Tells of refusals as they happen, until the session is over; of all sessions without SESSION")
    static let amend = Option(
        "amend", takes: "FILE", completing: .file, "Prints this filter with all that was refused allowed, instead")
    static let amended = Option("output", letter: "o", takes: "FILE", completing: .file, "Where `--amend` writes it")
}

extension Command {
    static let seccompRecord = Command(
        "seccomp record", in: seccompGroup, takesProgram: true,
        options: [.recordingFile, .recordingSource]
            + runOptions.filter { !["detach", "explain"].contains($0.name.description) },
        "Run a program in a session, and record its system calls",
        details: [
            """
            Runs a session as `carrel run` does, and writes down every system call of its program and of all that this \
            starts: how often, with which values of the arguments that a filter can tell apart, and which of them the \
            filter refused. The launcher's own calls are not among them.
            """,
            """
            eBPF counts in the kernel and needs root. A listener needs no privilege, takes some microseconds a call, and \
            cannot be had where a filter above the session has one. Ends as the program did; where anything was lost, \
            that is told, and the status is not 0.
            """,
        ],
        examples: [
            Example("One run of a test suite", "carrel seccomp record -P python -w . -o run1.rec -- python3 -m pytest")
        ])
}

extension Command {
    static let seccompExplain = Command(
        "seccomp explain", in: seccompGroup,
        operands: [Operand("SESSION", completing: sessionNames, isOptional: true)],
        options: [.followDenials, .amend, .amended, .json], synopsis: "[OPTIONS] SESSION | --follow",
        "Tell of refused calls, and of the rules to allow them",
        details: [
            """
            Every kind of refused call once, with its count: the call and what its arguments mean, the program that made \
            it, the path that it was about, the risk of allowing it, and the change to the filter's file that would (a \
            JSON patch, RFC 6902). The session must have been started with `--explain`, or by a profile with \
            `seccomp: {explain: true}`.
            """,
            """
            What the arguments point to is what was in memory at that moment; nothing is decided by it. More than fifty \
            refusals a second are answered and counted, and not looked at.
            """,
            "`--amend` allows all of it, whatever the risk: that of each call is told on standard error.",
        ],
        examples: [
            Example("All that is refused, as it happens", "carrel seccomp explain --follow"),
            Example(
                "A filter that refuses none of it", "carrel seccomp explain s-42 --amend agent.json -o wider.json"),
        ])
}

extension Command {
    static let seccompAgent = Command(
        "seccomp agent", in: seccompGroup, options: [.json],
        "Tell which calls containers are refused, as a service",
        details: [
            """
            A container of `carrel-oci` with the annotation `dev.carrel.explain` set to `true` hands the listener of its \
            filter to this agent, which answers each refused call as the filter would, and prints every kind of them once: \
            what `carrel seccomp explain` tells of a session. No call is ever let through. Ends at SIGTERM; where it is \
            gone, the kernel answers ENOSYS to what it would have answered, and containers with the annotation do not start.
            """
        ],
        examples: [
            Example("What containers are refused, as JSON Lines", "carrel seccomp agent --json >refused.jsonl")
        ])
}

extension Verb {
    func explainContainers(_ words: Words) throws(SessionError) -> Int32 {
        let isJSON = words.has(.json)
        try Carrel().explainContainers { container, denial in
            try? put(isJSON ? denial.json() + "\n" : "\(printable(container)): " + denialText(denial, Style(for: 1)))
        }
        return 0
    }

    func explainDenials(_ words: Words) throws(SessionError) -> Int32 {
        let carrel = try Carrel()
        let isJSON = words.has(.json)
        try refuse([.followDenials, .amend], in: words)
        try refuse(.amended, without: .amend, in: words)
        if words.has(.followDenials) {
            try carrel.followDenials(of: words.operands.first) { session, denial throws(SessionError) in
                try put(isJSON ? denial.json() + "\n" : "\(session): " + denialText(denial, Style(for: 1)))
            }
            return 0
        }
        guard let session = words.operands.first else {
            throw SessionError("seccomp explain: expected a session's name, or --follow")
        }
        if let filter = words[.amend] {
            let (amended, allowed, nameless) = try carrel.amended(filter: filter, for: session)
            let text = amended.json(pretty: true) + "\n"
            if let output = words[.amended] { try writeFile(output, text) } else { try put(text) }
            for call in allowed {
                try note(riskLine(call.text, call.risk, Style(for: 2)))
                if !call.note.isEmpty { try note("  \(printable(call.note))\n") }
            }
            for call in nameless { try note("\(printable(call)): stays refused: \(Amendment.nameless)\n") }
            if allowed.isEmpty, nameless.isEmpty { try note("nothing was refused: the filter is as it was\n") }
            return 0
        }
        let found = try carrel.denials(of: session)
        if isJSON {
            try put(found)
        } else {
            try put(denialsText(found, Style(for: 1)))
        }
        return 0
    }
    func recordCalls(_ words: Words) throws(SessionError) -> Int32 {
        guard let output = words[.recordingFile] else {
            throw SessionError("seccomp record: expected --output FILE, where the recording goes")
        }
        let source = words[.recordingSource].flatMap { RecordingSource(rawValue: $0) }
        return try Carrel().record(RecordRequest(try request(words), output: output, source: source))
    }
}
