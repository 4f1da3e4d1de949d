extension Program {
    /// What bash(1) needs to complete command lines of this program.
    public func bashCompletions() -> String {
        let singles = visibleCommands.filter { $0.family == nil }
        let first = singles.map(\.name.description) + families + root.visibleOptions.map { "--\($0.name)" }
        var cases = ""
        for family in families {
            let words = visibleCommands.filter { $0.family == family }.map(\.lastWord)
            cases += "        \(family)) _\(name)_family '\(words.joined(separator: " "))' || return ;;\n"
        }
        return """
            # bash completion for \(name); made by: \(name) completions bash

            # Offers those of the words $1, or lines of text, that begin like the word at the cursor.
            _\(name)_offer() {
                local IFS=$' \\t\\n'
                COMPREPLY=($(compgen -W "$1" -- "$current"))
            }

            # The second word of a family of commands: fails where it is the one to complete.
            _\(name)_family() {
                if ((COMP_CWORD == 2)); then
                    _\(name)_offer "$1"
                    return 1
                fi
                command+=" ${COMP_WORDS[2]}"
                start=3
            }

            _\(name)() {
                local current=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]}
                local command=${COMP_WORDS[1]} start=2 operand=0 ended= word index
                local options valued operands takes_program
                COMPREPLY=()
                if ((COMP_CWORD == 1)); then
                    _\(name)_offer '\(first.joined(separator: " "))'
                    return
                fi
                # In --option=value bash takes = for a word.
                if [[ $current == = ]]; then
                    current=
                elif [[ $option == = ]]; then
                    option=${COMP_WORDS[COMP_CWORD - 2]}
                fi
                case $command in
            \(cases)    esac
                case $command in
            \(visibleCommands.map(bashCase).joined())        *) return ;;
                esac
                for ((index = start; index < COMP_CWORD; index++)); do
                    word=${COMP_WORDS[index]}
                    if [[ $word == -- ]]; then
                        ended=$((index + 1))
                        break
                    elif [[ $word == -* ]]; then
                        [[ $valued != *" $word "* ]] || ((index++))
                        [[ ${COMP_WORDS[index]} != = ]] || ((index++))
                    elif ((operand == operands)) && [[ $takes_program ]]; then
                        ended=$index
                        break
                    else
                        ((operand++))
                    fi
                done
                if [[ ! $ended && $valued == *" $option "* ]]; then
                    _\(name)_value
                elif [[ ! $ended && $current == -* ]]; then
                    _\(name)_offer "$options"
                elif [[ $takes_program && ($ended || operand -eq operands) ]]; then
                    if declare -F _command_offset >/dev/null; then
                        _command_offset "${ended:-$COMP_CWORD}"
                    elif [[ ${ended:-$COMP_CWORD} == "$COMP_CWORD" ]]; then
                        COMPREPLY=($(compgen -c -- "$current"))
                    else
                        COMPREPLY=($(compgen -f -- "$current"))
                    fi
                else
                    _\(name)_operand
                fi
            }

            # The value of $option of $command.
            _\(name)_value() {
                case "$command $option" in
            \(bashValues())    esac
            }

            # The operand of $command.
            _\(name)_operand() {
                case $command in
            \(bashOperands())    esac
            }

            complete -F _\(name) \(name)

            """
    }

    /// The first words of commands that have two. One that is a command itself completes as that command alone.
    var families: [String] {
        let commands = visibleCommands.map(\.name.description)
        return visibleCommands.reduce(into: []) { families, command in
            guard let family = command.family, !families.contains(family), !commands.contains(family) else { return }
            families.append(family)
        }
    }

    private func bashCase(_ command: Command) -> String {
        let valued = command.visibleOptions.filter { $0.value != nil }.flatMap(\.spellings)
        return """
                    '\(command.name)')
                        options='\(command.visibleOptions.map { "--\($0.name)" }.joined(separator: " "))'
                        valued=' \(valued.joined(separator: " ")) ' operands=\(command.operands.count)
                        takes_program=\(command.takesProgram ? "yes" : "")
                        ;;

            """
    }

    private func bashValues() -> String {
        visibleCommands.flatMap { command in
            command.visibleOptions.compactMap { option in
                bashAction(option.completion).map { action in
                    let patterns = option.spellings.map { "'\(command.name) \($0)'" }.joined(separator: " | ")
                    return "        \(patterns)) \(action) ;;\n"
                }
            }
        }.joined()
    }

    private func bashOperands() -> String {
        visibleCommands.compactMap { command in
            command.operands.first.flatMap { bashAction($0.completion) }.map { action in
                "        '\(command.name)') \(action) ;;\n"
            }
        }.joined()
    }

    private func bashAction(_ completion: Completion) -> String? {
        switch completion {
        case .nothing, .program: nil
        case .file: "COMPREPLY=($(compgen -f -- \"$current\"))"
        case .directory: "COMPREPLY=($(compgen -d -- \"$current\"))"
        case .words(let words), .choices(let words): "_\(name)_offer '\(words)'"
        case .answers(let arguments): "_\(name)_offer \"$(\(name) \(arguments) 2>/dev/null)\""
        }
    }
}

extension Command {
    /// The first word of a name of two.
    var family: String? {
        let words = name.description.split(separator: " ")
        return words.count > 1 ? String(words[0]) : nil
    }

    /// The word behind the family's, or the whole name.
    var lastWord: String { String(name.description.split(separator: " ").last ?? "") }
}

extension Option {
    /// `--detach`, and `-d` where it has a letter.
    var spellings: [String] { ["--\(name)"] + (letter.map { ["-\($0)"] } ?? []) }
}
