import Documents

/// The kinds of text that profile fields accept.
extension ProfileReader {
    func image(_ node: Node, _ field: String) -> Profile.Image? {
        guard let name = text(node, field) else { return nil }
        if name == "host" { return .host }
        if name.utf8.first == UInt8(ascii: "/") { return path(node, field).map { .directory($0) } }
        let steps = name.split(separator: "/", omittingEmptySubsequences: false)
        let named = steps.allSatisfy { step in
            step.utf8.first.map { Self.isWord($0) } ?? false
                && step.utf8.allSatisfy { Self.isWord($0) || "._-:@".utf8.contains($0) }
        }
        return named ? .named(name) : refuse(node, field, "host, the name of an image, or an absolute path")
    }

    func filter(_ node: Node, _ field: String) -> Profile.Filter? {
        guard let name = text(node, field) else { return nil }
        if name.utf8.first == UInt8(ascii: "/") { return path(node, field).map { Profile.Filter(name: $0, path: $0) } }
        guard ProfileCatalog.accepts(name: name) else {
            return refuse(node, field, "the name of a filter, or an absolute path")
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
        let steps = path.utf8.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let normal = steps.allSatisfy { !$0.isEmpty && !$0.elementsEqual(".".utf8) && !$0.elementsEqual("..".utf8) }
        guard path.utf8.first == UInt8(ascii: "/"), path.utf8.count < 4096, normal || path == "/" else {
            return refuse(node, field, "an absolute path without ., .. or doubled slashes")
        }
        return path
    }

    /// A path of the host that can be shown inside.
    func source(_ node: Node, _ field: String) -> String? {
        guard let path = path(node, field) else { return nil }
        let kernel = ["/proc", "/sys", "/dev"].contains { path.isAtOrBelow($0) }
        return path != "/" && !kernel
            ? path : refuse(node, field, "a path other than /, and not of /proc, /sys or /dev")
    }

    /// A path inside that something can be mounted on: not one that the launcher makes itself, and none from which
    /// programs, libraries or accounts are taken.
    func target(_ node: Node, _ field: String) -> String? {
        guard let path = path(node, field) else { return nil }
        return path != "/" && !Self.kept.contains { path.isAtOrBelow($0) }
            ? path : refuse(node, field, "a path outside /proc, /sys, /dev, /usr, /bin, /sbin, /lib* and /etc")
    }

    private static let kept = [
        "/proc", "/sys", "/dev", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc",
    ]

    /// Paths and globs of the workdir. A profile adds to what its parent names and takes nothing away.
    func patterns(_ entry: Node.Entry, _ field: String, _ patterns: inout [String]) {
        guard let added = list(entry, field, pattern) else { return }
        for (pattern, node) in added where !patterns.contains(pattern) {
            patterns.append(pattern)
            set(field, pattern, at: node.mark)
        }
    }

    /// A slash at the end says that a directory is meant, for what is protected before it is there.
    private func pattern(_ node: Node, _ field: String) -> (String, Node)? {
        guard let pattern = text(node, field) else { return nil }
        let path = pattern.hasSuffix("/") ? pattern.dropLast() : pattern[...]
        let steps = path.split(separator: "/", omittingEmptySubsequences: false)
        let plain = steps.allSatisfy { step in
            !step.isEmpty && step != "." && step != ".." && (step == "**" || !step.contains("**"))
        }
        guard plain, steps.last != "**", pattern.first != "!", !pattern.utf8.contains(where: "\\[]{}".utf8.contains)
        else {
            return refuse(
                node, field,
                "a path relative to the workdir, in which *, ? and ** match, without ., .., !, \\, [] or {}")
        }
        return (pattern, node)
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
