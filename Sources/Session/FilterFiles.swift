import Documents
import Glibc
import Privileges
import Seccomp
import Syscalls
import Workshop

// The files of the seccomp workshop: filters by name or path, recordings, logs of strace.

extension Carrel {
    /// The filter in a file, or the one of this name.
    ///
    /// - Parameters:
    ///   - name: a path, if it has a slash or ends in `.json`; else the name of a filter (`agent-default`).
    ///   - capabilities: the container's, for files in Docker's form; `cap_sys_admin` and `SYS_ADMIN` are `CAP_SYS_ADMIN` too.
    /// - Throws: what is wrong with the document, or a capability that there is not; `FilterLint` tells the rest.
    public static func filterFile(
        _ name: String, capabilities: [String] = [], machine: Architecture = .native
    ) throws(SessionError) -> ProfileFile {
        let circumstances = try circumstances(capabilities, machine)
        let (path, bytes) = try filterBytes(name)
        do throws(Problems) {
            return try ProfileFile(reading: bytes, file: path, for: circumstances)
        } catch { throw SessionError(error.description) }
    }

    /// What is wrong or dangerous in a filter; of a file that cannot be read, or is no filter, that it is so.
    ///
    /// - Parameters: as of ``filterFile(_:capabilities:machine:)``.
    public static func lint(_ name: String, capabilities: [String] = []) throws(SessionError) -> FilterLint {
        let circumstances = try circumstances(capabilities, .native)
        let found: (path: String, bytes: [UInt8])
        do throws(SessionError) { found = try filterBytes(name) } catch {
            return FilterLint(errors: [Problem(file: name, mark: nil, message: error.message)])
        }
        do throws(Problems) {
            return FilterLint(try ProfileFile(reading: found.bytes, file: found.path, for: circumstances))
        } catch { return FilterLint(errors: error.list) }
    }

    private static func circumstances(
        _ capabilities: [String], _ machine: Architecture
    ) throws(SessionError) -> ProfileFile.Circumstances {
        var names: Set<String> = []
        for text in capabilities { names.insert(try capability(text)) }
        return ProfileFile.Circumstances(capabilities: names, kernel: RunningSystem().version, machine: machine)
    }

    /// A capability as files name it, of a name in lower case or without `CAP_`.
    private static func capability(_ text: String) throws(SessionError) -> String {
        let upper = text.uppercased()
        let name = upper.hasPrefix("CAP_") ? upper : "CAP_" + upper
        if Capabilities.names.contains(name) { return name }
        throw SessionError(
            "--cap \(text): there is no such capability",
            fix: nearest(name, in: Capabilities.names).map { "did you mean \($0)?" } ?? "see capabilities(7)")
    }

    /// The bytes of a filter's file, and where it is.
    public static func filterBytes(_ name: String) throws(SessionError) -> (path: String, bytes: [UInt8]) {
        let isPath = name.utf8.contains(UInt8(ascii: "/")) || name.hasSuffix(".json")
        let catalog = profileCatalog()
        let places = catalog.directories.map { $0 + "/seccomp" }
        for path in isPath ? [name] : places.map({ "\($0)/\(name).json" }) {
            do throws(SystemError) {
                return (path, try readFile(path))
            } catch {
                if isPath || error.errno != .noSuchFileOrDirectory { throw SessionError("\(error)") }
            }
        }
        throw SessionError(
            "expected a filter's file, or the name of one in \(places.joined(separator: ", ")); found \(name)",
            fix: nearest(name, in: catalog.names(in: places, ending: ".json")).map { "did you mean \($0)?" })
    }

    /// The recording in a file, or of a log of strace.
    ///
    /// - Throws: every error of the file, with its place.
    public static func recording(_ path: String) throws(SessionError) -> (recording: Recording, bytes: [UInt8]) {
        let bytes: [UInt8]
        // A log of strace of a build has some hundred MiB.
        do throws(SystemError) { bytes = try readFile(path, limit: 1 << 30) } catch { throw SessionError("\(error)") }
        do throws(Problems) {
            if bytes.first(where: { $0 > 0x20 }) == UInt8(ascii: "{") {
                return (identified(try Recording(reading: bytes, file: path), bytes), bytes)
            }
            // strace does not say where it ran: here, as far as anybody knows.
            let environment = RecordedEnvironment(
                kernel: RunningSystem().release, architecture: Architecture.native.rawValue)
            return (identified(try Recording(strace: bytes, file: path, environment: environment), bytes), bytes)
        } catch { throw SessionError(error.description) }
    }

    /// A log of strace, and a recording of an earlier version, does not say of which run it is: it is taken for the one that has
    /// these bytes.
    private static func identified(_ recording: Recording, _ bytes: [UInt8]) -> Recording {
        var recording = recording
        if recording.runIDs.isEmpty { recording.runIDs = ["sha256:" + sha256(bytes)] }
        return recording
    }

    /// The recordings in files, each run once.
    ///
    /// - Throws: every error of a file, with its place, and that a run is in two of them.
    public static func recordings(_ paths: [String]) throws(SessionError) -> [(recording: Recording, bytes: [UInt8])] {
        var found: [(recording: Recording, bytes: [UInt8])] = []
        for path in paths { found.append(try recording(path)) }
        if let (first, second) = Recording.repeated(in: found.map(\.recording)) {
            let what = first == second ? paths[first] + " has" : "\(paths[first]) and \(paths[second]) have"
            throw SessionError("\(what) the same run: it would be counted twice", fix: "give each run once")
        }
        return found
    }
}
