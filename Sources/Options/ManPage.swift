// Manual pages, as man(7) writes them.

extension Program {
    /// The manual page of the program itself, section 1.
    public func manual() -> String {
        var page = Roff(title: name, "\(name) \(version)")
        page.heading("NAME")
        page.text("\(name) \\- \(Roff.escaped(summary))")
        page.heading("SYNOPSIS")
        page.synopsis(name, "COMMAND ...")
        page.heading("DESCRIPTION")
        page.paragraphs(details)
        page.heading("COMMANDS")
        for group in groups {
            page.subheading(group.title)
            for command in group.commands {
                page.term(Roff.reference(manualName(command)), Roff.body(command.summary.description))
            }
        }
        page.heading("OPTIONS")
        for option in root.visibleOptions { page.option(option) }
        page.terms("EXIT STATUS", exitStatuses)
        page.terms("ENVIRONMENT", environment)
        page.terms("FILES", files)
        page.heading("SEE ALSO")
        page.text(visibleCommands.map { Roff.reference(manualName($0)) }.joined(separator: ",\n"))
        return page.source
    }

    /// The manual page of one command, section 1.
    public func manual(_ command: Command) -> String {
        var page = Roff(title: manualName(command), "\(name) \(version)")
        page.heading("NAME")
        page.text("\(Roff.escaped(manualName(command))) \\- \(Roff.body(command.summary.description))")
        page.heading("SYNOPSIS")
        page.synopsis(name, command.usage)
        page.heading("DESCRIPTION")
        page.paragraphs(
            command.details.isEmpty ? [command.summary.description + "."] : command.details.map(\.description))
        page.heading("OPTIONS")
        for (index, section) in command.sections.enumerated() {
            if index > 0 { page.subheading(section.title) }
            for option in section.options { page.option(option) }
        }
        page.terms("EXIT STATUS", exitStatuses)
        if !command.examples.isEmpty {
            page.heading("EXAMPLES")
            for (index, example) in command.examples.enumerated() {
                if index > 0 { page.line(".PP") }
                page.example(example.purpose.description, example.line.description)
            }
        }
        page.heading("SEE ALSO")
        page.text(Roff.reference(name))
        return page.source
    }

    /// All manual pages by name, the program's own first.
    public var manualPages: [(name: String, source: String)] {
        [(name, manual())] + visibleCommands.map { (manualName($0), manual($0)) }
    }

    /// The name of a command's manual page: `carrel-profile-check`.
    public func manualName(_ command: Command) -> String {
        "\(name)-" + command.name.description.split(separator: " ").joined(separator: "-")
    }
}

private struct Roff {
    private(set) var source: String

    init(title: String, _ origin: String) {
        // No date: the page is the same whenever it is made.
        source =
            ".TH \(Self.quoted(title.uppercased())) 1 \"\" \(Self.quoted(origin)) \(Self.quoted("User Commands"))\n"
        source += ".nh\n.ad l\n"
    }

    mutating func line(_ line: String) { source += line + "\n" }
    mutating func heading(_ title: String) { line(".SH \(Self.quoted(title))") }
    mutating func subheading(_ title: String) { line(".SS \(Self.quoted(title))") }

    /// Text that is escaped already; no line of it is taken for a request.
    mutating func text(_ text: String) {
        for row in text.split(separator: "\n") {
            line(row.hasPrefix(".") || row.hasPrefix("'") ? "\\&" + row : String(row))
        }
    }

    mutating func paragraphs(_ paragraphs: [String]) {
        for (index, paragraph) in paragraphs.enumerated() {
            if index > 0 { line(".PP") }
            text(Self.body(paragraph))
        }
    }

    mutating func synopsis(_ program: String, _ usage: String) {
        text("\\fB\(Self.escaped(program))\\fR \(Self.escaped(usage))")
    }

    mutating func term(_ term: String, _ meaning: String) {
        line(".TP")
        text(term)
        text(meaning)
    }

    mutating func terms(_ title: String, _ terms: [(term: String, meaning: String)]) {
        heading(title)
        for (term, meaning) in terms { self.term("\\fB\(Self.escaped(term))\\fR", Self.body(meaning)) }
    }

    mutating func option(_ option: Option) {
        let letter = option.letter.map { "\\fB\\-\($0)\\fR, " } ?? ""
        let value = option.value.map { " \\fI\($0)\\fR" } ?? ""
        term(
            "\(letter)\\fB\\-\\-\(Self.escaped(option.name.description))\\fR\(value)\(option.isRepeatable ? "..." : "")",
            Self.body(option.help.description))
    }

    mutating func example(_ purpose: String, _ command: String) {
        text(Self.body(purpose) + ":")
        line(".PP")
        line(".RS 4")
        line(".nf")
        text(Self.escaped(command))
        line(".fi")
        line(".RE")
    }

    static func reference(_ name: String) -> String { "\\fB\(escaped(name))\\fR(1)" }

    /// Words between backquotes are bold.
    static func body(_ text: String) -> String {
        pieces(of: text).map { $0.isLiteral ? "\\fB\(escaped(String($0.text)))\\fR" : escaped(String($0.text)) }
            .joined()
    }

    static func escaped(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            switch character {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            case "'": result += "\\(aq"
            case "^": result += "\\(ha"
            case "~": result += "\\(ti"
            case "`": result += "\\(ga"
            default: result.append(character)
            }
        }
    }

    private static func quoted(_ text: String) -> String { "\"\(escaped(text))\"" }
}
