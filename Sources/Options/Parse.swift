// optind and its like are variables of C: command lines are read before there can be a second thread.
@preconcurrency import CSyscalls
import Documents
import Glibc

/// What is wrong with a command line.
public struct UsageError: Error, Sendable, Equatable {
    /// What was found and what was expected.
    public let message: String
    /// What was probably meant, or where to look.
    public let fix: String

    /// Describes what is wrong.
    public init(_ message: String, fix: String) {
        self.message = message
        self.fix = fix
    }
}

/// A command line that was read: values by option, and the words that are no options.
public struct Words: Sendable {
    /// The words that the command takes, in order.
    public private(set) var operands: [String] = []
    /// The program and its arguments, for a command that takes one.
    public private(set) var program: [String] = []
    private var settings: [Setting] = []

    /// An option that was given: a structure and no tuple, for which the runtime would first have to make a type.
    private struct Setting {
        /// The place of the option's name in the program's image, which is its identity.
        let name: UInt
        let value: String?
    }

    /// The value of an option; the last one, where it was given more than once.
    public subscript(option: Option) -> String? { settings.last { $0.name == option.identity }?.value }

    /// All values of an option, in order.
    public func all(_ option: Option) -> [String] { settings.filter { $0.name == option.identity }.compactMap(\.value) }

    /// Whether an option was given.
    public func has(_ option: Option) -> Bool { settings.contains { $0.name == option.identity } }

    fileprivate mutating func take(_ operand: String) { operands.append(operand) }
    fileprivate mutating func set(_ option: Option, _ value: String?) {
        settings.append(Setting(name: option.identity, value: value))
    }
    fileprivate mutating func run(_ words: [String]) { program = words }
}

extension Command {
    /// Reads the words behind the command's name, by getopt_long(3).
    ///
    /// Options can stand before and between operands; the first word of a program, or `--`, ends them. Long names are
    /// written in full: an abbreviation would mean something else as soon as an option is added.
    ///
    /// - Parameters:
    ///   - arguments: C strings; the first is the command's name and not looked at.
    ///   - count: how many those are.
    ///   - program: the name of the program, for what is told.
    /// - Throws: the first thing that is wrong. Nothing is, once `--help` was read.
    public func parse(
        _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>, count: Int32, of program: StaticString
    ) throws(UsageError) -> Words {
        let line = Line(command: self, program: program, arguments: arguments, count: count)
        let words = try line.read()
        if !words.has(.help) { try line.check(words) }
        return words
    }
}

extension Option {
    fileprivate var identity: UInt { UInt(bitPattern: name.utf8Start) }

    /// The name as C reads it: the literal's own bytes, which a NUL ends (`StaticString.utf8Start`).
    fileprivate var cName: UnsafePointer<CChar> { UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self) }
}

private struct Line {
    let command: Command
    let program: StaticString
    let arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    let count: Int32

    /// Above every letter, so that a long name and a letter are told apart.
    private static let firstLongValue: Int32 = 256

    func read() throws(UsageError) -> Words {
        let options = command.options + CollectionOfOne(.help)
        // "+": stop at the first word that is no option. ":": tell a missing value from an unknown option.
        var letters = [CChar(ascii: "+"), CChar(ascii: ":")]
        var table: [option] = []
        table.reserveCapacity(options.count + 1)
        for entry in options {
            let value = Self.firstLongValue + Int32(table.count)
            table.append(
                option(
                    name: entry.cName, has_arg: entry.value == nil ? no_argument : required_argument, flag: nil,
                    val: value))
            guard let letter = entry.letter else { continue }
            letters.append(CChar(ascii: letter))
            if entry.value != nil { letters.append(CChar(ascii: ":")) }
        }
        table.append(option())
        letters.append(0)

        var words = Words()
        opterr = 0
        optind = 0
        while true {
            let position = max(optind, 1)
            let found = getopt_long(count, arguments, letters, table, nil)
            switch found {
            case -1:
                let isEnded = optind > position
                if isEnded || optind >= count || command.takesProgram && words.operands.count == command.operands.count
                {
                    return rest(from: optind, words)
                }
                words.take(text(optind))
                optind += 1
                if command.operandsEndOptions && words.operands.count == command.operands.count {
                    return rest(from: optind, words)
                }
            case Int32(UInt8(ascii: ":")), Int32(UInt8(ascii: "?")):
                throw refusal(of: text(position), found, options)
            default:
                let long = Int(found - Self.firstLongValue)
                guard let option = long >= 0 ? options[long] : options.first(where: { $0.letterValue == found }) else {
                    throw unknown(text(position), options)
                }
                if long >= 0 && !isWhole(position, option) { throw unknown(text(position), options) }
                words.set(option, option.value == nil ? nil : String(cString: optarg))
                // Whatever else there is does not matter to one who asks for help.
                if option.identity == Option.help.identity { return words }
            }
        }
    }

    private func rest(from index: Int32, _ words: Words) -> Words {
        var words = words
        if command.takesProgram {
            words.run((index..<max(index, count)).map(text))
        } else {
            for index in index..<max(index, count) { words.take(text(index)) }
        }
        return words
    }

    private func text(_ index: Int32) -> String { arguments[Int(index)].map { String(cString: $0) } ?? "" }

    /// Whether the word has the option's whole name: getopt_long(3) takes any beginning of it that is no other's.
    private func isWhole(_ position: Int32, _ option: Option) -> Bool {
        guard let word = arguments[Int(position)] else { return false }
        let length = option.name.utf8CodeUnitCount
        let end = strncmp(word + 2, option.cName, length) == 0 ? word[2 + length] : 1
        return end == 0 || end == CChar(ascii: "=")
    }

    // MARK: What is wrong

    func check(_ words: Words) throws(UsageError) {
        for option in command.options {
            guard case .choices(let choices) = option.completion else { continue }
            let known = choices.description.split(separator: " ")
            for value in words.all(option) where !known.contains(Substring(value)) {
                let expected = known.dropLast().joined(separator: ", ") + " or " + (known.last ?? "")
                throw error(
                    "--\(option.name): expected \(expected), found \(printable(value))",
                    "write it: --\(option.name) \(known[0])")
            }
        }
        let operands = command.operands
        let needed = operands.prefix { !$0.isOptional }.count
        if words.operands.count < needed {
            throw error("expected \(operands[words.operands.count].name)", "write it: \(program) \(command.usage)")
        }
        if words.operands.count > operands.count, operands.last?.isRepeatable != true {
            throw error(
                "unexpected \(printable(words.operands[operands.count]))", "write it: \(program) \(command.usage)")
        }
        if command.takesProgram && !command.programIsOptional && words.program.isEmpty {
            throw error("expected a program to run", "write it: \(program) \(command.usage)")
        }
    }

    /// What getopt_long(3) would have said.
    private func refusal(of word: String, _ found: Int32, _ options: [Option]) -> UsageError {
        // optopt is the value of a known option, the letter of an unknown one, 0 for an unknown name.
        let known = options.indices.first { index in
            optopt == Self.firstLongValue + Int32(index) || optopt != 0 && options[index].letterValue == optopt
        }
        guard let known else {
            let letter = optopt > 0 && optopt < 128 ? "-" + String(UnicodeScalar(UInt8(optopt))) : nil
            return unknown(word.hasPrefix("--") ? word : letter ?? word, options)
        }
        let option = options[known]
        if found == Int32(UInt8(ascii: ":")) {
            return error("--\(option.name) needs a value", "write it: --\(option.name) \(option.value ?? "")")
        }
        return error("--\(option.name) takes no value, found \(printable(word))", "write it: --\(option.name)")
    }

    private func unknown(_ word: String, _ options: [Option]) -> UsageError {
        let name = String(word.prefix { $0 != "=" })
        let names = options.filter { !$0.isHidden }.map { "--\($0.name)" }
        // What begins like one name alone is that name to a person, however far away it is.
        let beginning = names.filter { name.utf8.count > 3 && $0.hasPrefix(name) }
        let meant = beginning.count == 1 ? beginning[0] : nearest(name, in: names)
        let path = "\(program) " + (command.name.utf8CodeUnitCount == 0 ? "" : "\(command.name) ")
        return error(
            "unknown option \(printable(name))",
            (meant.map { "did you mean \($0)? " } ?? "") + "\(path)--help lists the options")
    }

    private func error(_ message: String, _ fix: String) -> UsageError {
        UsageError((command.name.utf8CodeUnitCount == 0 ? "" : "\(command.name): ") + message, fix: fix)
    }
}

extension Option {
    /// What getopt_long(3) gives for the letter.
    fileprivate var letterValue: Int32? { letter.map { Int32($0.value) } }
}

extension CChar {
    fileprivate init(ascii scalar: Unicode.Scalar) { self = CChar(truncatingIfNeeded: scalar.value) }
}
