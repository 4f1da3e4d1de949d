import Documents
import Glibc
import Options
import Session
import Syscalls
import Workshop

// What the seccomp workshop says, for people and for programs.

/// Writes to standard error: what accompanies a file that goes to standard output.
func note(_ text: String) throws(SessionError) {
    do throws(SystemError) { try writeAll(text.utf8, to: .standardError) } catch {
        throw SessionError("cannot print: \(error)")
    }
}

/// What was merged, and what it leaves unseen.
func mergedText(_ merged: Recording, _ limit: Double, _ heldOut: HeldOut?) -> String {
    let unseen = Unseen(merged)
    var text = "\(merged.runs) runs, \(merged.calls.count) calls in \(unseen.seen) families"
    text += " (\(unseen.once) seen in one run only, \(unseen.twice) in two)\n"
    if merged.lost > 0 { text += "\(merged.lost) calls were LOST: this is no evidence of absence\n" }
    guard merged.runs > 1 else { return text + "one run says nothing of the next: record more\n" }
    text += "families not seen yet, by Chao2: \(decimal(unseen.missing))\n"
    text += "chance that the next run meets one: \(decimal(unseen.breakProbability()))"
    text += unseen.upperBound.map { " (below \(decimal($0)) with 95 % confidence)\n" } ?? "\n"
    if let needed = unseen.runsNeeded(below: limit) {
        text +=
            needed == 0
            ? "it is below \(limit) by the estimate; " : "runs still needed for less than \(limit): \(needed); "
        text += "to prove it: \(Unseen.runsToProve(below: limit)) runs without a surprise\n"
    }
    if let heldOut {
        text += "held out: \(heldOut.broken) of \(heldOut.tried) runs broke (\(decimal(heldOut.rate)))\n"
        for (name, runs) in heldOut.culprits.prefix(10) { text += "  \(printable(name)) in \(runs)\n" }
    }
    return text
}

func mergedNode(_ merged: Recording, _ limit: Double, _ heldOut: HeldOut?) -> Node {
    let unseen = Unseen(merged)
    let needed = unseen.runsNeeded(below: limit)
    return [
        "runs": Node(.integer(Int64(clamping: merged.runs))), "calls": Node(.integer(Int64(merged.calls.count))),
        "lost": Node(.integer(Int64(clamping: merged.lost))), "unseen": unseen.document, "below": Node(.number(limit)),
        "runsNeeded": needed.map { Node(.integer(Int64(clamping: $0))) } ?? nil,
        "runsToProve": Node(.integer(Int64(clamping: Unseen.runsToProve(below: limit)))),
        "heldOut": heldOut.map {
            [
                "tried": Node(.integer(Int64($0.tried))), "broken": Node(.integer(Int64($0.broken))),
                "rate": Node(.number($0.rate)),
                "calls": Node(
                    .sequence(
                        $0.culprits.map { ["call": Node(.string($0.name)), "runs": Node(.integer(Int64($0.runs)))] })),
            ]
        } ?? nil,
    ]
}

/// Three digits behind the point.
private func decimal(_ value: Double) -> String {
    let thousandths = Int64((value * 1000).rounded())
    let rest = String(thousandths % 1000)
    return "\(thousandths / 1000)." + String(repeating: "0", count: 3 - rest.utf8.count) + rest
}

func synthesisText(_ made: Synthesis) -> String {
    var text = "\(made.allowed.count) calls allowed, \(made.added.count) of them without having been seen\n"
    for (name, reason) in made.refused { text += "  refused: \(printable(name)): \(printable(reason))\n" }
    for note in made.notes { text += "  note: \(printable(note))\n" }
    return text
}

func diffText(_ diff: FilterDiff, _ names: [String], _ style: Style) -> String {
    if diff.isEmpty { return style.green("both mean the same") + "\n" }
    var text = ""
    for it in diff.differences {
        let head =
            switch it.kind {
            case .opened: style.red("opened")
            case .closed: style.green("closed")
            case .answered: "answer"
            }
        let entry = it.architecture == .native ? "" : " (\(it.architecture.rawValue))"
        text += "\(head)\(entry)  \(style.bold(it.calls.joined(separator: " ")))\n"
        text += "        \(it.before.joined(separator: ", ")) → \(it.after.joined(separator: ", "))"
        text += it.arguments == ["any arguments"] ? "\n" : ", for\n"
        if it.arguments != ["any arguments"] {
            for region in it.arguments { text += "          \(printable(region))\n" }
        }
        if let risk = it.risk { text += "        risk \(risk.level.rawValue): \(risk.reason)\n" }
    }
    let opened = diff.differences.filter { $0.kind == .opened }.reduce(0) { $0 + $1.calls.count }
    let closed = diff.differences.filter { $0.kind == .closed }.reduce(0) { $0 + $1.calls.count }
    return text
        + "\(printable(names[1])) lets through \(opened) calls more than \(printable(names[0])), and \(closed) fewer\n"
}

func replayText(_ replay: Replay, _ style: Style) -> String {
    var text = ""
    for it in replay.breaks {
        let arguments = it.scalars.map { "argument \($0.index) = 0x\(String($0.value, radix: 16))" }
        text += "\(style.red(it.answer))  \(style.bold(printable(it.name)))"
        text += arguments.isEmpty ? "" : " (\(arguments.joined(separator: ", ")))"
        text += ": \(it.count) calls in \(it.runs) runs\n"
    }
    for name in replay.fallbacks { text += "\(printable(name)): answered ENOSYS; C libraries use the older call\n" }
    for line in replay.untold { text += "not told: \(printable(line))\n" }
    let passing = style.green("all would pass") + (replay.untold.isEmpty ? "" : ", but for what is not told")
    let outcome = replay.passes ? passing : style.red("\(replay.breaks.count) would be refused")
    return text + "\(replay.tried) kinds of calls: \(outcome)\n"
}

func listingText(_ rows: [FilterListing.Row], _ style: Style) -> String {
    var table = Table(
        ("CALL", .left), ("NUMBER", .right), ("ENTRY", .left), ("ANSWER", .left), ("ARGUMENTS", .left),
        leavingOut: [2, 1], wraps: true)
    for row in rows {
        let number = row.number.map { "\($0)" } ?? ""
        for (index, region) in (row.arguments.isEmpty ? [""] : row.arguments).enumerated() {
            let shown = region == "any arguments" ? "" : region
            table.add(
                index == 0
                    ? [row.call, number, row.architecture.rawValue, row.answer, shown]
                    : ["", "", "", "", "or " + shown])
        }
    }
    return table.text(style)
}

extension FilterListing.Row {
    var document: Node {
        [
            "call": Node(.string(call)), "number": number.map { Node(.integer(Int64($0))) } ?? nil,
            "architecture": Node(.string(architecture.rawValue)), "answer": Node(.string(answer)),
            "arguments": Node(.sequence(arguments.map { Node(.string($0)) })),
        ]
    }
}

extension Replay {
    var document: Node {
        [
            "passes": Node(.bool(passes)), "tried": Node(.integer(Int64(tried))),
            "breaks": Node(
                .sequence(
                    breaks.map {
                        [
                            "call": Node(.string($0.name)), "answer": Node(.string($0.answer)),
                            "count": Node(.integer(Int64(clamping: $0.count))),
                            "runs": Node(.integer(Int64(clamping: $0.runs))),
                            "arguments": Node(.sequence($0.scalars.map(\.node))),
                        ]
                    })),
            "fallbacks": Node(.sequence(fallbacks.map { Node(.string($0)) })),
            "untold": Node(.sequence(untold.map { Node(.string($0)) })),
        ]
    }
}
