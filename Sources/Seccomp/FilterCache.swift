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
        let source: [UInt8]?
        do throws(SystemError) {
            source = try withOpen(path, O_RDONLY | O_NONBLOCK) { file throws(SystemError) in try Self.contents(file) }
        } catch { throw .file(error) }
        guard let source else {
            throw .profile(Problems([Problem(file: path, mark: nil, message: "expected a file of at most 1 MiB")]))
        }
        return try program(for: source, file: path)
    }

    /// The filter of the profile that `source` is the text of, and the SHA-256 of that text in hexadecimal.
    ///
    /// - Parameters:
    ///   - file: what errors call the profile.
    ///   - reading: how strictly it is read.
    public func program(
        for source: [UInt8], file: String, reading: FilterReading = .authored
    ) throws(FilterError) -> (program: FilterProgram, digest: String) {
        let name = FilterEntry.name(for: source)
        if let bytes = try kept(name), let entry = FilterEntry(bytes, of: source, reading) {
            return (entry.program, entry.digest)
        }
        let program: FilterProgram
        do throws(Problems) {
            let node = try Node.parse(source, file: file)
            program = try FilterCompiler.compile(
                try LinuxSeccomp(node, file: file), file: file, source: node, reading: reading)
        } catch { throw .profile(error) }
        let entry = FilterEntry(program: program, digest: sha256(source))
        keep(entry.bytes(of: source, reading), as: name)
        return (program, entry.digest)
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
        return
            (try? withOpen(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, at: inside) { file throws(SystemError) in
                try Self.contents(file, onlyOurs: true)
            }) ?? nil
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

    /// The whole of a regular file of at most 1 MiB, in one read; `nil` for anything else, and for a file that others
    /// can write if it is to be `onlyOurs`. (The file is open `O_NONBLOCK`: a FIFO must not hold up the launch.)
    private static func contents(_ file: FileDescriptor, onlyOurs: Bool = false) throws(SystemError) -> [UInt8]? {
        let found = try status(file)
        guard found.st_mode & S_IFMT == S_IFREG, found.st_size <= 1 << 20, !onlyOurs || isOurs(found) else {
            return nil
        }
        var count = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(found.st_size)) { buffer, filled in
            count = pread(file.rawValue, buffer.baseAddress, buffer.count, 0)
            filled = max(0, count)
        }
        if count < 0 { throw .last("pread") }
        return bytes
    }
}
