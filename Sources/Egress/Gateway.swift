import Documents
import EgressPolicy
import Glibc
import Metering
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL
import Records
import Syscalls
import SystemPackage

/// The egress gateway of one state directory: what all its sessions share.
final class Gateway: Sendable {
    let places: GatewayPlaces
    let limits: GatewayLimits
    let authority: CertificateAuthority
    let credentials: CredentialStore
    let budgets: BudgetBook
    let prices: PriceTable
    let unknownModels: UnknownModelPolicy
    let rates = RateLimiter()
    let shares: ConnectionShares
    let tenantRates: [String: EgressRate]
    let journal: RequestJournal
    let metrics = Metrics()
    let resolver: Resolver
    /// How upstreams have to prove who they are: by the host's authorities, to their names.
    let upstreamTLS: NIOSSLContext
    let group: MultiThreadedEventLoopGroup
    let allocator = ByteBufferAllocator()
    private let configPath: String?
    private let runsCommands: Bool
    private let sessions = NIOLockedValueBox<[String: EgressSession]>([:])
    private let draining = NIOLockedValueBox(false)

    /// Opens everything that serving needs, in the directory `<state>/gateway`.
    ///
    /// - Parameter lookUp: what is asked in the place of the host's resolver.
    init(
        state: String, config: GatewayConfig, configPath: String? = nil, threads: Int = usableProcessors(),
        lookUp: (@Sendable (HostName, any EventLoop) -> EventLoopFuture<[IPAddress]>)? = nil
    ) throws {
        places = GatewayPlaces(state: state)
        try makeDirectories(places.directory, mode: 0o700)
        self.configPath = configPath
        runsCommands = config.runsCommands
        limits = config.limits
        shares = ConnectionShares(most: config.limits.allConnections)
        unknownModels = config.unknownModels
        tenantRates = config.rates
        authority = try CertificateAuthority(directory: places.directory)
        credentials = try CredentialStore(config.credentials, directory: places.directory)
        prices = try Self.priceTable(config.prices)
        do throws(BudgetFailure) {
            budgets = try BudgetBook(
                directory: places.directory + "/budgets", host: config.hostBudget, tenants: config.tenantBudgets)
        } catch {
            throw GatewayError("the budgets cannot be opened: \(error)")
        }
        let store = credentials
        let log = RequestLog(places.requests, bodies: places.directory + "/bodies", rotation: config.log)
        journal = RequestJournal(log) {
            store.all.flatMap(\.spellings.patterns)
        }
        resolver = Resolver(overrides: config.resolve, lookUp: lookUp)
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.minimumTLSVersion = .tlsv12
        tls.applicationProtocols = ["http/1.1"]
        // What is closed is of no use to anyone: an upstream that waits for the end of the connection to stop an answer that its
        // client has left is not to wait for seconds, in which nobody reads what it sends, and the provider counts it.
        tls.shutdownTimeout = .zero
        if let trust = config.trust { tls.additionalTrustRoots = [.file(trust)] }
        do {
            upstreamTLS = try NIOSSLContext(configuration: tls)
        } catch {
            guard let trust = config.trust else { throw error }
            throw GatewayError(
                "trust: \(trust) cannot be read as certificates: \(error)", fix: "name a PEM file of authorities")
        }
        group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
    }

    private static func priceTable(_ path: String?) throws -> PriceTable {
        var places = path.map { [$0] } ?? []
        if path == nil {
            let program =
                (try? readLink("/proc/self/exe"))?.split(separator: "/").dropLast().joined(separator: "/") ?? ""
            places = ["/../Profiles", "/../share/carrel"].map { "/\(program)\($0)/prices/anthropic.json" }
        }
        guard let found = places.first(where: { exists($0) }) else {
            throw GatewayError(
                "no price table at \(places.joined(separator: " or "))", fix: "set prices: in gateway.yaml")
        }
        return try PriceTable(Node.parse(try readFile(found), file: found), file: found)
    }

    // MARK: Sessions

    /// Takes a session in, in the place of one of its name.
    func open(
        _ open: OpenSession, _ descriptors: [SystemPackage.FileDescriptor],
        notify: @escaping @Sendable (ControlEvent) -> Void
    ) throws -> EgressSession {
        let policy: EgressPolicy
        let passed: Bool
        do {
            for (listener, descriptor) in zip(open.listeners, descriptors) { try Self.check(descriptor, for: listener) }
            (policy, passed) = try admit(open)
        } catch {
            for descriptor in descriptors { Syscalls.close(descriptor) }
            throw error
        }
        let session = EgressSession(open, policy: policy, loop: group.next(), gateway: self, notify: notify)
        let old = sessions.withLockedValue { $0.updateValue(session, forKey: open.session) }
        if let old { old.loop.execute { old.close() } }
        do {
            try session.loop.flatSubmit { session.start(Array(zip(open.listeners, descriptors))) }.wait()
        } catch {
            close(session)
            throw GatewayError("the session's listeners cannot be used: \(error)")
        }
        if passed, let state = budgets.state(session: session.id) {
            session.loop.execute { session.passedSoftMark(state) }
        }
        return session
    }

    /// Whether clients can be taken from it; with as long a queue as they may wait in.
    private static func check(
        _ descriptor: SystemPackage.FileDescriptor, for listener: Listener
    ) throws(GatewayError) {
        var type: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        let isListener =
            listener.kind == .dnsUDP
            ? getsockopt(descriptor.rawValue, SOL_SOCKET, SO_TYPE, &type, &size) == 0
                && type == Int32(SOCK_DGRAM.rawValue)
            : listen(descriptor.rawValue, 512) == 0
        if !isListener {
            throw GatewayError("expected a socket of kind \(listener.kind.rawValue), found another descriptor")
        }
    }

    /// The session's policy, and whether its soft mark was passed when nobody was there to be told.
    private func admit(_ open: OpenSession) throws -> (EgressPolicy, passedSoftMark: Bool) {
        let policy = try EgressPolicy(open.policy)
        try checkCredentials(policy, tenant: open.tenant)
        do throws(BudgetFailure) {
            return (policy, try budgets.open(session: open.session, tenant: open.tenant, budget: policy.budget))
        } catch {
            throw GatewayError("the budgets cannot be written: \(error)")
        }
    }

    /// Throws where a policy needs what the configuration does not have, or not for this tenant (`nil`: not known yet).
    func checkCredentials(_ policy: EgressPolicy, tenant: String? = nil) throws(GatewayError) {
        for rule in policy.rules where !rule.credentialIsOptional {
            guard let name = rule.credential else { continue }
            guard let credential = credentials[name] else {
                throw GatewayError(
                    "rule \(rule.id) needs the credential \(name), which the gateway does not have",
                    fix: configPath.map {
                        "add it below credentials: in \($0); a gateway that serves sessions reads it at kill -HUP \(getpid())"
                    } ?? "configure it below credentials: in /etc/carrel/gateway.yaml (Docs/Gateway.md)")
            }
            if let tenant, !credential.definition.isFor(tenant: tenant) {
                throw GatewayError(
                    "rule \(rule.id) needs the credential \(name), which is not for sessions of the tenant \(tenant)",
                    fix: "add it to the credential's tenants, or give the session a profile without this rule")
            }
        }
    }

    func close(_ session: EgressSession) {
        sessions.withLockedValue { if $0[session.id] === session { $0[session.id] = nil } }
        session.loop.execute { session.close() }
    }

    func session(_ id: String) -> EgressSession? { sessions.withLockedValue { $0[id] } }

    var sessionCount: Int { sessions.withLockedValue { $0.count } }

    /// Closes what sessions have open, now; what they ask for next is decided as ever.
    func closeMatching(session: String?, tenant: String?) -> Int {
        let matching = sessions.withLockedValue { all in
            all.values.filter { (session == nil || $0.id == session) && (tenant == nil || $0.tenant == tenant) }
        }
        for session in matching { session.loop.execute { session.closeMembers() } }
        return matching.count
    }

    /// Nanoseconds after which a request is allowed, where there were too many of late.
    func rateExceeded(_ session: EgressSession) -> UInt64? {
        let now = monotonicNanoseconds()
        if let rate = session.policy.rate, let wait = rates.take(session.id, rate, now: now) { return wait }
        guard let rate = tenantRates[session.tenant] ?? tenantRates["*"] else { return nil }
        return rates.take("tenant \(session.tenant)", rate, now: now)
    }

    // MARK: The whole

    /// Reads the credentials again (SIGHUP).
    func reload() throws {
        let config = try GatewayConfig(path: configPath)
        if config.runsCommands && !runsCommands {
            throw GatewayError(
                "a credential has a command now, and this gateway has given up to run any", fix: "start it anew")
        }
        try credentials.reload(config.credentials)
        for session in sessions.withLockedValue({ Array($0.values) }) {
            session.loop.execute { session.forgetTripwires() }
        }
    }

    var isDraining: Bool { draining.withLockedValue { $0 } }

    /// Lets what is under way come to its end, for a time, and closes everything.
    func drain(for seconds: Int) {
        draining.withLockedValue { $0 = true }
        let end = monotonicNanoseconds() + UInt64(seconds) * 1_000_000_000
        while monotonicNanoseconds() < end {
            let busy = sessions.withLockedValue { Array($0.values) }.contains { session in
                (try? session.loop.submit { session.requests > 0 }.wait()) ?? false
            }
            if !busy { break }
            _ = try? poll([], timeout: 50)
        }
        for session in sessions.withLockedValue({ Array($0.values) }) {
            sessions.withLockedValue { $0[session.id] = nil }
            _ = try? session.loop.submit { session.close() }.wait()
        }
        journal.close()
        try? budgets.synchronise()
        try? group.syncShutdownGracefully()
    }

    /// How the gateway is, for an operator.
    var status: Node {
        let sessions = self.sessions.withLockedValue { $0.values.map { ($0.id, $0.tenant, $0.profile) } }
        return [
            "pid": Node(.integer(Int64(getpid()))),
            "sessions": Node(
                .sequence(
                    sessions.sorted { $0.0 < $1.0 }.map {
                        ["session": Node(.string($0.0)), "tenant": Node(.string($0.1)), "profile": Node(.string($0.2))]
                    })),
            "prices": Node(.string(prices.digest)), "log": journal.failure.map { Node(.string("\($0)")) } ?? "ok",
            "credentials": Node(.sequence(credentials.names.map { Node(.string($0)) })),
        ]
    }
}
