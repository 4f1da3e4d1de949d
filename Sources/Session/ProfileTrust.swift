import Glibc
import Syscalls
import SystemPackage

/// Why the content of a file does not count.
struct Distrust: Error {
    let message: String
}

/// The content of a file that nobody but root and the caller can have written or put in place.
func trustedContent(_ file: String) throws(Distrust) -> [UInt8] {
    let content: Result<[UInt8], Distrust>
    do throws(SystemError) {
        // Not blocking: the file could be a FIFO.
        let descriptor = try open(file, O_RDONLY | O_NONBLOCK)
        defer { close(descriptor) }
        if let reason = try distrust(try status(descriptor), file) {
            content = .failure(Distrust(message: reason))
        } else {
            content = .success(try readAll(descriptor, limit: 1 << 20, named: file))
        }
    } catch {
        throw Distrust(message: "\(error)")
    }
    return try content.get()
}

/// Why a file, or a directory, that is there does not count; `nil`: it does.
func distrust(_ file: String, kind: mode_t = S_IFREG) throws(SystemError) -> String? {
    try distrust(try status(file), file, kind)
}

private func distrust(_ found: stat, _ file: String, _ kind: mode_t = S_IFREG) throws(SystemError) -> String? {
    guard found.st_mode & S_IFMT == kind else {
        return "expected a \(kind == S_IFDIR ? "directory" : "file"), found something else at \(file)"
    }
    let directory = directory(of: file)
    if let reason = reason(found, file) { return reason }
    return reason(try status(directory), directory)
}

private func reason(_ found: stat, _ path: String) -> String? {
    if found.st_uid != 0 && found.st_uid != geteuid() {
        return "expected root or the caller to own \(path), found user \(found.st_uid): chown root \(path)"
    }
    // In a sticky directory nobody replaces the file of another (unlink(2)).
    let sticky = found.st_mode & S_IFMT == S_IFDIR && found.st_mode & S_ISVTX != 0
    return found.st_mode & 0o022 == 0 || sticky
        ? nil : "expected nobody else to be able to write to \(path): chmod go-w \(path)"
}

/// The directory that a file lies in.
func directory(of file: String) -> String {
    guard let slash = file.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == file.startIndex ? "/" : String(file[..<slash])
}
