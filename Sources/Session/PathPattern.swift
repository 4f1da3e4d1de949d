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
/// wildcard makes it necessary, and follows no symbolic link.
func find(_ patterns: [PathPattern], in root: FileDescriptor) throws(SystemError) -> [PathMatch] {
    var found: [PathMatch] = []
    let start = patterns.indices.map { (pattern: $0, names: patterns[$0].names[...]) }
    try visit(root, "", start, &found)
    return found
}

private func visit(
    _ directory: FileDescriptor, _ prefix: String, _ states: [(pattern: Int, names: ArraySlice<String>)],
    _ found: inout [PathMatch]
) throws(SystemError) {
    let names: [String]
    if states.contains(where: { PathPattern.isWild($0.names.first!) }) {
        names = try list(".", at: directory).sorted()
    } else {
        var seen: Set<String> = []
        names = states.compactMap { seen.insert($0.names.first!).inserted ? $0.names.first! : nil }
    }
    for name in names {
        var next: [(pattern: Int, names: ArraySlice<String>)] = []
        var matched: [Int] = []
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
        if matched.isEmpty && next.isEmpty { continue }
        let path = prefix + name
        let type: mode_t
        do throws(SystemError) {
            type = try status(name, at: directory, followingLinks: false).st_mode & S_IFMT
        } catch {
            if error.errno == .noSuchFileOrDirectory { continue }
            throw error
        }
        for pattern in matched { found.append(PathMatch(path: path, pattern: pattern, type: type)) }
        if next.isEmpty || type != S_IFDIR { continue }
        // What lies deeper has no path that a mount could be given. An agent can make directories without end in one another.
        if path.utf8.count >= PATH_MAX {
            throw SystemError("openat", "\(path.prefix(40))...", errno: .fileNameTooLong)
        }
        let inside = try open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, at: directory)
        defer { close(inside) }
        try visit(inside, path + "/", next, &found)
    }
}

/// The names in a path. By bytes: by characters it would cost a look into Unicode's tables for each.
func steps(of path: String, keepingEmpty: Bool = false) -> [String] {
    path.utf8.split(separator: 0x2f, omittingEmptySubsequences: !keepingEmpty).map { String(Substring($0)) }
}
