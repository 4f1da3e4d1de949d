import Glibc
import Syscalls
import SystemPackage

private let pathOnly: Int32 = 0x20_0000  // O_PATH

/// Fills a Landlock ruleset with the programs of an allowlist and what they need.
struct ExecutableRules {
    private let ruleset: FileDescriptor
    private let searchPath: [String]
    private var listed: Set<String> = []

    init(_ ruleset: FileDescriptor, searchPath: [String]) {
        self.ruleset = ruleset
        self.searchPath = searchPath
    }

    /// Allows executing and reading `path`, and its interpreters; passes over a path where nothing is.
    mutating func list(_ path: String) throws(SystemError) {
        try list(path, depth: 0)
    }

    private mutating func list(_ path: String, depth: Int) throws(SystemError) {
        // As far as the kernel follows: a script may name a script, four times (exec_binprm in fs/exec.c).
        if depth > 5 { throw SystemError("execve", path, errno: .tooManySymbolicLinkLevels) }
        if !listed.insert(path).inserted { return }
        guard let file = try Self.open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY) else { return }
        defer { close(file) }
        try Landlock.allow([.execute, .readFile], on: file, named: path, in: ruleset)
        for interpreter in try Program(file, path).interpreters(searchPath) {
            try list(interpreter, depth: depth + 1)
        }
    }

    /// Allows reading everything but what lies in `closed`, and renaming everywhere.
    ///
    /// Landlock has no exceptions from a rule. So the way down to each closed directory is opened entry by entry: what
    /// lies beside it is allowed, it itself is not.
    func allowReading(outside closed: [String]) throws(SystemError) {
        if let root = try Self.open("/", pathOnly) {
            defer { close(root) }
            try Landlock.allow(.refer, on: root, named: "/", in: ruleset)
        }
        try allowReading("", closed)
    }

    private func allowReading(_ directory: String, _ closed: [String]) throws(SystemError) {
        for name in try Syscalls.list(directory + "/") {
            let path = directory + "/" + name
            if closed.contains(path) { continue }
            guard let entry = try Self.open(path, pathOnly | O_NOFOLLOW) else { continue }
            defer { close(entry) }
            let isDirectory = try status(entry).st_mode & S_IFMT == S_IFDIR
            if isDirectory && closed.contains(where: { $0.hasPrefix(path + "/") }) {
                try allowReading(path, closed)
            } else {
                try Landlock.allow(.readFile, on: entry, named: path, in: ruleset)
            }
        }
    }

    private static func open(_ path: String, _ flags: Int32) throws(SystemError) -> FileDescriptor? {
        do throws(SystemError) {
            return try Syscalls.open(path, flags)
        } catch {
            if error.errno == .noSuchFileOrDirectory || error.errno == .notDirectory { return nil }
            throw error
        }
    }
}
