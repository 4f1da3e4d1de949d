/// One command of a program: what can be written behind its name, and what there is to say about it.
public struct Command: Sendable {
    /// Its name: one word, or the name of a family and a word.
    public let name: StaticString
    /// The heading that it stands under in the list of commands.
    public let group: StaticString
    /// The words that it takes.
    public let operands: [Operand]
    /// Whether a program and its arguments follow: the first word that is none of this command's ends its options.
    public let takesProgram: Bool
    /// Whether the program can be left out.
    public let programIsOptional: Bool
    /// Whether what follows the operands is another program's options: the last operand ends this command's.
    public let operandsEndOptions: Bool
    /// Its options, without `--help`.
    public let options: [Option]
    /// How to write it, where that is not plain from operands and options.
    public let synopsis: StaticString?
    /// What it does, in a few words that a full stop does not end.
    public let summary: StaticString
    /// What else there is to say, a paragraph each. Words between backquotes are literal.
    public var details: [StaticString] { makeDetails() }
    /// Whole command lines, each with what it is good for.
    public var examples: [Example] { makeExamples() }
    /// Whether the help is silent about it.
    public let isHidden: Bool
    // Made where they are read, so that a command that only runs has no part of them.
    private let makeDetails: @Sendable () -> [StaticString]
    private let makeExamples: @Sendable () -> [Example]

    /// A command line to learn from.
    public struct Example: Sendable {
        /// What it does.
        public let purpose: StaticString
        /// The line.
        public let line: StaticString

        /// A command line to learn from.
        public init(_ purpose: StaticString, _ line: StaticString) {
            self.purpose = purpose
            self.line = line
        }
    }

    /// A command.
    public init(
        _ name: StaticString, in group: StaticString = "", operands: [Operand] = [], takesProgram: Bool = false,
        programIsOptional: Bool = false, operandsEndOptions: Bool = false, options: [Option] = [],
        synopsis: StaticString? = nil, _ summary: StaticString,
        details: @autoclosure @escaping @Sendable () -> [StaticString] = [],
        examples: @autoclosure @escaping @Sendable () -> [Example] = [], isHidden: Bool = false
    ) {
        self.name = name
        self.group = group
        self.operands = operands
        self.takesProgram = takesProgram
        self.programIsOptional = programIsOptional
        self.operandsEndOptions = operandsEndOptions
        self.options = options
        self.synopsis = synopsis
        self.summary = summary
        self.isHidden = isHidden
        makeDetails = details
        makeExamples = examples
    }
}

/// A program: what all its commands have in common.
public struct Program: Sendable {
    /// The name that it is called by.
    public let name: String
    /// Its version.
    public let version: String
    /// What it is, in a few words.
    public let summary: String
    /// What else there is to say, a paragraph each.
    public let details: [String]
    /// The options that stand before a command; parsed as those of a command that is followed by another.
    public let root: Command
    /// Its commands, in the order in which they are listed.
    public let commands: [Command]
    /// What its exit statuses mean.
    public let exitStatuses: [(term: String, meaning: String)]
    /// The environment variables that it heeds.
    public let environment: [(term: String, meaning: String)]
    /// The files that it reads and keeps.
    public let files: [(term: String, meaning: String)]

    /// A program.
    public init(
        name: String, version: String, summary: String, details: [String], root: Command, commands: [Command],
        exitStatuses: [(term: String, meaning: String)], environment: [(term: String, meaning: String)],
        files: [(term: String, meaning: String)]
    ) {
        self.name = name
        self.version = version
        self.summary = summary
        self.details = details
        self.root = root
        self.commands = commands
        self.exitStatuses = exitStatuses
        self.environment = environment
        self.files = files
    }

    /// The commands that the help tells of.
    public var visibleCommands: [Command] { commands.filter { !$0.isHidden } }

    /// The visible commands by their headings, in order.
    public var groups: [(title: String, commands: [Command])] { grouped(visibleCommands) { $0.group.description } }
}

extension Command {
    /// The options that the help tells of, with `--help`.
    public var visibleOptions: [Option] { (options + [.help]).filter { !$0.isHidden } }

    /// The visible options by their headings, in order.
    var sections: [(title: String, options: [Option])] { grouped(visibleOptions) { $0.section.description } }

    /// How to write it, behind the program's name.
    public var usage: String {
        var words = name.utf8CodeUnitCount == 0 ? [] : [name.description]
        if let synopsis {
            words.append(synopsis.description)
        } else {
            words.append("[OPTIONS]")
            words += operands.map(\.usage)
        }
        if takesProgram { words.append("-- PROGRAM [ARGUMENTS]") }
        return words.joined(separator: " ")
    }
}

extension Operand {
    var usage: String {
        let word = name.description + (isRepeatable ? "..." : "")
        return isOptional ? "[\(word)]" : word
    }
}

extension Option {
    /// How to write it: `-d, --detach` or `--memory SIZE`.
    var usage: String {
        (letter.map { "-\($0), " } ?? "") + "--\(name)" + (value.map { " \($0)" } ?? "") + (isRepeatable ? "..." : "")
    }
}

/// Elements by the titles that they give, the titles in the order of their first element.
private func grouped<Element>(_ elements: [Element], by title: (Element) -> String) -> [(String, [Element])] {
    var groups: [(title: String, elements: [Element])] = []
    for element in elements {
        if let index = groups.firstIndex(where: { $0.title == title(element) }) {
            groups[index].elements.append(element)
        } else {
            groups.append((title(element), [element]))
        }
    }
    return groups
}
