import Documents
import EgressPolicy
import Foundation
import Testing

@testable import Session

private let names = ["claude-code", "default", "node", "python", "strict"]

@Suite struct ProfileShippedTests {
    @Test func theyAreAllHere() throws {
        let fixture = try ProfileFixture.shippedCatalog()
        #expect(withExtendedLifetime(fixture) { fixture.catalog.names } == names)
    }

    @Test(arguments: names)
    func eachIsCleanAndWhatIsShownBoxesAlike(_ name: String) throws {
        let fixture = try ProfileFixture.shippedCatalog()
        let profile = try fixture.load(name)
        #expect(profile.seccomp.path == fixture.root + "/seccomp/agent-default.json")
        #expect(!profile.description.isEmpty)
        for text in [profile.text(), profile.node.json(), profile.node.json(pretty: true)] {
            let again = try ProfileFixture([name: text]).load(name)
            #expect(again == profile)
        }
        let view = try Node.parse(Array(profile.json().utf8), file: "view")
        #expect(view["profile"] == profile.node)
        #expect(view["origins"]?.entries?.count == profile.effective.count)
    }

    @Test(arguments: names)
    func eachProtectsWhatHostProgramsTrust(_ name: String) throws {
        let profile = try ProfileFixture.shippedCatalog().load(name)
        for path in [".git/hooks/", ".git/config", ".mcp.json", ".envrc", ".claude/settings.json", ".bashrc"] {
            #expect(profile.workdir.protect.contains(path))
        }
        for pattern in ["**/.env", "**/.env.*", "*.pem", "**/id_ed25519", ".ssh"] {
            #expect(profile.workdir.deny.contains(pattern))
        }
        #expect(profile.user.uid != 0 && profile.optionalControls.isEmpty && profile.limits.swap == 0)
        #expect(profile.environment.pass.allSatisfy { !$0.contains("KEY") && !$0.contains("TOKEN") })
    }

    @Test func claudeCodeHoldsTheFiveControls() throws {
        let profile = try ProfileFixture.shippedCatalog().load("claude-code")
        let variables = Dictionary(uniqueKeysWithValues: profile.environment.set.map { ($0.name, $0.value) })
        #expect(profile.workdir.protect.contains(".claude/settings.local.json"))
        #expect(variables["CLAUDE_CODE_DISABLE_AUTO_MEMORY"] == "1")
        #expect(profile.config?.variable == "CLAUDE_CONFIG_DIR")
        #expect(profile.workdir.target == "/workspace")
        #expect(profile.network == .gateway)
        #expect(variables["DISABLE_AUTOUPDATER"] == "1" && variables["DISABLE_TELEMETRY"] == "1")
        #expect(variables["TMPDIR"] == "/tmp")
        #expect(profile.limits.memory == 2 << 30)
    }

    /// Without them a feature of the SDK that its caller has turned on is off in the CLI, or the two disagree on when a run ends.
    @Test func claudeCodePassesWhatTheAgentSDKSetsForTheCLI() throws {
        let fixture = try ProfileFixture.shippedCatalog()
        let passed = Set(try fixture.load("claude-code").environment.pass)
        #expect(passed.isSuperset(of: try fixture.load("default").environment.pass))
        #expect(
            passed.isSuperset(of: [
                "CLAUDE_AGENT_SDK_CLIENT_APP", "CLAUDE_AGENT_SDK_VERSION", "CLAUDE_CODE_ENABLE_SDK_FILE_CHECKPOINTING",
                "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SDK_READS_SESSION_STATE",
            ]))
    }

    @Test func theOthersReachNoNetwork() throws {
        let fixture = try ProfileFixture.shippedCatalog()
        for name in names where name != "claude-code" { #expect(try fixture.load(name).network == .isolated) }
    }

    @Test func strictExecutesItsListAlone() throws {
        let exec = try ProfileFixture.shippedCatalog().load("strict").exec
        let allow = try #require(exec.allow)
        #expect(exec.from.isEmpty && Set(allow).count == allow.count)
        #expect(allow.allSatisfy { $0.hasPrefix("/usr/bin/") })
        for interpreter in ["python3", "perl", "node", "env", "bash", "find", "xargs", "ld.so"] {
            #expect(!allow.contains("/usr/bin/" + interpreter))
        }
    }

    @Test func everyFieldIsDocumented() throws {
        let docs = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Docs/Profiles.md")
        let text = try String(contentsOf: docs, encoding: .utf8)
        var fields = Profile.Mount.fields.map { "mounts[].\($0)" } + ["version", "extends", "controls.optional"]
        for (section, names) in [
            ("user", Profile.User.fields), ("environment", Profile.Environment.fields),
            ("workdir", Profile.Workdir.fields), ("config", Profile.Config.fields), ("limits", Profile.Limits.fields),
            ("exec", Profile.Exec.fields), ("egress", EgressPolicy.fields),
        ] {
            fields += names.map { "\(section).\($0)" }
        }
        fields += Profile.fields.filter { name in
            !fields.contains { $0.hasPrefix(name + ".") || $0.hasPrefix(name + "[") }
        }
        for field in fields { #expect(text.contains("| `\(field)` |"), "\(field)") }
        for control in Profile.Control.allCases { #expect(text.contains("`\(control.rawValue)`"), "\(control)") }
    }

    /// 2,000 damaged copies, the same ones on every run: each loads, or something is told with its place.
    @Test func damagedProfilesAreNeverTakenSilently() throws {
        let fixture = try ProfileFixture.shippedCatalog()
        let texts = try names.map { Array(try Data(contentsOf: URL(filePath: "\(fixture.root)/session/\($0).yaml"))) }
        var random = Xorshift()
        var refused = 0
        for round in 0..<2000 {
            var bytes = texts[round % texts.count]
            for _ in 0...random.below(3) { damage(&bytes, &random) }
            try Data(bytes).write(to: URL(filePath: fixture.root + "/session/damaged.yaml"))
            do throws(Problems) {
                let profile = try Profile.load("damaged", from: fixture.catalog)
                // What loads must also be shown; not each time, since that is slow in a debug build.
                guard round % 16 == 0 else { continue }
                let again = try Node.parse(Array(profile.text().utf8), file: "shown")
                if again["version"] != 1 { Issue.record("round \(round): \(profile.text())") }
            } catch {
                refused += 1
                let placed = error.list.contains { $0.mark != nil }
                if error.list.isEmpty || !placed { Issue.record("round \(round): \(error)") }
            }
        }
        #expect(refused > 500)
    }

    private func damage(_ bytes: inout [UInt8], _ random: inout Xorshift) {
        let index = random.below(bytes.count)
        switch random.below(5) {
        case 0: bytes[index] = UInt8(truncatingIfNeeded: random.next())
        case 1: bytes[index] ^= 1 << UInt8(random.below(8))
        case 2: bytes.removeSubrange(index..<min(bytes.count, index + 1 + random.below(20)))
        case 3:
            let signs = Array(":,[]{}-#&*!|>'\"%@ \n\t\0".utf8)
            bytes.insert(signs[random.below(signs.count)], at: index)
        default:
            let end = min(bytes.count, index + 1 + random.below(40))
            bytes.insert(contentsOf: bytes[index..<end], at: random.below(bytes.count))
        }
    }
}

private struct Xorshift {
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
