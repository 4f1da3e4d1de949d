import Documents
import Glibc
import Syscalls
import SystemPackage

/// What was refused in one session, in a file that `carrel seccomp explain` reads while the session lives and that a
/// supervisor finds again after it has slept: JSON Lines, one for each kind of refusal when it first happens, and now and
/// then one with the counts.
struct DenialLog {
    /// Kinds that are kept; what comes after is counted by the call's name.
    static let mostKinds = 256

    private let path: String
    private var numbers: [String: Int] = [:]
    private var entries: [Node] = []
    private var counts: [Int] = []
    /// Refusals that were not looked at, by the call's name.
    private var unexplained: [String: Int] = [:]
    private var isCounted = true

    static func path(_ session: String, in state: StateDirectory) -> String { state["denials/\(session)"] }

    /// The log of a session; an earlier part of it, if there is one, is taken up.
    init(_ session: String, in state: StateDirectory) {
        path = Self.path(session, in: state)
        for line in (try? readFile(path, limit: 1 << 26))?.split(separator: 0x0a) ?? [] {
            guard let node = try? Node.parse(Array(line), file: path) else { continue }
            if let kind = node["kind"]?.string {
                numbers[kind] = entries.count
                entries.append(node)
                counts.append(1)
            } else if let counted = node["counts"]?.elements {
                for (index, count) in counted.enumerated() where index < counts.count {
                    counts[index] = Int(count.int ?? 1)
                }
                for entry in node["unexplained"]?.entries ?? [] { unexplained[entry.key] = Int(entry.value.int ?? 0) }
            }
        }
    }

    /// Whether this kind was there before; then it is counted.
    mutating func count(kind: String) -> Bool {
        guard let number = numbers[kind] else { return false }
        counts[number] += 1
        isCounted = false
        return true
    }

    /// Counts a refusal that nobody has looked at.
    mutating func count(unexplained call: String) {
        unexplained[call, default: 0] += 1
        isCounted = false
    }

    /// Whether there is room for another kind.
    var hasRoom: Bool { entries.count < Self.mostKinds }

    /// Writes down a new kind.
    mutating func add(kind: String, _ denial: Node) {
        var node: Node = ["kind": Node(.string(kind))]
        for entry in denial.entries ?? [] { node.append(entry.key, entry.value) }
        numbers[kind] = entries.count
        entries.append(node)
        counts.append(1)
        write(node)
    }

    /// Writes the counts down where they have changed.
    mutating func flush() {
        if isCounted { return }
        isCounted = true
        write([
            "counts": Node(.sequence(counts.map { Node(.integer(Int64($0))) })), "unexplained": unexplainedNode,
        ])
    }

    /// What cannot be written (a full disk) is in the report all the same.
    private func write(_ node: Node) {
        try? withOpen(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW) { file throws(SystemError) in
            try writeAll((node.json() + "\n").utf8, to: file, named: path)
        }
    }

    private var unexplainedNode: Node {
        let entries = unexplained.sorted { $0.key < $1.key }
        return Node(.mapping(entries.map { Node.Entry(key: $0.key, value: Node(.integer(Int64($0.value)))) }))
    }

    /// For the report: every kind with its count.
    var node: Node {
        let calls = zip(entries, counts).map { entry, count in
            var node: Node = ["count": Node(.integer(Int64(count)))]
            for member in entry.entries ?? [] where member.key != "kind" { node.append(member.key, member.value) }
            return node
        }
        let total = counts.reduce(0, +) + unexplained.values.reduce(0, +)
        return [
            "explained": true, "count": Node(.integer(Int64(total))), "calls": Node(.sequence(calls)),
            "unexplained": unexplainedNode,
        ]
    }

    /// Removes the file.
    func remove() { try? Syscalls.remove(path) }
}
