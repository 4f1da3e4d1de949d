import Glibc
import Syscalls

/// What a call acts on: one session, or all below a level.
public enum Selection: Sendable, Equatable {
    /// One session.
    case session(String)
    /// All sessions of a tenant.
    case tenant(String)
    /// All sessions of a profile.
    case profile(String)
    /// All sessions of this state directory.
    case all

    /// The level's name, for files and messages.
    var name: String {
        switch self {
        case .session(let id): "session.\(id)"
        case .tenant(let tenant): "tenant.\(tenant)"
        case .profile(let profile): "profile.\(profile)"
        case .all: "all"
        }
    }
}

extension Carrel {
    private func holdPath(_ level: Selection) -> String { state["holds/\(level.name)"] }

    /// Refuses starts at a level until ``release(_:)``.
    func hold(_ level: Selection) throws(SessionError) {
        try telling("hold") { () throws(SystemError) in
            try replaceFile(holdPath(level), with: "\(getuid())\n".utf8)
        }
    }

    /// Allows starts at a level again.
    ///
    /// - Returns: whether it was held.
    public func release(_ level: Selection) throws(SessionError) -> Bool {
        let held = exists(holdPath(level))
        try telling("release") { () throws(SystemError) in try remove(holdPath(level)) }
        return held
    }

    /// - Throws: ``SessionError`` where starts are held at a level that a new session would be in.
    func refuseHeld(tenant: String, profile: String) throws(SessionError) {
        for level in [Selection.all, .tenant(tenant), .profile(profile)] where exists(holdPath(level)) {
            throw SessionError(
                "starts are held: \(level.name)",
                fix: "carrel release "
                    + (level == .all
                        ? "--all" : "--" + level.name.split(separator: ".", maxSplits: 1).joined(separator: " ")))
        }
    }
}
