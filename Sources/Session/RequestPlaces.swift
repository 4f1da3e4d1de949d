import Glibc
import Syscalls
import SystemPackage

// What of a request is wrong with the host's own files is told before anything is made, in the words of the command line.

/// A file that is written when a session is over. Where the session can write beside it, it may have put a symbolic link in the
/// place of a directory: so the file is held by the path without links that it had before, and none is followed in the end.
struct OutputFile {
    let path: String

    /// A path that was made by ``init(at:)``, in this process or another.
    init(path: String) { self.path = path }

    /// The file at a path of the caller's, before the session has begun.
    init(at path: String) throws(SessionError) {
        let path = try absolute(path)
        let place = try telling(path) { () throws(SystemError) in
            try withOpen(directory(of: path), O_PATH | O_DIRECTORY) { parent throws(SystemError) in
                try readLink("/proc/self/fd/\(parent.rawValue)")
            }
        }
        self.path = (place == "/" ? "" : place) + "/" + Self.name(of: path)
    }

    private static func name(of path: String) -> String {
        String(Substring(path.utf8.split(separator: 0x2f).last ?? path[...].utf8))
    }

    func write(_ text: String) throws(SystemError) {
        let parent = try open(directory(of: path), O_PATH | O_DIRECTORY, in: .workingDirectory, .noSymlinks)
        defer { close(parent) }
        try replaceFile(Self.name(of: path), with: text.utf8, mode: 0o644, at: parent)
    }
}

/// Refuses to write a file in the place of something else: rename(2) would take even /dev/null away from the host.
///
/// - Parameter place: what says where, an option's name.
public func requireFile(_ found: stat, _ place: String, at path: String) throws(SessionError) {
    if found.st_mode & S_IFMT == S_IFREG { return }
    let what = found.st_mode & S_IFMT == S_IFDIR ? "a directory" : "something else"
    throw SessionError("\(place): expected a file, found \(what) at \(path)")
}

extension SessionRequest {
    /// Refuses a workdir that is none, and a place where the report could not be written when the session is over.
    func checkPlaces() throws(SessionError) {
        if let workdir {
            let path = try Self.path(workdir, "--workdir", "a directory")
            guard let found = try Self.found(path, "--workdir") else {
                throw SessionError("--workdir: expected a directory, found nothing at \(path)")
            }
            guard found.st_mode & S_IFMT == S_IFDIR else {
                throw SessionError("--workdir: expected a directory, found something else at \(path)")
            }
        }
        if let report { try Self.checkReport(report) }
    }

    /// A report takes the place of a file by rename(2): it needs a directory that can be written.
    private static func checkReport(_ name: String) throws(SessionError) {
        let path = try path(name, "--report", "a file")
        let place = directory(of: path)
        guard let parent = try found(place, "--report"), parent.st_mode & S_IFMT == S_IFDIR else {
            throw SessionError("--report: there is no directory \(place)")
        }
        if let there = try found(path, "--report") { try requireFile(there, "--report", at: path) }
        if access(place, W_OK | X_OK) == -1 {
            throw SessionError("--report: cannot write in \(place): \(reason(errno))")
        }
    }

    private static func path(_ name: String, _ option: String, _ expected: String) throws(SessionError) -> String {
        if name.isEmpty { throw SessionError("\(option): expected \(expected), found an empty path") }
        return try absolute(name)
    }

    /// What is at a path; `nil` where there is nothing.
    private static func found(_ path: String, _ option: String) throws(SessionError) -> stat? {
        do throws(SystemError) { return try status(path) } catch {
            if error.errno == .noSuchFileOrDirectory || error.errno == .notDirectory { return nil }
            throw SessionError("\(option): \(path): \(reason(error.errno.rawValue))")
        }
    }

    private static func reason(_ number: Int32) -> String { String(cString: strerror(number)) }
}
