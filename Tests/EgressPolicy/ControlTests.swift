import Documents
import EgressPolicy
import Foundation
import Syscalls
import SystemPackage
import Testing

@Suite struct ControlTests {
    private static let open = OpenSession(
        session: "s-1", tenant: "acme", profile: "p", policy: ["allow": []],
        listeners: [Listener(.proxy, port: 3128), Listener(.dnsUDP, port: 53, isV6: true), Listener(.unix)])

    @Test("requests are read back as they were written")
    func requests() throws {
        for request: ControlRequest in [
            .hello(session: nil, policy: nil), .hello(session: "s", policy: ["allow": []]), .open(Self.open), .close,
            .budget(session: "s"), .raise(session: "s", microdollars: 5, tokens: 7),
            .closeMatching(session: nil, tenant: "t"), .status,
        ] {
            #expect(try ControlRequest(line: request.line.dropLast()) == request)
            #expect(request.line.last == 10 && request.line.count { $0 == 10 } == 1)
        }
    }

    @Test("events are read back as they were written")
    func events() throws {
        for event: ControlEvent in [
            .hello(GatewayHello(ca: "/a", bundle: "/b", dummies: ["x": "y\nz"])), .ready(dummies: [:]),
            .refused(why: "w", fix: nil), .refused(why: "w", fix: "f"), .activity,
            .decision(GatewayDecision(.end, .tripwire, detail: "d")), .resume, .softMark(detail: "$3.00 of $5.00"),
            .usage(
                EgressUsage(
                    requests: 1, denied: 2, bytesUp: 3, bytesDown: 4, microdollars: 5, tokens: 6, softMarks: 7)),
            .answer(["a": 1]),
        ] { #expect(try ControlEvent(line: event.line.dropLast()) == event) }
    }

    @Test(
        "anything else is an error",
        arguments: [
            "", "{}", "[]", "{\"type\":\"open\"}", "{\"type\":\"hello\",\"version\":1}", "{\"type\":\"nothing\"}",
            "{\"type\":\"open\",\"version\":2,\"session\":\"s\",\"tenant\":\"t\",\"profile\":\"p\",\"policy\":{},\"listeners\":[{\"kind\":\"x\",\"port\":1}]}",
            "{\"type\":\"open\",\"version\":2,\"session\":\"s\",\"tenant\":\"t\",\"profile\":\"p\",\"policy\":{},\"listeners\":[{\"kind\":\"proxy\",\"port\":65536}]}",
        ])
    func errors(_ line: String) {
        #expect(throws: ControlProtocolError.self) { try ControlRequest(line: line.utf8) }
    }

    @Test(
        "a socket at which neither the caller nor root listens is no gateway's",
        .enabled(if: geteuid() == 0, "only root becomes another user"))
    func others() throws {
        let place = NSTemporaryDirectory() + "carrel-control-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: place) }
        chmod(place, 0o777)
        for (user, isTrusted) in [("0", true), ("65534", false)] {
            let listening = Process()
            listening.executableURL = URL(filePath: "/usr/bin/setpriv")
            listening.arguments = [
                "--reuid", user, "/usr/bin/python3", "-c",
                "import socket, sys; made = socket.socket(socket.AF_UNIX); made.bind(sys.argv[1]); made.listen(); print(flush=True); sys.stdin.read()",
                "\(place)/\(user)",
            ]
            let (input, output) = (Pipe(), Pipe())
            (listening.standardInput, listening.standardOutput) = (input, output)
            try listening.run()
            _ = output.fileHandleForReading.availableData
            let connection = Result { () throws(SystemError) in try GatewayConnection(to: "\(place)/\(user)") }
            switch connection {
            case .success(let connection):
                #expect(isTrusted)
                connection.close()
            case .failure(let error): #expect(!isTrusted && error.errno == .notPermitted, "\(error)")
            }
            try input.fileHandleForWriting.close()
            listening.waitUntilExit()
        }
    }

    @Test("descriptors arrive with the line that names them, and events in pieces")
    func descriptors() throws {
        let path = NSTemporaryDirectory() + "carrel-control-\(UUID().uuidString.prefix(8)).sock"
        defer { unlink(path) }
        let listener = try listenLocal(at: path, mode: 0o600)
        defer { close(listener) }
        var client = try GatewayConnection(to: path)
        let accepted = try acceptConnection(listener)
        #expect(try peerCredentials(of: accepted).pid == getpid())
        let (one, two) = try socketPair()
        try client.send(.open(Self.open), descriptors: [one, two])
        var bytes: [UInt8] = []
        var received: [FileDescriptor] = []
        while bytes.last != 10 {
            let message = try receive(from: accepted, limit: 4096)
            bytes += message.bytes
            received += message.descriptors
        }
        #expect(received.count == 2)
        #expect(try ControlRequest(line: bytes.dropLast()) == .open(Self.open))
        let line = ControlEvent.ready(dummies: ["a": "b"]).line
        try writeAll(line[..<5], to: accepted)
        #expect(try client.events().events.isEmpty)
        try writeAll(Array(line[5...]) + ControlEvent.activity.line, to: accepted)
        #expect(try client.next(timeout: 1000) == .ready(dummies: ["a": "b"]))
        // Not close(2) alone: a process that another test makes at this moment may have the descriptor, too.
        shutdown(accepted.rawValue, Int32(SHUT_RDWR))
        close(accepted)
        let rest = try client.events()
        #expect(rest.events == [.activity] && !rest.isOpen)
        client.close()
        for descriptor in received + [one, two] { close(descriptor) }
    }

    @Test("who listens as another user is not believed", .enabled(if: geteuid() == 0, "needs root"))
    func stranger() throws {
        let path = NSTemporaryDirectory() + "carrel-control-\(UUID().uuidString.prefix(8)).sock"
        defer { unlink(path) }
        // There under its name only when it listens.
        let script = """
            import os, socket, time
            s = socket.socket(socket.AF_UNIX); s.bind('\(path).new'); s.listen(); os.rename('\(path).new', '\(path)')
            time.sleep(20)
            """
        let stranger = Process()
        stranger.executableURL = URL(filePath: "/usr/bin/setpriv")
        stranger.arguments = ["--reuid", "65534", "--clear-groups", "--", "/usr/bin/python3", "-c", script]
        try stranger.run()
        // Not SIGTERM, which it may have inherited blocked.
        defer {
            kill(stranger.processIdentifier, SIGKILL)
            stranger.waitUntilExit()
        }
        for _ in 0..<500 where !exists(path) { usleep(10_000) }
        #expect { try GatewayConnection(to: path) } throws: { ($0 as? SystemError)?.errno == .notPermitted }
    }
}
