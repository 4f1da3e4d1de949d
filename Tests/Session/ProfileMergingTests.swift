import Foundation
import Testing

@testable import Session

@Suite struct ProfileMergingTests {
    @Test func aFieldThatNoFileSetsHasItsDefault() throws {
        let profile = try ProfileFixture(["p": "version: 1"]).load("p")
        var expected = Profile()
        expected.name = "p"
        #expect(profile == expected)
        #expect(profile.effective.allSatisfy { $0.origin == .builtIn })
    }

    @Test func mapsAreMergedScalarsAndListsAreTheChilds() throws {
        let fixture = try ProfileFixture([
            "base": """
            version: 1
            description: base
            environment: {set: {A: base, B: base}, pass: [TERM, LANG]}
            mounts: [{source: /opt/a, target: /opt/a}]
            workdir: {target: /w, protect: [a, b], deny: [x]}
            config: {target: /c, variable: CONF}
            limits: {memory: 1GiB, pids: 7, idle: 5m}
            exec: {allow: [/usr/bin/git], from: [tmp]}
            controls: {optional: [swap]}
            """,
            "middle": """
            version: 1
            extends: base
            limits: {pids: 8}
            workdir: {protect: [b, c]}
            """,
            "child": """
            version: 1
            extends: middle
            environment: {set: {B: child, C: child}, pass: [TZ]}
            mounts: []
            workdir: {deny: [y], access: read-only}
            config: {variable: OTHER}
            limits: {memory: 2GiB, idle: none}
            exec: {allow: none}
            """,
        ])
        let profile = try fixture.load("child")
        #expect(profile.description == "base")
        #expect(profile.environment.set.map { "\($0.name)=\($0.value)" } == ["A=base", "B=child", "C=child"])
        #expect(profile.environment.pass == ["TZ"])
        #expect(profile.mounts.isEmpty)
        #expect(profile.workdir.target == "/w" && profile.workdir.access == .readOnly)
        #expect(profile.workdir.protect == ["a", "b", "c"] && profile.workdir.deny == ["x", "y"])
        #expect(profile.config == Profile.Config(target: "/c", variable: "OTHER"))
        #expect(profile.limits.memory == 2 << 30 && profile.limits.pids == 8 && profile.limits.idle == nil)
        #expect(profile.exec == Profile.Exec(allow: nil, from: [.tmp]))
        #expect(profile.optionalControls == [.swap])
        #expect(profile.files.map { ($0 as NSString).lastPathComponent } == ["child.yaml", "middle.yaml", "base.yaml"])
    }

    @Test func everyValueTellsItsOrigin() throws {
        let fixture = try ProfileFixture([
            "base": "version: 1\nworkdir: {protect: [a]}\nconfig: {target: /c}\nenvironment: {set: {A: x}}\n",
            "p": "version: 1\nextends: base\nlimits:\n  memory: 2GiB\nworkdir:\n  protect:\n    - a\n    - b\n",
        ])
        var overrides = ProfileOverrides()
        overrides.timeout = "30m"
        overrides.environment = ["B=y"]
        let profile = try fixture.load("p", overrides)
        let origins = Dictionary(uniqueKeysWithValues: profile.effective.map { ($0.field, $0.origin.description) })
        let path = fixture.root + "/session/"
        #expect(origins["limits.memory"] == path + "p.yaml:4")
        #expect(origins["limits.pids"] == "default")
        #expect(origins["limits.wallClock"] == "--timeout")
        #expect(origins["workdir.protect[0]"] == path + "base.yaml:2")
        #expect(origins["workdir.protect[1]"] == path + "p.yaml:8")
        #expect(origins["config.target"] == path + "base.yaml:3")
        #expect(origins["environment.set.A"] == path + "base.yaml:4")
        #expect(origins["environment.set.B"] == "--env")
    }

    @Test func aChildCannotTakeProtectionAway() throws {
        let fixture = try ProfileFixture([
            "base": "version: 1\nworkdir: {protect: [.git/hooks/], deny: [.env]}\n",
            "p": "version: 1\nextends: base\nworkdir: {protect: [], deny: []}\n",
        ])
        let workdir = try fixture.load("p").workdir
        #expect(workdir.protect == [".git/hooks/"] && workdir.deny == [".env"])
    }

    @Test func theFaultsOfParentsAreToldToo() throws {
        let fixture = try ProfileFixture([
            "base": "version: 1\nnetwork: host\n", "p": "version: 1\nextends: base\nlimits: {pids: 0}\n",
        ])
        #expect(
            fixture.problems("p") == [
                "session/p.yaml:3:16: limits.pids: expected a whole number from 1 to 4194304, found 0",
                "session/base.yaml:2:10: network: expected none or gateway, found \"host\"",
            ])
    }

    @Test func aCircleIsTold() throws {
        let fixture = try ProfileFixture([
            "a": "version: 1\nextends: b\n", "b": "version: 1\nextends: c\n", "c": "version: 1\nextends: a\n",
        ])
        #expect(
            fixture.problems("a") == [
                "session/c.yaml:2:10: extends: expected no circle; session/a.yaml extends session/b.yaml extends "
                    + "session/c.yaml extends session/a.yaml"
            ])
    }

    @Test func aLongChainIsTold() throws {
        let chain = (0..<9).map { ("p\($0)", "version: 1\nextends: p\($0 + 1)\n") } + [("p9", "version: 1\n")]
        let fixture = try ProfileFixture(Dictionary(uniqueKeysWithValues: chain))
        #expect(try fixture.load("p2").files.count == 8)
        #expect(
            fixture.problems("p1") == [
                "session/p8.yaml:2:10: extends: expected at most 7 profiles in a row, found more"
            ])
    }

    @Test func aNameThatIsNotThereIsTold() throws {
        let fixture = try ProfileFixture(["claude-code": "version: 1\n", "p": "version: 1\nextends: claud-code\n"])
        #expect(
            fixture.problems("claude-cod") == [
                "claude-cod: expected the name of a profile in session, found \"claude-cod\"; did you mean claude-code?"
            ])
        #expect(
            fixture.problems("p") == [
                "session/p.yaml:2:10: extends: expected the name of a profile in session, session, found \"claud-code\"; did you mean "
                    + "claude-code?"
            ])
        #expect(fixture.problems("").count == 1)
        #expect(fixture.problems("..") == ["..: expected the name of a profile in session, found \"..\""])
        #expect(
            fixture.problems(fixture.root + "/x.yaml") == ["x.yaml: openat x.yaml: No such file or directory (2)"])
    }

    @Test func theFirstDirectoryWinsAndAPathNeedsNone() throws {
        let first = try ProfileFixture(["p": "version: 1\ndescription: first\n"])
        let second = try ProfileFixture(["p": "version: 1\ndescription: second\n", "q": "version: 1\nextends: p\n"])
        let both = ProfileCatalog(directories: [first.root, second.root])
        #expect(try Profile.load("p", from: both).description == "first")
        #expect(both.names == ["p", "q"])
        // Parents are looked for beside the child first, so that a directory of profiles can be used by path.
        #expect(try Profile.load("q", from: both).description == "second")
        let byPath = try Profile.load(second.root + "/session/q.yaml", from: first.catalog)
        #expect(byPath.description == "second" && byPath.name == "q")
    }

    @Test func aProfileThatOthersCanWriteDoesNotCount() throws {
        let fixture = try ProfileFixture(["p": "version: 1\n", "q": "version: 1\nextends: p\n"])
        let file = fixture.root + "/session/p.yaml"
        chmod(file, 0o664)
        #expect(
            fixture.problems("p") == [
                "session/p.yaml: expected nobody else to be able to write to session/p.yaml: chmod go-w session/p.yaml"
            ])
        #expect(
            fixture.problems("q") == [
                "session/q.yaml:2:10: extends: expected nobody else to be able to write to session/p.yaml: chmod go-w "
                    + "session/p.yaml"
            ])
        chmod(file, 0o644)
        chmod(fixture.root + "/session", 0o777)
        #expect(
            fixture.problems("p")
                == [
                    "session/p.yaml: expected nobody else to be able to write to \(fixture.root)/session: chmod go-w "
                        + "\(fixture.root)/session"
                ].map { $0.replacingOccurrences(of: fixture.root + "/", with: "") })
        chmod(fixture.root + "/session", 0o1777)
        #expect(fixture.problems("p").isEmpty)
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give a file away"))
    func aProfileOfAnotherUserDoesNotCount() throws {
        let fixture = try ProfileFixture(["p": "version: 1\n"])
        chown(fixture.root + "/session/p.yaml", 12345, 0)
        #expect(
            fixture.problems("p") == [
                "session/p.yaml: expected root or the caller to own session/p.yaml, found user 12345: chown root "
                    + "session/p.yaml"
            ])
        chown(fixture.root + "/session/p.yaml", 0, 0)
        chown(fixture.root + "/seccomp/agent-default.json", 12345, 0)
        #expect(fixture.problems("p").map { $0.contains("found user 12345") } == [true])
    }

    @Test func whatIsNoFileIsNotWaitedFor() throws {
        let fixture = try ProfileFixture()
        #expect(mkfifo(fixture.root + "/session/p.yaml", 0o600) == 0)
        #expect(
            fixture.problems("p") == [
                "session/p.yaml: expected a file, found something else at session/p.yaml"
            ])
    }
}
