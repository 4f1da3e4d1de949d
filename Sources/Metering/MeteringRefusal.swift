/// Why a request is not sent: the answer that its sender gets in place of one from upstream.
public struct MeteringRefusal: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kinds of refusals, as they are counted and logged.
    public enum Kind: String, Sendable, CaseIterable {
        /// The body is not JSON, not a request to the Messages API, or readers could differ on what it says.
        case malformed
        /// The body is larger than the rules allow.
        case tooLarge = "too-large"
        /// The body asks for something that the rules do not grant.
        case notGranted = "not-granted"
        /// The price table has no such model.
        case unknownModel = "unknown-model"
    }

    /// The kind.
    public let kind: Kind
    /// What was found, what was expected, and where.
    public let message: String

    /// Describes a refusal.
    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// The HTTP status of the answer.
    public var status: Int {
        switch kind {
        case .malformed: 400
        case .tooLarge: 413
        case .notGranted, .unknownModel: 403
        }
    }

    /// The body of the answer, in the form of the Messages API's errors.
    public var body: [UInt8] {
        let type =
            switch kind {
            case .malformed: "invalid_request_error"
            case .tooLarge: "request_too_large"
            case .notGranted, .unknownModel: "permission_error"
            }
        return apiError(type, "carrel: \(message)")
    }

    /// For example `not-granted: mcp_servers`.
    public var description: String { "\(kind.rawValue): \(message)" }
}
