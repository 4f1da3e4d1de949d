import Documents
import Records

/// Quantities for people: three digits and a unit.
enum Quantity {
    /// `61 MiB`, `1.5 GiB`.
    static func size(_ bytes: some BinaryInteger) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var value = Double(bytes)
        var unit = 0
        while value >= 1000 && unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return "\(number(value, whole: unit == 0)) \(units[unit])"
    }

    /// `412 µs`, `3.9 ms`, `12.1 s`, `1h 30m`.
    static func duration(_ nanoseconds: some BinaryInteger) -> String { duration(Double(nanoseconds)) }

    /// The same of what is reckoned from a record, which may say anything.
    static func duration(_ nanoseconds: Double) -> String {
        let value = max(0, nanoseconds)
        switch value {
        case 0: return "0 s"
        case ..<1000: return "\(Int(value)) ns"
        case ..<1e6: return "\(number(value / 1e3)) µs"
        case ..<1e9: return "\(number(value / 1e6)) ms"
        case ..<60e9: return "\(number(value / 1e9)) s"
        default:
            let seconds = Int64(value / 1e9)
            let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60)
            if days > 0 { return "\(days)d \(hours)h" }
            return hours > 0 ? "\(hours)h \(minutes)m" : "\(minutes)m \(seconds % 60)s"
        }
    }

    /// `95 %`.
    static func percent(_ part: Double) -> String { "\(Int(min(part * 100, 1e15).rounded())) %" }

    /// A value of which one digit behind the point counts while it has one before it.
    private static func number(_ value: Double, whole: Bool = false) -> String {
        let tenths = Int64((value * 10).rounded())
        return whole || tenths >= 1000 || tenths % 10 == 0
            ? "\(Int64(value.rounded()))" : "\(tenths / 10).\(tenths % 10)"
    }

    /// An instant without its fraction: `2026-11-21 20:19:03 UTC`.
    static func time(_ time: Timestamp) -> String {
        let text = Array(time.description.utf8)
        return String(decoding: text[..<10], as: UTF8.self) + " " + String(decoding: text[11..<19], as: UTF8.self)
            + " UTC"
    }
}

/// A command as a shell would read it.
func commandLine(_ words: [String]) -> String {
    words.map { word in
        let isPlain =
            !word.isEmpty
            && word.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), 0x80...:
                    true
                default: "_-./=:,@+%".utf8.contains($0)
                }
            }
        return isPlain
            ? word : "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }.joined(separator: " ")
}
