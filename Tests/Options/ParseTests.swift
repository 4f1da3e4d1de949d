import Glibc
import Options
import Testing

/// A command with a bit of everything.
private let sample = Command(
    "try", operands: [Operand("NAME"), Operand("OTHER", isOptional: true)], options: [.size, .sized, .quiet, .tag],
    "Try the parser")

private let runner = Command("start", operands: [Operand("NAME")], takesProgram: true, options: [.quiet], "Start")

private let lister = Command(
    "list", operands: [Operand("NAME")], takesProgram: true, programIsOptional: true, operandsEndOptions: true,
    options: [.quiet], "List")

extension Options.Option {
    fileprivate static let size = Option("size", letter: "s", takes: "SIZE", "A size")
    fileprivate static let sized = Option("sized", "Begins like another")
    fileprivate static let quiet = Option("quiet", letter: "q", "Says nothing")
    fileprivate static let tag = Option("tag", takes: "TAG", isRepeatable: true, "A tag")
}

private func parse(_ command: Command, _ words: String...) throws(UsageError) -> Words {
    var arguments = (["command"] + words).map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    return try command.parse(&arguments, count: Int32(words.count + 1), of: "sample")
}

private func error(_ command: Command, _ words: [String]) -> UsageError? {
    var arguments = (["command"] + words).map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    do throws(UsageError) {
        _ = try command.parse(&arguments, count: Int32(words.count + 1), of: "sample")
        return nil
    } catch { return error }
}

// getopt_long(3) keeps its place in variables of C.
@Suite(.serialized) struct ParseTests {
    @Test func optionsOfAnotherProgramFollowTheOperands() throws {
        let words = try parse(lister, "-q", "n", "-q", "-o", "pid")
        #expect(words.has(.quiet) && words.operands == ["n"] && words.program == ["-q", "-o", "pid"])
        #expect(try parse(lister, "n").program.isEmpty)
    }

    @Test func valuesComeInEverySpelling() throws {
        for words in [["--size", "3", "n"], ["--size=3", "n"], ["-s", "3", "n"], ["-s3", "n"], ["-qs3", "n"]] {
            var arguments = (["try"] + words).map { strdup($0) } + [nil]
            let read = try sample.parse(&arguments, count: Int32(words.count + 1), of: "sample")
            #expect(read[.size] == "3", "\(words)")
            #expect(read.operands == ["n"], "\(words)")
        }
    }

    @Test func optionsStandBetweenOperands() throws {
        let words = try parse(sample, "a", "--quiet", "b", "--size", "1")
        #expect(words.operands == ["a", "b"])
        #expect(words.has(.quiet) && words[.size] == "1")
    }

    @Test func theLastValueCountsAndRepeatableOnesAllDo() throws {
        let words = try parse(sample, "--size", "1", "--tag=x", "--size", "2", "--tag", "y", "n")
        #expect(words[.size] == "2")
        #expect(words.all(.tag) == ["x", "y"])
    }

    @Test func emptyValuesAreValues() throws {
        let words = try parse(sample, "--size=", "--tag", "", "n")
        #expect(words[.size]?.isEmpty == true && words.all(.tag) == [""])
    }

    @Test func twoDashesEndTheOptions() throws {
        #expect(try parse(sample, "--", "--quiet").operands == ["--quiet"])
        #expect(try parse(sample, "a", "--", "-q").operands == ["a", "-q"])
    }

    @Test func aProgramKeepsItsOwnOptions() throws {
        for line in [["n", "--", "ls", "-q"], ["n", "ls", "-q"], ["--", "n", "ls", "-q"]].dropLast() {
            var arguments = (["start"] + line).map { strdup($0) } + [nil]
            let words = try runner.parse(&arguments, count: Int32(line.count + 1), of: "sample")
            #expect(words.operands == ["n"] && words.program == ["ls", "-q"], "\(line)")
            #expect(!words.has(.quiet))
        }
        let words = try parse(runner, "n", "-q", "--", "--", "x")
        #expect(words.has(.quiet) && words.program == ["--", "x"])
    }

    @Test func aNameThatBeginsAnotherIsItself() throws {
        let words = try parse(sample, "--size", "1", "n")
        #expect(words[.size] == "1" && !words.has(.sized))
    }

    @Test func helpNeedsNothingElse() throws {
        #expect(try parse(sample, "--help").has(.help))
        #expect(try parse(sample, "-h", "--nonsense").has(.help))
        #expect(try parse(runner, "n", "--help").has(.help))
        #expect(try !parse(runner, "n", "--", "ls", "--help").has(.help))
    }

    @Test(arguments: [
        (["--quite", "n"], "try: unknown option --quite", "did you mean --quiet? sample try --help lists the options"),
        (["--qui", "n"], "try: unknown option --qui", "did you mean --quiet? sample try --help lists the options"),
        (["--zzz=1", "n"], "try: unknown option --zzz", "sample try --help lists the options"),
        (["-z", "n"], "try: unknown option -z", "sample try --help lists the options"),
        (["-qz", "n"], "try: unknown option -z", "sample try --help lists the options"),
        (["n", "--size"], "try: --size needs a value", "write it: --size SIZE"),
        (["n", "-s"], "try: --size needs a value", "write it: --size SIZE"),
        (["--quiet=1", "n"], "try: --quiet takes no value, found --quiet=1", "write it: --quiet"),
        ([], "try: expected NAME", "write it: sample try [OPTIONS] NAME [OTHER]"),
        (["a", "b", "c"], "try: unexpected c", "write it: sample try [OPTIONS] NAME [OTHER]"),
        (["a", "b", "\u{1b}[31m"], "try: unexpected \\x1b[31m", "write it: sample try [OPTIONS] NAME [OTHER]"),
    ]) func whatIsWrongIsTold(words: [String], message: String, fix: String) {
        #expect(error(sample, words) == UsageError(message, fix: fix))
    }

    @Test func whatIsNoneOfTheChoicesIsRefused() throws {
        let kind = Option("kind", takes: "KIND", completing: .choices("a b c"), "Which")
        let either = Option("either", takes: "WORD", completing: .words("x y"), "Or another")
        let command = Command("choose", options: [kind, either], "Choose")
        #expect(try parse(command, "--kind", "b", "--either", "z")[kind] == "b")
        for value in ["d", "", "a b", "A"] {
            let told = error(command, ["--kind", value])
            #expect(told == UsageError("choose: --kind: expected a, b or c, found \(value)", fix: "write it: --kind a"))
        }
        #expect(error(command, ["--kind", "d", "--kind", "a"]) != nil)
        #expect(try parse(command, "--kind", "d", "--help").has(.help))
    }

    @Test func aProgramIsMissed() {
        let fix = "write it: sample start [OPTIONS] NAME -- PROGRAM [ARGUMENTS]"
        #expect(error(runner, ["n"]) == UsageError("start: expected a program to run", fix: fix))
        #expect(error(runner, ["n", "--"]) == UsageError("start: expected a program to run", fix: fix))
        #expect(error(runner, []) == UsageError("start: expected NAME", fix: fix))
    }

    @Test func theEnvironmentChangesNothing() throws {
        setenv("POSIXLY_CORRECT", "1", 1)
        defer { unsetenv("POSIXLY_CORRECT") }
        #expect(try parse(sample, "a", "--quiet").has(.quiet))
    }
}
