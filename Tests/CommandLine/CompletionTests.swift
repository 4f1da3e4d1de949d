import Foundation
import Testing

/// Completions, by the shells themselves.
@Suite struct CompletionTests {
    /// What bash offers for the last of the words behind `carrel`.
    private func bash(_ words: String...) throws -> [String] {
        let script = """
            source <(carrel completions bash)
            COMP_WORDS=(carrel "$@"); COMP_CWORD=$#
            _carrel
            printf '%s\\n' "${COMPREPLY[@]}"
            """
        let outcome = try call("/bin/bash", ["-c", script, "bash"] + words)
        #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome)")
        return outcome.output.split(separator: "\n").map(String.init)
    }

    @Test func bashOffersCommandsAndOptions() throws {
        #expect(try bash("ru") == ["run"])
        #expect(Set(try bash("")).isSuperset(of: ["run", "profile", "audit", "--help", "--version"]))
        #expect(try bash("profile", "") == ["check", "show", "list"])
        #expect(try bash("run", "--memory-") == ["--memory-high"])
        #expect(try bash("run", "--memory", "1GiB", "--de") == ["--detach"])
        #expect(try bash("exec", "s-1", "--t") == ["--tty"])
        #expect(try bash("nosuch", "").isEmpty)
    }

    @Test func bashOffersValues() throws {
        let profiles = ["claude-code", "default", "node", "python", "strict"]
        #expect(try bash("run", "--profile", "") == profiles)
        #expect(try bash("run", "-P", "st") == ["strict"])
        #expect(try bash("run", "--profile", "=", "st") == ["strict"])
        #expect(try bash("profile", "show", "") == profiles)
        #expect(try bash("run", "--network", "g") == ["gateway"])
        #expect(try bash("completions", "z") == ["zsh"])
        #expect(try bash("kill", "").isEmpty, "no session runs in a new state directory")
        #expect(try bash("run", "--workdir", "/us") == ["/usr"])
    }

    @Test func bashLeavesTheProgramToItself() throws {
        #expect(try bash("run", "--", "printen").contains("printenv"))
        #expect(try bash("run", "--tty", "ls", "--prof").isEmpty)
        #expect(try bash("run", "--", "cat", "/etc/passw").contains("/etc/passwd"))
    }

    @Test(arguments: ["bash", "zsh", "fish"]) func shellsCanReadThem(shell: String) throws {
        guard isInstalled(shell) else { return }
        let script = try carrel("completions", shell).output
        let outcome = try withFile(script) { try call("/usr/bin/env", [shell, "-n", $0]) }
        #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome)")
    }

    @Test(.enabled(if: isInstalled("fish"), "fish is not installed"))
    func fishOffersThem() throws {
        func fish(_ line: String) throws -> [String] {
            // Its own completions of ls, and none of the user's settings.
            let outcome = try call(
                "/usr/bin/env", ["fish", "-c", "carrel completions fish | source; complete -C $argv[1]", line],
                ["XDG_CONFIG_HOME": "/nonexistent"])
            #expect(outcome.errors.isEmpty, "\(outcome)")
            return outcome.output.split(separator: "\n").map { String($0.prefix { $0 != "\t" }) }
        }
        #expect(try fish("carrel ru") == ["run"])
        #expect(try fish("carrel profile s") == ["show"])
        #expect(try fish("carrel run --memory-") == ["--memory-high"])
        #expect(try fish("carrel run --network ") == ["gateway", "none"])
        #expect(try fish("carrel profile show d") == ["default"])
        #expect(try fish("carrel run -- ls --almost") == ["--almost-all"])
        #expect(try fish("carrel run -- ls --prof").isEmpty)
    }

    @Test(.enabled(if: isInstalled("zsh"), "zsh is not installed"))
    func zshOffersThem() throws {
        // A shell on a pseudoterminal of its own, since zsh completes nowhere else.
        let script = """
            zmodload zsh/zpty
            dir=$(mktemp -d); carrel completions zsh > $dir/_carrel
            # Reads what comes until it has $1, for ten seconds at most.
            await() {
                all=
                repeat 100; do
                    while zpty -r -t z more; do all+=$more; done
                    [[ $all == *$1* ]] && return
                    sleep 0.1
                done
            }
            zpty -b z zsh -f -i
            zpty -w z "stty -echo; PS1=; fpath=($dir \\$fpath); autoload -Uz compinit; compinit -u -D"
            zpty -w z "bindkey '^I' list-choices; print -r re''ady"
            await ready
            zpty -w -n z "$1"$'\t'
            await $2
            print -r -- $all
            zpty -d z; rm -r $dir
            """
        for (line, offer) in [
            ("carrel ", "Run a program in a session"), ("carrel profile ", "Check profiles whole"),
            ("carrel run --ti", "--timeout"), ("carrel run --network ", "gateway"),
            ("carrel profile show ", "claude-code"),
        ] {
            let outcome = try call("/usr/bin/env", ["timeout", "30", "zsh", "-f", "-c", script, "zsh", line, offer])
            #expect(outcome.output.contains(offer), "\(line): \(outcome)")
        }
    }
}
