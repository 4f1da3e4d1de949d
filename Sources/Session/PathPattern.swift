import Glibc
import Syscalls
import SystemPackage

/// A path relative to a directory, with `*` and `?` inside a name, and `**` for any number of directories. A `/` at its
/// end says that a directory is meant, for what has to be made.
struct PathPattern: Sendable, Equatable {
    let text: String
    let names: [String]
    /// The names with slashes between them and nowhere else.
    let path: String
    let isDirectory: Bool

    init(_ text: String) {
        self.text = text
        names = steps(of: text)
        path = names.joined(separator: "/")
        isDirectory = text.utf8.last == 0x2f
    }

    /// Whether it names one path and no more.
    var isLiteral: Bool { names.allSatisfy { !Self.isWild($0) } }

    static func isWild(_ name: String) -> Bool { name.utf8.contains { $0 == 0x2a || $0 == 0x3f } }

    /// Whether `name` matches one component of a pattern.
    static func matches(_ pattern: Substring.UTF8View, _ name: Substring.UTF8View) -> Bool {
        var pattern = pattern
        var name = name
        var afterStar: (pattern: Substring.UTF8View, name: Substring.UTF8View)?
        while let byte = name.first {
            if pattern.first == 0x2a {
                pattern.removeFirst()
                afterStar = (pattern, name)
            } else if pattern.first == 0x3f || pattern.first == byte {
                pattern.removeFirst()
                name.removeFirst()
            } else if let star = afterStar {
                pattern = star.pattern
                name = star.name.dropFirst()
                afterStar = (star.pattern, name)
            } else {
                return false
            }
        }
        return pattern.allSatisfy { $0 == 0x2a }
    }
}

/// What a pattern found below a directory.
struct PathMatch: Equatable {
    /// Relative to the directory.
    let path: String
    /// Which of the patterns.
    let pattern: Int
    /// `S_IFDIR`, `S_IFLNK`...
    let type: mode_t
}

/// Finds everything below `root` that one of `patterns` matches, in one walk that lists only the directories where a
/// wildcard makes it necessary, and follows no symbolic link. What is removed meanwhile is not there.
///
/// - Throws: `EILSEQ` for what is found by a name that is not UTF-8: no mount could be given its path.
func find(_ patterns: [PathPattern], in root: FileDescriptor) throws(SystemError) -> [PathMatch] {
    var found: [PathMatch] = []
    let start = patterns.indices.map { (pattern: $0, names: patterns[$0].names[...]) }
    try visit(root, "", start, &found)
    return found
}

/// A pattern, and what of it is left to be matched.
private typealias MatchState = (pattern: Int, names: ArraySlice<String>)

private func visit(
    _ directory: FileDescriptor, _ prefix: String, _ states: [MatchState], _ found: inout [PathMatch]
) throws(SystemError) {
    let names: [String]
    if states.contains(where: { PathPattern.isWild($0.names.first!) }) {
        names =
            try ifThere { () throws(SystemError) in
                try list(".", at: directory) { name, text throws(SystemError) in
                    try visitUnnameable(name, text, directory, prefix, states)
                }.sorted()
            } ?? []
    } else {
        var seen: Set<String> = []
        names = states.compactMap { seen.insert($0.names.first!).inserted ? $0.names.first! : nil }
    }
    for name in names {
        let (matched, next) = step(states, name)
        if matched.isEmpty && next.isEmpty { continue }
        let path = prefix + name
        let looked = try ifThere { () throws(SystemError) in
            try status(name, at: directory, followingLinks: false).st_mode & S_IFMT
        }
        guard let type = looked else { continue }
        for pattern in matched { found.append(PathMatch(path: path, pattern: pattern, type: type)) }
        if next.isEmpty || type != S_IFDIR { continue }
        // What lies deeper has no path that a mount could be given. An agent can make directories without end in one another.
        if path.utf8.count >= PATH_MAX {
            throw SystemError("openat", "\(path.prefix(40))...", errno: .fileNameTooLong)
        }
        let opened = try ifThere { () throws(SystemError) in
            try open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, at: directory)
        }
        guard let inside = opened else { continue }
        defer { close(inside) }
        try visit(inside, path + "/", next, &found)
    }
}

/// What a name matches, and what is to be looked for below it.
private func step(_ states: [MatchState], _ name: String) -> (matched: [Int], next: [MatchState]) {
    var matched: [Int] = []
    var next: [MatchState] = []
    for state in states {
        var rest = state.names
        if rest.first == "**" {
            next.append(state)
            rest = rest.dropFirst()
        }
        guard let head = rest.first, PathPattern.matches(head[...].utf8, name[...].utf8) else { continue }
        rest = rest.dropFirst()
        if rest.isEmpty { matched.append(state.pattern) } else { next.append((state.pattern, rest)) }
    }
    return (matched, next)
}

/// Looks at a name that is not UTF-8, and below it.
private func visitUnnameable(
    _ name: UnsafePointer<CChar>, _ text: String, _ directory: FileDescriptor, _ prefix: String, _ states: [MatchState]
) throws(SystemError) {
    let (matched, next) = step(states, text)
    var below: [PathMatch] = []
    if matched.isEmpty, !next.isEmpty {
        let opened = try ifThere { () throws(SystemError) in
            FileDescriptor(
                rawValue: try retrying("openat", prefix + text) {
                    openat(directory.rawValue, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                })
        }
        guard let inside = opened else { return }
        defer { close(inside) }
        try visit(inside, prefix + text + "/", next, &below)
    }
    if matched.isEmpty && below.isEmpty { return }
    throw SystemError("mount over", below.first?.path ?? prefix + text, errno: .illegalByteSequence)
}

/// What `body` gives; `nil` where it finds nothing, or no directory, any more: trees change while they are looked through.
private func ifThere<Result>(_ body: () throws(SystemError) -> Result) throws(SystemError) -> Result? {
    do throws(SystemError) { return try body() } catch {
        if [.noSuchFileOrDirectory, .notDirectory, .tooManySymbolicLinkLevels].contains(error.errno) { return nil }
        throw error
    }
}

/// The names in a path. By bytes: by characters it would cost a look into Unicode's tables for each.
func steps(of path: String, keepingEmpty: Bool = false) -> [String] {
    path.utf8.split(separator: 0x2f, omittingEmptySubsequences: !keepingEmpty).map { String(Substring($0)) }
}
