import Documents
import Glibc
import Syscalls

/// The kinds of text that profile fields accept.
extension ProfileReader {
    func image(_ node: Node, _ field: String) -> Profile.Image? {
        guard let name = text(node, field) else { return nil }
        if name == "host" { return .host }
        if isPlainName(name) { return .named(name, path: "") }
        guard name.utf8.contains(UInt8(ascii: "/")), let path = try? absolute(beside(withoutSlash(name))),
            path == "/" || Self.arePlain(path.utf8.dropFirst())
        else {
            return refuse(node, field, "host, or a directory: its name, or its path without .. and doubled slashes")
        }
        return .directory(path)
    }

    func filter(_ node: Node, _ field: String) -> Profile.Filter? {
        guard let name = text(node, field) else { return nil }
        if name.utf8.first == UInt8(ascii: "/") { return path(node, field).map { Profile.Filter(name: $0, path: $0) } }
        if name.utf8.contains(UInt8(ascii: "/")) || name.hasSuffix(".json") {
            // Absolute, since sessions are entered from elsewhere.
            guard let path = try? absolute(beside(name)) else {
                return refuse(node, field, "a path that can be followed")
            }
            return Profile.Filter(name: path, path: path)
        }
        guard isPlainName(name) else {
            return refuse(node, field, "the name or the path of a filter")
        }
        return Profile.Filter(name: name, path: "")
    }

    func login(_ node: Node, _ field: String) -> String? {
        guard let name = text(node, field) else { return nil }
        let good = name.utf8.allSatisfy { Self.isWord($0) || $0 == UInt8(ascii: "-") }
        let first = name.utf8.first ?? UInt8(ascii: "-")
        return good && name.utf8.count <= 32 && first != UInt8(ascii: "-") && !Self.isDigit(first)
            ? name : refuse(node, field, "a login name of letters, digits, _ and -")
    }

    func mask(_ node: Node, _ field: String) -> UInt32? {
        let digits = node.string ?? ""
        guard (1...4).contains(digits.utf8.count), let mask = UInt32(digits, radix: 8), mask <= 0o777 else {
            return refuse(node, field, "octal digits in quotes such as \"022\"")
        }
        return mask
    }

    /// Thousandths of a processor; `nil` inside for `none`.
    func processors(_ node: Node, _ field: String) -> Int?? {
        if node.string == "none" { return .some(nil) }
        // 0.01 is the least that the kernel takes: 1 ms of 100 ms (cpu.cfs_quota_us).
        guard let number = node.number, (0.01...4096).contains(number) else {
            return refuse(node, field, "a number of processors from 0.01 to 4096, or none")
        }
        return .some(Int((number * 1000).rounded()))
    }

    /// An absolute path without `.`, `..`, `//` or a slash at its end.
    func path(_ node: Node, _ field: String) -> String? {
        guard let path = text(node, field) else { return nil }
        let absolute = path.utf8.first == UInt8(ascii: "/") && path.utf8.count < 4096
        guard absolute, path == "/" || Self.arePlain(path.utf8.dropFirst()) else {
            return refuse(node, field, "an absolute path without ., .. or doubled slashes")
        }
        return path
    }

    /// Whether no step of a path is empty, `.` or `..`.
    private static func arePlain(_ path: Substring.UTF8View) -> Bool {
        var length = 0
        var dots = 0
        for byte in path {
            if byte == UInt8(ascii: "/") {
                if length == dots && length <= 2 { return false }
                (length, dots) = (0, 0)
            } else {
                length += 1
                if byte == UInt8(ascii: ".") { dots += 1 }
            }
        }
        return length != dots || length > 2
    }

    /// A path of the host that can be shown inside.
    func source(_ node: Node, _ field: String) -> String? {
        guard let path = path(node, field) else { return nil }
        let kernel = ["/proc", "/sys", "/dev"].contains { path.isAtOrBelow($0) }
        return path != "/" && !kernel
            ? path : refuse(node, field, "a path other than /, and not of /proc, /sys or /dev")
    }

    /// Such a path of the command line, where it is and without a symbolic link in it: who can write beside it could have put
    /// that there.
    func sourceWithoutLinks(_ text: String, _ field: String) -> String? {
        guard let path = try? absolute(beside(withoutSlash(text))), let source = source(Node(.string(path)), field)
        else {
            return nil
        }
        guard let found = realpath(source, nil) else {
            let reason = String(cString: strerror(errno))
            note(nil, field, "expected a file or a directory, found \(Node(.string(source)).json()): \(reason)")
            return nil
        }
        defer { free(found) }
        let real = String(cString: found)
        if real == source { return source }
        note(
            nil, field,
            "expected a path without symbolic links, found \(Node(.string(source)).json()), which leads to \(real)")
        return nil
    }

    /// A path inside that something can be mounted on: not one that the launcher makes itself, and none from which
    /// programs, libraries or accounts are taken.
    func target(_ node: Node, _ field: String) -> String? {
        guard let path = path(node, field) else { return nil }
        return path != "/" && !Self.kept.contains { path.isAtOrBelow($0) }
            ? path
            : refuse(node, field, "a path outside /proc, /sys, /dev, /usr, /bin, /sbin, /lib*, /etc and /run/carrel")
    }

    private static let kept = [
        "/proc", "/sys", "/dev", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc",
        "/run/carrel",
    ]

    /// Paths and globs of the workdir. A profile adds to what its parent names and takes nothing away.
    func patterns(_ entry: Node.Entry, _ field: String, _ patterns: inout [String]) {
        guard case .sequence(let nodes) = entry.value.content else { return refuse(entry.value, field, "a list") }
        for (index, node) in nodes.enumerated() {
            guard let pattern = pattern(node, field, index), !patterns.contains(pattern) else { continue }
            patterns.append(pattern)
            set(field, pattern, at: node.mark)
        }
    }

    /// A slash at the end says that a directory is meant, for what is protected before it is there.
    private func pattern(_ node: Node, _ field: String, _ index: Int) -> String? {
        if case .string(let pattern) = node.content {
            let isDirectory = pattern.utf8.last == UInt8(ascii: "/")
            let path = pattern.utf8.dropLast(isDirectory ? 1 : 0)
            if Self.arePlain(path) && Self.areWildcardsKnown(pattern) { return pattern }
        }
        return refuse(
            node, "\(field)[\(index)]",
            "a path relative to the workdir, in which *, ? and **/ match, without ., .., !, \\, [] or {}")
    }

    /// Whether `**` stands for directories alone, and nothing looks like the wildcards of other programs.
    private static func areWildcardsKnown(_ pattern: String) -> Bool {
        var length = 0
        var last: UInt8 = 0
        var hasPair = false
        for byte in pattern.utf8 {
            switch byte {
            case UInt8(ascii: "/"):
                if hasPair && length != 2 { return false }
                (length, hasPair) = (-1, false)
            case UInt8(ascii: "!") where length == 0, UInt8(ascii: "\\"), UInt8(ascii: "["), UInt8(ascii: "]"),
                UInt8(ascii: "{"), UInt8(ascii: "}"):
                return false
            case UInt8(ascii: "*") where last == byte: hasPair = true
            default: break
            }
            length += 1
            last = byte
        }
        return !hasPair
    }

    static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    static func isWord(_ byte: UInt8) -> Bool {
        isDigit(byte) || byte == UInt8(ascii: "_") || byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z")
            || byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z")
    }
}

extension String {
    /// Whether the path is `directory` or lies in it.
    func isAtOrBelow(_ directory: String) -> Bool {
        utf8.starts(with: directory.utf8)
            && (utf8.count == directory.utf8.count || utf8.dropFirst(directory.utf8.count).first == UInt8(ascii: "/"))
    }
}

/// A path without the slash at its end, which shells write behind directories.
func withoutSlash(_ path: String) -> String {
    path.utf8.count > 1 && path.utf8.last == UInt8(ascii: "/") ? String(path.dropLast()) : path
}
