import Documents
import Glibc
import Syscalls
import SystemPackage

/// The file of the budget book: one JSON line for each change, appended before the change is made.
///
/// A line survives the death of the process at once, and the loss of power when `synchronise` was called after it. What a
/// killed writer left unfinished is cut off when the file is opened: the change that it would have told of was never made.
struct BudgetJournal: ~Copyable {
    private let path: String
    /// Held for as long as the process lives: two gateways would each see half of what is spent.
    private let lock: FileDescriptor
    private var file: FileDescriptor
    private(set) var size: Int

    deinit {
        close(file)
        close(lock)
    }

    private init(path: String, lock: FileDescriptor, file: FileDescriptor, size: Int) {
        self.path = path
        self.lock = lock
        self.file = file
        self.size = size
    }

    /// Opens the book and hands each of its entries to `body`.
    static func open(directory: String, _ body: (BudgetEntry) -> Void) throws(BudgetFailure) -> BudgetJournal {
        let path = directory + "/book.jsonl"
        var opened: [FileDescriptor] = []
        do throws(BudgetFailure) {
            do throws(SystemError) {
                try makeDirectories(directory, mode: 0o700)
                opened.append(try Syscalls.open(directory + "/lock", O_RDWR | O_CREAT | O_NOFOLLOW))
                try takeLock(opened[0], named: directory + "/lock")
                opened.append(try Syscalls.open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW))
            } catch {
                throw .notWritten(error)
            }
            let size = try replay(opened[1], path, body)
            return BudgetJournal(path: path, lock: opened[0], file: opened[1], size: size)
        } catch {
            for descriptor in opened { close(descriptor) }
            throw error
        }
    }

    /// Whoever has the lock for a moment longer than its owner lived, as a child between fork and exec, is waited for.
    private static func takeLock(_ lock: FileDescriptor, named path: String) throws(SystemError) {
        for _ in 0..<20 {
            if (try? Syscalls.lock(lock, LOCK_EX | LOCK_NB, named: path)) != nil { return }
            usleep(50_000)
        }
        try Syscalls.lock(lock, LOCK_EX | LOCK_NB, named: path)
    }

    private static func replay(
        _ file: FileDescriptor, _ path: String, _ body: (BudgetEntry) -> Void
    ) throws(BudgetFailure) -> Int {
        let bytes: [UInt8]
        let end: Int
        do throws(SystemError) {
            bytes = try readAll(file, limit: 1 << 30, named: path)
            end = (bytes.lastIndex(of: UInt8(ascii: "\n")) ?? -1) + 1
            if end < bytes.count { try truncate(file, to: end, named: path) }
        } catch {
            throw .notWritten(error)
        }
        var number = 0
        for line in bytes[..<end].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast() {
            number += 1
            do throws(Problems) {
                guard let entry = BudgetEntry(try Node.parse(Array(line), file: path)) else {
                    throw Problems([Problem(file: path, mark: nil, message: "expected an entry of the budget book")])
                }
                body(entry)
            } catch {
                throw .damaged(path: path, line: number, why: error.description)
            }
        }
        return end
    }

    /// Appends entries, all or none.
    mutating func append(_ entries: [BudgetEntry]) throws(BudgetFailure) {
        let lines = entries.flatMap(\.line)
        do throws(SystemError) {
            try writeAll(lines, to: file, named: path)
        } catch {
            // A part may be there, as on a full disk: it must not become the head of the next line.
            try? truncate(file, to: size, named: path)
            throw .notWritten(error)
        }
        size += lines.count
    }

    /// Writes the book anew in one step: on a crash there is the old book or the new one.
    mutating func replace(with entries: [BudgetEntry]) throws(BudgetFailure) {
        let lines = entries.flatMap(\.line)
        let new = path + ".new"
        do throws(SystemError) {
            let file = try Syscalls.open(new, O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW)
            do throws(SystemError) {
                try writeAll(lines, to: file, named: new)
                try Syscalls.synchronise(file, named: new)
                try rename(new, to: path, replacing: true)
            } catch {
                close(file)
                throw error
            }
            close(self.file)
            self.file = file
        } catch {
            throw .notWritten(error)
        }
        size = lines.count
    }

    /// Another descriptor of the file, the caller's to close.
    func descriptor() throws(SystemError) -> FileDescriptor { try duplicate(file) }
}
