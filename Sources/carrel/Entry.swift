import Documents
import Glibc
import Options
import Session

/// C strings, as main(3) gets them.
typealias Arguments = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

/// Finds the command, reads its words, does it, and gives the exit status.
func perform(_ arguments: Arguments, _ count: Int32) throws(SessionError) -> Int32 {
    // A program would be given, and a report tell, other words than these.
    for index in 0..<Int(count) where arguments[index].flatMap({ String(validatingCString: $0) }) == nil {
        throw SessionError("argument \(index) is not UTF-8: \(arguments[index].map { String(cString: $0) } ?? "")")
    }
    guard count > 1, let first = arguments[1], first[0] != CChar(UInt8(ascii: "-")) else {
        return try performRoot(arguments, count)
    }
    let word = String(cString: first)
    if word == "help" {
        // `help COMMAND` is `COMMAND --help`.
        for index in 1..<Int(count) - 1 { arguments[index] = arguments[index + 1] }
        arguments[Int(count) - 1] = strdup("--help")
        return try perform(arguments, count)
    }
    // A command can be a family too: capacity, and capacity validate.
    if word != "run", count > 2, let second = arguments[2], let verb = Verb("\(word) \(String(cString: second))") {
        return try perform(verb, arguments + 2, count - 2)
    }
    if let verb = Verb(word) { return try perform(verb, arguments + 1, count - 1) }

    let family = Verb.allCases.filter { $0.name.hasPrefix(word + " ") }.map(\.name)
    if family.isEmpty { throw unknown(word, in: Verb.visibleNames) }
    guard count > 2, let second = arguments[2].map({ String(cString: $0) }) else {
        throw SessionError(
            "expected one of: \(family.joined(separator: ", "))", fix: "carrel \(word) --help tells of them")
    }
    if second == "--help" || second == "-h" {
        try put(Program.carrel.help(family: word, width: helpWidth()))
        return 0
    }
    throw unknown("\(word) \(second)", in: family)
}

private func perform(_ verb: Verb, _ arguments: Arguments, _ count: Int32) throws(SessionError) -> Int32 {
    let definition = verb.definition
    let words = try parse(definition, arguments, count)
    if words.has(.help) {
        try put(Program.carrel.help(definition, width: helpWidth()))
        return 0
    }
    return try verb.perform(words)
}

/// `--help`, `--version`, or no command at all.
private func performRoot(_ arguments: Arguments, _ count: Int32) throws(SessionError) -> Int32 {
    if count < 2 {
        throw SessionError("expected a command", fix: "carrel --help lists them")
    }
    let program = Program.carrel
    let words = try parse(program.root, arguments, count)
    if words.has(.version) {
        try put("carrel \(Carrel.version)\n")
    } else if words.has(.help) {
        try put(program.help(width: helpWidth()))
    } else {
        throw SessionError("expected a command", fix: "carrel --help lists them")
    }
    return 0
}

private func parse(_ command: Command, _ arguments: Arguments, _ count: Int32) throws(SessionError) -> Words {
    do throws(UsageError) {
        return try command.parse(arguments, count: count, of: "carrel")
    } catch {
        throw SessionError(error.message, fix: error.fix)
    }
}

private func unknown(_ name: String, in names: [String]) -> SessionError {
    let meant = nearest(name, in: names).map { "did you mean \($0)? " } ?? ""
    return SessionError("unknown command \(name)", fix: meant + "carrel --help lists the commands")
}

extension Verb {
    /// Refuses options that exclude each other: one of them would be passed over.
    func refuse(_ options: [Option], in words: Words) throws(SessionError) {
        let given = options.filter { words.has($0) }.map { "--\($0.name)" }
        if given.count < 2 { return }
        throw SessionError(
            "\(name): \(given.joined(separator: " and ")) exclude each other",
            fix: "carrel \(name) --help tells of them")
    }

    /// Refuses an option that means nothing without another.
    func refuse(_ option: Option, without other: Option, in words: Words) throws(SessionError) {
        if !words.has(option) || words.has(other) { return }
        throw SessionError(
            "\(name): --\(option.name) means nothing without --\(other.name)",
            fix: "carrel \(name) --help tells of them")
    }

    static var visibleNames: [String] { allCases.filter { !$0.definition.isHidden }.map(\.name) }
}
