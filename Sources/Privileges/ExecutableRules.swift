import Glibc
import Syscalls
import SystemPackage

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
        // As far as the kernel follows: five interpreters of scripts (exec_binprm in fs/exec.c), and the last one's
        // loader.
        if depth > 6 { throw SystemError("execve", path, errno: .tooManySymbolicLinkLevels) }
        if !listed.insert(path).inserted { return }
        guard let file = try Self.open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY) else { return }
        defer { close(file) }
        try Landlock.allow([.execute, .readFile], on: file, named: path, in: ruleset)
        for interpreter in try Program(file, path).interpreters(searchPath) {
            try list(interpreter, depth: depth + 1)
        }
    }

    /// Allows reading and writing everything but what lies in `closed`, only reading in /proc, and renaming everywhere.
    ///
    /// Landlock has no exceptions from a rule. So the way down to each closed directory is opened entry by entry: what
    /// lies beside it is allowed, it itself is not.
    func allowFiles(outside closed: [String]) throws(SystemError) {
        let root = try Syscalls.open("/", O_RDONLY | O_DIRECTORY)
        defer { close(root) }
        try Landlock.allow(.refer, on: root, named: "/", in: ruleset)
        // Writing /proc/self/mem puts code into a listed program, which even a shell can do.
        try withEntry("proc", of: root) { (proc) throws(SystemError) in
            try Landlock.allow(.readFile, on: proc, named: "/proc", in: ruleset)
        }
        try allowEntries(of: root, but: [["proc"]] + closed.map { $0.split(separator: "/").map(String.init)[...] })
    }

    /// - Parameter closed: names on the way to what is not allowed, from here on.
    private func allowEntries(of directory: FileDescriptor, but closed: [ArraySlice<String>]) throws(SystemError) {
        for name in try Syscalls.list(".", at: directory) {
            let further = closed.filter { $0.first == name }.map { $0.dropFirst() }
            if further.contains(where: \.isEmpty) { continue }
            try withEntry(name, of: directory) { (entry) throws(SystemError) in
                var leadsOn = !further.isEmpty
                if leadsOn { leadsOn = try status(entry).st_mode & S_IFMT == S_IFDIR }
                if leadsOn {
                    try allowEntries(of: entry, but: further)
                } else {
                    try Landlock.allow([.readFile, .writeFile], on: entry, named: name, in: ruleset)
                }
            }
        }
    }

    private func withEntry(
        _ name: String, of directory: FileDescriptor, _ body: (FileDescriptor) throws(SystemError) -> Void
    ) throws(SystemError) {
        guard let entry = try Self.open(name, O_PATH | O_NOFOLLOW, at: directory) else { return }
        defer { close(entry) }
        try body(entry)
    }

    /// Allows opening the files and terminals of descriptors 0 to 2 once more, as `/dev/stdin` does: they lie outside
    /// of the new root. Pipes and sockets need no rule.
    func allowStandardStreams() throws(SystemError) {
        for stream in [FileDescriptor.standardInput, .standardOutput, .standardError] {
            guard let kind = try? status(stream).st_mode & S_IFMT, kind == S_IFREG || kind == S_IFCHR else { continue }
            try Landlock.allow(
                [.readFile, .writeFile], on: stream, named: "standard stream", in: ruleset)
        }
    }

    /// `nil` where nothing is.
    private static func open(
        _ path: String, _ flags: Int32, at directory: FileDescriptor = .workingDirectory
    ) throws(SystemError) -> FileDescriptor? {
        do throws(SystemError) {
            return try Syscalls.open(path, flags, at: directory)
        } catch {
            if error.errno == .noSuchFileOrDirectory || error.errno == .notDirectory { return nil }
            throw error
        }
    }
}
