import Glibc

/// An instant of the host's clock, in UTC, written as RFC 3339 with nanoseconds: `2026-11-21T20:19:03.000001500Z`.
public struct Timestamp: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Seconds since 1970-01-01T00:00:00Z.
    public let seconds: Int64
    /// Nanoseconds within the second, 0 to 999,999,999.
    public let nanoseconds: Int64

    /// An instant.
    public init(seconds: Int64, nanoseconds: Int64 = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    /// What the clock says (`CLOCK_REALTIME`, clock_gettime(2): no system call, the vDSO answers).
    public static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(seconds: Int64(time.tv_sec), nanoseconds: Int64(time.tv_nsec))
    }

    /// So many nanoseconds later.
    public func later(by nanoseconds: Int64) -> Timestamp {
        let sum = self.nanoseconds + nanoseconds % 1_000_000_000
        return Timestamp(
            seconds: seconds + nanoseconds / 1_000_000_000 + sum / 1_000_000_000, nanoseconds: sum % 1_000_000_000)
    }

    /// Reads RFC 3339 in UTC (`Z`), with up to nine digits of a fraction; `nil` for anything else.
    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.count != 21, bytes.count <= 30, bytes.last == UInt8(ascii: "Z") else {
            return nil
        }
        func number(_ range: Range<Int>) -> Int64? {
            var value: Int64 = 0
            for byte in bytes[range] {
                guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
                value = value * 10 + Int64(byte - UInt8(ascii: "0"))
            }
            return value
        }
        let separators: [(Int, Unicode.Scalar)] = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")]
        for (index, separator) in separators where bytes[index] != UInt8(ascii: separator) { return nil }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
            let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19),
            1...12 ~= month, day >= 1, hour < 24, minute < 60, second < 60
        else { return nil }
        let days = Self.days(year: year, month: month, day: day)
        guard Self.date(days: days) == (year, month, day) else { return nil }
        seconds = days * 86_400 + hour * 3600 + minute * 60 + second
        guard bytes.count > 20 else {
            nanoseconds = 0
            return
        }
        let fraction = 20..<bytes.count - 1
        guard bytes[19] == UInt8(ascii: "."), var rest = number(fraction) else { return nil }
        for _ in fraction.count..<9 { rest *= 10 }
        nanoseconds = rest
    }

    /// Which of two instants is earlier.
    public static func < (left: Timestamp, right: Timestamp) -> Bool {
        (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds)
    }

    /// RFC 3339 in UTC, always with nine digits of a fraction, so that text sorts as time does.
    public var description: String {
        let (days, second) = seconds.quotientAndRemainder(dividingBy: 86_400)
        let late = second < 0
        let time = late ? second + 86_400 : second
        let (year, month, day) = Self.date(days: late ? days - 1 : days)
        var text: [UInt8] = []
        text.reserveCapacity(30)
        func put(_ value: Int64, _ digits: Int, _ end: Unicode.Scalar) {
            var divisor: Int64 = 1
            for _ in 1..<digits { divisor *= 10 }
            while divisor > 0 {
                text.append(UInt8(ascii: "0") + UInt8(value / divisor % 10))
                divisor /= 10
            }
            text.append(UInt8(ascii: end))
        }
        put(year, 4, "-")
        put(month, 2, "-")
        put(day, 2, "T")
        put(time / 3600, 2, ":")
        put(time / 60 % 60, 2, ":")
        put(time % 60, 2, ".")
        put(nanoseconds, 9, "Z")
        return String(decoding: text, as: UTF8.self)
    }

    // The calendar is reckoned here and not by gmtime_r(3): glibc reads /etc/localtime before it answers for UTC, five
    // system calls. Years start in March, so that the leap day is the last of its year; 400 years are 146,097 days.

    private static func date(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468  // from 0000-03-01
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153  // 0 is March
        let day = dayOfYear - (153 * month + 2) / 5 + 1
        return (era * 400 + yearOfEra + (month >= 10 ? 1 : 0), month < 10 ? month + 3 : month - 9, day)
    }

    private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
