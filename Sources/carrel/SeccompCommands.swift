import Documents
import Options
import Seccomp
import Session
import Workshop

// Commands of the seccomp workshop on files: nothing runs, and no session is asked.

extension Option {
    static let mergedFile = Option(
        "output", letter: "o", takes: "FILE", completing: .file, "Where the merged recording goes. Without it: nowhere")
    static let below = Option(
        "below", takes: "PROBABILITY", "The chance that the next run breaks that is to be reached. Without it: `0.01`")
    static let heldOut = Option(
        "held-out", takes: "PARTS",
        "Also splits the runs into so many parts, makes a profile of all but one and puts that one to it, in turn")
    static let base = Option(
        "base", takes: "FILTER", completing: .file, "The most that the profile may allow: a filter's name or file")
    static let madeFile = Option(
        "output", letter: "o", takes: "FILE", completing: .file,
        "Where the profile goes, its provenance beside it as `NAME.meta.json`. Without it: to standard output")
    static let anyArguments = Option("any-arguments", "Does not narrow the arguments of any call")
    static let architecture = Option(
        "arch", takes: "ARCHITECTURE", completing: .choices("x86_64 aarch64"),
        "The machine that the filter is compiled for. Without it: this one")
    static let capability = Option(
        "cap", takes: "CAPABILITY", isRepeatable: true,
        "A capability of the container, for files in Docker's form. Without it: none")
    static let assembly = Option("bpf", "Prints the program, disassembled")
    static let programFile = Option(
        "output", letter: "o", takes: "FILE", completing: .file,
        "Writes the program as the kernel loads it: 8 bytes an instruction (`bwrap --seccomp` takes this)")
    static let widerFile = Option(
        "output", letter: "o", takes: "FILE", completing: .file, "Where the filter goes. Without it: to standard output"
    )
    static let effectiveTable = Option("table", "Prints what each call gets; this is the default")
}

extension Command {
    static let seccompMerge = Command(
        "seccomp merge", in: seccompGroup, operands: [Operand("FILE", completing: .file, isRepeatable: true)],
        options: [.mergedFile, .below, .heldOut, .base, .json],
        "Unite recordings, and tell what they leave unseen",
        details: [
            """
            A FILE is a recording of `carrel seccomp record`, a merged one, or what `strace -f -o FILE` has written (with \
            `-X raw` the values of all arguments can be read). The estimate of what was not seen is Chao's (Docs/Seccomp.md).
            """,
            "Ends with 1 where calls were lost while they were recorded.",
        ],
        examples: [
            Example("How much is still missing", "carrel seccomp merge run*.rec -o all.rec --below 0.05"),
            Example("How often such a profile breaks", "carrel seccomp merge run*.rec --held-out 10"),
        ])

    static let seccompSynthesize = Command(
        "seccomp synthesize", in: seccompGroup, operands: [Operand("FILE", completing: .file, isRepeatable: true)],
        options: [.base, .madeFile, .anyArguments, .json], "Make a profile of recordings",
        details: [
            """
            Allows what was seen and what stands in for it: siblings of each call, the fall-backs of the vDSO, what every \
            program needs. Calls that are known and not seen are answered EPERM, unknown and younger ones ENOSYS. Sockets, \
            clone, ioctl, prctl, fcntl and personality are narrowed to the arguments that were seen.
            """,
            "What was seen and stays refused, and what the profile costs, is told on standard error.",
        ],
        examples: [Example("A tighter filter", "carrel seccomp synthesize all.rec --base agent-default -o tight.json")])

    static let seccompDiff = Command(
        "seccomp diff", in: seccompGroup,
        operands: [Operand("FILTER", completing: .file), Operand("OTHER", completing: .file)],
        options: [.architecture, .capability, .json], "Tell what one filter lets through that another does not",
        details: [
            """
            Both are compiled and compared for every entry, number and argument: files that mean the same are equal, \
            however they are written. Ends with 1 where they differ.
            """
        ])

    static let seccompLint = Command(
        "seccomp lint", in: seccompGroup, operands: [Operand("FILE", completing: .file, isRepeatable: true)],
        options: [.capability, .json], "Tell what is wrong or dangerous in filters",
        details: [
            "Ends with 1 where there is more than notes. The `NAME.meta.json` of a `NAME.json` among the files is passed over."
        ])

    static let seccompTest = Command(
        "seccomp test", in: seccompGroup,
        operands: [Operand("FILTER", completing: .file), Operand("RECORDING", completing: .file, isRepeatable: true)],
        options: [.architecture, .capability, .json], "Put every recorded call to a filter, offline",
        details: [
            "Tells each call that was allowed while it was recorded and would be refused. Ends with 1 where there is one."
        ])

    static let seccompAllow = Command(
        "seccomp allow", in: seccompGroup,
        operands: [Operand("FILTER", completing: .file), Operand("CALL", isRepeatable: true)],
        options: [.widerFile, .capability], "Make a filter that allows more calls",
        details: [
            """
            Writes the filter as OCI JSON with these calls allowed, whatever their arguments: for what cannot be recorded, \
            since the program gives up at the first refusal. The risk of each is told on standard error.
            """
        ],
        examples: [
            Example(
                "A filter for sessions that debug: gdb, strace, the leak sanitizer",
                "carrel seccomp allow agent-default ptrace -o debug.json")
        ])

    static let seccompShow = Command(
        "seccomp show", in: seccompGroup, operands: [Operand("FILTER", completing: .file)],
        options: [.effectiveTable, .assembly, .programFile, .architecture, .capability, .json],
        "Print what a filter does with each call, or its program")
}

extension Verb {
    func mergeRecordings(_ words: Words) throws(SessionError) -> Int32 {
        try refuse(.base, without: .heldOut, in: words)
        let recordings = try Carrel.recordings(words.operands).map(\.recording)
        guard let merged = Recording.merging(recordings) else {
            throw SessionError("seccomp merge: expected a recording")
        }
        let limit = words[.below].flatMap { Double($0) } ?? 0.01
        guard words[.below] == nil || Double(words[.below] ?? "") != nil, limit > 0, limit < 1 else {
            throw SessionError("--below \(words[.below] ?? ""): expected a probability between 0 and 1, such as 0.05")
        }
        var heldOut: HeldOut?
        if let text = words[.heldOut] {
            guard let parts = Int(text), parts >= 2 else {
                throw SessionError("--held-out \(text): expected a number of parts, at least 2")
            }
            var base: ProfileFile?
            if let name = words[.base] { base = try Carrel.filterFile(name) }
            do throws(Problems) {
                heldOut = try HeldOut(recordings, folds: parts, base: base)
            } catch { throw SessionError(error.description) }
        }
        if let output = words[.mergedFile] { try writeFile(output, merged.text) }
        if words.has(.json) {
            try put(mergedNode(merged, limit, heldOut))
        } else {
            try put(mergedText(merged, limit, heldOut))
        }
        return merged.lost == 0 ? 0 : 1
    }

    func synthesize(_ words: Words) throws(SessionError) -> Int32 {
        let files = try Carrel.recordings(words.operands)
        let sources = zip(words.operands, files).map { Provenance.Source(name: $0, bytes: $1.bytes) }
        guard let merged = Recording.merging(files.map(\.recording)) else {
            throw SessionError("seccomp synthesize: expected a recording")
        }
        var base: ProfileFile?
        var baseSource: Provenance.Source?
        if let name = words[.base] {
            base = try Carrel.filterFile(name)
            baseSource = Provenance.Source(name: name, bytes: try Carrel.filterBytes(name).bytes)
        }
        var options = Synthesis.Options()
        options.narrowsArguments = !words.has(.anyArguments)
        let made: Synthesis
        do throws(Problems) {
            made = try Synthesis(of: merged, base: base, options: options)
        } catch { throw SessionError(error.description) }
        let provenance = Provenance(
            of: made, from: merged, files: sources, base: baseSource, version: Carrel.version)
        if let output = words[.madeFile] {
            try writeFile(output, made.text)
            try writeFile(Provenance.path(beside: output), provenance.document.json(pretty: true) + "\n")
        } else if !words.has(.json) {
            try put(made.text)
        }
        if words.has(.json) {
            try put(provenance.document)
        } else {
            try note(synthesisText(made))
        }
        return 0
    }

    func compareFilters(_ words: Words) throws(SessionError) -> Int32 {
        let machine = try machine(words)
        let one = try interpreter(words.operands[0], words, machine)
        let other = try interpreter(words.operands[1], words, machine)
        let diff = FilterDiff(one, other, on: machine)
        if words.has(.json) { try put(diff.document) } else { try put(diffText(diff, words.operands, Style(for: 1))) }
        return diff.isEmpty ? 0 : 1
    }

    func lintFilters(_ words: Words) throws(SessionError) -> Int32 {
        var passes = true
        var list: [Node] = []
        let style = Style(for: 1)
        let provenances = Set(words.operands.map(Provenance.path(beside:)))
        for name in words.operands where !provenances.contains(name) {
            let lint = try Carrel.lint(name, capabilities: words.all(.capability))
            passes = passes && lint.passes
            if words.has(.json) {
                list += lint.document.elements ?? []
                continue
            }
            for finding in lint.findings {
                let line = printable(finding.description) + "\n"
                try put(
                    finding.level == .error ? style.red(line) : finding.level == .warning ? style.yellow(line) : line)
            }
            if lint.passes { try put("\(printable(name)): \(style.green("nothing wrong"))\n") }
        }
        if words.has(.json) { try put(Node(.sequence(list))) }
        return passes ? 0 : 1
    }

    func testFilter(_ words: Words) throws(SessionError) -> Int32 {
        let machine = try machine(words)
        let filter = try interpreter(words.operands[0], words, machine)
        var recordings: [Recording] = []
        for file in words.operands.dropFirst() { recordings.append(try Carrel.recording(file).recording) }
        guard let merged = Recording.merging(recordings) else {
            throw SessionError("seccomp test: expected a recording")
        }
        let replay = Replay(merged, against: filter, on: machine)
        if words.has(.json) { try put(replay.document) } else { try put(replayText(replay, Style(for: 1))) }
        return replay.passes ? 0 : 1
    }

    func allowCalls(_ words: Words) throws(SessionError) -> Int32 {
        let calls = Array(words.operands.dropFirst())
        let file = try Carrel.filterFile(words.operands[0], capabilities: words.all(.capability))
        let text: String
        do throws(Problems) { text = try file.allowing(calls).json(pretty: true) + "\n" } catch {
            throw SessionError(error.description)
        }
        if let output = words[.widerFile] { try writeFile(output, text) } else { try put(text) }
        for call in calls {
            try note(riskLine(call, CallRisk.of(call), Style(for: 2)))
        }
        return 0
    }

    func showFilter(_ words: Words) throws(SessionError) -> Int32 {
        try refuse([.effectiveTable, .assembly, .programFile], in: words)
        try refuse([.assembly, .programFile, .json], in: words)
        let machine = try machine(words)
        let listing = FilterListing(try interpreter(words.operands[0], words, machine), on: machine)
        if let output = words[.programFile] {
            try writeFile(output, listing.bytes)
        } else if words.has(.assembly) {
            try put(listing.assembly())
        } else if words.has(.json) {
            try put(Node(.sequence(listing.table().map(\.document))))
        } else {
            try put(listingText(listing.table(), Style(for: 1)))
        }
        return 0
    }

    private func machine(_ words: Words) throws(SessionError) -> Architecture {
        guard let name = words[.architecture] else { return .native }
        guard let machine = CallTable.named(name) else {
            throw SessionError("--arch \(name): expected x86_64 or aarch64")
        }
        return machine
    }

    /// A filter by name or file, compiled and ready to be asked.
    private func interpreter(
        _ name: String, _ words: Words, _ machine: Architecture
    ) throws(SessionError) -> FilterInterpreter {
        let file = try Carrel.filterFile(name, capabilities: words.all(.capability), machine: machine)
        do throws(Problems) { return try file.interpreter(for: machine) } catch {
            throw SessionError(error.description)
        }
    }
}
