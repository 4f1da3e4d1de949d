extension Program {
    /// What zsh(1) needs to complete command lines of this program: a file `_NAME` of its `fpath`.
    public func zshCompletions() -> String {
        """
        #compdef \(name)
        # zsh completion for \(name); made by: \(name) completions zsh

        _\(name)_answers() {
            local -a answers=(${(f)"$(\(name) "$@" 2>/dev/null)"})
            compadd -a answers
        }

        _\(name)() {
            local curcontext=$curcontext state state_descr line
            local -A opt_args
            local -a commands
            local command=$words[2]
            if ((CURRENT == 2)); then
                commands=(
        \(zshCommands(visibleCommands.filter { $0.family == nil }))\(zshFamilies())        )
                _describe -t commands command commands
                _arguments\(root.visibleOptions.map { " \\\n            " + zshOption($0) }.joined())
                return
            fi
            shift words
            ((CURRENT--))
            case $command in
        \(families.map(zshFamily).joined())    esac
            case $command in
        \(visibleCommands.map(zshCase).joined())    esac
        }

        if [[ $funcstack[1] == _\(name) ]]; then
            _\(name) "$@"
        else
            compdef _\(name) \(name)
        fi

        """
    }

    private func zshCommands(_ commands: [Command]) -> String {
        commands.map { "            \(Self.quoted("\($0.lastWord):\(plain($0.summary))"))\n" }.joined()
    }

    private func zshFamilies() -> String {
        families.map { family in
            let words = visibleCommands.filter { $0.family == family }.map(\.lastWord)
            return "            \(Self.quoted("\(family):\(words.joined(separator: ", "))"))\n"
        }.joined()
    }

    private func zshFamily(_ family: String) -> String {
        """
                \(family))
                    if ((CURRENT == 2)); then
                        commands=(
        \(zshCommands(visibleCommands.filter { $0.family == family }))                )
                        _describe -t commands command commands
                        return
                    fi
                    command+=" $words[2]"
                    shift words
                    ((CURRENT--))
                    ;;

        """
    }

    private func zshCase(_ command: Command) -> String {
        var specs = command.visibleOptions.map(zshOption)
        for (index, operand) in command.operands.enumerated() {
            let place = operand.isRepeatable ? "*" : "\(index + 1)"
            let message = Self.quoted(
                "\(place)\(operand.isOptional ? "::" : ":")\(operand.name):\(zshAction(operand.completion))")
            specs.append(message)
        }
        if command.takesProgram {
            specs.append(Self.quoted("(-)\(command.operands.count + 1):PROGRAM: _command_names -e"))
            specs.append(Self.quoted("*::ARGUMENTS: _normal"))
        }
        return """
                    '\(command.name)')
                        _arguments -s -S\(specs.map { " \\\n                \($0)" }.joined())
                        ;;

            """
    }

    private func zshOption(_ option: Option) -> String {
        // What stands between the brackets and colons of _arguments is escaped against them.
        let help = Self.escaped(plain(option.help), "[]:")
        let value = option.value.map { ":\($0):\(zshAction(option.completion))" } ?? ""
        let names = option.spellings
        let rest = Self.quoted("[\(help)]\(value)")
        let isSingle = names.count == 1
        if option.isRepeatable {
            return isSingle ? "'*'\(names[0])\(rest)" : "'*'{\(names.joined(separator: ","))}\(rest)"
        }
        return isSingle
            ? "\(names[0])\(rest)" : "'(\(names.joined(separator: " ")))'{\(names.joined(separator: ","))}\(rest)"
    }

    private func zshAction(_ completion: Completion) -> String {
        switch completion {
        case .nothing: " "
        case .file: "_files"
        case .directory: "_files -/"
        case .words(let words), .choices(let words): "(\(words))"
        // The space keeps _arguments from putting words of its own between the function and its arguments.
        case .answers(let arguments): " _\(name)_answers \(arguments)"
        case .program: "_command_names -e"
        }
    }

    /// A word in single quotes, as POSIX shells read it.
    private static func quoted(_ text: String) -> String { "'" + escape(text, "'") { _ in "'\\''" } + "'" }

    private static func escaped(_ text: String, _ characters: String) -> String {
        escape(text, characters) { "\\\($0)" }
    }
}

/// `text` with every one of `characters` as `replacement` has it.
func escape(_ text: String, _ characters: String, _ replacement: (Character) -> String) -> String {
    text.reduce(into: "") { $0 += characters.contains($1) ? replacement($1) : String($1) }
}
