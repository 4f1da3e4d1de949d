import Documents
import EgressPolicy
import Foundation
import Metering
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Syscalls
import SystemPackage
import Testing

@testable import Egress

/// A gateway, the supervisor of one session, upstreams that remember, and a resolver that counts.
final class Desk: @unchecked Sendable {
    let directory: String
    let gateway: Gateway
    let network: SessionNetwork
    let control: ControlServer
    /// The gateway's own network, where one was asked for: every address leads to whoever listens there.
    let internet: SessionNetwork?
    /// Threads in that network.
    let outside: MultiThreadedEventLoopGroup?
    private(set) var supervisor: GatewayConnection
    private(set) var dummies: [String: String] = [:]
    let plain: RecordingUpstream
    let secure: RecordingUpstream
    let echo: RecordingUpstream
    let asked = NIOLockedValueBox<[String]>([])
    /// Questions for names that begin with `slow`: nobody answers before the test does, or ends.
    private let slow = NIOLockedValueBox<[EventLoopPromise<[IPAddress]>]?>([])
    let listeners: [(Listener, SystemPackage.FileDescriptor)]
    let policy: Node
    static let secret = "sk-ant-api03-REAL-KEY-OF-THE-OPERATOR-0123456789"

    /// What the examples of the attack table allow.
    static let policy = """
        {"allow": [
          {"id": "messages", "host": "api.anthropic.com", "methods": ["POST"], "credential": "anthropic",
           "paths": ["/v1/messages", "/v1/messages/count_tokens"], "api": "messages"},
          {"id": "models", "host": "api.anthropic.com", "paths": ["/v1/models"], "credential": "anthropic"},
          {"id": "example", "host": "example.com", "methods": ["GET", "HEAD", "POST", "PUT"], "paths": ["/**"]},
          {"id": "socket", "host": "socket.example.com", "paths": ["/**"], "websocket": true},
          {"id": "plain", "host": "example.com", "scheme": "http", "methods": ["GET", "POST", "HEAD"], "paths": ["/**"]},
          {"id": "org", "host": "*.example.org", "paths": ["/**"]},
          {"id": "spliced", "host": "spliced.example.net", "tls": "splice"}
        ]}
        """

    /// The table that comes with carrel.
    static let prices = "\(#filePath)".replacing("Tests/Egress/Desk.swift", with: "Profiles/prices/anthropic.json")

    /// - Parameters:
    ///   - names: what the host's resolver says of names; those of the upstreams are set by gateway.yaml.
    ///   - answers: what it says instead, one answer after the other.
    ///   - internet: whether the gateway gets a network of its own, in which every address is there.
    ///   - change: changes the limits.
    init(
        policy text: String = Desk.policy, names: [String: [String]] = [:], answers: Answers? = nil,
        internet wantsInternet: Bool = false, extra: String = "", change: (inout GatewayLimits) -> Void = { _ in }
    ) throws {
        directory = NSTemporaryDirectory() + "carrel-egress-" + UUID().uuidString
        try makeDirectories(directory, mode: 0o700)
        let authority = try { path in
            try makeDirectories(path, mode: 0o700)
            return try CertificateAuthority(directory: path)
        }(directory + "/upstreams")
        plain = try RecordingUpstream()
        secure = try RecordingUpstream(tls: authority.context(for: "*.test", names: Desk.upstreamNames))
        echo = try RecordingUpstream(isEcho: true)
        try replaceFile(directory + "/key", with: Array(Desk.secret.utf8))
        let yaml = """
            credentials:
              anthropic: {file: \(directory)/key, scheme: header, header: x-api-key, hosts: [api.anthropic.com],
                prefix: sk-ant-carrel-}
            prices: \(Desk.prices)
            trust: \(authority.certificatePath)
            resolve:
              api.anthropic.com: "127.0.0.1:\(secure.port)"
              socket.example.com: "127.0.0.1:\(secure.port)"
              www.example.org: "127.0.0.1:\(secure.port)"
              example.com: "127.0.0.1:\(plain.port)"
              secure.example.org: "127.0.0.1:\(secure.port)"
              wrong.example.org: "127.0.0.1:\(secure.port)"
              spliced.example.net: "127.0.0.1:\(echo.port)"
            \(extra)
            """
        try replaceFile(directory + "/gateway.yaml", with: Array(yaml.utf8))
        var config = try GatewayConfig(path: directory + "/gateway.yaml")
        change(&config.limits)
        let asked = asked
        let slow = slow
        let (place, settings) = (directory, config)
        // Threads are in the network of the one that makes them.
        func make() throws -> (Gateway, MultiThreadedEventLoopGroup?) {
            let gateway = try Gateway(
                state: place, config: settings, configPath: place + "/gateway.yaml", threads: 1
            ) { name, loop in
                asked.withLockedValue { $0.append(name.text) }
                if name.text.hasPrefix("slow") {
                    let promise = loop.makePromise(of: [IPAddress].self)
                    let waits = slow.withLockedValue { slow in
                        slow?.append(promise)
                        return slow != nil
                    }
                    if !waits { promise.succeed([]) }
                    return promise.futureResult
                }
                return loop.makeSucceededFuture(
                    answers?.next() ?? (names[name.text] ?? []).compactMap { IPAddress($0) })
            }
            return (gateway, wantsInternet ? MultiThreadedEventLoopGroup(numberOfThreads: 1) : nil)
        }
        internet = wantsInternet ? try SessionNetwork() : nil
        (gateway, outside) = try internet?.run { try make() } ?? make()
        control = try ControlServer(gateway)
        let control = control
        Thread { try? control.run(idleExit: nil) }.start()
        network = try SessionNetwork()
        let network = network
        listeners = try network.run {
            [
                (Listener(.proxy, port: 3128), try listenTCP(.loopbackV4, port: 3128)),
                (Listener(.transparent, port: 80), try listenTCP(.everyV4, port: 80)),
                (Listener(.transparent, port: 443), try listenTCP(.everyV4, port: 443)),
                (Listener(.dnsUDP, port: 53), try bindUDP(.everyV4, port: 53)),
                (Listener(.dnsTCP, port: 53), try listenTCP(.everyV4, port: 53)),
                (Listener(.relay, port: 8787), try listenTCP(.loopbackV4, port: 8787)),
            ]
        }
        policy = try Node.parse(Array(text.utf8), file: "policy")
        supervisor = try GatewayConnection(to: gateway.places.control)
        try open()
    }

    /// Hands the listeners over, as a supervisor does at the start and after a restart.
    func open(session: String = "s-1", tenant: String = "acme") throws {
        try supervisor.send(
            .open(
                OpenSession(
                    session: session, tenant: tenant, profile: "test", policy: policy, listeners: listeners.map(\.0))),
            descriptors: listeners.map(\.1))
        guard case .ready(let dummies)? = try supervisor.next(timeout: 5000) else {
            throw GatewayError("the gateway did not take the session")
        }
        self.dummies = dummies
    }

    private var isHungUp = false

    /// The supervisor is gone.
    func hangUp() {
        supervisor.close()
        isHungUp = true
    }

    /// The supervisor is there again, with the listeners that it kept.
    func comeAgain() throws {
        supervisor = try GatewayConnection(to: gateway.places.control)
        isHungUp = false
        try open()
    }

    func sendClose() throws { try supervisor.send(.close) }

    /// Another session at the same gateway, with a network of its own.
    final class Other {
        let network: SessionNetwork
        /// `nil` where the session ends with a process.
        private let supervisor: GatewayConnection?
        private let listener: SystemPackage.FileDescriptor

        fileprivate init(_ desk: Desk, endingWith process: SystemPackage.FileDescriptor? = nil) throws {
            network = try SessionNetwork()
            listener = try network.run { try listenTCP(.loopbackV4, port: 3128) }
            var connection = try GatewayConnection(to: desk.gateway.places.control)
            var open = OpenSession(
                session: "s-2", tenant: "other", profile: "test", policy: desk.policy,
                listeners: [Listener(.proxy, port: 3128)])
            open.endsWithProcess = process != nil
            try connection.send(.open(open), descriptors: [listener] + [process].compactMap { $0 })
            let answer = try connection.next(timeout: 5000)
            supervisor = process == nil ? connection : nil
            if process != nil { connection.close() }
            guard case .ready? = answer else { throw GatewayError("not taken: \(answer.map { "\($0)" } ?? "")") }
        }

        func proxy() throws -> Client { Client(SocketStream(try network.connect("127.0.0.1", 3128))) }

        func end() {
            supervisor?.close()
            network.end()
            close(listener)
        }
    }

    func secondSession(endingWith process: SystemPackage.FileDescriptor? = nil) throws -> Other {
        try Other(self, endingWith: process)
    }

    static let upstreamNames = [
        "api.anthropic.com", "socket.example.com", "www.example.org", "secure.example.org", "example.com",
        "far.example.org",
    ]

    /// An upstream for these names at an address of the gateway's own network.
    func farUpstream(at host: String) throws -> RecordingUpstream {
        let authority = try CertificateAuthority(directory: directory + "/upstreams")
        let tls = try authority.context(for: "*.test", names: Desk.upstreamNames)
        // A socket is in the network of the thread that makes it.
        let (internet, outside) = (internet!, outside!)
        return try internet.run { try RecordingUpstream(tls: tls, at: host, port: 443, on: outside) }
    }

    /// Answers what was asked for names that begin with `slow`.
    func answerSlow(_ addresses: [String], forGood: Bool = false) {
        let waiting = slow.withLockedValue { slow in
            defer { slow = forGood ? nil : [] }
            return slow ?? []
        }
        for promise in waiting { promise.succeed(addresses.compactMap { IPAddress($0) }) }
    }

    func end() {
        if !isHungUp { supervisor.close() }
        answerSlow([], forGood: true)
        control.stop()
        network.end()
        for listener in listeners { close(listener.1) }
        gateway.drain(for: 0)
        plain.close()
        secure.close()
        echo.close()
        try? outside?.syncShutdownGracefully()
        internet?.end()
        try? removeTree(directory)
    }

    var trust: String { gateway.authority.certificatePath }
    var queries: [String] { asked.withLockedValue { $0 } }
    var upstreamBytes: Int { plain.bytes + secure.bytes + echo.bytes }
    var upstreamConnections: Int { plain.connections + secure.connections + echo.connections }

    /// Whether nothing at all has left the host.
    var nothingLeft: Bool { upstreamBytes == 0 && upstreamConnections == 0 && queries.isEmpty }

    func proxy() throws -> Client { Client(SocketStream(try network.connect("127.0.0.1", 3128))) }
    func relay() throws -> Client { Client(SocketStream(try network.connect("127.0.0.1", 8787))) }

    /// A connection through CONNECT, and TLS in it.
    func tunnel(
        _ host: String, name: String? = nil, port: Int = 443, protocols: [String] = ["http/1.1"], verify: Bool = true
    ) throws -> Client {
        let descriptor = try network.connect("127.0.0.1", 3128)
        let raw = SocketStream(dup(descriptor))
        let asking = Client(raw)
        asking.send("CONNECT \(host):\(port) HTTP/1.1\r\nhost: \(host):\(port)\r\n\r\n")
        guard let answer = asking.answer(method: "CONNECT"), answer.status == 200 else {
            throw GatewayError("CONNECT was refused")
        }
        return Client(
            try TLSStream(descriptor, name: name ?? host, trust: verify ? trust : nil, protocols: protocols))
    }

    /// The events that the supervisor has got, waiting for one of a kind.
    func event(timeout: Int = 15_000, _ isWanted: (ControlEvent) -> Bool) -> ControlEvent? {
        let end = monotonicNanoseconds() + UInt64(timeout) * 1_000_000
        while monotonicNanoseconds() < end {
            guard let event = try? supervisor.next(timeout: timeout) else { return nil }
            if isWanted(event) { return event }
        }
        return nil
    }

    /// The request log, a document a line, when it holds at least so many.
    func log(atLeast count: Int = 1) -> [Node] {
        for _ in 0..<1500 {
            let text = (try? readFile(gateway.places.requests)) ?? []
            let lines = text.split(separator: 10).compactMap { try? Node.parse(Array($0), file: "log") }
            if lines.count >= count { return lines }
            usleep(10000)
        }
        return []
    }
}

/// Runs a test at a desk of its own.
func atDesk(
    policy: String = Desk.policy, names: [String: [String]] = [:], answers: Answers? = nil, internet: Bool = false,
    extra: String = "", change: (inout GatewayLimits) -> Void = { _ in }, _ body: (Desk) throws -> Void
) throws {
    let desk = try Desk(
        policy: policy, names: names, answers: answers, internet: internet, extra: extra, change: change)
    defer { desk.end() }
    try body(desk)
}

/// What a resolver says, one answer after the other.
final class Answers: Sendable {
    private let left: NIOLockedValueBox<[[String]]>

    init(_ answers: [[String]]) { left = NIOLockedValueBox(answers) }

    func next() -> [IPAddress] {
        left.withLockedValue { $0.isEmpty ? [] : $0.removeFirst() }.compactMap { IPAddress($0) }
    }
}

/// Whether a condition comes true within a time that is long for any machine.
func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<1500 {
        if condition() { return true }
        usleep(10_000)
    }
    return condition()
}

func hostName(_ text: String) throws -> HostName { try HostName(text) }
