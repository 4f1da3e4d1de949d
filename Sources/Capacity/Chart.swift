import Glibc

/// Text as it stands in XML, in elements and in attributes. Characters that XML 1.0 cannot have become U+FFFD.
func escaped(_ text: String) -> String {
    text.unicodeScalars.reduce(into: "") { result, scalar in
        switch scalar {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\"": result += "&quot;"
        case "'": result += "&#39;"
        case "\t", "\n": result.unicodeScalars.append(scalar)
        case "\u{0}"..."\u{1f}", "\u{7f}"..."\u{9f}", "\u{fffe}", "\u{ffff}": result += "\u{fffd}"
        default: result.unicodeScalars.append(scalar)
        }
    }
}

/// An axis: where values stand, and where it is labelled.
struct Axis {
    let low: Double
    let high: Double
    let isLogarithmic: Bool
    let ticks: [(value: Double, label: String)]

    /// An axis from 0 of round numbers.
    init(to highest: Double, count: Int = 4, label: (Double) -> String) {
        let step = Self.roundStep(highest, count)
        low = 0
        high = max(step, (highest / step).rounded(.up) * step)
        isLogarithmic = false
        ticks = stride(from: 0, through: high + step / 2, by: step).map { ($0, label($0)) }
    }

    /// An axis of bytes: round in the unit that suits.
    init(bytes highest: Double, count: Int = 4) {
        let unit = highest >= Double(1 << 30) ? Double(1 << 30) : Double(1 << 20)
        let step = Self.roundStep(highest / unit, count) * unit
        low = 0
        high = max(step, (highest / step).rounded(.up) * step)
        isLogarithmic = false
        ticks = stride(from: 0, through: high + step / 2, by: step).map { value in
            (value, decimal(value / unit, 2) + (value == 0 ? "" : unit > Double(1 << 20) ? " GiB" : " MiB"))
        }
    }

    /// An axis of seconds.
    init(seconds highest: Double, count: Int = 5) {
        let unit: Double = highest >= 7200 ? 3600 : highest >= 180 ? 60 : 1
        let name = highest >= 7200 ? " h" : highest >= 180 ? " min" : " s"
        let step = Self.roundStep(highest / unit, count) * unit
        low = 0
        high = highest
        isLogarithmic = false
        ticks = stride(from: 0, through: high * 1.0001, by: step).map {
            ($0, decimal($0 / unit, 2) + ($0 == 0 ? "" : name))
        }
    }

    /// An axis of powers of ten.
    init(logarithmic range: ClosedRange<Int>, label: (Double) -> String) {
        low = pow(10, Double(range.lowerBound))
        high = pow(10, Double(range.upperBound))
        isLogarithmic = true
        let step = max(1, range.count / 5)
        ticks = stride(from: range.lowerBound, through: range.upperBound, by: step).map {
            (pow(10, Double($0)), label(pow(10, Double($0))))
        }
    }

    private static func roundStep(_ highest: Double, _ count: Int) -> Double {
        guard highest > 0 else { return 1 }
        let raw = highest / Double(count)
        let power = pow(10, floor(log10(raw)))
        return ([1, 2, 2.5, 5, 10].first { $0 * power >= raw * 0.999 } ?? 10) * power
    }

    /// Where a value stands, between 0 and 1.
    func place(_ value: Double) -> Double {
        let clamped = max(low, min(high, value))
        return isLogarithmic
            ? (log10(clamped) - log10(low)) / (log10(high) - log10(low)) : (clamped - low) / (high - low)
    }
}

/// A drawing of 400 units' width as inline SVG. Colours are classes, so that one drawing suits light and dark.
struct Chart {
    static let width = 400.0
    let height: Double
    private let left: Double
    private let right = 12.0
    private let top = 12.0
    private let bottom: Double
    private let title: String
    private var body = ""
    let x: Axis
    let y: Axis

    init(
        _ title: String, x: Axis, y: Axis, height: Double = 230, left: Double = 58, bottom: Double = 26,
        hasXLabels: Bool = true, hasYLabels: Bool = true
    ) {
        (self.title, self.x, self.y, self.height, self.left, self.bottom) = (title, x, y, height, left, bottom)
        for tick in y.ticks where hasYLabels {
            let place = yPlace(tick.value)
            line("grid", left, place, Self.width - right, place)
            text(tick.label, left - 6, place + 4, "tick end")
        }
        for (index, tick) in x.ticks.enumerated() where hasXLabels {
            let place = xPlace(tick.value)
            if !hasYLabels { line("grid", place, top, place, height - bottom) }
            let isLast = index == x.ticks.count - 1 && place > Self.width - 40
            text(tick.label, isLast ? Self.width - 2 : place, height - bottom + 16, isLast ? "tick end" : "tick middle")
        }
    }

    func xPlace(_ value: Double) -> Double { left + x.place(value) * (Self.width - left - right) }
    func yPlace(_ value: Double) -> Double { height - bottom - y.place(value) * (height - bottom - top) }
    /// The inner border.
    var inner: (left: Double, right: Double, top: Double, bottom: Double) {
        (left, Self.width - right, top, height - bottom)
    }

    private static func number(_ value: Double) -> String { decimal(value, 2) }

    mutating func line(_ style: String, _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double) {
        body +=
            "<line class=\"\(style)\" x1=\"\(Self.number(x1))\" y1=\"\(Self.number(y1))\" x2=\"\(Self.number(x2))\" "
            + "y2=\"\(Self.number(y2))\"/>"
    }

    mutating func text(_ content: String, _ x: Double, _ y: Double, _ style: String) {
        body += "<text class=\"\(style)\" x=\"\(Self.number(x))\" y=\"\(Self.number(y))\">\(escaped(content))</text>"
    }

    mutating func rectangle(
        _ style: String, _ x: Double, _ y: Double, _ width: Double, _ height: Double, _ hint: String
    ) {
        body +=
            "<rect class=\"\(style)\" x=\"\(Self.number(x))\" y=\"\(Self.number(y))\" width=\"\(Self.number(max(width, 0)))\" "
            + "height=\"\(Self.number(max(height, 0)))\" rx=\"1.5\"><title>\(escaped(hint))</title></rect>"
    }

    mutating func dot(_ style: String, _ x: Double, _ y: Double, _ radius: Double, _ hint: String) {
        body +=
            "<circle class=\"\(style)\" cx=\"\(Self.number(x))\" cy=\"\(Self.number(y))\" r=\"\(Self.number(radius))\">"
            + "<title>\(escaped(hint))</title></circle>"
    }

    /// A path through points, in the axes' own values.
    mutating func path(_ style: String, _ points: [(Double, Double)]) {
        let steps = points.enumerated().map { index, point in
            (index == 0 ? "M" : "L") + Self.number(xPlace(point.0)) + " " + Self.number(yPlace(point.1))
        }
        body += "<path class=\"\(style)\" d=\"\(steps.joined())\"/>"
    }

    /// A line across at a value, with its name above the line: at its right end, or at its left one.
    mutating func mark(_ style: String, y value: Double, _ name: String, atLeft: Bool = false) {
        let place = yPlace(value)
        line(style, left, place, Self.width - right, place)
        text(name, atLeft ? left + 2 : Self.width - right - 2, max(place - 4, 10), atLeft ? "note" : "note end")
    }

    var svg: String {
        "<svg viewBox=\"0 0 \(Self.number(Self.width)) \(Self.number(height))\" role=\"img\" "
            + "aria-label=\"\(escaped(title))\" xmlns=\"http://www.w3.org/2000/svg\">\(body)</svg>"
    }
}
