import Documents

/// Where a value of a profile came from.
public enum ProfileOrigin: Sendable, Equatable, CustomStringConvertible {
    /// No file sets it.
    case builtIn
    /// A file sets it.
    case file(String, Mark?)
    /// An option of the command line sets it.
    case option(String)

    /// For example `/etc/carrel/session/agent.yaml:3`, `--memory` or `default`.
    public var description: String {
        switch self {
        case .builtIn: "default"
        case .file(let file, let mark): mark.map { "\(file):\($0.line)" } ?? file
        case .option(let name): name
        }
    }
}

/// What set each field of a profile, in the order in which it was set. Kept flat: a launch writes it and never reads it.
struct ProfileTrace: Sendable {
    private struct Step {
        let field: String
        /// The member of a map or the element of a list, where each has an origin of its own.
        let element: String
        let origin: ProfileOrigin
    }

    private var steps: [Step] = []

    init() { steps.reserveCapacity(64) }

    mutating func set(_ field: String, _ element: String = "", _ origin: ProfileOrigin) {
        steps.append(Step(field: field, element: element, origin: origin))
    }

    /// What set the field last.
    func origin(_ field: String, _ element: String = "") -> ProfileOrigin {
        steps.last { $0.field == field && $0.element == element }?.origin ?? .builtIn
    }

    /// How late in the merging the field was set; -1: never.
    func age(_ field: String, _ element: String = "") -> Int {
        steps.lastIndex { $0.field == field && $0.element == element } ?? -1
    }
}
