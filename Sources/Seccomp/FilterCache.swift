import CLibmd
import CLibseccomp
import Documents
import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// Why there is no filter.
public enum FilterError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The profile could not be read.
    case file(SystemError)
    /// The profile is wrong.
    case profile(Problems)
    /// Others than the caller could put a filter into the cache.
    case cache(String)

    /// One line, or one for each thing that is wrong with the profile.
    public var description: String {
        switch self {
        case .file(let error): error.description
        case .profile(let problems): problems.description
        case .cache(let message): message
        }
    }
}

/// Compiled filters in a directory, so that a launch reads one instead of compiling it.
///
/// An entry holds the very bytes of the profile that it was compiled from, and serves only a profile of the same bytes:
/// comparing 20 kB takes a microsecond, where hashing them with SHA-256 takes a hundred. Whoever can write an entry
/// decides what sessions may do, so one counts only if nobody but root and the caller can have written it.
public struct FilterCache: Sendable {
    private let directory: String

    /// A cache in `directory`, which is made when the first filter is kept.
    public init(directory: String) {
        self.directory = directory
    }

    /// The filter of the profile (OCI JSON) in the file at `path`, and the SHA-256 of that file in hexadecimal.
    public func program(forFile path: String) throws(FilterError) -> (program: FilterProgram, digest: String) {
        let source: [UInt8]
        do throws(SystemError) {
            source = try withOpen(path, O_RDONLY) { file throws(SystemError) in try Self.contents(file, named: path) }
        } catch { throw .file(error) }
        return try program(for: source, file: path)
    }

    /// The filter of the profile that `source` is the text of, and the SHA-256 of that text in hexadecimal.
    ///
    /// - Parameter file: what errors call the profile.
    public func program(
        for source: [UInt8], file: String
    ) throws(FilterError) -> (program: FilterProgram, digest: String) {
        let name = FilterEntry.name(for: source)
        if let bytes = try kept(name), let entry = FilterEntry(bytes, of: source) {
            return (entry.program, FilterEntry.hexadecimal(entry.digest))
        }
        let program: FilterProgram
        do throws(Problems) {
            let node = try Node.parse(source, file: file)
            program = try FilterCompiler.compile(try LinuxSeccomp(node, file: file), file: file, source: node)
        } catch { throw .profile(error) }
        let entry = FilterEntry(program: program, digest: FilterEntry.digest(of: source))
        keep(entry.bytes(of: source), as: name)
        return (program, FilterEntry.hexadecimal(entry.digest))
    }

    /// The bytes of entry `name`; `nil` where there is none that the caller may trust.
    private func kept(_ name: String) throws(FilterError) -> [UInt8]? {
        guard let inside = try? open(directory, O_RDONLY | O_DIRECTORY) else { return nil }
        defer { close(inside) }
        guard let found = try? status(inside) else { return nil }
        if !Self.isOurs(found) {
            throw .cache(
                "filter cache \(directory): expected a directory that only root or user \(geteuid()) can write, found "
                    + "owner \(found.st_uid), mode \(String(found.st_mode & 0o7777, radix: 8)); "
                    + "change them or remove it")
        }
        return try? withOpen(name, O_RDONLY | O_NOFOLLOW, at: inside) { file throws(SystemError) in
            try Self.contents(file, named: name, onlyOurs: true)
        }
    }

    /// Keeps an entry for the next launch. A full or read-only disk costs that launch the time to compile, no more.
    private func keep(_ bytes: [UInt8], as name: String) {
        do throws(SystemError) {
            try makeDirectories(directory, mode: 0o755)
            try replaceFile("\(directory)/\(name)", with: bytes, mode: 0o644)
        } catch {}
    }

    private static func isOurs(_ found: stat) -> Bool {
        (found.st_uid == 0 || found.st_uid == geteuid()) && found.st_mode & 0o022 == 0
    }

    /// The whole of a regular file of at most 1 MiB, in one read.
    private static func contents(
        _ file: FileDescriptor, named name: String, onlyOurs: Bool = false
    ) throws(SystemError) -> [UInt8] {
        let found = try status(file)
        guard found.st_mode & S_IFMT == S_IFREG else { throw SystemError("read", name, errno: .invalidArgument) }
        if onlyOurs && !isOurs(found) { throw SystemError("read", name, errno: .notPermitted) }
        if found.st_size > 1 << 20 { throw SystemError("read", name, errno: .fileTooLarge) }
        var bytes = [UInt8](repeating: 0, count: Int(found.st_size))
        let count = try retrying("pread", name) {
            bytes.withUnsafeMutableBytes { pread(file.rawValue, $0.baseAddress, $0.count, 0) }
        }
        bytes.removeLast(bytes.count - count)
        return bytes
    }
}
