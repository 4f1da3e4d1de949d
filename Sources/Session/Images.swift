import Documents
import Glibc
import Syscalls
import SystemPackage

/// The roots of `images/`: which of them nobody uses any more.
///
/// Whoever starts a session on one holds it (``hold(_:)``) until the session's record names it. A root that nobody holds, no
/// record names and nobody has used for a week is renamed, and removed then: a start finds it whole or not at all.
struct Images {
    private let state: StateDirectory
    private static let week: Int64 = 7 * day
    private static let day: Int64 = 86400

    init(_ state: StateDirectory) { self.state = state }

    /// Opens a root and holds it against the sweep: by a lock that goes with the process.
    ///
    /// - Returns: `nil` where there is none.
    static func hold(_ path: String) -> FileDescriptor? {
        guard let root = try? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) else { return nil }
        // The sweep may have been first: then it is not this one any more.
        guard (try? lock(root, LOCK_SH, named: path)) != nil, let held = try? status(root),
            let there = try? status(path), there.st_dev == held.st_dev, there.st_ino == held.st_ino
        else {
            close(root)
            return nil
        }
        // The time of its last use, to a day.
        if age(held) > day { try? setModificationTime(path, inNanoseconds: 0) }
        return root
    }

    /// Takes a root out of the sweep for good: who is told its path can use it for as long as it likes.
    static func keep(_ path: String) {
        let century: Int64 = 36525 * day * 1_000_000_000
        try? setModificationTime(path, inNanoseconds: century)
    }

    private static func age(_ found: stat) -> Int64 { Timestamp.now.seconds - Int64(found.st_mtim.tv_sec) }

    /// Removes what nobody uses, and what calls have left that were killed while they made or removed one.
    func sweep() {
        for name in (try? list(state["images"])) ?? [] where name != "dev" {
            let path = state["images/\(name)"]
            let parts = name.split(separator: ".")
            if parts.count == 3, let maker = Int32(parts[1]) {
                if kill(maker, 0) == -1 && errno == ESRCH { try? removeTree(path) }
                continue
            }
            guard let found = try? status(path, followingLinks: false), Self.age(found) > Self.week else { continue }
            remove(name, path)
        }
    }

    private func remove(_ name: String, _ path: String) {
        guard let root = try? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) else { return }
        defer { close(root) }
        // Since it was looked at, somebody may have used it, and written down that a session does.
        guard (try? lock(root, LOCK_EX | LOCK_NB, named: path)) != nil, let found = try? status(root),
            Self.age(found) > Self.week, !isNamed(name)
        else { return }
        let old = "\(path).\(getpid()).old"
        guard (try? rename(path, to: old, replacing: false)) != nil else { return }
        try? removeTree(old)
    }

    /// Whether a record of a session names it, or one cannot be read.
    private func isNamed(_ name: String) -> Bool {
        guard let names = try? list(state["sessions"]) else { return true }
        return names.contains { file in
            guard file.hasSuffix(".json") else { return false }
            let path = state["sessions/\(file)"]
            guard let text = try? readText(path) else { return exists(path) }
            return text.contains("/" + name)
        }
    }
}
