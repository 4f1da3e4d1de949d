import Foundation
import Testing

@testable import Session

@Suite struct ProfileOverridesTests {
    @Test func optionsStandBeforeFiles() throws {
        let fixture = try ProfileFixture([
            "p": "version: 1\nenvironment: {set: {A: file, B: file}, pass: [TERM, A]}\nlimits: {memory: 1GiB}\n"
                + "egress: {rules: [npm]}\n"
        ])
        var overrides = ProfileOverrides()
        overrides.image = "/srv/root"
        overrides.memory = "2GiB"
        overrides.swap = "1GiB"
        overrides.pids = "64"
        overrides.cpus = "0.5"
        overrides.openFiles = "256"
        overrides.tmp = "1048576"
        overrides.timeout = "none"
        overrides.idle = "90s"
        overrides.grace = "0s"
        overrides.network = "gateway"
        overrides.environment = ["A=a=b", "C=", "TZ", "TERM"]
        let profile = try fixture.load("p", overrides)
        #expect(profile.image == .directory("/srv/root"))
        #expect(profile.limits.memory == 2 << 30 && profile.limits.swap == 1 << 30 && profile.limits.tmp == 1 << 20)
        #expect(profile.limits.pids == 64 && profile.limits.cpus == 500 && profile.limits.openFiles == 256)
        #expect(profile.limits.wallClock == nil && profile.limits.idle == 90_000_000_000 && profile.limits.grace == 0)
        #expect(profile.network == .gateway)
        #expect(profile.environment.set.map { "\($0.name)=\($0.value)" } == ["A=a=b", "B=file", "C="])
        #expect(profile.environment.pass == ["TERM", "TZ"])
    }

    @Test func mountsOfTheCommandLineStandBesideTheProfiles() throws {
        let fixture = try ProfileFixture(["p": "version: 1\nmounts: [{source: /srv/a, target: /a}]\n"])
        var overrides = ProfileOverrides()
        overrides.mounts = ["/usr/share/:/b/", "/usr:/c:rw", "/usr/lib:/d:ro"]
        let mounts = try fixture.load("p", overrides).mounts
        #expect(mounts.map(\.source) == ["/srv/a", "/usr/share", "/usr", "/usr/lib"])
        #expect(mounts.map(\.target) == ["/a", "/b", "/c", "/d"])
        #expect(mounts.map(\.access) == [.readOnly, .readOnly, .readWrite, .readOnly])
        #expect(mounts.map(\.executable) == [true, true, false, true])
        #expect(mounts.map(\.isOfCommandLine) == [false, true, true, true])
    }

    @Test func whatIsWrongWithAMountIsTold() throws {
        let fixture = try ProfileFixture([
            "p": "version: 1\nconfig: {target: /c}\nmounts: [{source: /srv/a, target: /a}]\n"
        ])
        let outside = "a path outside /proc, /sys, /dev, /usr, /bin, /sbin, /lib*, /etc and /run/carrel"
        let host = "a path other than /, and not of /proc, /sys or /dev"
        let absolute = "an absolute path without ., .. or doubled slashes"
        let shell = realpath("/bin/sh", nil).map { String(cString: $0) } ?? ""
        for (mount, told) in [
            ("/usr", "expected SOURCE:TARGET, or SOURCE:TARGET:rw, found \"/usr\""),
            ("/usr:/x:exec", "expected SOURCE:TARGET, or SOURCE:TARGET:rw, found \"/usr:/x:exec\""),
            ("/usr:/x:", "expected SOURCE:TARGET, or SOURCE:TARGET:rw, found \"/usr:/x:\""),
            ("/none:/x", "expected a file or a directory, found \"/none\": No such file or directory"),
            (":/x", "expected \(absolute), found \"\""), ("/usr/..:/x", "expected \(absolute), found \"/usr/..\""),
            ("/bin/sh:/x", "expected a path without symbolic links, found \"/bin/sh\", which leads to \(shell)"),
            ("/:/x", "expected \(host), found \"/\""),
            ("/proc/self/root:/x", "expected \(host), found \"/proc/self/root\""),
            ("/dev/shm:/x", "expected \(host), found \"/dev/shm\""),
            ("/usr:/proc/sys", "expected \(outside), found \"/proc/sys\""),
            ("/usr:/", "expected \(outside), found \"/\""),
            ("/usr:/etc/passwd", "expected \(outside), found \"/etc/passwd\""),
            ("/usr:/workspace/../usr", "expected \(absolute), found \"/workspace/../usr\""),
            ("/usr:x", "expected \(absolute), found \"x\""),
            (
                "/usr:/workspace/.git",
                "expected a place of its own, found /workspace/.git beside /workspace (workdir.target, default)"
            ), ("/usr:/c", "expected a place of its own, found /c beside /c (config.target, session/p.yaml:2)"),
            (
                "/usr:/a/b",
                "expected a place of its own, found /a/b beside /a (mounts[0].target, session/p.yaml:3)"
            ),
            ("/usr:/tmp", "expected a place of its own, found /tmp beside /tmp (the session's own)"),
        ] {
            var overrides = ProfileOverrides()
            overrides.mounts = [mount]
            #expect(fixture.problems("p", overrides) == ["command line: --mount: \(told)"], "\(mount)")
        }
        var twice = ProfileOverrides()
        twice.mounts = ["/usr:/x", "/usr/lib:/x/y"]
        #expect(
            fixture.problems("p", twice) == [
                "command line: --mount: expected a place of its own, found /x/y beside /x (mounts[1].target, --mount)"
            ])
    }

    /// What would change nothing is refused; a profile that says it for itself is told of in the report.
    @Test func aWayOutNeedsRules() throws {
        let fixture = try ProfileFixture(["p": "version: 1\n", "q": "version: 1\nnetwork: gateway\n"])
        var overrides = ProfileOverrides()
        overrides.network = "gateway"
        #expect(
            fixture.problems("p", overrides) == [
                "command line: --network: expected a profile with rules under egress: nothing would leave the session"
            ])
        #expect(fixture.problems("q") == [])
    }

    @Test func whatIsWrongWithThemIsToldByOption() throws {
        let fixture = try ProfileFixture(["p": "version: 1\n"])
        var overrides = ProfileOverrides()
        overrides.image = "../x"
        overrides.memory = "2g"
        overrides.pids = "many"
        overrides.cpus = "-1"
        overrides.openFiles = "1"
        overrides.timeout = "30"
        overrides.seccomp = "a b"
        overrides.network = "host"
        overrides.environment = ["HOME=/", "LD_PRELOAD", "=x"]
        let loader =
            "LD_PRELOAD says what code is loaded, and the caller would say it; write a value under environment.set"
        #expect(
            fixture.problems("p", overrides) == [
                "command line: --image: expected host, or a directory: its name, or its path without .. and doubled slashes, found \"../x\"",
                "command line: --seccomp: expected the name or the path of a filter, found \"a b\"",
                "command line: --network: expected none or gateway, found \"host\"",
                "command line: --memory: expected a size such as 2GiB, found \"2g\"; did you mean 2GiB?",
                "command line: --pids: expected a whole number from 1 to 4194304, found \"many\"",
                "command line: --cpus: expected a number of processors from 0.01 to 4096, or none, found -1",
                "command line: --open-files: expected a whole number from 16 to 1048576, found 1",
                "command line: --timeout: expected a duration such as 1h30m, 10s or 500ms, at most 3650d, or none, found \"30\"",
                "command line: --env: HOME is set by the launcher",
                "command line: --env: expected a name of letters, digits and _ that begins with no digit, found \"\"",
                "command line: --env: \(loader)",
            ])
    }

    /// On the command line to the working directory, in a profile to its file, through its parents too.
    @Test func pathsAreRelativeToWhereTheyAreSaid() throws {
        let fixture = try ProfileFixture(["p": "version: 1\n"])
        for name in ["session/debug", "seccomp/tight"] { try fixture.write("{}", to: name + ".json") }
        for (text, filter) in [
            ("seccomp: debug.json", "session/debug.json"), ("seccomp: ./debug.json", "session/debug.json"),
            ("seccomp: {file: ../session/debug.json}", "session/../session/debug.json"),
        ] {
            try fixture.write("version: 1\n\(text)\n", to: "session/child.yaml")
            #expect(try fixture.load("child").seccomp.path == "\(fixture.root)/\(filter)")
            #expect(try fixture.load("\(fixture.root)/session/child.yaml").seccomp.path == "\(fixture.root)/\(filter)")
        }
        try fixture.write("version: 1\nseccomp: seccomp/tight.json\n", to: "base.yaml")
        try fixture.write("version: 1\nextends: ../base.yaml\n", to: "session/child.yaml")
        let child = try fixture.load("child")
        #expect(child.seccomp.path == "\(fixture.root)/session/../seccomp/tight.json")
        #expect(child.files == ["\(fixture.root)/session/child.yaml", "\(fixture.root)/session/../base.yaml"])
        // Nobody else may be able to write them, wherever they are.
        chmod("\(fixture.root)/seccomp/tight.json", 0o666)
        #expect(fixture.problems("child").first?.contains("seccomp: expected nobody else to be able to write") == true)
        chmod("\(fixture.root)/seccomp/tight.json", 0o644)
        chmod("\(fixture.root)/base.yaml", 0o666)
        #expect(fixture.problems("child").first?.contains("extends: expected nobody else to be able to write") == true)

        var overrides = ProfileOverrides()
        overrides.seccomp = "nosuch.json"
        #expect(
            fixture.problems("p", overrides) == [
                "command line: --seccomp: expected a filter's file, found none at "
                    + FileManager.default.currentDirectoryPath + "/nosuch.json"
            ])
    }

    @Test func anImageIsHostANameOrADirectory() throws {
        let fixture = try ProfileFixture(["p": "version: 1\nimage: ./root/\n", "q": "version: 1\nimage: debian-12\n"])
        #expect(try fixture.load("p").image == .directory("\(fixture.root)/session/root"))
        #expect(
            fixture.problems("q") == [
                "session/q.yaml:2:1: image: expected host, the path of a directory, or the name of one in images, found \"debian-12\""
            ])
        try FileManager.default.createDirectory(
            atPath: fixture.root + "/images/debian-12", withIntermediateDirectories: true)
        for name in ["images", "images/debian-12"] { chmod("\(fixture.root)/\(name)", 0o755) }
        let named = try fixture.load("q")
        #expect(named.image == .named("debian-12", path: fixture.root + "/images/debian-12"))
        #expect(named.image.description == "debian-12")

        var overrides = ProfileOverrides()
        overrides.image = "./root/"
        let here = FileManager.default.currentDirectoryPath
        #expect(try fixture.load("q", overrides).image == .directory(here + "/root"))
        // A kill switch takes it as a start does.
        #expect(try Selection.image(written: "./root/") == .image(here + "/root"))
        #expect(try Selection.image(written: "debian-12") == .image("debian-12"))
        overrides.image = "debian-1"
        #expect(
            fixture.problems("q", overrides).first?.hasSuffix("found \"debian-1\"; did you mean debian-12?") == true)
        // Who can write the directory chooses what sessions run on.
        chmod(fixture.root + "/images", 0o777)
        #expect(fixture.problems("q").first?.contains("image: expected nobody else to be able to write") == true)
    }

    @Test func aFilterThatIsNotThereIsToldByOption() throws {
        var overrides = ProfileOverrides()
        overrides.seccomp = "agent-defaul"
        #expect(
            try ProfileFixture(["p": "version: 1\n"]).problems("p", overrides) == [
                "command line: --seccomp: expected the name of a filter in seccomp, found \"agent-defaul\"; did you mean agent-default?"
            ])
    }
}
