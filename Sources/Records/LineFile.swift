import Glibc
import Syscalls
import SystemPackage

/// A file of lines to which many processes append, and in which each line is whole or not there.
///
/// Writers take turns by flock(2) and hold the lock for one append. The last writer may have been killed, or have met
/// a full disk, in the middle of a line; then the file does not end in a newline. The next writer cuts the file back
/// to its last newline before it appends: what is cut was never a record, and everything before it is as it was.
/// Whoever has waited for the lock while the file was renamed goes on with the file that is now in its place.
/// Nothing is synchronised with the disk unless asked: a record survives the death of any process, since the kernel
/// has it, but not the loss of power before the kernel has written it out.
struct LineFile {
    let path: String
    private let descriptor: FileDescriptor
    /// The size of the file's whole lines.
    private(set) var end: Int
    /// The size of what stands behind them: a line that was never finished.
    private(set) var torn: Int

    enum Purpose {
        case reading
        case appending
    }

    /// Opens the file, takes the lock (shared for reading; exclusive for appending, which makes a missing file), and
    /// closes the file when `body` is done, by which the lock goes.
    static func with<Result>(
        _ path: String, for purpose: Purpose, _ body: (inout LineFile) throws(SystemError) -> Result
    ) throws(SystemError) -> Result {
        // O_NONBLOCK: a FIFO in the file's place must not hang the opener. It means nothing to a regular file.
        let flags = purpose == .reading ? O_RDONLY : O_RDWR | O_APPEND | O_CREAT
        while true {
            let descriptor = try open(path, flags | O_NOFOLLOW | O_NONBLOCK)
            defer { close(descriptor) }
            try lock(descriptor, purpose == .reading ? LOCK_SH : LOCK_EX, named: path)
            var file = try LineFile(path, descriptor)
            if try file.isInPlace() { return try body(&file) }
        }
    }

    /// Whether the path still leads to this file.
    private func isInPlace() throws(SystemError) -> Bool {
        let held = try status(descriptor)
        do throws(SystemError) {
            let found = try status(path, followingLinks: false)
            return found.st_ino == held.st_ino && found.st_dev == held.st_dev
        } catch {
            if error.errno == .noSuchFileOrDirectory { return false }
            throw error
        }
    }

    private init(_ path: String, _ descriptor: FileDescriptor) throws(SystemError) {
        self.path = path
        self.descriptor = descriptor
        let found = try status(descriptor)
        guard found.st_mode & S_IFMT == S_IFREG else { throw SystemError("open", path, errno: .notSupported) }
        end = 0
        torn = 0
        end = try lineStart(before: Int(found.st_size))
        torn = Int(found.st_size) - end
    }

    /// Gives the lock back; what is before `end` is never changed again, so it can be read without.
    func unlock() throws(SystemError) { try lock(descriptor, LOCK_UN, named: path) }

    /// The offset behind the last newline before `offset`, 0 if there is none.
    private func lineStart(before offset: Int) throws(SystemError) -> Int {
        var stop = offset
        while stop > 0 {
            let start = max(0, stop - 4096)
            let bytes = try readAt(descriptor, offset: start, count: stop - start, named: path)
            if let newline = bytes.lastIndex(of: UInt8(ascii: "\n")) { return start + newline + 1 }
            stop = start
        }
        return 0
    }

    /// The last whole line, without its newline; `nil` if there is none.
    func lastLine() throws(SystemError) -> [UInt8]? {
        guard end > 0 else { return nil }
        let start = try lineStart(before: end - 1)
        return try readAt(descriptor, offset: start, count: end - 1 - start, named: path)
    }

    /// Appends whole lines, their newlines included. If that fails, as on a full disk, the file is left as it was.
    mutating func append(_ lines: [UInt8]) throws(SystemError) {
        if torn > 0 {
            try truncate(descriptor, to: end, named: path)
            torn = 0
        }
        do throws(SystemError) {
            // One write(2), unless the disk is full: then a part is written, and the second call tells why.
            try writeAll(lines, to: descriptor, named: path)
        } catch {
            try? truncate(descriptor, to: end, named: path)
            throw error
        }
        end += lines.count
    }

    /// Takes back what was appended since the file's whole lines had this size.
    mutating func takeBack(to size: Int) throws(SystemError) {
        try truncate(descriptor, to: size, named: path)
        end = size
    }

    /// Waits until the lines are on the disk.
    func synchronise() throws(SystemError) { try Syscalls.synchronise(descriptor, named: path) }

    /// Hands over each whole line with its number, from 1, without its newline.
    func forEachLine(_ body: (Int, ArraySlice<UInt8>) throws(SystemError) -> Void) throws(SystemError) {
        var number = 0
        var offset = 0
        var pending: [UInt8] = []
        while offset < end {
            let chunk = try readAt(descriptor, offset: offset, count: min(1 << 18, end - offset), named: path)
            // Someone cut the file while it was read.
            if chunk.isEmpty { throw SystemError("pread", path, errno: .ioError) }
            offset += chunk.count
            pending += chunk
            var start = pending.startIndex
            while let newline = pending[start...].firstIndex(of: UInt8(ascii: "\n")) {
                number += 1
                try body(number, pending[start..<newline])
                start = newline + 1
            }
            pending.removeSubrange(..<start)
        }
    }
}
