import Glibc
import Options
import Session
import Syscalls
import SystemPackage

/// How text is set off on a terminal (ECMA-48, SGR); elsewhere, and where `NO_COLOR` is set, not at all.
struct Style {
    /// Whether there are colours.
    let isColored: Bool
    /// Whether bars can be drawn with block elements.
    let hasBlocks: Bool
    /// The terminal's columns; `nil` where it is none, and lines can be as long as they are.
    let width: Int?

    init(for descriptor: Int32) {
        func variable(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }
        isColored = isatty(descriptor) == 1 && variable("NO_COLOR").isEmpty && variable("TERM") != "dumb"
        let locale = [variable("LC_ALL"), variable("LC_CTYPE"), variable("LANG")].first { !$0.isEmpty } ?? ""
        hasBlocks = locale.lowercased().hasSuffix("utf-8") || locale.lowercased().hasSuffix("utf8")
        let size = try? windowSize(of: FileDescriptor(rawValue: descriptor))
        width = size.flatMap { $0.columns >= 40 ? Int($0.columns) : nil }
    }

    /// Plain text.
    init(isColored: Bool = false, hasBlocks: Bool = true, width: Int? = nil) {
        self.isColored = isColored
        self.hasBlocks = hasBlocks
        self.width = width
    }

    /// A line, broken between words where the terminal is narrower; what goes on is indented.
    func line(_ text: String, indent: Int = 0) -> String {
        guard let width, text.unicodeScalars.count > width else { return text + "\n" }
        let head = String(text.prefix(indent))
        let rest = wrapped(String(text.dropFirst(indent)), width: max(width - indent, 20))
        let space = String(repeating: " ", count: indent)
        return rest.enumerated().map { ($0 == 0 ? head : space) + $1 + "\n" }.joined()
    }

    func bold(_ text: String) -> String { wrap(text, "1") }
    func dim(_ text: String) -> String { wrap(text, "2") }
    func red(_ text: String) -> String { wrap(text, "31") }
    func green(_ text: String) -> String { wrap(text, "32") }
    func yellow(_ text: String) -> String { wrap(text, "33") }

    private func wrap(_ text: String, _ code: String) -> String { isColored ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text }

    /// A bar of `width` characters, filled to `part` of 1; what is not filled is drawn, or left out.
    func bar(_ part: Double, width: Int = 20, empty isDrawn: Bool = true) -> String {
        let eighths = Int((max(0, min(part, 1)) * Double(width * 8)).rounded())
        guard hasBlocks else {
            let full = (eighths + 4) / 8
            return String(repeating: "#", count: full) + (isDrawn ? String(repeating: ".", count: width - full) : "")
        }
        let partial = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8]
        let empty = width - eighths / 8 - (partial.isEmpty ? 0 : 1)
        let filled = String(repeating: "█", count: eighths / 8) + partial
        return isDrawn ? filled + dim(String(repeating: "·", count: empty)) : filled
    }
}

/// Writes to standard output.
func put(_ text: String) throws(SessionError) { try put(text.utf8) }

/// Writes bytes to standard output as they are.
func put(_ bytes: some Collection<UInt8>) throws(SessionError) {
    do throws(SystemError) { try writeAll(bytes, to: .standardOutput) } catch {
        throw SessionError("cannot print: \(error)")
    }
}

/// Tells on standard error what cannot be done, and the way out.
func tell(_ error: SessionError) {
    let style = Style(for: 2)
    var text = ""
    for line in error.message.split(separator: "\n") { text += "\(style.red("carrel:")) \(printable(String(line)))\n" }
    if let fix = error.fix { text += "  \(style.bold("fix:")) \(printable(fix))\n" }
    try? writeAll(text.utf8, to: .standardError)
}

/// How many columns help has: the terminal's, up to where lines get hard to read.
func helpWidth() -> Int {
    guard let size = try? windowSize(of: .standardOutput), size.columns > 0 else { return 80 }
    return min(max(Int(size.columns), 50), 100)
}
