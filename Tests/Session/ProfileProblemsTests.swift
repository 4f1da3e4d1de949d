import Testing

@testable import Session

private let controls = "memory or memory.high or swap or pids or cpus or idmap or landlock.exec or landlock.scope"
private let relative =
    #"a path relative to the workdir, in which *, ? and **/ match, without ., .., !, \, [] or {}"#
private let absolute = "an absolute path without ., .. or doubled slashes"
private let outside = "a path outside /proc, /sys, /dev, /usr, /bin, /sbin, /lib*, /etc and /run/carrel"

/// A profile's text and everything that is told of it; `p:` stands for its file.
private struct Bad: CustomTestStringConvertible {
    let text: String
    let problems: [String]
    var testDescription: String { problems.first ?? text }

    /// Lines after `version: 1`.
    init(_ text: String, _ problems: String...) {
        self.text = "version: 1\n" + text + "\n"
        self.problems = problems
    }

    init(whole text: String, _ problems: String...) {
        self.text = text
        self.problems = problems
    }
}

@Suite struct ProfileProblemsTests {
    @Test(arguments: [
        Bad(whole: "", "p:1:1: expected a document, found none"),
        Bad(whole: "[]", "p:1:1: expected a map of fields, found a list"),
        Bad(whole: "image: host", "p:1:1: version: expected 1, found nothing"),
        Bad(
            whole: "version: 2\nimage: 1", "p:1:10: version: expected 1, found 2",
            "p:2:8: image: expected a string (write it in quotes), found 1"),
        Bad(
            whole: "version: 01\nlimits:\n  pids: 0\n  memory: .inf\n  memory: 2GB\nseccomp: agent-defualt\nextends: q",
            "p:1:10: version: expected no leading zero, found 01; octal is written 0o755",
            "p:3:9: limits.pids: expected a whole number from 1 to 4194304, found 0",
            "p:4:11: limits.memory: expected a finite number, found .inf",
            "p:5:3: limits.memory: expected each name once; it stands in line 4 already",
            "p:5:11: limits.memory: expected a size such as 2GiB, found \"2GB\"; did you mean 2GiB?",
            "p:6:1: seccomp: expected the name of a filter in seccomp, found \"agent-defualt\"; did you mean agent-default?",
            "p:7:10: extends: expected the name of a profile in session, session, found \"q\"; did you mean p?"),
        Bad(
            "egress: {rules: [npn], allow: [{id: a, host: 10.0.0.1, paths: [/**]}]}\nimage: 1",
            "p:2:18: egress.rules: expected the name of a rule set in egress, found \"npn\"; did you mean npm?",
            "p:2:46: egress.allow[0].host: expected a host name, found an address",
            "p:3:8: image: expected a string (write it in quotes), found 1"),
        Bad(whole: "version: \"1\"", "p:1:10: version: expected 1, found \"1\""),
        Bad(
            "imagee: host\nimage: [host]",
            "p:2:1: imagee: unknown; the fields here are version, description, extends, image, user, environment, mounts, "
                + "workdir, config, limits, seccomp, exec, scopes, network, egress, controls, umask; did you mean image?",
            "p:3:8: image: expected a string, found a list"),
        Bad(
            "image: ../x",
            "p:2:8: image: expected host, or a directory: its name, or its path without .. and doubled slashes, found \"../x\""
        ),
        Bad(
            "image: a//b",
            "p:2:8: image: expected host, or a directory: its name, or its path without .. and doubled slashes, found \"a//b\""
        ),
        Bad(
            "image: /a/../b",
            "p:2:8: image: expected host, or a directory: its name, or its path without .. and doubled slashes, found \"/a/../b\""
        ),
        Bad("image:", "p:2:7: image: expected a string, found nothing"),
        Bad("description: 7", "p:2:14: description: expected a string (write it in quotes), found 7"),
        Bad("user: agent", "p:2:7: user: expected a map, found \"agent\""),
        Bad(
            "user: {uid: 65534, gid: -1, name: 1st, home: home, shell: /bin/sh}",
            "p:2:13: user.uid: expected a whole number from 0 to 65533, found 65534",
            "p:2:25: user.gid: expected a whole number from 0 to 65533, found -1",
            "p:2:35: user.name: expected a login name of letters, digits, _ and -, found \"1st\"",
            "p:2:46: user.home: expected \(absolute), found \"home\"",
            "p:2:52: user.shell: unknown; the fields here are uid, gid, name, home"),
        Bad("user: {home: /}", "p:2:14: user.home: expected \(outside), found \"/\""),
        Bad("user: {home: /usr/agent}", "p:2:14: user.home: expected \(outside), found \"/usr/agent\""),
        Bad(
            "environment:\n  set: {A: 1, 2B: x, HOME: /, PATH: \"/bin:\", C: [x], E=: x}\n  pass: [LANG, LD_PRELOAD, USER, '', 3]",
            "p:3:12: environment.set.A: expected a string (write it in quotes), found 1",
            "p:3:15: environment.set.2B: expected a name of letters, digits and _ that begins with no digit, found \"2B\"",
            "p:3:22: environment.set.HOME: HOME is set by the launcher",
            "p:3:37: environment.set.PATH: expected absolute directories alone in PATH, separated by colons",
            "p:3:49: environment.set.C: expected a string, found a list",
            "p:3:54: environment.set.E=: expected a name of letters, digits and _ that begins with no digit, found \"E=\"",
            "p:4:16: environment.pass[1]: LD_PRELOAD says what code is loaded, and the caller would say it; write a value "
                + "under environment.set",
            "p:4:28: environment.pass[2]: USER is set by the launcher",
            "p:4:34: environment.pass[3]: expected a name of letters, digits and _ that begins with no digit, found \"\"",
            "p:4:38: environment.pass[4]: expected a string (write it in quotes), found 3"),
        Bad(
            "environment: {pas: [A]}",
            "p:2:15: environment.pas: unknown; the fields here are set, pass; did you mean pass?"),
        Bad("environment: {pass: LANG}", "p:2:21: environment.pass: expected a list, found \"LANG\""),
        Bad(
            "mounts:\n  - {source: /opt, target: /opt, acess: read-only}\n  - {target: /srv}\n  - /opt",
            "p:3:34: mounts[0].acess: unknown; the fields here are source, target, access, optional, executable; did you "
                + "mean access?",
            "p:4:5: mounts[1].source: expected an absolute path, found nothing",
            "p:5:5: mounts[2]: expected a map, found \"/opt\""),
        Bad(
            "mounts:\n  - {source: /proc/1, target: /etc/ssl, access: rw, optional: 1}\n  - {source: /, target: /opt/}",
            "p:3:14: mounts[0].source: expected a path other than /, and not of /proc, /sys or /dev, found \"/proc/1\"",
            "p:3:31: mounts[0].target: expected \(outside), found \"/etc/ssl\"",
            "p:3:49: mounts[0].access: expected read-only or read-write, found \"rw\"",
            "p:3:63: mounts[0].optional: expected true or false, found 1",
            "p:4:14: mounts[1].source: expected a path other than /, and not of /proc, /sys or /dev, found \"/\"",
            "p:4:25: mounts[1].target: expected \(absolute), found \"/opt/\""),
        Bad(
            "workdir: {target: /lib64/x, access: readonly, protect: [/a, ../b, a//b, '', ., 'x[a]', '**', 'a**/b', '!c'], deny: .env}",
            "p:2:19: workdir.target: expected \(outside), found \"/lib64/x\"",
            "p:2:37: workdir.access: expected read-only or read-write, found \"readonly\"; did you mean read-only?",
            "p:2:57: workdir.protect[0]: expected \(relative), found \"/a\"",
            "p:2:61: workdir.protect[1]: expected \(relative), found \"../b\"",
            "p:2:67: workdir.protect[2]: expected \(relative), found \"a//b\"",
            "p:2:73: workdir.protect[3]: expected \(relative), found \"\"",
            "p:2:77: workdir.protect[4]: expected \(relative), found \".\"",
            "p:2:80: workdir.protect[5]: expected \(relative), found \"x[a]\"",
            "p:2:88: workdir.protect[6]: expected \(relative), found \"**\"",
            "p:2:94: workdir.protect[7]: expected \(relative), found \"a**/b\"",
            "p:2:103: workdir.protect[8]: expected \(relative), found \"!c\"",
            "p:2:116: workdir.deny: expected a list, found \".env\""),
        Bad(
            "config: {variable: 1X}", "p:2:9: config.target: expected an absolute path, found nothing",
            "p:2:20: config.variable: expected a name of letters, digits and _ that begins with no digit, found \"1X\""),
        Bad("config: yes", "p:2:9: config: expected a map, found \"yes\""),
        Bad(
            "limits:\n  memory: 2G\n  swap: none\n  pids: 0\n  cpus: 0\n  openFiles: 1e3\n  tmp: -1\n  home: 1KiB\n  shm: big\n"
                + "  wallClock: 30\n  idle: 10ms\n  grace: none\n  log: [1]\n  oomScoreAdj: -1\n  memroy: 1GiB",
            "p:3:11: limits.memory: expected a size such as 2GiB, found \"2G\"; did you mean 2GiB?",
            "p:4:9: limits.swap: expected a size such as 2GiB, found \"none\"",
            "p:5:9: limits.pids: expected a whole number from 1 to 4194304, found 0",
            "p:6:9: limits.cpus: expected a number of processors from 0.01 to 4096, or none, found 0",
            "p:7:14: limits.openFiles: expected a whole number from 16 to 1048576, found 1000.0",
            "p:8:8: limits.tmp: expected a size such as 2GiB, found -1",
            "p:9:9: limits.home: expected at least 4KiB, found \"1KiB\"",
            "p:10:8: limits.shm: expected a size such as 2GiB, found \"big\"",
            "p:11:14: limits.wallClock: expected a duration such as 1h30m, 10s or 500ms, at most 3650d, or none, found 30",
            "p:12:9: limits.idle: expected at least 1s, found \"10ms\"",
            "p:13:10: limits.grace: expected a duration such as 1h30m, 10s or 500ms, at most 3650d, found \"none\"",
            "p:14:8: limits.log: expected a size such as 2GiB, found a list",
            "p:15:16: limits.oomScoreAdj: expected a whole number from 0 to 1000, found -1",
            "p:16:3: limits.memroy: unknown; the fields here are memory, memoryHigh, swap, pids, cpus, openFiles, tmp, home, "
                + "shm, wallClock, idle, cpuTime, ceiling, recycle, grace, log, oomScoreAdj; did you mean memory?"),
        Bad("limits: {memory: 4194303}", "p:2:18: limits.memory: expected at least 4MiB, found 4194303"),
        Bad(
            "seccomp: agent-defualt",
            "p:2:1: seccomp: expected the name of a filter in seccomp, found \"agent-defualt\"; did you mean agent-default?"
        ),
        Bad(
            "seccomp: ../agent",
            "p:2:1: seccomp: expected a filter's file, found none at session/../agent"),
        Bad(
            "seccomp: /nowhere/x.json",
            "p:2:1: seccomp: expected a filter's file, found none at /nowhere/x.json"),
        Bad("seccomp: a b", "p:2:10: seccomp: expected the name or the path of a filter, found \"a b\""),
        Bad(
            "exec: {allow: [git, /usr/bin/git, 3], from: [workdir, /tmp]}",
            "p:2:16: exec.allow[0]: expected \(absolute), found \"git\"",
            "p:2:35: exec.allow[2]: expected a string (write it in quotes), found 3",
            "p:2:55: exec.from[1]: expected workdir or config or home or tmp, found \"/tmp\"; did you mean tmp?"),
        Bad("exec: {allow: all}", "p:2:15: exec.allow: expected a list, found \"all\""),
        Bad(
            "scopes: [signals]\nnetwork: host",
            "p:2:10: scopes[0]: expected abstract-socket or signal, found \"signals\"; did you mean signal?",
            "p:3:10: network: expected none or gateway, found \"host\""),
        Bad(
            "controls: {optional: [landlock.scop], required: []}",
            "p:2:23: controls.optional[0]: expected \(controls), found \"landlock.scop\"; did you mean landlock.scope?",
            "p:2:39: controls.required: unknown; the fields here are optional"),
        Bad(
            "umask: 0o022", "p:2:8: umask: expected octal digits in quotes such as \"022\", found 18"),
        Bad("umask: '0888'", "p:2:8: umask: expected octal digits in quotes such as \"022\", found \"0888\""),
        Bad("umask: '1777'", "p:2:8: umask: expected octal digits in quotes such as \"022\", found \"1777\""),
        Bad(
            "umask: 022",
            "p:2:8: umask: expected no leading zero, found 022; octal is written 0o755"),
        Bad("network: none\nnetwork: gateway", "p:3:1: network: expected each name once; it stands in line 2 already"),
        Bad("limits: {memory: 1GiB", "p:3:1: limits: while parsing a flow mapping: did not find expected ',' or '}'"),
        Bad(
            "workdir: {target: /home/agent}",
            "p:2:11: workdir.target: expected a place of its own, found /home/agent beside /home/agent (user.home, default)"
        ),
        Bad(
            "workdir: {target: /w}\nconfig: {target: /w/config}\nmounts: [{source: /opt, target: /w}]",
            "p:3:10: config.target: expected a place of its own, found /w/config beside /w (workdir.target, p:2)",
            "p:4:1: mounts[0].target: expected a place of its own, found /w beside /w (workdir.target, p:2)",
            "p:4:1: mounts[0].target: expected a place of its own, found /w beside /w/config (config.target, p:3)"),
        Bad(
            "mounts: [{source: /opt, target: /tmp}]",
            "p:2:1: mounts[0].target: expected a place of its own, found /tmp beside /tmp (the session's own)"),
        Bad(
            "environment: {set: {AGENT_HOME: /x}}\nconfig: {target: /c, variable: AGENT_HOME}",
            "p:2:21: environment.set.AGENT_HOME: AGENT_HOME is set by the launcher, from config.variable"),
        Bad("extends: /p.yml", "p:2:10: extends: openat /p.yml: No such file or directory (2)"),
        Bad(
            "extends: q.yaml",
            "p:2:10: extends: openat session/q.yaml: No such file or directory (2)"),
        Bad(
            "extends: ./q",
            "p:2:10: extends: openat session/q: No such file or directory (2)"),
        Bad(
            "extends: [a]\nimage: 1", "p:2:10: extends: expected a string, found a list",
            "p:3:8: image: expected a string (write it in quotes), found 1"),
        Bad("extends: p", "p:2:10: extends: expected no circle; p extends p"),
    ])
    private func everyFaultIsToldWithItsPlace(_ bad: Bad) throws {
        let fixture = try ProfileFixture(["p": bad.text])
        let found = fixture.problems("p").map { $0.replacing("session/p.yaml", with: "p") }
        #expect(found == bad.problems)
    }

    @Test func everyListedFieldIsKnown() throws {
        let sections: [(String, [String])] = [
            ("", Profile.fields.filter { !["version", "extends"].contains($0) }), ("user", Profile.User.fields),
            ("environment", Profile.Environment.fields), ("workdir", Profile.Workdir.fields),
            ("config", Profile.Config.fields), ("limits", Profile.Limits.fields), ("exec", Profile.Exec.fields),
            ("controls", ["optional"]),
        ]
        for (section, fields) in sections {
            for field in fields {
                // No field accepts a list of a list, so that every one that is known says what it expects.
                let text = section.isEmpty ? "\(field): [[]]" : "\(section): {\(field): [[]]}"
                let problems = try ProfileFixture(["p": "version: 1\n\(text)\n"]).problems("p")
                #expect(!problems.isEmpty && problems.allSatisfy { $0.contains(": expected ") }, "\(section).\(field)")
            }
        }
    }
}
