/// A control that was asked for and cannot be given as asked: the launch is refused.
public struct ControlError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What was asked for, by the name it has in the profile or the OCI specification, for example `landlock`.
    public let control: String
    /// Why it cannot be given.
    public let reason: String
    /// What makes it possible, or `nil` where the reason says it.
    public let fix: String?

    /// Describes a control that cannot be given.
    public init(_ control: String, _ reason: String, fix: String? = nil) {
        self.control = control
        self.reason = reason
        self.fix = fix
    }

    /// For example `landlock: this kernel has none; boot with landlock in lsm=`.
    public var description: String { "\(control): \(reason)\(fix.map { "; " + $0 } ?? "")" }
}
