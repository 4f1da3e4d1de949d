import CLibmd
import CLibseccomp
import Glibc
import Syscalls

/// One file of the cache: a header of 96 bytes, the text of the profile, the instructions.
///
///      0  magic            8  version of the compiler    12  architecture    16  flags
///     20  length of text  24  length of instructions     32  SHA-256 of the text
///     64  SHA-256 of the first 64 bytes and the instructions
struct FilterEntry {
    let program: FilterProgram
    /// The SHA-256 of the profile's text.
    let digest: [UInt8]

    private static let magic: [UInt8] = Array("carrelBP".utf8)
    private static let headerSize = 96

    init(program: FilterProgram, digest: [UInt8]) {
        self.program = program
        self.digest = digest
    }

    /// Reads an entry; `nil` if it is torn, of another compiler, or of another profile than `source`.
    init?(_ bytes: [UInt8], of source: [UInt8]) {
        guard bytes.count > Self.headerSize + source.count else { return nil }
        let flags = FilterFlags(
            rawValue: bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 16, as: UInt32.self) })
        let start = Self.headerSize + source.count
        program = FilterProgram(instructions: Array(bytes[start...]), flags: flags)
        digest = Array(bytes[32..<64])
        let same = bytes.withUnsafeBytes { kept in
            source.withUnsafeBytes { memcmp(kept.baseAddress! + Self.headerSize, $0.baseAddress!, $0.count) == 0 }
        }
        guard same, bytes[..<Self.headerSize] == header(of: source)[...] else { return nil }
    }

    /// The file.
    func bytes(of source: [UInt8]) -> [UInt8] {
        header(of: source) + source + program.instructions
    }

    private func header(of source: [UInt8]) -> [UInt8] {
        var header = Self.magic
        let numbers = [
            UInt32(FilterCompiler.version), seccomp_arch_native(), program.flags.rawValue, UInt32(source.count),
            UInt32(program.instructions.count), 0,
        ]
        for number in numbers { withUnsafeBytes(of: number) { header.append(contentsOf: $0) } }
        header += digest
        return header + Self.digest(of: header + program.instructions)
    }

    /// The name of the entry of a profile. Names need not differ, since an entry holds the text that it is of: two
    /// profiles of one name only take turns. There are 256, so that the directory cannot grow without end.
    static func name(for source: [UInt8]) -> String {
        // A multiplicative hash, eight bytes at a time: a microsecond where a byte at a time takes twenty.
        var hash = UInt64(source.count)
        source.withUnsafeBytes { bytes in
            for offset in stride(from: 0, to: bytes.count & ~7, by: 8) {
                hash = (hash ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) &* 0x9e37_79b9_7f4a_7c15
                hash ^= hash >> 32
            }
        }
        return hexadecimal([UInt8(truncatingIfNeeded: hash)]) + ".bpf"
    }

    /// SHA-256 (libmd).
    static func digest(of bytes: [UInt8]) -> [UInt8] {
        var context = SHA2_CTX()
        SHA256Init(&context)
        SHA256Update(&context, bytes, bytes.count)
        var result = [UInt8](repeating: 0, count: 32)
        SHA256Final(&result, &context)
        return result
    }

    static func hexadecimal(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
