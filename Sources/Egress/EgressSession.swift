import EgressPolicy
import Glibc
import Metering
import NIOCore
import NIOPosix
import Syscalls
import SystemPackage

/// Something of a session that is open: looked at about once a second, and closed with the session.
protocol SessionMember: AnyObject {
    /// Closes what has taken too long.
    func sweep(_ now: NIODeadline)
    func closeNow()
}

/// One session, as the gateway serves it.
///
/// All of it lives on one event loop: its listeners, its clients, its upstream connections. So nothing here is locked,
/// no byte changes threads on its way, and sessions on the same loop take turns at every read.
final class EgressSession: @unchecked Sendable {
    let id: String
    let tenant: String
    let profile: String
    let policy: EgressPolicy
    let loop: any EventLoop
    let gateway: Gateway
    /// What every credential is called inside.
    let dummies: [String: String]
    /// Where the supervisor is told.
    let notify: @Sendable (ControlEvent) -> Void
    private(set) var pool: UpstreamPool
    var names: SyntheticNames
    /// What is known of the tokens of prompts that were sent before: it tightens the bounds of those to come.
    let promptMemory = PromptMemory()
    private(set) var usage = EgressUsage()
    private var told = EgressUsage()
    private var hadTraffic = false
    private var members: [ObjectIdentifier: any SessionMember] = [:]
    private var listeners: [any Channel] = []
    private var sweeping: RepeatedTask?
    private(set) var isClosed = false
    /// What the session waits for, or why it is over: nothing is let out.
    private(set) var stopped: GatewayDecision?
    private var tripwires: [HostName: SecretText] = [:]
    private var requestNumber: UInt64 = 0
    private var unloggedRefusals = 0

    // What is under way.
    var connections = 0
    var requests = 0
    /// Streams of HTTP/2 that are open, those whose answer nobody takes among them.
    var streams = 0
    var handshakes = 0
    var tunnels = 0
    var bufferedBytes = 0

    init(
        _ open: OpenSession, policy: EgressPolicy, loop: any EventLoop, gateway: Gateway,
        notify: @escaping @Sendable (ControlEvent) -> Void
    ) {
        id = open.session
        tenant = open.tenant
        profile = open.profile
        self.policy = policy
        self.loop = loop
        self.gateway = gateway
        self.notify = notify
        dummies = gateway.credentials.dummies(session: open.session)
        pool = UpstreamPool(loop: loop, gateway: gateway, tenant: open.tenant)
        names = SyntheticNames(limit: gateway.limits.names)
        // A gateway that was started again goes on with numbers of its own.
        requestNumber = UInt64(getpid()) << 32
    }

    /// Looks for the dummies whose credentials are for other hosts than this one.
    func tripwire(at host: HostName) -> SecretText {
        if let known = tripwires[host] { return known }
        let elsewhere = dummies.filter { name, _ in
            gateway.credentials[name].map { !$0.definition.hosts.contains { $0.matches(host) } } ?? true
        }
        if tripwires.count >= 256 { tripwires = [:] }
        let made = SecretText(spellingsOf: elsewhere.values.sorted())
        tripwires[host] = made
        return made
    }

    /// The credentials were read again: they may be for other hosts now.
    func forgetTripwires() { tripwires = [:] }

    func nextRequestID() -> String {
        requestNumber += 1
        return "\(id)-\(String(requestNumber, radix: 36))"
    }

    // MARK: Listeners

    /// Takes the session's listeners in use.
    func start(_ given: [(Listener, SystemPackage.FileDescriptor)]) -> EventLoopFuture<Void> {
        EventLoopFuture.andAllSucceed(given.map { listen($0, $1) }, on: loop)
    }

    private func listen(_ listener: Listener, _ descriptor: SystemPackage.FileDescriptor) -> EventLoopFuture<Void> {
        let channel: EventLoopFuture<any Channel>
        let session = self
        switch listener.kind {
        case .dnsUDP:
            channel = DatagramBootstrap(group: loop)
                .channelOption(.receivePacketInfo, value: true)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(DatagramDNS(session))
                    }
                }
                .withBoundSocket(descriptor.rawValue)
        default:
            channel = ServerBootstrap(group: loop, childGroup: loop)
                .childChannelOption(.autoRead, value: false)
                .childChannelOption(.writeBufferWaterMark, value: .egress)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try session.accept(channel, listener) }
                }
                .withBoundSocket(descriptor.rawValue)
        }
        return channel.assumeIsolated().map { self.listeners.append($0) }.nonisolated()
    }

    private func accept(_ channel: any Channel, _ listener: Listener) throws {
        guard !isClosed, connections < gateway.limits.connections, gateway.shares.take(tenant) else {
            throw ChannelError.ioOnClosedChannel
        }
        let pipeline = channel.pipeline.syncOperations
        connections += 1
        channel.closeFuture.assumeIsolated().whenComplete { _ in
            self.connections -= 1
            self.gateway.shares.give(self.tenant)
        }
        if listener.kind != .unix { _ = channel.setOption(.tcpOption(.tcp_nodelay), value: 1) }
        switch listener.kind {
        case .proxy, .unix: try pipeline.addHandler(ClientConnection(self, .proxy))
        case .relay: try pipeline.addHandler(ClientConnection(self, .relay))
        case .dnsTCP: try pipeline.addHandler(StreamDNS(self))
        case .transparent: try pipeline.addHandler(TransparentFront(self, listener))
        case .dnsUDP: break
        }
    }

    // MARK: Members

    func join(_ member: any SessionMember) {
        members[ObjectIdentifier(member)] = member
        hadTraffic = true
        if sweeping == nil, !isClosed {
            sweeping = loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in self.sweep() }
        }
    }

    func leave(_ member: any SessionMember) { members[ObjectIdentifier(member)] = nil }

    /// That bytes went either way.
    func count(up: Int = 0, down: Int = 0) {
        usage.bytesUp += Int64(up)
        usage.bytesDown += Int64(down)
        hadTraffic = true
    }

    private func sweep() {
        let now = NIODeadline.now()
        for member in members.values { member.sweep(now) }
        pool.sweep(now)
        tell()
        if members.isEmpty, pool.isEmpty {
            sweeping?.cancel()
            sweeping = nil
        }
    }

    private func tell() {
        if hadTraffic { notify(.activity) }
        hadTraffic = false
        if usage != told { notify(.usage(usage)) }
        told = usage
    }

    // MARK: Decisions

    func countAllowed(rule: String) {
        usage.requests += 1
        gateway.metrics.allowed(rule: rule)
    }

    func countDenied(_ label: String) {
        usage.denied += 1
        gateway.metrics.denied(label)
        hadTraffic = true
        // A refusal without a connection, as of a name, is told too.
        if sweeping == nil, !isClosed {
            sweeping = loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in self.sweep() }
        }
    }

    func countCharge(_ outcome: MessagesOutcome) {
        // What an upstream tells may be any number.
        usage.tokens = Int64(clamping: UInt64(usage.tokens).saturatingAdd(outcome.charge.tokens))
        usage.microdollars = Int64(clamping: UInt64(usage.microdollars).saturatingAdd(outcome.charge.microdollars))
        gateway.metrics.charged(tokens: outcome.charge.tokens, nanodollars: outcome.charge.nanodollars)
    }

    /// Tells that the session's spending has come to its budget's soft mark.
    func passedSoftMark(_ state: BudgetState) {
        usage.softMarks += 1
        gateway.metrics.softMarkPassed()
        notify(.softMark(detail: "\(state) is used"))
    }

    /// Refusals that are written down one by one, of requests and of names; a session that asks for more only counts: it is
    /// not to fill the disk, which all need.
    private static let loggedRefusals = EgressRate(requests: 600, interval: 60_000_000_000)

    /// The words of a refusal in the log; `nil` where it is not written down. The next that is tells of those before it.
    func wordsOfRefusal(_ reason: String, of kind: String = "requests") -> String? {
        guard gateway.rates.take("\(kind) \(id)", Self.loggedRefusals, now: monotonicNanoseconds()) == nil else {
            unloggedRefusals += 1
            return nil
        }
        defer { unloggedRefusals = 0 }
        return unloggedRefusals == 0 ? reason : "\(reason) (behind \(unloggedRefusals) refusals that were only counted)"
    }

    /// Writes a refusal into the log.
    ///
    /// - Parameter kind: what is refused, of which others are not to keep it out of the log.
    func logRefusal(
        _ reason: String, status: Int?, method: String, host: String, port: UInt16, of kind: String = "requests"
    ) {
        countDenied(kind == "names" ? "dns" : "\(status ?? 0)")
        guard let reason = wordsOfRefusal(reason, of: kind) else { return }
        var entry = RequestEntry(
            phase: .request, id: nextRequestID(), session: id, tenant: tenant, refusal: reason, method: method,
            host: host, port: port)
        entry.status = status
        gateway.journal.append(entry, nil)
    }

    /// Lets nothing out any more, closes everything, and has the supervisor pause or end the session.
    func stop(_ decision: GatewayDecision) {
        // A session that is to be paused, and shows its dummy before it is, or cannot be, is ended all the same.
        guard stopped == nil || stopped?.action == .pause && decision.action == .end else { return }
        stopped = decision
        if decision.action == .end { closeMembers() }
        notify(.decision(decision))
    }

    /// The budget was raised. Whether a gateway before this one has had the session paused is the supervisor's to know.
    func resume() {
        if let decision = stopped, decision.reason != .budget { return }
        stopped = nil
        notify(.resume)
    }

    func closeMembers() {
        for member in Array(members.values) { member.closeNow() }
        pool.closeAll()
    }

    /// Ends the session's egress: listeners, clients, tunnels, upstream connections. Its last usage is told.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        for listener in listeners { listener.close(promise: nil) }
        listeners = []
        closeMembers()
        pool.end()
        tell()
        sweeping?.cancel()
        sweeping = nil
        for key in [id, "requests \(id)", "names \(id)"] { gateway.rates.forget(key) }
    }
}
