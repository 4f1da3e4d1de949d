/// Text of the OpenMetrics format 1.0 (github.com/prometheus/OpenMetrics): families of metrics, each with its samples.
public struct OpenMetrics: Sendable {
    /// The kinds of family that are used here.
    public enum Kind: String, Sendable {
        case gauge
        case counter
    }

    private var text = ""

    /// No metrics yet.
    public init() {}

    /// Adds a family.
    ///
    /// - Parameters:
    ///   - name: without `_total`, which counters' samples get; a unit is its last word.
    ///   - unit: bytes, seconds or ratio; empty for none.
    ///   - samples: labels in order, and the value.
    public mutating func add(
        _ name: String, _ kind: Kind, unit: String = "", help: String, _ samples: [([(String, String)], Double)]
    ) {
        if samples.isEmpty { return }
        text += "# TYPE \(name) \(kind.rawValue)\n"
        if !unit.isEmpty { text += "# UNIT \(name) \(unit)\n" }
        text += "# HELP \(name) \(Self.escaped(help))\n"
        for (labels, value) in samples {
            let list = labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }.joined(separator: ",")
            text += name + (kind == .counter ? "_total" : "") + (list.isEmpty ? "" : "{\(list)}") + " "
            text += (value == value.rounded() && abs(value) < 9e15 ? String(Int64(value)) : value.description) + "\n"
        }
    }

    /// The whole text.
    public var document: String { text + "# EOF\n" }

    private static func escaped(_ text: String) -> String {
        text.reduce(into: "") {
            switch $1 {
            case "\\": $0 += "\\\\"
            case "\"": $0 += "\\\""
            case "\n": $0 += "\\n"
            default: $0.append($1)
            }
        }
    }
}
