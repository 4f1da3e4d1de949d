extension Program {
    /// What fish(1) needs to complete command lines of this program.
    public func fishCompletions() -> String {
        var text = """
            # fish completion for \(name); made by: \(name) completions fish

            # Whether the command line is one of the command in the arguments, and the cursor is not yet in the program it runs.
            function __\(name)_is
                set -l words (commandline -opc)
                contains -- -- $words; and return 1
                test "$words[2.."(math 1 + (count $argv))"]" = "$argv"
            end

            # Whether there is no command yet.
            function __\(name)_is_bare
                test (count (commandline -opc)) -eq 1
            end

            # Whether the word to complete is the second of a command's name.
            function __\(name)_is_family
                set -l words (commandline -opc)
                test (count $words) -eq 2; and test $words[2] = $argv[1]
            end

            # Whether the cursor is in the program behind --.
            function __\(name)_runs
                contains -- -- (commandline -opc)
            end

            # What the program behind -- offers.
            function __\(name)_program
                set -l words (commandline -opc) (commandline -ct)
                set -l start (math 1 + (contains -i -- -- $words))
                set -l line (string escape -- $words[$start..-2])
                complete -C "$line "(string escape -- $words[-1])
            end

            complete -c \(name) -f
            complete -c \(name) -n __\(name)_runs -a '(__\(name)_program)'

            """
        for command in visibleCommands {
            let summary = Self.quoted(plain(command.summary))
            let condition = command.family.map { "'__\(name)_is_family \($0)'" } ?? "__\(name)_is_bare"
            text += "complete -c \(name) -n \(condition) -a \(command.lastWord) -d \(summary)\n"
        }
        for family in families { text += "complete -c \(name) -n __\(name)_is_bare -a \(family)\n" }
        for option in root.visibleOptions { text += "complete -c \(name) -n __\(name)_is_bare \(fishOption(option))\n" }
        for command in visibleCommands {
            let condition = "-n '__\(name)_is \(command.name)'"
            for option in command.visibleOptions { text += "complete -c \(name) \(condition) \(fishOption(option))\n" }
            if let operand = command.operands.first, let action = fishAction(operand.completion) {
                text += "complete -c \(name) \(condition) \(action)\n"
            }
        }
        return text
    }

    private func fishOption(_ option: Option) -> String {
        var words = ["-l \(option.name)"]
        if let letter = option.letter { words.append("-s \(letter)") }
        if option.value != nil {
            // -x is -r without the names of files, which -F asks for.
            if case .file = option.completion { words.append("-r") } else { words.append("-x") }
        }
        if let action = fishAction(option.completion) { words.append(action) }
        return (words + ["-d \(Self.quoted(plain(option.help)))"]).joined(separator: " ")
    }

    private func fishAction(_ completion: Completion) -> String? {
        switch completion {
        case .nothing: nil
        case .file: "-F"
        case .directory: "-a '(__fish_complete_directories)'"
        case .words(let words), .choices(let words): "-a '\(words)'"
        case .answers(let arguments): "-a '(\(name) \(arguments) 2>/dev/null)'"
        case .program: "-a '(__fish_complete_subcommand)'"
        }
    }

    private static func quoted(_ text: String) -> String { "'" + escape(text, "\\'") { "\\\($0)" } + "'" }
}
