import Glibc

/// What uname(2) says of the host.
public struct RunningSystem: Sendable {
    /// The host's name.
    public let name: String
    /// The kernel's release: `6.18.5-amd64`.
    public let release: String
    /// The processor's architecture: `x86_64`.
    public let machine: String

    /// As it is now.
    public init() {
        var found = utsname()
        _ = uname(&found)
        func text<Field>(_ field: Field) -> String {
            withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        name = text(found.nodename)
        release = text(found.release)
        machine = text(found.machine)
    }

    /// The first two numbers of the release; (0, 0) where it has none.
    public var version: (Int, Int) { Self.version(of: release) }

    /// The first two numbers of a kernel's release; (0, 0) where it has none.
    public static func version(of release: String) -> (Int, Int) {
        let numbers = release.split { !$0.isASCII || !$0.isNumber }.prefix(2).compactMap { Int($0) }
        return numbers.count == 2 ? (numbers[0], numbers[1]) : (0, 0)
    }
}
