import Syscalls

/// The path of a cgroup below the place where this process may create them, checked: it can only lead down.
///
/// Each name is a plain one (``isPlainName(_:)``).
public struct CgroupPath: Sendable, Equatable, CustomStringConvertible {
    /// The names, outermost first.
    public let names: [String]
    /// The names with `/` between them.
    public let description: String

    /// Checks `text`, names with `/` between them; one leading `/`, as OCI's `cgroupsPath` has, means nothing.
    public init(_ text: String) throws(CgroupError) {
        var names = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map {
            String(Substring($0))
        }
        if names.count > 1 && names[0].isEmpty { names.removeFirst() }
        guard names.count <= 8 else { throw .invalidPath(text, reason: "more than 8 levels") }
        for name in names {
            guard isPlainName(name) else {
                throw .invalidPath(
                    text,
                    reason: "\"\(name)\" is not a name: expected 1 to 64 of A-Z a-z 0-9 _ . -, a letter or digit first")
            }
        }
        self.init(names: names)
    }

    /// Checks an OCI `cgroupsPath`: names of any bytes that other runtimes give, up to 255 and 32 levels, but none that
    /// leads up, and none of the kernel's own files (`cgroup.*`).
    public init(oci text: String) throws(CgroupError) {
        let names = text.utf8.split(separator: UInt8(ascii: "/")).map { String(Substring($0)) }
        guard (1...32).contains(names.count) else {
            throw .invalidPath(text, reason: "expected 1 to 32 levels, found \(names.count)")
        }
        for name in names {
            let isGood =
                name != "." && name != ".." && name.utf8.count <= 255 && !name.hasPrefix("cgroup.")
                && name.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f }
            guard isGood else {
                throw .invalidPath(
                    text,
                    reason: "\"\(name)\" cannot be a cgroup: expected 1 to 255 bytes, neither . nor .. nor cgroup.*")
            }
        }
        self.init(names: names)
    }

    private init(names: [String]) {
        self.names = names
        description = names.joined(separator: "/")
    }

    /// The cgroup that this one is in; `nil` for a path of one name.
    public var parent: CgroupPath? { names.count > 1 ? CgroupPath(names: names.dropLast()) : nil }
}
