// The reference of all commands, as a page of the documentation.

extension Program {
    /// The reference as Markdown: what the help says, command by command.
    public func markdown() -> String {
        var page = "# The command `\(name)`\n\n"
        page += "<!-- Made by `\(name) man --markdown`. Change what it is made from: Sources/\(name). -->\n\n"
        for paragraph in [summary + "."] + details { page += paragraph + "\n\n" }
        for group in groups {
            page += "**\(group.title)**\n\n| command | |\n|---|---|\n"
            for command in group.commands {
                let anchor = manualName(command)
                page += "| [`\(command.name)`](#\(anchor)) | \(Self.cell(command.summary.description)) |\n"
            }
            page += "\n"
        }
        page += "Options of every command:\n\n" + Self.table(root.visibleOptions)
        for (title, terms) in [
            ("Exit status", exitStatuses), ("Environment", environment), ("Files", files),
        ] {
            page += "\n## \(title)\n\n| | |\n|---|---|\n"
            for (term, meaning) in terms { page += "| `\(term)` | \(Self.cell(meaning)) |\n" }
        }
        for command in visibleCommands { page += section(command) }
        return page
    }

    private func section(_ command: Command) -> String {
        var page = "\n## \(name) \(command.name)\n\n\(command.summary).\n\n```\n\(name) \(command.usage)\n```\n"
        for paragraph in command.details { page += "\n\(paragraph)\n" }
        for section in command.sections {
            let options = section.options.filter { $0.name.description != Option.help.name.description }
            if options.isEmpty { continue }
            page += "\n**\(section.title)**\n\n" + Self.table(options)
        }
        if !command.examples.isEmpty {
            page += "\n```sh\n"
            page += command.examples.map { "# \(plain($0.purpose))\n\($0.line)\n" }.joined()
            page += "```\n"
        }
        return page
    }

    private static func table(_ options: [Option]) -> String {
        "| | |\n|---|---|\n" + options.map { "| `\($0.usage)` | \(cell($0.help.description)) |\n" }.joined()
    }

    private static func cell(_ text: String) -> String {
        text.reduce(into: "") { $0 += $1 == "|" ? "\\|" : $1 == "<" ? "&lt;" : String($1) }
    }
}
