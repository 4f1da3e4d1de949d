import CLibseccomp
import Glibc
import Syscalls

/// One file of the cache: a header of 104 bytes, the text of the profile, the instructions.
///
///      0  "carrelBP"                     8  version of the compiler and how it read, architecture
///     16  flags, length of the text     24  length of the instructions
///     32  SHA-256 of the text, in hexadecimal
///     96  checksum of the first 96 bytes and the instructions
///
/// The checksum is against torn writes and bad disks, not against people: those are kept out by owner and mode.
package struct FilterEntry {
    let program: FilterProgram
    /// The SHA-256 of the profile's text, in hexadecimal.
    let digest: String

    private static let headerSize = 104

    init(program: FilterProgram, digest: String) {
        self.program = program
        self.digest = digest
    }

    /// Reads an entry; `nil` if it is torn, of another compiler, or of another profile than `source`.
    init?(_ bytes: [UInt8], of source: [UInt8], _ reading: FilterReading = .authored) {
        let start = Self.headerSize + source.count
        guard bytes.count > start else { return nil }
        let flags = bytes.withUnsafeBytes {
            FilterFlags(rawValue: $0.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
        }
        program = FilterProgram(instructions: Array(bytes[start...]), flags: flags)
        digest = String(decoding: bytes[32..<96], as: UTF8.self)
        let expected = header(of: source, reading)
        let same = bytes.withUnsafeBytes { kept in
            memcmp(kept.baseAddress!, expected, expected.count) == 0
                && memcmp(kept.baseAddress! + Self.headerSize, source, source.count) == 0
        }
        if !same { return nil }
    }

    /// The file.
    func bytes(of source: [UInt8], _ reading: FilterReading = .authored) -> [UInt8] {
        header(of: source, reading) + source + program.instructions
    }

    private func header(of source: [UInt8], _ reading: FilterReading) -> [UInt8] {
        var header: [UInt8] = []
        header.reserveCapacity(Self.headerSize)
        func append(_ low: UInt32, _ high: UInt32) {
            withUnsafeBytes(of: UInt64(high) << 32 | UInt64(low)) { header.append(contentsOf: $0) }
        }
        header.append(contentsOf: "carrelBP".utf8)
        append(UInt32(FilterCompiler.version) << 1 | (reading == .runtime ? 1 : 0), seccomp_arch_native())
        append(program.flags.rawValue, UInt32(source.count))
        append(UInt32(program.instructions.count), 0)
        header.append(contentsOf: digest.utf8)
        let sum = Self.checksum(program.instructions, every: 8, from: Self.checksum(header, every: 8))
        append(UInt32(truncatingIfNeeded: sum), UInt32(sum >> 32))
        return header
    }

    /// The name of the entry of a profile. Names need not differ, since an entry holds the text that it is of: two
    /// profiles of one name only take turns. There are 256, so that the directory cannot grow without end.
    static func name(for source: [UInt8]) -> String {
        "\(UInt8(truncatingIfNeeded: checksum(source, every: 64))).bpf"
    }

    /// A multiplicative hash of the first eight bytes of each `step`. Each of its steps maps different values to
    /// different ones, so that a change of eight adjacent bytes never goes unseen.
    private static func checksum(_ bytes: [UInt8], every step: Int, from start: UInt64 = 0) -> UInt64 {
        bytes.withUnsafeBytes { bytes in
            var sum = start ^ UInt64(bytes.count)
            for offset in stride(from: 0, to: bytes.count & ~7, by: step) {
                sum = (sum ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) &* 0x9e37_79b9_7f4a_7c15
                sum ^= sum >> 32
            }
            return sum
        }
    }
}
