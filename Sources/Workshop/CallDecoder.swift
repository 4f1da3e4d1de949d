import Glibc
import Seccomp
import Syscalls
import SystemPackage

/// One argument of a call, as people read it.
public struct DecodedArgument: Sendable, Equatable {
    /// The parameter's name in the kernel.
    public let name: String
    /// The register.
    public let value: UInt64
    /// Its meaning: a string in quotes, flags by their names, a socket's address.
    public let text: String
}

/// Says what the arguments of a call mean: names of flags, and what pointers lead to in the caller's memory.
///
/// What is in memory is what was there when it was read: the caller's other threads may change it at any time. It is good
/// for telling people, never for a decision.
struct CallDecoder {
    private let process: pid_t

    /// Reads the memory, the descriptors and the links of this process.
    init(_ process: pid_t) { self.process = process }

    /// The arguments, and the first path among them, absolute where its directory is known.
    func decode(_ name: String, _ registers: [UInt64]) -> (arguments: [DecodedArgument], path: String?) {
        guard let parameters = CallSignatures.of(name) else {
            return (
                registers.enumerated().map {
                    DecodedArgument(name: "arg\($0)", value: $1, text: ArgumentNames.hexadecimal($1))
                }, nil
            )
        }
        var arguments: [DecodedArgument] = []
        var path: String?
        var directory: String?
        for (index, parameter) in parameters.enumerated() {
            let value = registers[index] & CallTable.mask(of: name, argument: index)
            let next = index + 1 < registers.count ? registers[index + 1] : 0
            let string = parameter.kind == "s" ? string(at: value) : nil
            if parameter.kind == "D" { directory = place(of: Int32(truncatingIfNeeded: value)) }
            if path == nil, let string, Self.isPath(name, String(parameter.name)) {
                path = absolute(string, in: directory)
            }
            let text = string.map(quoted) ?? self.text(value, next, parameter.kind)
            arguments.append(DecodedArgument(name: String(parameter.name), value: registers[index], text: text))
        }
        return (arguments, path)
    }

    private func text(_ value: UInt64, _ next: UInt64, _ kind: Substring) -> String {
        switch kind {
        case "d": String(Int32(truncatingIfNeeded: value))
        case "u": String(value)
        case "o": "0" + String(value, radix: 8)
        case "x": value < 10 ? String(value) : ArgumentNames.hexadecimal(value)
        case "p", "s": value == 0 ? "NULL" : ArgumentNames.hexadecimal(value)
        case "f": descriptor(Int32(truncatingIfNeeded: value))
        case "D": directoryText(Int32(truncatingIfNeeded: value))
        case "a": address(at: value, length: Int(UInt32(truncatingIfNeeded: next)))
        default: ArgumentNames.text(value, kind: kind) ?? ArgumentNames.hexadecimal(value)
        }
    }

    // MARK: Memory

    /// The string at an address; `nil` where there is none that ends within 4 KiB.
    private func string(at address: UInt64) -> String? {
        guard address != 0 else { return nil }
        var bytes: [UInt8] = []
        while bytes.count < 4096 {
            let part = readMemory(of: process, at: address + UInt64(bytes.count), count: 256)
            if let end = part.firstIndex(of: 0) { return String(decoding: bytes + part[..<end], as: UTF8.self) }
            if part.isEmpty { return nil }
            bytes += part
        }
        return nil
    }

    private func quoted(_ text: String) -> String {
        text.utf8.count > 256 ? text.prefix(256).debugDescription + "..." : text.debugDescription
    }

    /// A `struct sockaddr`.
    private func address(at pointer: UInt64, length: Int) -> String {
        guard pointer != 0 else { return "NULL" }
        let bytes = readMemory(of: process, at: pointer, count: min(max(length, 0), 128))
        guard bytes.count >= 2 else { return ArgumentNames.hexadecimal(pointer) }
        func big(_ offset: Int) -> UInt16 { UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1]) }
        let family = UInt64(bytes[0]) | UInt64(bytes[1]) << 8
        switch Int32(family) {
        case AF_INET where bytes.count >= 8:
            return "\(bytes[4...7].map(String.init).joined(separator: ".")):\(big(2))"
        case AF_INET6 where bytes.count >= 24:
            let words = (0..<8).map { String(big(8 + 2 * $0), radix: 16) }
            return "[\(words.joined(separator: ":"))]:\(big(2))"
        case AF_UNIX:
            let isAbstract = bytes.count > 2 && bytes[2] == 0
            let name = isAbstract ? bytes[3...] : bytes[2...].prefix { $0 != 0 }
            return "unix:" + quoted((isAbstract ? "@" : "") + String(decoding: name, as: UTF8.self))
        default:
            let name = ArgumentNames.text(family, kind: "family") ?? String(family)
            let rest = bytes.dropFirst(2).prefix(16).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
            return "\(name) \(rest.joined())"
        }
    }

    // MARK: Descriptors and paths

    private func link(_ name: String) -> String? { try? readLink("/proc/\(process)/\(name)") }

    private func descriptor(_ number: Int32) -> String {
        number < 0 ? String(number) : link("fd/\(number)").map { "\(number)<\($0)>" } ?? String(number)
    }

    private func directoryText(_ number: Int32) -> String { number == -100 ? "AT_FDCWD" : descriptor(number) }

    private func place(of number: Int32) -> String? { number == -100 ? link("cwd") : link("fd/\(number)") }

    private func absolute(_ path: String, in directory: String?) -> String {
        if path.hasPrefix("/") || path.isEmpty { return path }
        guard let base = directory ?? link("cwd") else { return path }
        return base.hasSuffix("/") ? base + path : "\(base)/\(path)"
    }

    /// Whether a string is a path, and not a name of something else.
    private static func isPath(_ call: String, _ parameter: String) -> Bool {
        switch call {
        case "add_key", "request_key", "memfd_create", "fsopen", "sethostname", "setdomainname", "mq_open", "mq_unlink",
            "delete_module", "finit_module", "init_module", "fsconfig", "kexec_file_load":
            false
        case "mount": parameter == "dir_name"
        default: parameter != "name" || call == "acct" || call == "umount2" || call == "name_to_handle_at"
        }
    }
}
