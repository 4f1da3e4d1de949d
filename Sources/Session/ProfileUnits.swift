/// Sizes as profiles and the command line write them: a whole number of bytes, or of `KiB`, `MiB`, `GiB` or `TiB`.
public enum ByteSize {
    private static let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("", 0)]

    /// The bytes of `2GiB`; `nil` where the text is no size, or one beyond 1024 TiB.
    public static func parse(_ text: String) -> Int? {
        for (unit, shift) in units where text.hasSuffix(unit) {
            guard let number = whole(text.utf8.dropLast(unit.utf8.count)), number <= (1 << 50) >> shift else {
                return nil
            }
            return number << shift
        }
        return nil
    }

    /// The size in the largest unit that divides it, so that `parse` gives it back.
    public static func text(_ bytes: Int) -> String {
        let unit = units.first { bytes != 0 && bytes & ((1 << $0.1) - 1) == 0 } ?? ("", 0)
        return "\(bytes >> unit.1)\(unit.0)"
    }
}

/// Durations as profiles and the command line write them: `1h30m`, `10s`, `500ms`.
public enum TimeSpan {
    private static let units: [(name: String, nanoseconds: Int64)] = [
        ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000),
        ("ms", 1_000_000),
    ]

    /// The nanoseconds of `1h30m`; `nil` where the text is no duration. Units come once each, the largest first.
    public static func parse(_ text: String) -> Int64? {
        var rest = Substring(text).utf8
        var left = units[...]
        var sum: Int64 = 0
        repeat {
            let digits = rest.prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
            rest = rest[digits.endIndex...]
            let letters = rest.prefix { $0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "z") }
            rest = rest[letters.endIndex...]
            guard let number = whole(digits), let unit = left.firstIndex(where: { $0.name.utf8.elementsEqual(letters) })
            else { return nil }
            let (part, tooLong) = Int64(number).multipliedReportingOverflow(by: left[unit].nanoseconds)
            let (total, tooMuch) = sum.addingReportingOverflow(part)
            if tooLong || tooMuch { return nil }
            sum = total
            left = left[(unit + 1)...]
        } while !rest.isEmpty
        return sum
    }

    /// The duration in as few units as possible, so that `parse` gives back all but what is below a millisecond.
    public static func text(_ nanoseconds: Int64) -> String {
        var rest = nanoseconds
        var result = ""
        for unit in units where rest >= unit.nanoseconds {
            result += "\(rest / unit.nanoseconds)\(unit.name)"
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
