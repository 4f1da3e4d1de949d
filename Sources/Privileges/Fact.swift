/// One thing that a host gives or does not, and what that means for sessions on it.
public struct Fact: Sendable, Equatable {
    /// What a fact means.
    public enum Status: String, Sendable {
        /// As wanted.
        case ok
        /// Sessions start; something is weaker, slower or fewer.
        case degraded
        /// Sessions that need it are refused.
        case missing
    }

    /// A short name that does not change, for example `landlock`.
    public let name: String
    /// What was found, for people.
    public let value: String
    /// What it means.
    public let status: Status
    /// What Carrel does with it, or does for want of it.
    public let use: String
    /// How to get it; `nil` where nothing is to be done.
    public let fix: String?

    /// Describes one thing.
    public init(_ name: String, _ value: String, _ status: Status = .ok, use: String, fix: String? = nil) {
        self.name = name
        self.value = value
        self.status = status
        self.use = use
        self.fix = status == .ok ? nil : fix
    }
}
