import Foundation
import Testing

@testable import Documents

@Suite struct TimestampTests {
    @Test func agreesWithTheCLibrary() {
        // Every day of 1990 to 2031, and samples of 1600 to 2300.
        let days = Array(Int64(7305)...22_645) + Array(stride(from: Int64(-135_000), to: 120_000, by: 37))
        for day in days {
            let time = Timestamp(seconds: day * 86_400 + 86_399, nanoseconds: 7)
            var seconds = time_t(time.seconds)
            var fields = tm()
            gmtime_r(&seconds, &fields)
            let expected = String(
                format: "%04d-%02d-%02dT%02d:%02d:%02d.000000007Z", fields.tm_year + 1900, fields.tm_mon + 1,
                fields.tm_mday, fields.tm_hour, fields.tm_min, fields.tm_sec)
            guard time.description == expected, Timestamp(expected) == time else {
                Issue.record("\(day): \(time), expected \(expected)")
                return
            }
        }
    }

    @Test func laterIsLater() {
        let time = Timestamp(seconds: 5, nanoseconds: 999_999_999)
        #expect(time.later(by: 0) == time)
        #expect(time.later(by: 1) == Timestamp(seconds: 6))
        #expect(time.later(by: 3_000_000_002) == Timestamp(seconds: 9, nanoseconds: 1))
    }

    @Test func nowIsNow() {
        let difference = Date().timeIntervalSince1970 - Double(Timestamp.now.seconds)
        #expect(abs(difference) < 5)
    }

    @Test(arguments: [
        ("1970-01-01T00:00:00Z", Timestamp(seconds: 0)),
        ("2024-02-29T23:59:59.5Z", Timestamp(seconds: 1_709_251_199, nanoseconds: 500_000_000)),
        ("2026-11-21T20:19:03.000001500Z", Timestamp(seconds: 1_795_292_343, nanoseconds: 1500)),
    ])
    func reads(_ text: String, _ expected: Timestamp) { #expect(Timestamp(text) == expected) }

    @Test(arguments: [
        "", "2026-11-21", "2026-11-21T20:19:03", "2026-11-21T20:19:03+00:00", "2026-11-21 20:19:03Z",
        "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1234567890Z", "2026-01-01T00:00:00.12a4Z", "-026-01-01T00:00:00Z",
    ])
    func refuses(_ text: String) { #expect(Timestamp(text) == nil) }

    @Test func sortsAsItsTextDoes() {
        let times = [Timestamp(seconds: 9, nanoseconds: 5), Timestamp(seconds: 10), Timestamp(seconds: 9)]
        #expect(times.sorted().map(\.description) == times.map(\.description).sorted())
    }
}
