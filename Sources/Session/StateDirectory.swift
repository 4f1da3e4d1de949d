import Glibc
import Syscalls
import SystemPackage

/// Where Carrel keeps what outlives a call: one directory of the host, readable by nobody but its owner.
///
/// ```
/// tenants/NAME/config   the tenant's config directory       tenants/NAME/ids   the tenant's range of ids
/// sessions/ID.json      a live session                      live/PID-ID        who cleans up after it
/// images/NAME           roots put together from the host, swept a week after their last use
/// cache/seccomp         compiled filters
/// logs/ID               output of detached sessions         workdirs/          what was made in users' trees
/// spares/               what of that is kept for others
/// holds/                levels at which no start is allowed
/// denials/ID            what the filter refused a live session
/// berths                memory that sessions have taken      ceilings/PROFILE   what was measured of a profile
/// curves/ID.jsonl       memory of a session over its life
/// ledger.jsonl          all reports                         audit.jsonl        all decisions
/// ```
public struct StateDirectory: Sendable {
    /// The absolute path.
    public let path: String

    /// The state directory of this caller: `CARREL_STATE` where it is set, `/var/lib/carrel` for root, else
    /// `$XDG_STATE_HOME/carrel` or `~/.local/state/carrel` (XDG base directory specification). Made where it is missing.
    ///
    /// - Throws: ``SessionError`` where it cannot be made, or belongs to or can be written by someone else.
    public init(path: String? = nil) throws(SessionError) {
        let found: String
        if let path { found = path } else { found = try Self.defaultPath() }
        guard found.hasPrefix("/") else { throw SessionError("the state directory \(found) must be an absolute path") }
        self.path = found
        guard let here = try? status(found) else {
            try make(found)
            return
        }
        guard here.st_uid == geteuid(), here.st_mode & 0o022 == 0 else {
            throw SessionError(
                "the state directory \(found) must belong to the caller and be writable by nobody else",
                fix: "chown it to uid \(geteuid()) and chmod go-w, or name another with CARREL_STATE")
        }
        if !exists(found + "/spares") { try make(found) }
    }

    private func make(_ path: String) throws(SessionError) {
        let callers = umask(0o022)
        defer { umask(callers) }
        do throws(SystemError) {
            // 0711: a session's root is looked up below it by ids of tenants; nothing in it can be listed.
            try makeDirectories(path, mode: 0o711)
            for name in [
                "tenants", "sessions", "live", "images", "cache", "logs", "workdirs", "holds", "denials", "ceilings",
                "curves", "spares",
            ] {
                try makeDirectory("\(path)/\(name)", mode: name == "images" ? 0o711 : 0o700)
            }
        } catch {
            throw SessionError("cannot make the state directory: \(error)", fix: "name another with CARREL_STATE")
        }
    }

    private static func defaultPath() throws(SessionError) -> String {
        if let named = environmentVariable("CARREL_STATE"), !named.isEmpty { return named }
        if geteuid() == 0 { return "/var/lib/carrel" }
        if let state = environmentVariable("XDG_STATE_HOME"), state.hasPrefix("/") { return state + "/carrel" }
        guard let home = environmentVariable("HOME"), home.hasPrefix("/") else {
            throw SessionError(
                "neither CARREL_STATE nor HOME says where to keep state", fix: "name a directory with CARREL_STATE")
        }
        return home + "/.local/state/carrel"
    }

    /// A path below the directory.
    public subscript(_ name: String) -> String { "\(path)/\(name)" }
}

/// The value of an environment variable of this process, `nil` where it is not set.
func environmentVariable(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
}

/// What a user of Carrel is told when something cannot be done: what, and where one is known the way out.
public struct SessionError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What cannot be done and why.
    public let message: String
    /// What makes it possible.
    public let fix: String?
    /// What `carrel` exits with: 125 unless the message is of the payload itself or of a full host.
    public let exitStatus: Int32

    /// Describes what cannot be done.
    public init(_ message: String, fix: String? = nil, exitStatus: Int32 = 125) {
        self.message = message
        self.fix = fix
        self.exitStatus = exitStatus
    }

    /// The message, then the way out.
    public var description: String { message + (fix.map { "\n  fix: " + $0 } ?? "") }
}

/// Runs `body`; a system call that fails in it becomes an error of `what`.
@discardableResult
@inline(__always)
func telling<Result>(
    _ what: @autoclosure () -> String, fix: String? = nil, _ body: () throws(SystemError) -> Result
) throws(SessionError) -> Result {
    do throws(SystemError) { return try body() } catch { throw SessionError("\(what()): \(error)", fix: fix) }
}

/// A name of a session or a tenant: it becomes a directory, a cgroup and a word on command lines.
///
/// - Throws: ``SessionError`` for anything but 1 to 64 letters, digits, `.`, `_` and `-`, the first a letter or digit.
public func checkName(_ name: String, of what: String) throws(SessionError) {
    guard isPlainName(name) else {
        throw SessionError(
            "\(what) \"\(name)\": expected 1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit")
    }
}

/// Holds an exclusive lock on the file at `path` while `body` runs (flock(2)).
func withLock<Result>(
    _ path: String, _ body: (FileDescriptor) throws(SessionError) -> Result
) throws(SessionError) -> Result {
    let file = try telling("lock") { () throws(SystemError) in try open(path, O_RDWR | O_CREAT | O_NOFOLLOW) }
    defer { close(file) }
    try telling("lock") { () throws(SystemError) in try lock(file, LOCK_EX, named: path) }
    return try body(file)
}
