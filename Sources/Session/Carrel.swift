import Container
import Documents
import Glibc
import Syscalls

/// A Carrel installation as one caller sees it: everything that the command `carrel` can do.
///
/// ```swift
/// var request = SessionRequest(command: ["claude", "-p", "fix the test"])
/// request.profile = "claude-code"
/// request.tenant = "acme"
/// request.workdir = "./repo"
/// let status = try Carrel().run(request)
/// ```
public struct Carrel: Sendable {
    /// This version.
    public static let version = Release.version

    /// Where state is kept.
    public let state: StateDirectory
    /// Where profiles are found.
    public let catalog: ProfileCatalog

    /// Opens the caller's state directory, and finds the profiles: in the directories that `CARREL_PROFILES` names, in
    /// `/etc/carrel`, and beside the installed program.
    ///
    /// - Throws: ``SessionError`` where the state directory cannot be made or trusted.
    public init() throws(SessionError) {
        state = try StateDirectory()
        catalog = Self.profileCatalog()
    }

    /// The catalog of profiles that this caller finds.
    public static func profileCatalog() -> ProfileCatalog {
        var directories: [String] = []
        if let named = environmentVariable("CARREL_PROFILES") {
            directories += named.split(separator: ":").map(String.init)
        }
        directories.append("/etc/carrel")
        if let program = try? programDirectory() {
            // bin/carrel in the source tree has Profiles beside bin; an installed one has share beside bin.
            for place in ["/../Profiles", "/../share/carrel"] where exists(program + place) {
                directories.append(program + place)
            }
        }
        return ProfileCatalog(directories: directories)
    }
}

/// The program of PID 1, beside the running one.
func carrelInitPath() throws(SystemError) -> String { try programDirectory() + "/carrel-init" }
