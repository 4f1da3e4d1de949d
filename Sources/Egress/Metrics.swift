import Metering
import NIOConcurrencyHelpers

/// What the gateway counts, as OpenMetrics writes it.
final class Metrics: Sendable {
    struct Histogram: Sendable {
        /// Upper bounds in seconds.
        static let bounds: [Double] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120, 600]
        var counts = [Int64](repeating: 0, count: bounds.count + 1)
        var sum = 0.0

        mutating func add(_ seconds: Double) {
            counts[Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count] += 1
            sum += seconds
        }
    }

    private struct Counts {
        var requests: [String: Int64] = [:]
        var denials: [String: Int64] = [:]
        var latency = Histogram()
        var firstByte = Histogram()
        var tokens: UInt64 = 0
        var nanodollars: UInt64 = 0
        var bytesUp: Int64 = 0
        var bytesDown: Int64 = 0
        var tunnels: Int64 = 0
        var tripwires: Int64 = 0
        var softMarks: Int64 = 0
    }

    private let counts = NIOLockedValueBox(Counts())
    /// Label values that are kept apart: rules come from profiles, so their number is not the gateway's choice.
    private static let labels = 256

    private static func count(_ table: inout [String: Int64], _ label: String) {
        table[table[label] != nil || table.count < labels ? label : "other", default: 0] += 1
    }

    func allowed(rule: String) { counts.withLockedValue { Self.count(&$0.requests, rule) } }

    func denied(_ label: String) { counts.withLockedValue { Self.count(&$0.denials, label) } }

    func finished(nanoseconds: Int64, firstByte: Int64?, up: Int, down: Int) {
        counts.withLockedValue {
            $0.latency.add(Double(nanoseconds) / 1e9)
            if let firstByte { $0.firstByte.add(Double(firstByte) / 1e9) }
            $0.bytesUp += Int64(up)
            $0.bytesDown += Int64(down)
        }
    }

    func charged(tokens: UInt64, nanodollars: UInt64) {
        counts.withLockedValue {
            $0.tokens = $0.tokens.saturatingAdd(tokens)
            $0.nanodollars = $0.nanodollars.saturatingAdd(nanodollars)
        }
    }

    func tunnel() { counts.withLockedValue { $0.tunnels += 1 } }

    func softMarkPassed() { counts.withLockedValue { $0.softMarks += 1 } }

    func tripped() { counts.withLockedValue { $0.tripwires += 1 } }

    /// The figures as OpenMetrics text (openmetrics.io, 1.0).
    func text(sessions: Int) -> String {
        let counts = self.counts.withLockedValue { $0 }
        var text = ""
        func family(_ name: String, _ type: String, _ help: String) {
            text += "# TYPE carrel_egress_\(name) \(type)\n# HELP carrel_egress_\(name) \(help)\n"
        }
        func counter(_ name: String, _ help: String, _ value: String) {
            family(name, "counter", help)
            text += "carrel_egress_\(name)_total \(value)\n"
        }
        func counters(_ name: String, _ help: String, _ label: String, _ table: [String: Int64]) {
            family(name, "counter", help)
            for (key, value) in table.sorted(by: { $0.key < $1.key }) {
                let escaped = key.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined()
                text += "carrel_egress_\(name)_total{\(label)=\"\(escaped)\"} \(value)\n"
            }
        }
        func histogram(_ name: String, _ help: String, _ histogram: Histogram) {
            family(name, "histogram", help)
            var total: Int64 = 0
            for (index, count) in histogram.counts.enumerated() {
                total += count
                let bound = index < Histogram.bounds.count ? "\(Histogram.bounds[index])" : "+Inf"
                text += "carrel_egress_\(name)_bucket{le=\"\(bound)\"} \(total)\n"
            }
            text += "carrel_egress_\(name)_count \(total)\ncarrel_egress_\(name)_sum \(histogram.sum)\n"
        }
        family("sessions", "gauge", "Sessions that are served.")
        text += "carrel_egress_sessions \(sessions)\n"
        counters("requests", "Requests and tunnels let through, by rule.", "rule", counts.requests)
        counters("denials", "Requests, tunnels and names refused, by rule or kind.", "rule", counts.denials)
        histogram("request_seconds", "From the head of a request to the end of its response.", counts.latency)
        histogram("first_byte_seconds", "From the head of a request to the head of its response.", counts.firstByte)
        counter("tokens", "Tokens charged.", "\(counts.tokens)")
        counter("dollars", "US dollars charged.", "\(Double(counts.nanodollars) / 1e9)")
        counter("sent_bytes", "Bytes of bodies and tunnels sent to upstreams.", "\(counts.bytesUp)")
        counter("received_bytes", "Bytes of bodies and tunnels received from upstreams.", "\(counts.bytesDown)")
        counter("tunnels", "Tunnels opened.", "\(counts.tunnels)")
        counter("soft_marks", "Sessions whose spending came to their budget's soft mark.", "\(counts.softMarks)")
        counter("tripwires", "Dummy credentials seen where they do not belong.", "\(counts.tripwires)")
        return text + "# EOF\n"
    }
}
