import Documents
import Options
import Seccomp
import Session
import Workshop

/// What was refused, for people: the most frequent first.
func denialsText(_ found: Node, _ style: Style) -> String {
    guard let calls = found["calls"]?.elements else {
        return "not explained: \(printable(found["unseen"]?.string ?? ""))\n"
    }
    var text = ""
    for call in calls.sorted(by: { $0["count"]?.int ?? 0 > $1["count"]?.int ?? 0 }) { text += denialText(call, style) }
    for entry in found["unexplained"]?.entries ?? [] {
        text += "\(entry.value.int ?? 0) × \(printable(entry.key)): not looked at, there were too many\n"
    }
    return text.isEmpty ? "nothing was refused\n" : text
}

/// One kind of refused call, for people.
func denialText(_ denial: Node, _ style: Style) -> String {
    func word(_ name: String) -> String { printable(denial[name]?.string ?? "") }
    let count = denial["count"]?.int.map { "\($0) × " } ?? ""
    // The audit log has none.
    let name = denial["errno"]?.uint.map { errnoName(UInt32(truncatingIfNeeded: $0)) } ?? "refused"
    let command = (denial["command"]?.elements ?? []).compactMap(\.string).joined(separator: " ")
    var text = "\(count)\(style.bold(word("text"))) = \(name)\n"
    text +=
        "    by      \(word("executable")) (\(word("comm")), process \(denial["process"]?.int ?? 0)): \(printable(command))\n"
    if denial["path"]?.string != nil { text += "    path    \(word("path"))\n" }
    let level = CallRisk.Level(rawValue: denial["risk"]?["level"]?.string ?? "") ?? .high
    text += "    risk    \(painted(level, style)): \(printable(denial["risk"]?["reason"]?.string ?? ""))\n"
    if let patch = denial["patch"], !patch.isNull { text += "    allow   \(patch.json())\n" }
    let note = word("note")
    if !note.isEmpty { text += "    note    \(note)\n" }
    return text
}

private func painted(_ level: CallRisk.Level, _ style: Style) -> String {
    switch level {
    case .high: style.red(level.rawValue)
    case .medium: style.yellow(level.rawValue)
    case .low: style.green(level.rawValue)
    }
}

/// What it costs to allow a call, in a line.
func riskLine(_ call: String, _ risk: CallRisk, _ style: Style) -> String {
    "\(printable(call)): risk \(painted(risk.level, style)): \(risk.reason)\n"
}
