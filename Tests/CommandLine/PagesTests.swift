import Foundation
import Options
import Testing

@testable import carrel

private let program = Program.carrel
private let definitions = Verb.allCases.map(\.definition)

/// Everything that is made from the table of commands.
@Suite struct PagesTests {
    @Test(arguments: definitions.map(\.name.description)) func aCommandIsWellDefined(name: String) throws {
        let command = try #require(Verb(name)).definition
        let options = command.options + [.help]
        #expect(Set(options.map(\.name.description)).count == options.count, "a name stands for two options")
        let letters = options.compactMap(\.letter)
        #expect(Set(letters).count == letters.count, "a letter stands for two options")
        #expect(command.summary.description.last != ".")
        for option in options { #expect(option.help.description.last != ".", "\(option.name)") }
        for text in [command.summary] + command.details + options.map(\.help) {
            #expect(text.description.filter { $0 == "`" }.count % 2 == 0, "\(text)")
        }
    }

    @Test(arguments: program.visibleCommands.map(\.name.description)) func theHelpTellsOfEveryOption(name: String)
        throws
    {
        let command = try #require(Verb(name)).definition
        let outcome = try call(carrelPath, name.split(separator: " ").map(String.init) + ["--help"])
        #expect(outcome.status == 0 && outcome.output == program.help(command), "\(outcome)")
        for option in command.visibleOptions { #expect(outcome.output.contains("--\(option.name)")) }
        let body = outcome.output.split(separator: "\n").filter { !$0.hasPrefix("  carrel ") }
        for line in body { #expect(line.count <= 80, "\(line)") }
    }

    @Test func theHelpTellsOfEveryCommand() throws {
        let help = try carrel("--help").output
        for command in program.visibleCommands { #expect(help.contains("  \(command.name) "), "\(command.name)") }
        for line in help.split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
    }

    @Test func whatIsHiddenIsToldNowhere() throws {
        let pages =
            program.manualPages.map(\.source) + [program.markdown(), program.help()]
            + [program.bashCompletions(), program.zshCompletions(), program.fishCompletions()]
        for page in pages { #expect(!page.contains("supervise ") && !page.contains("--markdown |")) }
        #expect(!program.bashCompletions().contains("--json --names"))
        #expect(!program.help(Verb.ps.definition).contains("--names"))
    }

    @Test func theReferenceIsInStep() throws {
        let written = try String(contentsOfFile: repository + "/Docs/CommandLine.md", encoding: .utf8)
        #expect(written == program.markdown(), "run: carrel man --markdown > Docs/CommandLine.md")
    }

    // MARK: Manual pages

    @Test(.enabled(if: isInstalled("mandoc"), "mandoc is not installed"))
    func manualPagesAreCleanToMandoc() throws {
        for (name, source) in program.manualPages {
            let outcome = try withFile(source) {
                try call("/usr/bin/env", ["mandoc", "-T", "lint", "-W", "warning", $0])
            }
            // A page is the same whenever it is made, so it has no date.
            let findings = outcome.output.split(separator: "\n").filter { !$0.contains("missing date") }
            #expect(findings.isEmpty, "\(name): \(findings)")
        }
    }

    @Test(.enabled(if: isInstalled("man"), "man is not installed"))
    func manualPagesAreCleanToGroff() throws {
        for (name, source) in program.manualPages {
            let outcome = try withFile(source) {
                try call(
                    "/usr/bin/env", ["man", "--warnings", "-E", "UTF-8", "-l", $0],
                    ["LC_ALL": "C.UTF-8", "MANWIDTH": "80"])
            }
            #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(name): \(outcome.errors)")
            for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"] {
                #expect(outcome.output.contains("\n\(section)\n"), "\(name): \(section)")
            }
        }
    }

    @Test func pagesAreWrittenIntoADirectory() throws {
        let directory = FileManager.default.temporaryDirectory.path + "/carrel-test-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        #expect(try carrel("man", "--into", directory).status == 0)
        let names = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
        #expect(names == program.manualPages.map { $0.name + ".1" }.sorted())
        let page = try String(contentsOfFile: directory + "/carrel-profile-check.1", encoding: .utf8)
        #expect(try carrel("man", "profile", "check").output == page)
        #expect(try carrel("man", "--into", directory + "/nosuch").status == 125)
    }
}
