import Glibc
import Syscalls
import SystemPackage

/// The output of a detached session: a pipe from the payload, and a file with a cap on its size. The older half of the
/// cap is in `ID.1`, and is dropped when the newer is full.
final class SessionLog {
    /// The reading end.
    let pipe: FileDescriptor
    private let path: String
    private let limit: Int
    private var file: FileDescriptor?
    private var size = 0

    init(pipe: FileDescriptor, path: String, limit: Int) {
        self.pipe = pipe
        self.path = path
        self.limit = limit
        _ = fcntl(pipe.rawValue, F_SETFL, O_NONBLOCK)
    }

    /// Moves what is in the pipe to the file.
    ///
    /// - Parameter ended: called with the pipe when nobody can write to it any more.
    func drain(_ ended: (FileDescriptor) -> Void) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        // A session that writes without pause must not keep its supervisor from its other duties.
        for _ in 0..<16 {
            let count = read(pipe.rawValue, &buffer, buffer.count)
            if count == 0 { return ended(pipe) }
            if count < 0 { return }
            append(buffer[..<count])
        }
    }

    /// What cannot be written (a full disk) is lost: a session does not stop for its log.
    private func append(_ bytes: ArraySlice<UInt8>) {
        var rest = bytes
        while !rest.isEmpty {
            if file == nil {
                file = try? open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW)
                size = file.flatMap { try? Int(status($0).st_size) } ?? 0
            }
            guard let file else { return }
            let part = rest.prefix(max(limit / 2 - size, 1))
            try? writeAll(part, to: file, named: path)
            size += part.count
            rest = rest.dropFirst(part.count)
            if size < limit / 2 { continue }
            close(file)
            self.file = nil
            rename(path, Self.older(path))
        }
    }

    /// Where the older half of what is kept lies.
    static func older(_ path: String) -> String { path + ".1" }

    /// What is kept of a session's output.
    static func contents(_ path: String) -> [UInt8] {
        ((try? readFile(older(path), limit: 1 << 32)) ?? []) + ((try? readFile(path, limit: 1 << 32)) ?? [])
    }
}
