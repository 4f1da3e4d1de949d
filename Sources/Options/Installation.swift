// What `make install` puts beside a program.

extension Program {
    /// The completions for a shell: `bash`, `zsh` or `fish`; `nil` for another.
    public func completions(for shell: String) -> String? {
        switch shell {
        case "bash": bashCompletions()
        case "zsh": zshCompletions()
        case "fish": fishCompletions()
        default: nil
        }
    }

    /// Answers `man DIRECTORY`, which puts the manual pages there, and `completions SHELL`: of a program that has no commands
    /// of these names, since its command line is another's.
    ///
    /// - Parameters:
    ///   - words: the command line, without the program's name.
    ///   - put: writes a file.
    /// - Returns: what is to be printed; `nil` where the words ask for neither.
    public func installation<Failure: Error>(
        _ words: [String], put: (_ path: String, _ text: String) throws(Failure) -> Void
    ) throws(Failure) -> String? {
        guard words.count == 2 else { return nil }
        if words[0] == "completions" { return completions(for: words[1]) }
        if words[0] != "man" { return nil }
        for page in manualPages { try put("\(words[1])/\(page.name).1", page.source) }
        return ""
    }
}
