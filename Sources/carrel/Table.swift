import Options

/// Rows of text in columns that stand in line.
///
/// On a terminal that is too narrow for all of it columns are left out, and then what is left of a line goes to its last
/// column. Elsewhere everything is there.
struct Table {
    /// Where the text of a column stands.
    enum Alignment {
        case left, right
    }

    private let columns: [(title: String, alignment: Alignment)]
    private let spare: [Int]
    private let wraps: Bool
    private var rows: [[String]] = []
    private var styles: [(String) -> String] = []
    /// How much of the last column is worth a line.
    private static let least = 12

    /// - Parameters:
    ///   - columns: titles, and where their text stands.
    ///   - spare: the columns to be left out, by number, the first to go first.
    ///   - wraps: whether the last column goes on in further lines instead of being cut.
    init(_ columns: (String, Alignment)..., leavingOut spare: [Int] = [], wraps: Bool = false) {
        self.columns = columns.map { ($0.0, $0.1) }
        self.spare = spare
        self.wraps = wraps
    }

    /// Adds a row; nobody's control characters get through.
    mutating func add(_ cells: [String], style: @escaping (String) -> String = { $0 }) {
        rows.append(cells.map(printable))
        styles.append(style)
    }

    /// The table with its titles, a line a row.
    func text(_ style: Style) -> String {
        let widths = columns.indices.map { column in
            rows.reduce(columns[column].title.unicodeScalars.count) { max($0, $1[column].unicodeScalars.count) }
        }
        let shown = fitting(widths, style.width)
        guard let last = shown.last else { return "" }
        let room = style.width.map { $0 - shown.dropLast().reduce(0) { $0 + widths[$1] + 2 } }
        func line(_ cells: [String], _ end: String) -> String {
            var line = ""
            for column in shown {
                let cell = column == last ? end : cells[column]
                let space = String(repeating: " ", count: max(0, widths[column] - cell.unicodeScalars.count))
                if column != shown.first { line += "  " }
                line += columns[column].alignment == .right ? space + cell : cell + space
            }
            while line.utf8.last == UInt8(ascii: " ") { line.removeLast() }
            guard let width = style.width, line.unicodeScalars.count > width else { return line }
            return String(String.UnicodeScalarView(line.unicodeScalars.prefix(width - 1))) + "…"
        }
        let titles = columns.map(\.title)
        let blank = columns.map { _ in "" }
        var text = style.bold(line(titles, titles[last])) + "\n"
        for (cells, paint) in zip(rows, styles) {
            var ends = [cells[last]]
            if wraps, let room, room >= Self.least, cells[last].unicodeScalars.count > room {
                ends = wrapped(cells[last], width: room)
            }
            for (index, end) in ends.enumerated() { text += paint(line(index == 0 ? cells : blank, end)) + "\n" }
        }
        return text
    }

    /// The columns that there is room for.
    private func fitting(_ widths: [Int], _ width: Int?) -> [Int] {
        var shown = Array(columns.indices)
        guard let width else { return shown }
        for column in spare {
            let needed = shown.reduce(-2) { sum, column in
                let canShrink = column == shown.last && columns[column].alignment == .left
                return sum + 2 + (canShrink ? min(widths[column], Self.least) : widths[column])
            }
            if needed <= width { break }
            shown.removeAll { $0 == column }
        }
        return shown
    }
}
