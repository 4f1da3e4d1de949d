import Documents
import EgressPolicy
import Foundation
import Glibc
import Syscalls
import SystemPackage
import Testing

@testable import Egress

@Suite("The control socket", .serialized)
struct ControlTests {
    @Test("the socket and its directory are the owner's alone")
    func modes() throws {
        try atDesk { desk throws in
            #expect(try status(desk.gateway.places.control).st_mode & 0o777 == 0o600)
            #expect(try status(desk.gateway.places.directory).st_mode & 0o777 == 0o700)
            for name in ["ca.key", "dummies.key"] {
                #expect(try status(desk.gateway.places.directory + "/" + name).st_mode & 0o777 == 0o600)
            }
        }
    }

    @Test(
        "whoever is neither the gateway's user nor root is not served, whatever the socket's mode",
        .enabled(if: geteuid() == 0, "only root becomes another user"))
    func others() throws {
        try atDesk { desk throws in
            for (path, mode) in [(desk.directory, 0o755), (desk.gateway.places.directory, 0o755)] as [(String, mode_t)]
            {
                chmod(path, mode)
            }
            chmod(desk.gateway.places.control, 0o666)
            let asking = Process()
            asking.executableURL = URL(filePath: "/usr/bin/setpriv")
            let hello = String(decoding: ControlRequest.hello(session: nil, policy: nil).line, as: UTF8.self)
            asking.arguments = [
                "--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/python3", "-c",
                """
                import socket, sys
                made = socket.socket(socket.AF_UNIX)
                made.connect(sys.argv[1])
                try: made.sendall(sys.argv[2].encode()); print(made.recv(1))
                except ConnectionError: print(b'')
                """, desk.gateway.places.control, hello,
            ]
            let output = Pipe()
            asking.standardOutput = output
            try asking.run()
            let told = output.fileHandleForReading.readDataToEndOfFile()
            asking.waitUntilExit()
            #expect(asking.terminationStatus == 0 && String(decoding: told, as: UTF8.self) == "b''\n")
        }
    }

    @Test("hello tells the authority and the dummies that the session will have")
    func hello() throws {
        try atDesk { desk throws in
            var operatorSide = try GatewayConnection(to: desk.gateway.places.control)
            try operatorSide.send(.hello(session: "s-1", policy: desk.policy))
            guard case .hello(let hello)? = try operatorSide.next(timeout: 15_000) else {
                Issue.record("no hello")
                return
            }
            #expect(hello.dummies["anthropic"] == desk.dummies["anthropic"])
            #expect(try readText(hello.bundle).contains(try readText(hello.ca)))
            operatorSide.close()
        }
    }

    @Test("a policy whose credential is not configured is refused, with what to do")
    func missingCredential() throws {
        try atDesk { desk throws in
            let policy = try Node.parse(
                Array(
                    #"{"allow": [{"host": "a.example.com", "paths": ["/**"], "credential": "nothing"}]}"#.utf8),
                file: "policy")
            var asking = try GatewayConnection(to: desk.gateway.places.control)
            try asking.send(.hello(session: "s-9", policy: policy))
            guard case .refused(let why, let fix)? = try asking.next(timeout: 15_000) else {
                Issue.record("not refused")
                return
            }
            #expect(why.contains("nothing") && fix?.contains("gateway.yaml") == true)
            asking.close()
        }
    }

    @Test("a supervisor that comes again hands the same listeners over, and clients go on")
    func again() throws {
        try atDesk { desk throws in
            let client = try desk.proxy()
            client.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(client.answer()?.status == 200)
            desk.hangUp()
            #expect(client.isClosed())
            // Nobody accepts: the client waits in the backlog and is served when the supervisor is back.
            let waiting = try desk.proxy()
            waiting.send("GET http://example.com/later HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(waiting.answer(timeout: 300) == nil)
            try desk.comeAgain()
            #expect(waiting.answer()?.status == 200)
        }
    }

    /// A process to end a session with, which is killed and reaped at the end.
    private func withProcess(_ body: (pid_t, FileDescriptor) throws -> Void) throws {
        var pid: pid_t = 0
        var words: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("1000"), nil]
        defer { words.forEach { free($0) } }
        try #require(posix_spawn(&pid, "/bin/sleep", nil, nil, &words, environ) == 0)
        let process = try pidfdOpen(pid)
        defer {
            Glibc.kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
            close(process)
        }
        try body(pid, process)
    }

    @Test("a session that ends with a process outlives its connection, and ends with that")
    func processes() throws {
        try atDesk { desk throws in
            try withProcess { pid, process in
                let container = try desk.secondSession(endingWith: process)
                defer { container.end() }
                let client = try container.proxy()
                client.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
                #expect(client.answer()?.status == 200)
                #expect(desk.gateway.sessionCount == 2)
                Glibc.kill(pid, SIGKILL)
                #expect(client.isClosed())
                #expect(desk.gateway.sessionCount == 1)
                // The other session is none of its business.
                let other = try desk.proxy()
                other.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
                #expect(other.answer()?.status == 200)
            }
        }
    }

    @Test("the process of a session that is to be ended is killed")
    func ended() throws {
        try atDesk { desk throws in
            try withProcess { pid, process in
                let container = try desk.secondSession(endingWith: process)
                defer { container.end() }
                let dummy = try #require(desk.gateway.credentials.dummies(session: "s-2")["anthropic"])
                let client = try container.proxy()
                client.send("GET http://example.com/?k=\(dummy) HTTP/1.1\r\nHost: example.com\r\n\r\n")
                #expect(try poll([(process, .readable)], timeout: 10_000)[0].contains(.readable))
                var word: Int32 = 0
                #expect(waitpid(pid, &word, WNOHANG) == pid && word & 0x7f == SIGKILL)
                #expect(desk.nothingLeft)
            }
        }
    }

    @Test("a session that waits for its budget, and cannot be paused, is ended for its dummy all the same")
    func endedWhilePaused() throws {
        try atDesk { desk throws in
            try withProcess { _, process in
                let container = try desk.secondSession(endingWith: process)
                defer { container.end() }
                let session = try #require(desk.gateway.session("s-2"))
                try session.loop.submit { session.stop(GatewayDecision(.pause, .budget, detail: "$1 of $1")) }.wait()
                let dummy = try #require(desk.gateway.credentials.dummies(session: "s-2")["anthropic"])
                let client = try container.proxy()
                client.send("GET http://example.com/?k=\(dummy) HTTP/1.1\r\nHost: example.com\r\n\r\n")
                #expect(try poll([(process, .readable)], timeout: 10_000)[0].contains(.readable))
                // Nor does a raise have it go on.
                try session.loop.submit { session.resume() }.wait()
                #expect(session.stopped?.reason == .tripwire)
                #expect(desk.nothingLeft)
            }
        }
    }

    @Test("what is no process ends no session: the request is refused")
    func noProcess() throws {
        try atDesk { desk throws in
            let pipe = try makePipe()
            defer { for end in [pipe.reading, pipe.writing] { close(end) } }
            #expect(throws: GatewayError.self) { try desk.secondSession(endingWith: pipe.reading) }
            #expect(desk.gateway.sessionCount == 1)
        }
    }

    @Test("what is no listener is refused, and closed", arguments: [ListenerKind.proxy, .dnsUDP])
    func noListener(_ kind: ListenerKind) throws {
        try atDesk { desk throws in
            let pipe = try makePipe()
            defer { close(pipe.reading) }
            var asking = try GatewayConnection(to: desk.gateway.places.control)
            defer { asking.close() }
            let open = OpenSession(
                session: "s-9", tenant: "acme", profile: "p", policy: desk.policy, listeners: [Listener(kind)])
            try asking.send(.open(open), descriptors: [pipe.writing])
            close(pipe.writing)
            guard case .refused? = try asking.next(timeout: 15_000) else {
                Issue.record("not refused")
                return
            }
            #expect(try poll([(pipe.reading, .hangUp)], timeout: 5000)[0].contains(.hangUp))
            #expect(desk.gateway.sessionCount == 1)
        }
    }

    @Test("a launcher of another build is told so, and what to do")
    func otherBuild() throws {
        try atDesk { desk throws in
            let pipe = try makePipe()
            defer { for end in [pipe.reading, pipe.writing] { close(end) } }
            let open = OpenSession(
                session: "s-old", tenant: "acme", profile: "p", policy: desk.policy,
                listeners: [Listener(.proxy, port: 3128), Listener(.unix)])
            for (line, descriptors) in [
                (ControlRequest.open(open).line, [pipe.reading]),
                (Array("{\"type\":\"hello\",\"version\":1}\n".utf8), []),
            ] {
                var asking = try GatewayConnection(to: desk.gateway.places.control)
                if descriptors.isEmpty {
                    try writeAll(line, to: asking.descriptor)
                } else {
                    try asking.send(.open(open), descriptors: descriptors)
                }
                guard case .refused(let why, let fix)? = try asking.next(timeout: 15_000) else {
                    Issue.record("not refused")
                    return
                }
                #expect(why.contains("of different builds") && fix?.contains("kill \(getpid()),") == true, "\(why)")
                asking.close()
            }
            #expect(desk.gateway.sessionCount == 1)
        }
    }

    @Test("bytes that are no message, and descriptors that no message names, change nothing")
    func garbage() throws {
        try atDesk { desk throws in
            var asking = try GatewayConnection(to: desk.gateway.places.control)
            for line in ["{}", "nonsense", "{\"type\":\"open\"}", "[1]", "{\"type\":\"hello\",\"version\":9}"] {
                try writeAll(Array("\(line)\n".utf8), to: asking.descriptor)
                guard case .refused? = try asking.next(timeout: 15_000) else {
                    Issue.record("not refused: \(line)")
                    return
                }
            }
            let pipe = try makePipe()
            for _ in 0..<10 { try send([0x20], descriptors: [pipe.reading, pipe.writing], over: asking.descriptor) }
            try writeAll(Array("{\"type\":\"status\"}\n".utf8), to: asking.descriptor)
            guard case .answer(let status)? = try asking.next(timeout: 15_000) else {
                Issue.record("no status")
                return
            }
            #expect(status["sessions"]?.elements?.count == 1)
            asking.close()
            close(pipe.reading)
            close(pipe.writing)
        }
    }

    @Test("a raise of more than there is stops nobody")
    func absurdRaise() throws {
        try atDesk(policy: Desk.policy.replacing("{\"allow\"", with: "{\"budget\": {\"dollars\": 1}, \"allow\"")) {
            desk throws in
            var asking = try GatewayConnection(to: desk.gateway.places.control)
            let line = #"{"type":"raise","session":"s-1","microdollars":18446744073709551615,"tokens":0}"#
            try writeAll(Array("\(line)\n".utf8), to: asking.descriptor)
            guard case .answer(let answer)? = try asking.next(timeout: 15_000) else {
                Issue.record("no answer")
                return
            }
            #expect(answer["nanodollars"]?["limit"]?.uint == .max)
            asking.close()
        }
    }

    @Test("a gateway that ends hangs up at once on whoever has no session there")
    func ending() throws {
        try atDesk { desk throws in
            var heard = try GatewayConnection(to: desk.gateway.places.control)
            defer { heard.close() }
            try heard.send(.status)
            guard case .answer? = try heard.next(timeout: 15_000) else {
                Issue.record("no answer")
                return
            }
            desk.control.stop()
            #expect(try heard.next(timeout: 15_000) == nil)
            // And nobody waits there to be heard.
            #expect(throws: SystemError.self) { try GatewayConnection(to: desk.gateway.places.control) }
            // What is under way goes on.
            let client = try desk.proxy()
            client.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(client.answer()?.status == 200)
        }
    }

    @Test("usage is told while there is traffic, and at the close")
    func usage() throws {
        try atDesk { desk throws in
            let client = try desk.proxy()
            client.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(client.answer()?.status == 200)
            let event = desk.event { if case .usage = $0 { true } else { false } }
            guard case .usage(let usage)? = event else {
                Issue.record("no usage")
                return
            }
            #expect(usage.requests == 1 && usage.bytesDown == 5)
            let denied = try desk.proxy()
            denied.send("CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n")
            #expect(denied.answer()?.status == 403)
            var last: EgressUsage?
            try desk.sendClose()
            while let event = desk.event(timeout: 10_000, { _ in true }) {
                if case .usage(let usage) = event { last = usage }
            }
            #expect(last?.denied == 1)
        }
    }

    @Test("a raise has a session go on that a gateway before this one had paused")
    func raised() throws {
        let policy = Desk.policy.replacing("{\"allow\"", with: "{\"budget\": {\"dollars\": 1}, \"allow\"")
        try atDesk(policy: policy) { desk throws in
            var asking = try GatewayConnection(to: desk.gateway.places.control)
            defer { asking.close() }
            try asking.send(.raise(session: "s-1", microdollars: 1, tokens: 0))
            guard case .answer? = try asking.next(timeout: 15_000) else {
                Issue.record("not raised")
                return
            }
            #expect(desk.event { $0 == .resume } != nil)
        }
    }

    @Test("what gateway.yaml names and is not there is told by its member", arguments: ["credential c: ", "trust: "])
    func missing(_ member: String) throws {
        let directory = NSTemporaryDirectory() + "carrel-missing-" + UUID().uuidString
        try makeDirectories(directory, mode: 0o700)
        defer { try? removeTree(directory) }
        var config = GatewayConfig()
        config.prices = Desk.prices
        if member == "trust: " { config.trust = directory + "/nothing.pem" }
        if member != "trust: " {
            config.credentials = [CredentialDefinition(name: "c", source: .file(directory + "/nothing"))]
        }
        let error = #expect(throws: GatewayError.self) { try Gateway(state: directory, config: config, threads: 1) }
        #expect(error?.message.hasPrefix(member) == true && error?.fix != nil)
        #expect(error?.message.contains(directory + "/nothing") == true)
    }

    @Test("gateway.yaml is checked whole: every error with its line")
    func config() throws {
        let text = """
            credentials:
              a: {file: /x, environment: Y, hosts: [example.com]}
              b: {file: /x, scheme: header}
              c: {command: [], hosts: ["*.com"], scheme: basic}
            unknown: 1
            limits: {connections: 0, tunels: 4}
            resolve: {example.com: nowhere, "1.2.3.4": "127.0.0.1:1"}
            metrics: 99999
            """
        let problems = #expect(throws: Problems.self) {
            try GatewayConfig(Node.parse(Array(text.utf8), file: "gateway.yaml"), file: "gateway.yaml")
        }
        let told = problems?.description ?? ""
        for line in [
            "gateway.yaml:2:", "gateway.yaml:3:", "gateway.yaml:4:", "gateway.yaml:5:", "gateway.yaml:6:",
            "gateway.yaml:7:", "gateway.yaml:8:", "did you mean tunnels",
        ] { #expect(told.contains(line), "\(line) in \(told)") }
    }
}
