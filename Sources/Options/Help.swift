// What `--help` prints.

extension Program {
    /// The help of the whole program: every command in a line.
    ///
    /// - Parameter family: lists the commands of this family alone.
    public func help(family: String? = nil, width: Int = 80) -> String {
        var page = Page(width: width)
        page.line(family.map { "The commands \(name) \($0)" } ?? "\(name): \(summary)")
        page.heading("Usage")
        page.line("  \(name) \(family.map { $0 + " " } ?? "")COMMAND ...")
        if family == nil { for paragraph in details { page.paragraph(plain(paragraph)) } }
        for group in groups {
            let commands = group.commands.filter { command in
                family.map { command.name.description.hasPrefix($0 + " ") } ?? true
            }
            if commands.isEmpty { continue }
            if family == nil { page.heading(group.title) } else { page.line("") }
            page.terms(commands.map { ($0.name.description, plain($0.summary)) }, column: 20)
        }
        if family == nil {
            page.heading("Options")
            page.terms(root.visibleOptions.map { ($0.aligned, plain($0.help)) }, column: 20)
        }
        page.line("")
        page.line("\(name) \(family.map { $0 + " " } ?? "")COMMAND --help tells of a command.")
        return page.text
    }

    /// The help of one command.
    public func help(_ command: Command, width: Int = 80) -> String {
        var page = Page(width: width)
        page.line("\(name) \(command.name): \(plain(command.summary))")
        page.heading("Usage")
        page.line("  \(name) \(command.usage)")
        for paragraph in command.details { page.paragraph(plain(paragraph)) }
        for section in command.sections {
            page.heading(section.title)
            page.terms(section.options.map { ($0.aligned, plain($0.help)) }, column: 26)
        }
        if !command.examples.isEmpty {
            page.heading("Examples")
            for example in command.examples {
                page.line("  # \(plain(example.purpose))")
                page.line("  \(example.line)")
            }
        }
        return page.text
    }
}

extension Option {
    /// The usage with room for the letter, whether there is one or not.
    fileprivate var aligned: String { letter == nil ? "    " + usage : usage }
}

private struct Page {
    let width: Int
    private(set) var text = ""

    init(width: Int) { self.width = width }

    mutating func line(_ line: String) { text += line + "\n" }

    mutating func heading(_ title: String) {
        line("")
        line(title + ":")
    }

    mutating func paragraph(_ paragraph: String) {
        line("")
        for row in wrapped(paragraph, width: width) { line(row) }
    }

    /// Terms with their meanings beside them; one that is too long for its column has its meaning below.
    mutating func terms(_ terms: [(term: String, meaning: String)], column: Int) {
        let indent = String(repeating: " ", count: column + 2)
        for (term, meaning) in terms {
            var rows = wrapped(meaning, width: max(width - indent.utf8.count, 20))[...]
            if term.utf8.count < column {
                line("  " + term + String(repeating: " ", count: column - term.utf8.count) + (rows.popFirst() ?? ""))
            } else {
                line("  " + term)
            }
            for row in rows { line(indent + row) }
        }
    }
}
