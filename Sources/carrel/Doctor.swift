import Documents
import Options
import Privileges
import Session

extension Verb {
    func examineHost(_ words: Words) throws(SessionError) -> Int32 {
        let facts = Carrel.doctor()
        if words.has(.json) {
            try put(Node(.sequence(facts.map(\.node))))
        } else {
            try put(doctorText(facts, Style(for: 1), width: helpWidth()))
        }
        return facts.contains { $0.status == .missing } ? 1 : 0
    }
}

extension Fact {
    /// The fact as a document.
    fileprivate var node: Node {
        [
            "name": Node(.string(name)), "value": Node(.string(value)), "status": Node(.string(status.rawValue)),
            "use": Node(.string(use)), "fix": fix.map { Node(.string($0)) } ?? nil,
        ]
    }
}

/// The facts for people: what is there, what it is good for, and what to do.
func doctorText(_ facts: [Fact], _ style: Style, width: Int) -> String {
    let column = facts.map(\.name.unicodeScalars.count).filter { $0 <= 34 }.max() ?? 0
    let indent = String(repeating: " ", count: 10)
    var text = ""
    for fact in facts {
        let mark =
            switch fact.status {
            case .ok: style.green("ok      ")
            case .degraded: style.yellow("weaker  ")
            case .missing: style.red("missing ")
            }
        let space = String(repeating: " ", count: max(0, column - fact.name.unicodeScalars.count))
        text += "\(mark)  \(style.bold(fact.name))\(space)  \(printable(fact.value))\n"
        for line in wrapped(fact.use, width: width - 10) { text += indent + style.dim(printable(line)) + "\n" }
        guard let fix = fact.fix else { continue }
        for (index, line) in wrapped(fix, width: width - 15).enumerated() {
            text += indent + (index == 0 ? style.bold("fix:") : "    ") + " " + printable(line) + "\n"
        }
    }
    let missing = facts.filter { $0.status == .missing }.count
    let weaker = facts.filter { $0.status == .degraded }.count
    text += "\n"
    if missing > 0 {
        text += style.red("\(missing) missing: sessions that need it are refused\n")
    } else {
        text +=
            style.green("everything that a session needs is there")
            + (weaker > 0 ? "; \(weaker) weaker than it could be\n" : "\n")
    }
    return text
}
