import Documents
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

/// The log of all requests, one JSON line each, on a hash chain (`AuditLog`).
///
/// What `append` throws means that a request would stay untold: the caller stops egress.
public final class RequestLog: Sendable {
    /// Where the log is.
    public var path: String { log.path }
    private let log: AuditLog

    /// The log at `path`, bodies in the directory `bodies` (made when it is needed), each named by its SHA-256.
    public init(_ path: String, bodies: String) { log = AuditLog(path) }

    /// Writes entries, all or none.
    ///
    /// - Parameter secrets: what is never to stand in a body, such as the credentials in use.
    public func append(_ entries: [RequestEntry], secrets: [[UInt8]] = []) throws(SystemError) {}
}
