import Options

/// Rows of text in columns that stand in line.
struct Table {
    /// Where the text of a column stands.
    enum Alignment {
        case left, right
    }

    private let columns: [(title: String, alignment: Alignment)]
    private var rows: [[String]] = []
    private var styles: [(String) -> String] = []

    init(_ columns: (String, Alignment)...) { self.columns = columns.map { ($0.0, $0.1) } }

    /// Adds a row; nobody's control characters get through.
    mutating func add(_ cells: [String], style: @escaping (String) -> String = { $0 }) {
        rows.append(cells.map(printable))
        styles.append(style)
    }

    /// The table with its titles, a line a row. What is left of a line goes to its last column.
    func text(_ style: Style, width: Int? = nil) -> String {
        let widths = columns.indices.map { column in
            rows.reduce(columns[column].title.unicodeScalars.count) { max($0, $1[column].unicodeScalars.count) }
        }
        func line(_ cells: [String]) -> String {
            var line = ""
            for (column, cell) in cells.enumerated() {
                let space = String(repeating: " ", count: widths[column] - cell.unicodeScalars.count)
                if column > 0 { line += "  " }
                line += columns[column].alignment == .right ? space + cell : cell + space
            }
            while line.utf8.last == UInt8(ascii: " ") { line.removeLast() }
            guard let width, line.unicodeScalars.count > width else { return line }
            return String(String.UnicodeScalarView(line.unicodeScalars.prefix(width - 1))) + "…"
        }
        var text = style.bold(line(columns.map(\.title))) + "\n"
        for (cells, paint) in zip(rows, styles) { text += paint(line(cells)) + "\n" }
        return text
    }
}
