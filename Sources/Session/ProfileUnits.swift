/// Sizes as profiles and the command line write them: a whole number of bytes, or of `KiB`, `MiB`, `GiB` or `TiB`.
public enum ByteSize {
    /// The bytes of `2GiB`; `nil` where the text is no size, or one beyond 1024 TiB.
    public static func parse(_ text: String) -> Int? {
        let digits = text.utf8.prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
        let unit = text.utf8[digits.endIndex...]
        let shift: Int
        switch (unit.first, unit.count) {
        case (nil, _): shift = 0
        case (UInt8(ascii: "K"), 3): shift = 10
        case (UInt8(ascii: "M"), 3): shift = 20
        case (UInt8(ascii: "G"), 3): shift = 30
        case (UInt8(ascii: "T"), 3): shift = 40
        default: return nil
        }
        guard unit.dropFirst().elementsEqual(shift == 0 ? "".utf8 : "iB".utf8), let number = whole(digits),
            number <= (1 << 50) >> shift
        else { return nil }
        return number << shift
    }

    /// The size in the largest unit that divides it, so that `parse` gives it back.
    public static func text(_ bytes: Int) -> String {
        let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)]
        let unit = units.first { bytes != 0 && bytes & ((1 << $0.1) - 1) == 0 } ?? ("", 0)
        return "\(bytes >> unit.1)\(unit.0)"
    }
}

/// Durations as profiles and the command line write them: `1h30m`, `10s`, `500ms`.
public enum TimeSpan {
    /// The largest first.
    private enum Unit: String, CaseIterable {
        case d, h, m, s, ms

        var nanoseconds: Int64 {
            switch self {
            case .d: 86_400_000_000_000
            case .h: 3_600_000_000_000
            case .m: 60_000_000_000
            case .s: 1_000_000_000
            case .ms: 1_000_000
            }
        }

        init?(_ letters: Substring.UTF8View) {
            switch (letters.first, letters.count) {
            case (UInt8(ascii: "d"), 1): self = .d
            case (UInt8(ascii: "h"), 1): self = .h
            case (UInt8(ascii: "m"), 1): self = .m
            case (UInt8(ascii: "s"), 1): self = .s
            case (UInt8(ascii: "m"), 2) where letters.last == UInt8(ascii: "s"): self = .ms
            default: return nil
            }
        }
    }

    /// The longest, some ten years: what is added to a time stays one.
    private static let longest: Int64 = 3_650 * 86_400_000_000_000

    /// The nanoseconds of `1h30m`; `nil` where the text is no duration, or one of more than 3650 days. Units come once each,
    /// the largest first.
    public static func parse(_ text: String) -> Int64? {
        var rest = Substring(text).utf8
        var last = Int64.max
        var sum: Int64 = 0
        repeat {
            let digits = rest.prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
            rest = rest[digits.endIndex...]
            let letters = rest.prefix { $0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "z") }
            rest = rest[letters.endIndex...]
            guard let number = whole(digits), let unit = Unit(letters), unit.nanoseconds < last else { return nil }
            let (part, tooLong) = Int64(number).multipliedReportingOverflow(by: unit.nanoseconds)
            let (total, tooMuch) = sum.addingReportingOverflow(part)
            if tooLong || tooMuch || total > longest { return nil }
            sum = total
            last = unit.nanoseconds
        } while !rest.isEmpty
        return sum
    }

    /// The duration in as few units as possible, so that `parse` gives back all but what is below a millisecond.
    public static func text(_ nanoseconds: Int64) -> String {
        var rest = nanoseconds
        var result = ""
        for unit in Unit.allCases where rest >= unit.nanoseconds {
            result += "\(rest / unit.nanoseconds)\(unit.rawValue)"
            rest %= unit.nanoseconds
        }
        return result.isEmpty ? "0s" : result
    }
}

/// A decimal number of at most 18 digits.
private func whole(_ digits: some Collection<UInt8>) -> Int? {
    guard (1...18).contains(digits.count) else { return nil }
    var number = 0
    for digit in digits {
        guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
        number = number * 10 + Int(digit - UInt8(ascii: "0"))
    }
    return number
}
