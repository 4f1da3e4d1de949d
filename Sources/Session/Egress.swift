import Documents
import EgressPolicy
import Glibc
import Records
import Syscalls
import SystemPackage

/// What a profile's policy says of one request.
public struct EgressVerdict: Sendable {
    /// Whether it would go out.
    public let isAllowed: Bool
    /// The rule that decides; `nil` where none does.
    public let rule: String?
    /// What happens, in words.
    public let reason: String
    /// The credential that it would be given, by its name.
    public let credential: String?
    /// Each rule for the host, and what it says of the request; empty where there is none.
    public let rules: [(id: String, says: String)]

    /// The verdict as a document.
    public var node: Node {
        func text(_ value: String?) -> Node { value.map { Node(.string($0)) } ?? nil }
        return [
            "allowed": Node(.bool(isAllowed)), "rule": text(rule), "reason": text(reason),
            "credential": text(credential),
            "rules": Node(.sequence(rules.map { ["rule": text($0.id), "says": text($0.says)] })),
        ]
    }
}

extension Carrel {
    /// Which rule of a profile decides about a request, and why. Nothing is asked of any gateway, nor any name resolved.
    ///
    /// - Parameters:
    ///   - profile: the profile's name or file.
    ///   - method: the method.
    ///   - url: `https://HOST[:PORT][/PATH][?QUERY]`, or with `http`.
    ///   - network: in the place of the profile's, as `carrel run --network` has it.
    public static func checkEgress(
        _ profile: String, method: String, url: String, network: String? = nil
    ) throws(SessionError) -> EgressVerdict {
        let request = try facts(url, method)
        var overrides = ProfileOverrides()
        overrides.network = network
        let loaded: Profile
        do throws(Problems) {
            loaded = try Profile.load(profile, from: profileCatalog(), overrides: overrides)
        } catch { throw SessionError(error.description) }
        guard let policy = loaded.door else {
            let why =
                loaded.network == .gateway
                ? "the profile has no rule under egress"
                : network != nil || loaded.egress.policy.isEmpty
                    ? "the profile has network: \(loaded.network.rawValue)"
                    : "the profile has network: \(loaded.network.rawValue); --network gateway asks what its rules say"
            return EgressVerdict(
                isAllowed: false, rule: nil, reason: "nothing leaves its sessions: \(why)", credential: nil, rules: [])
        }
        switch request {
        case .success(let facts): return verdict(policy, facts)
        case .failure(let refusal):
            return EgressVerdict(isAllowed: false, rule: nil, reason: refusal.message, credential: nil, rules: [])
        }
    }

    /// The request that a URL says, or why such a one is never allowed.
    ///
    /// - Throws: ``SessionError`` where it is no URL.
    private static func facts(
        _ url: String, _ method: String
    ) throws(SessionError) -> Result<RequestFacts, EgressPolicyError> {
        do throws(EgressPolicyError) {
            return .success(try RequestFacts(url: url, method: method))
        } catch {
            if error.kind == .malformed { throw SessionError("\(url): \(error.message)") }
            return .failure(error)
        }
    }

    private static func verdict(_ policy: EgressPolicy, _ request: RequestFacts) -> EgressVerdict {
        let rules = policy.explanations(of: request)
        if case .splice(let rule) = policy.connection(to: request.host, port: request.port), request.scheme == .https {
            return EgressVerdict(
                isAllowed: true, rule: rule, reason: "allowed, passed on unseen", credential: nil, rules: rules)
        }
        switch policy.request(request) {
        case .refuse(let reason):
            return EgressVerdict(isAllowed: false, rule: nil, reason: reason, credential: nil, rules: rules)
        case .allow(let allowed):
            let note = allowed.isMessagesAPI ? "allowed, if its body asks for nothing more; metered" : "allowed"
            return EgressVerdict(
                isAllowed: true, rule: allowed.rule, reason: note, credential: allowed.credential, rules: rules)
        }
    }

    // MARK: Budgets

    /// What a session may spend and has spent, as the gateway knows it.
    public func budget(of session: String) throws(SessionError) -> Node {
        try answer(.budget(session: session))
    }

    /// Gives a session more to spend; one that its gateway has paused for it goes on.
    ///
    /// - Parameters:
    ///   - microdollars: added to the limit, millionths of a US dollar.
    ///   - tokens: added to the limit.
    public func raiseBudget(
        of session: String, microdollars: UInt64, tokens: UInt64
    ) throws(SessionError) -> Node {
        try Recorder(state).decided(
            .budget,
            [
                "session": Node(.string(session)), "microdollars": Node(.integer(Int64(clamping: microdollars))),
                "tokens": Node(.integer(Int64(clamping: tokens))), "by": caller().node,
            ])
        return try answer(.raise(session: session, microdollars: microdollars, tokens: tokens))
    }

    /// Closes what live sessions have open on the network, now: of one session, of a tenant, or of all where both are
    /// `nil`. What they ask for next is decided as ever.
    ///
    /// - Returns: how many sessions there were.
    public func closeEgress(session: String?, tenant: String?) throws(SessionError) -> Int64 {
        try Recorder(state).decided(
            .close,
            [
                "session": session.map { Node(.string($0)) } ?? nil, "tenant": tenant.map { Node(.string($0)) } ?? nil,
                "by": caller().node,
            ])
        return try answer(.closeMatching(session: session, tenant: tenant))["closed"]?.int ?? 0
    }

    private func answer(_ request: ControlRequest) throws(SessionError) -> Node {
        let event = try Gateway(state).ask(request, starting: false)
        guard case .answer(let node) = event else { throw Gateway.surprised(event) }
        return node
    }

    // MARK: The request log

    /// Hands over the records of the request log, oldest first, as lines and as documents: those of its archives too.
    ///
    /// - Parameters:
    ///   - session: of this session alone; `nil`: of all.
    ///   - following: whether to go on with what is written, for ever.
    public func requestLog(
        session: String?, following: Bool, _ body: (String, Node) throws -> Void
    ) throws(SessionError) {
        let path = GatewayPlaces(state: state.path).requests
        do {
            var reader = LogReader(session: session)
            // Before the archives are listed: what is put aside meanwhile is read from here.
            var file = exists(path) ? try open(path, O_RDONLY | O_NOFOLLOW) : nil
            defer { if let file { close(file) } }
            if exists(GatewayPlaces(state: state.path).directory) {
                for archive in try AuditLog(path).archives() {
                    let old = try open(archive, O_RDONLY | O_NOFOLLOW)
                    defer { close(old) }
                    if let file, try status(file).st_ino == status(old).st_ino { continue }
                    try reader.read(old, body)
                }
            }
            while true {
                if let file { try reader.read(file, body) }
                if !following {
                    if !reader.hasFound, let session, live.find(session) == nil { _ = try report(session) }
                    return
                }
                usleep(200_000)
                guard let now = try? status(path), try file.map({ try status($0).st_ino }) != now.st_ino else {
                    continue
                }
                // It was put aside: its end first.
                if let old = file {
                    try reader.read(old, body)
                    close(old)
                    file = nil
                }
                file = try open(path, O_RDONLY | O_NOFOLLOW)
            }
        } catch {
            throw error as? SessionError ?? SessionError("request log: \(error)")
        }
    }
}

/// Takes whole lines out of files that may still grow.
private struct LogReader {
    let session: String?
    private(set) var hasFound = false
    private var rest: [UInt8] = []

    init(session: String?) { self.session = session }

    mutating func read(_ file: FileDescriptor, _ body: (String, Node) throws -> Void) throws {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = try retrying("read", "request log") { Glibc.read(file.rawValue, &buffer, buffer.count) }
            if count == 0 { return }
            rest += buffer[..<count]
            var start = rest.startIndex
            while let end = rest[start...].firstIndex(of: UInt8(ascii: "\n")) {
                let line = Array(rest[start..<end])
                start = end + 1
                guard let node = try? Node.parse(line, file: "request log") else { continue }
                if session == nil || node["session"]?.string == session {
                    hasFound = true
                    try body(String(decoding: line, as: UTF8.self), node)
                }
            }
            rest.removeFirst(start)
        }
    }
}
