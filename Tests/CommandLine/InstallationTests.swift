import Foundation
import Testing

/// What `make install` asks of the programs whose command line is not `carrel`'s, and the units of systemd.
@Suite struct InstallationTests {
    static func program(_ name: String) -> String {
        URL(fileURLWithPath: carrelPath).deletingLastPathComponent().appendingPathComponent(name).path
    }

    @Test(arguments: ["carrel-oci", "carrel-gateway"]) func thePagesAndCompletionsAreSound(name: String) throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: directory) }
        let made = try call(Self.program(name), ["man", directory.path])
        #expect(made.status == 0 && made.output.isEmpty, "\(made)")
        let pages = try FileManager.default.contentsOfDirectory(atPath: directory.path)
        #expect(pages.contains("\(name).1") && pages.allSatisfy { $0.hasPrefix(name) && $0.hasSuffix(".1") })
        for page in pages where isInstalled("mandoc") {
            let linted = try call(
                "/usr/bin/env", ["mandoc", "-T", "lint", "-W", "warning", directory.path + "/" + page])
            let findings = linted.output.split(separator: "\n").filter { !$0.contains("missing date") }
            #expect(findings.isEmpty, "\(page): \(findings)")
        }
        for shell in ["bash", "zsh", "fish"] where isInstalled(shell) {
            let script = try call(Self.program(name), ["completions", shell]).output
            #expect(script.contains(name))
            let read = try withFile(script) { try call("/usr/bin/env", [shell, "-n", $0]) }
            #expect(read.status == 0 && read.errors.isEmpty, "\(shell): \(read)")
        }
        for wrong in [["man"], ["completions", "tcsh"], ["man", "/none/such"], ["completions"]] {
            let refused = try call(Self.program(name), wrong)
            #expect(refused.status != 0 && !refused.errors.isEmpty && refused.output.isEmpty, "\(wrong): \(refused)")
        }
    }

    /// Ordinary users read what root installs, whatever root's umask is; and nothing is left of it afterwards.
    @Test(
        .enabled(if: FileManager.default.fileExists(atPath: program("carrel-init")), "needs carrel-init beside carrel"))
    func whatIsInstalledIsForEverybody() throws {
        let place = FileManager.default.temporaryDirectory.path + "/" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: place) }
        let bin = URL(fileURLWithPath: carrelPath).deletingLastPathComponent().path
        let make = "make -s -C '\(repository)' DESTDIR='\(place)' PREFIX=/usr"
        let script = """
            umask 077; mkdir '\(place)' || exit
            \(make) -o build -o gateway BIN='\(bin)' install >&2 || exit
            find '\(place)' -mindepth 1 ! -perm -444
            ls '\(place)/usr/share/carrel/session' '\(place)/usr/share/doc/carrel/Docs' | grep -c -e default.yaml -e Cgroups.md
            CARREL_PROFILES= '\(place)/usr/bin/carrel' profile list --names | grep default
            \(make) uninstall >&2 || exit
            find '\(place)' ! -type d
            """
        let installed = try call("/bin/bash", ["-c", script])
        #expect(installed.status == 0 && installed.output == "2\ndefault\n", "\(installed)")
    }

    /// A unit starts what is there, with options that it has.
    @Test func theUnitsOfSystemdStartWhatIsThere() throws {
        let units = try FileManager.default.contentsOfDirectory(atPath: repository + "/Docs/systemd")
        #expect(units.sorted() == ["carrel-gateway.service", "carrel-watch.service"])
        for unit in units {
            let text = try String(contentsOfFile: "\(repository)/Docs/systemd/\(unit)", encoding: .utf8)
            let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("ExecStart=") })
            let words = line.dropFirst("ExecStart=/usr/local/bin/".count).split(separator: " ").map(String.init)
            let help = try call(Self.program(words[0]), [words[1], "--help"])
            #expect(help.status == 0, "\(help)")
            for option in words.dropFirst(2) where option.hasPrefix("--") {
                #expect(help.output.contains(option), "\(unit): \(option)")
            }
        }
    }
}
