/// One option of a command, as everything is made from it: what getopt_long(3) reads, the help, the man page, the shell
/// completions and the reference.
///
/// Names are static strings, since those are C strings as they lie in the program: nothing is copied to parse by them.
public struct Option: Sendable {
    /// The long name, without `--`.
    public let name: StaticString
    /// The letter that stands for it.
    public let letter: Unicode.Scalar?
    /// What its value is called in the help, for example `SIZE`; `nil` for an option without a value.
    public let value: StaticString?
    /// What a shell offers for the value.
    public let completion: Completion
    /// Whether every value counts; otherwise the last one does.
    public let isRepeatable: Bool
    /// The heading that it stands under in the help.
    public let section: StaticString
    /// Whether the help is silent about it.
    public let isHidden: Bool
    /// What it does, in a few words. Words between backquotes are literal.
    public let help: StaticString

    /// An option.
    public init(
        _ name: StaticString, letter: Unicode.Scalar? = nil, takes value: StaticString? = nil,
        completing completion: Completion = .nothing, isRepeatable: Bool = false,
        under section: StaticString = "Options",
        isHidden: Bool = false, _ help: StaticString
    ) {
        self.name = name
        self.letter = letter
        self.value = value
        self.completion = completion
        self.isRepeatable = isRepeatable
        self.section = section
        self.isHidden = isHidden
        self.help = help
    }

    /// The option that every command has.
    public static let help = Option("help", letter: "h", "Print this help and exit")
}

/// What a shell offers where a value is to be written.
public enum Completion: Sendable {
    /// No offer.
    case nothing
    /// Names of files.
    case file
    /// Names of directories.
    case directory
    /// These words, separated by spaces, among others that can stand there.
    case words(StaticString)
    /// These words, separated by spaces: nothing else is taken.
    case choices(StaticString)
    /// The lines that the program prints when called with these arguments.
    case answers(of: StaticString)
    /// The names of programs, and then their arguments.
    case program
}

/// A word of a command line that is no option.
public struct Operand: Sendable {
    /// What it is called in the help, for example `SESSION`.
    public let name: StaticString
    /// What a shell offers for it.
    public let completion: Completion
    /// Whether it can be left out.
    public let isOptional: Bool
    /// Whether there can be more than one.
    public let isRepeatable: Bool

    /// An operand.
    public init(
        _ name: StaticString, completing completion: Completion = .nothing, isOptional: Bool = false,
        isRepeatable: Bool = false
    ) {
        self.name = name
        self.completion = completion
        self.isOptional = isOptional
        self.isRepeatable = isRepeatable
    }
}
