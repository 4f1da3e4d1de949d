import Documents
import Glibc
import Seccomp
import Syscalls
import Workshop

// The files of the seccomp workshop: filters by name or path, recordings, logs of strace.

extension Carrel {
    /// The filter in a file, or the one of this name.
    ///
    /// - Parameters:
    ///   - name: a path, if it has a slash or ends in `.json`; else the name of a filter (`agent-default`).
    ///   - capabilities: the container's, for files in Docker's form.
    /// - Throws: what is wrong with the document; `FilterLint` tells the rest.
    public static func filterFile(
        _ name: String, capabilities: [String] = [], machine: Architecture = .native
    ) throws(SessionError) -> ProfileFile {
        let (path, bytes) = try filterBytes(name)
        let (major, minor) = kernelVersion()
        do throws(Problems) {
            return try ProfileFile(
                reading: bytes, file: path,
                for: ProfileFile.Circumstances(
                    capabilities: Set(capabilities), kernel: (major, minor), machine: machine))
        } catch { throw SessionError(error.description) }
    }

    /// The bytes of a filter's file, and where it is.
    public static func filterBytes(_ name: String) throws(SessionError) -> (path: String, bytes: [UInt8]) {
        let isPath = name.utf8.contains(UInt8(ascii: "/")) || name.hasSuffix(".json")
        let places = profileCatalog().directories.map { "\($0)/seccomp/\(name).json" }
        for path in isPath ? [name] : places {
            do throws(SystemError) {
                return (path, try readFile(path))
            } catch {
                if isPath || error.errno != .noSuchFileOrDirectory { throw SessionError("\(error)") }
            }
        }
        throw SessionError(
            "expected a filter's file, or the name of one in \(places.joined(separator: ", ")); found \(name)")
    }

    /// The recording in a file, or of a log of strace.
    ///
    /// - Throws: every error of the file, with its place.
    public static func recording(_ path: String) throws(SessionError) -> (recording: Recording, bytes: [UInt8]) {
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try readFile(path) } catch { throw SessionError("\(error)") }
        do throws(Problems) {
            if bytes.first(where: { $0 > 0x20 }) == UInt8(ascii: "{") {
                return (try Recording(reading: bytes, file: path), bytes)
            }
            // strace does not say where it ran: here, as far as anybody knows.
            let environment = RecordedEnvironment(kernel: kernelRelease(), architecture: Architecture.native.rawValue)
            return (try Recording(strace: bytes, file: path, environment: environment), bytes)
        } catch { throw SessionError(error.description) }
    }

    private static func kernelRelease() -> String {
        var name = utsname()
        uname(&name)
        return withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    private static func kernelVersion() -> (Int, Int) {
        let parts = kernelRelease().split(whereSeparator: { $0 == "." || $0 == "-" }).prefix(2).compactMap { Int($0) }
        return parts.count == 2 ? (parts[0], parts[1]) : (0, 0)
    }
}
