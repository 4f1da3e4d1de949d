import Documents
import EgressPolicy
import Records
import Syscalls

/// One request that left a session, or was not let out.
public struct RequestEntry: Sendable {
    /// Which of the two records of a request.
    public enum Phase: String, Sendable {
        /// It was decided on: written before a byte goes upstream or an answer to the client.
        case request
        /// It is over.
        case response
    }

    /// Which record.
    public var phase: Phase
    /// What both records of a request have in common, and no other's.
    public var id: String
    /// Whose request.
    public var session: String
    /// Whose session.
    public var tenant: String
    /// The rule that decided.
    public var rule: String?
    /// `nil` if it was allowed, else why not.
    public var refusal: String?
    /// The method; `CONNECT` also for a spliced tunnel, `DNS` for a name that was asked for.
    public var method: String
    /// The host asked for.
    public var host: String
    /// The port.
    public var port: UInt16
    /// The path, without its query.
    public var path: String?
    /// The status that the client got.
    public var status: Int?
    /// Bytes of bodies (of everything, in a tunnel) from the session.
    public var bytesUp: UInt64 = 0
    /// Bytes to the session.
    public var bytesDown: UInt64 = 0
    /// Nanoseconds since the request was read, by the name of what was reached: `connected`, `first-byte`, `end`.
    public var timings: [(String, UInt64)] = []
    /// The name of the credential that was written.
    public var credential: String?
    /// What it came to, if it was one to the Messages API.
    public var messages: MessagesOutcome?
    /// The request's body, where the policy asks for bodies.
    public var requestBody: [UInt8]?
    /// The response's body, where the policy asks for bodies.
    public var responseBody: [UInt8]?
    /// The names in the log of bodies that are put aside, and what stands there of each.
    fileprivate var keptBodies: [(String, Node)] = []
    /// Whether there are bodies to put aside.
    package var hasBodies: Bool { requestBody != nil || responseBody != nil }

    /// Describes a request.
    public init(
        phase: Phase, id: String, session: String, tenant: String, rule: String? = nil, refusal: String? = nil,
        method: String, host: String, port: UInt16, path: String? = nil
    ) {
        self.phase = phase
        self.id = id
        self.session = session
        self.tenant = tenant
        self.rule = rule
        self.refusal = refusal
        self.method = method
        self.host = host
        self.port = port
        self.path = path
    }
}

/// When the request log is put aside as an archive, and how many archives are kept.
public struct LogRotation: Sendable, Equatable {
    /// Bytes of the log.
    public var bytes = 256 << 20
    /// Archives; the oldest are removed. `nil`: all are kept.
    public var keep: Int?

    /// At 256 MiB; all are kept.
    public init() {}

    /// Reads it: `{rotate: 256MiB, keep: 8}`.
    package init(_ node: Node, _ field: String, _ reader: PolicyReader) {
        reader.members(node, field, ["rotate", "keep"]) { entry, field in
            switch entry.key {
            case "rotate": bytes = reader.size(entry.value, field) ?? bytes
            case "keep": keep = reader.whole(entry.value, field, 1...1_000_000)
            default: return false
            }
            return true
        }
    }
}

/// The log of all requests, one JSON line each, on a hash chain (`AuditLog`).
///
/// What `append` throws means that a request would stay untold: the caller stops egress.
public final class RequestLog: Sendable {
    /// Where the log is.
    public var path: String { log.path }
    private let log: AuditLog
    private let bodies: String
    private let rotation: LogRotation

    /// The log at `path`, bodies in the directory `bodies` (made when it is needed), each named by its SHA-256.
    public init(_ path: String, bodies: String, rotation: LogRotation = LogRotation()) {
        log = AuditLog(path)
        self.bodies = bodies
        self.rotation = rotation
    }

    /// Puts the bodies of an entry aside, without what looks like a credential (`Redaction`), and names them in it by the
    /// digest of what was written: the chain proves them too. Takes as long as the bodies are large.
    ///
    /// - Parameter secrets: what is never to stand in a body: the credentials in use.
    public func keepBodies(of entry: inout RequestEntry, secrets: [[UInt8]]) throws(SystemError) {
        for (name, body) in [("requestBody", entry.requestBody), ("responseBody", entry.responseBody)] {
            guard let body else { continue }
            let (text, count) = Redaction.redact(body, secrets)
            entry.keptBodies.append((name, try store(text, redactions: count)))
        }
        (entry.requestBody, entry.responseBody) = (nil, nil)
    }

    /// Writes entries, all or none, in one write; their bodies are put aside before it.
    public func append(_ entries: [RequestEntry]) throws(SystemError) {
        if entries.isEmpty { return }
        try log.append(
            entries.map { entry in
                let members = entry.members + entry.keptBodies.map { .init(key: $0.0, value: $0.1) }
                return (entry.phase == .request ? .request : .response, Node(.mapping(members)))
            })
        // What was appended stands, whether or not the log can be put aside: that is tried again with the next entries.
        if let size = try? status(path).st_size, size >= rotation.bytes { _ = try? log.rotate(keeping: rotation.keep) }
    }

    private func store(_ body: [UInt8], redactions: Int) throws(SystemError) -> Node {
        let digest = sha256(body)
        let path = bodies + "/" + digest
        if !exists(path) {
            try makeDirectories(bodies, mode: 0o700)
            try replaceFile(path, with: body)
        }
        return ["sha256": Node(.string(digest)), "redactions": Node(.integer(Int64(redactions)))]
    }
}

extension RequestEntry {
    fileprivate var members: [Node.Entry] {
        var members: [Node.Entry] = []
        func put(_ key: String, _ value: Node?) {
            if let value { members.append(.init(key: key, value: value)) }
        }
        func text(_ value: String?) -> Node? { value.map { Node(.string($0)) } }
        put("id", text(id))
        put("session", text(session))
        put("tenant", text(tenant))
        put("rule", text(rule))
        put("decision", text(refusal == nil ? "allow" : "refuse"))
        put("why", text(refusal))
        put("method", text(method))
        put("host", text(host))
        put("port", Node(.integer(Int64(port))))
        put("path", text(path))
        put("credential", text(credential))
        put("status", status.map { Node(.integer(Int64($0))) })
        if phase == .response {
            put("bytesUp", Node(.unsigned(bytesUp)))
            put("bytesDown", Node(.unsigned(bytesDown)))
        }
        if !timings.isEmpty {
            put("nanoseconds", Node(.mapping(timings.map { .init(key: $0.0, value: Node(.unsigned($0.1))) })))
        }
        put("messages", messages?.node)
        return members
    }
}

extension MessagesOutcome {
    /// As it stands in the log.
    var node: Node {
        let usage = charge.usage
        func number(_ value: UInt64) -> Node { Node(.unsigned(value)) }
        func text(_ value: String?) -> Node { value.map { Node(.string($0)) } ?? nil }
        return [
            "model": text(model), "stopReason": text(stopReason), "error": text(errorType),
            "complete": Node(.bool(isComplete)),
            "tools": Node(
                .sequence(toolCalls.map { ["name": text($0.name), "inputSHA256": text($0.inputDigest)] })),
            "usage": [
                "input": number(usage.input), "output": number(usage.output),
                "cacheWrite5m": number(usage.cacheWrite5m), "cacheWrite1h": number(usage.cacheWrite1h),
                "cacheRead": number(usage.cacheRead), "webSearches": number(usage.webSearches),
            ],
            "tokens": number(charge.tokens), "nanodollars": number(charge.nanodollars),
            "estimated": Node(.bool(charge.isEstimated)), "prices": text(charge.priceDigest),
        ]
    }
}
