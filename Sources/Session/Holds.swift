import Glibc
import Records
import Syscalls

/// What a call acts on: one session, or all below a level.
public enum Selection: Sendable, Equatable {
    /// One session.
    case session(String)
    /// All sessions of a tenant.
    case tenant(String)
    /// All sessions of a profile.
    case profile(String)
    /// All sessions on a base root: `host`, a name, or a directory.
    case image(String)
    /// All sessions of this state directory.
    case all

    /// The image of a command line: a path, as `--image` of `run` takes it, or a name.
    public static func image(written text: String) throws(SessionError) -> Selection {
        guard text.utf8.contains(UInt8(ascii: "/")) else { return .image(text) }
        let path = withoutSlash(text)
        return .image(try absolute(path.hasPrefix("./") ? String(path.dropFirst(2)) : path))
    }

    /// The level's name, for files and messages.
    var name: String {
        switch self {
        case .session(let id): "session.\(id)"
        case .tenant(let tenant): "tenant.\(tenant)"
        case .profile(let profile): "profile.\(profile)"
        // A directory is an image too, and no name of a file.
        case .image(let image):
            "image." + steps(of: image, keepingEmpty: true).joined(separator: "%")
        case .all: "all"
        }
    }

    /// The level as the command line says it.
    public var words: String {
        switch self {
        case .session(let id): id
        case .tenant(let tenant): "--tenant \(tenant)"
        case .profile(let profile): "--profile \(profile)"
        case .image(let image): "--image \(image)"
        case .all: "--all"
        }
    }

    /// Whether a live session is one of it.
    func holds(_ record: SessionRecord) -> Bool {
        switch self {
        case .session(let id): record.id == id
        case .tenant(let tenant): record.tenant == tenant
        case .profile(let profile): record.profile == profile
        case .image(let image): record.image == image
        case .all: true
        }
    }

    /// The level of a name; `nil` where it is none.
    init?(name: String) {
        if name == "all" {
            self = .all
            return
        }
        guard let dot = name.utf8.firstIndex(of: UInt8(ascii: ".")) else { return nil }
        let rest = String(name[dot...].dropFirst())
        switch name[..<dot] {
        case "session": self = .session(rest)
        case "tenant": self = .tenant(rest)
        case "profile": self = .profile(rest)
        case "image":
            let steps = rest.utf8.split(separator: UInt8(ascii: "%"), omittingEmptySubsequences: false)
            self = .image(steps.map { String(Substring($0)) }.joined(separator: "/"))
        default: return nil
        }
    }

    /// Every level that a session is in, the widest first.
    static func levels(id: String, tenant: String, profile: String, image: String) -> [Selection] {
        [.all, .tenant(tenant), .profile(profile), .image(image), .session(id)]
    }
}

extension Carrel {
    private func holdPath(_ level: Selection) -> String { state["holds/\(level.name)"] }
    private func pausePath(_ level: Selection) -> String { state["holds/.paused.\(level.name)"] }

    /// The levels at which starts are held, or that are paused, by name.
    func heldLevels() -> [(level: Selection, isPaused: Bool)] {
        ((try? list(state["holds"])) ?? []).sorted().compactMap { name in
            let isPaused = name.hasPrefix(".paused.")
            return Selection(name: isPaused ? String(name.dropFirst(8)) : name).map { ($0, isPaused) }
        }
    }

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
        if held {
            try Recorder(state).decided(
                .release, ["level": .init(.string(level.name)), "by": caller().node])
        }
        return held
    }

    /// Refuses starts at a level that is paused: what started there would stand still before its first instruction.
    func notePause(_ level: Selection, _ isPaused: Bool) throws(SessionError) {
        if case .session = level { return }
        try telling("pause") { () throws(SystemError) in
            if isPaused { try replaceFile(pausePath(level), with: []) } else { try remove(pausePath(level)) }
        }
    }

    /// Whether a level is paused as a whole.
    func isPaused(_ level: Selection) -> Bool { exists(pausePath(level)) }

    /// The level above a tenant's sessions that is paused as a whole; `nil` where none is.
    func pausedLevel(above tenant: String) -> Selection? {
        [.all, .tenant(tenant)].first { isPaused($0) }
    }

    func paused(_ id: String, with level: Selection) -> SessionError {
        SessionError("\(level.name) is paused, and session \(id) with it", fix: "carrel resume \(level.words)")
    }

    /// - Throws: ``SessionError`` where starts are held, or all is paused, at a level that a new session would be in.
    func refuseHeld(id: String, tenant: String, _ profile: Profile) throws(SessionError) {
        // As a rule nothing is held.
        let held = try telling("holds") { () throws(SystemError) in try list(state["holds"]) }
        if held.isEmpty { return }
        let image = profile.image.description
        for level in Selection.levels(id: id, tenant: tenant, profile: profile.name, image: image) {
            if exists(holdPath(level)) {
                throw SessionError("starts are held: \(level.name)", fix: "carrel release \(level.words)")
            }
            if case .session = level { continue }
            if isPaused(level) {
                throw SessionError("\(level.name) is paused", fix: "carrel resume \(level.words)")
            }
        }
    }
}
