import CSyscalls
import Glibc

/// A call as the kernel describes it to a filter (`struct seccomp_data`); the instruction pointer is always 0 here.
public struct FilteredCall: Sendable, CustomStringConvertible {
    /// The call's number, for x32 with its bit.
    public var number: UInt32
    /// `AUDIT_ARCH_*`.
    public var arch: UInt32
    /// The whole registers.
    public var arguments: InlineArray<6, UInt64>

    /// A call through an entry of this machine; arguments that are not given are 0.
    public init(number: UInt32, on architecture: Architecture = .native, arguments: [UInt64] = []) {
        self.init(number: number, arch: architecture.audit, arguments: arguments)
    }

    package init(number: UInt32, arch: UInt32, arguments: [UInt64] = []) {
        self.number = number
        self.arch = arch
        self.arguments = InlineArray { $0 < arguments.count ? arguments[$0] : 0 }
    }

    /// For example `call 41 of c000003e(28, 1, 0, 0, 0, 0)`, in hexadecimal.
    public var description: String {
        let registers = arguments.indices.map { String(arguments[$0], radix: 16) }.joined(separator: ", ")
        return "call \(number) of \(String(arch, radix: 16))(\(registers))"
    }

    /// The word at this offset of `struct seccomp_data` (both architectures are little-endian).
    func word(at offset: UInt32) -> UInt32 {
        switch offset {
        case 0: number
        case 4: arch
        case 8, 12: 0
        default:
            UInt32(truncatingIfNeeded: arguments[Int(offset - 16) / 8] >> (offset & 4 == 0 ? 0 : 32))
        }
    }
}

/// Runs filters outside of the kernel.
///
/// It knows the part of classic BPF that `FilterWriter` and libseccomp write. Everything that the kernel refuses to load
/// (bpf_check_classic and seccomp_check_filter) is refused here before anything runs, and so are the other instructions.
public struct FilterInterpreter: Sendable {
    /// The instructions, as `struct sock_filter`.
    package let instructions: [sock_filter]

    /// Why a program cannot run.
    public struct BadProgram: Error, CustomStringConvertible {
        /// For example `instruction 12: jumps past the end`.
        public let description: String
    }

    /// Takes a program.
    public init(_ program: FilterProgram) throws(BadProgram) { try self.init(program.instructions) }

    /// Takes an array of `struct sock_filter`: 8 bytes an instruction.
    public init(_ bytes: [UInt8]) throws(BadProgram) {
        guard bytes.count % 8 == 0, (1...Int(BPF_MAXINSNS)).contains(bytes.count / 8) else {
            throw BadProgram(
                description: "expected 1 to \(BPF_MAXINSNS) instructions of 8 bytes, found \(bytes.count) bytes")
        }
        instructions = bytes.withUnsafeBytes { bytes in
            (0..<bytes.count / 8).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: sock_filter.self) }
        }
        for (index, instruction) in instructions.enumerated() {
            if let wrong = Self.problem(instruction, left: instructions.count - index - 1) {
                throw BadProgram(description: "instruction \(index): \(wrong)")
            }
        }
        guard instructions.last?.code == Self.answer else {
            throw BadProgram(description: "the last instruction is no return")
        }
    }

    static let load = UInt16(BPF_LD | BPF_W | BPF_ABS)
    static let and = UInt16(BPF_ALU | BPF_AND | BPF_K)
    static let jump = UInt16(BPF_JMP | BPF_JA)
    static let jumpEqual = UInt16(BPF_JMP | BPF_JEQ | BPF_K)
    static let jumpGreater = UInt16(BPF_JMP | BPF_JGT | BPF_K)
    static let jumpAtLeast = UInt16(BPF_JMP | BPF_JGE | BPF_K)
    static let jumpAnySet = UInt16(BPF_JMP | BPF_JSET | BPF_K)
    static let answer = UInt16(BPF_RET | BPF_K)

    private static func problem(_ it: sock_filter, left: Int) -> String? {
        switch it.code {
        case load: it.k % 4 == 0 && it.k < 64 ? nil : "loads from \(it.k)"
        case and, answer: nil
        case jump: Int(it.k) < left ? nil : "jumps past the end"
        case jumpEqual, jumpGreater, jumpAtLeast, jumpAnySet:
            Int(max(it.jt, it.jf)) < left ? nil : "jumps past the end"
        default: "unknown code \(it.code)"
        }
    }

    /// What the filter returns for `call` (`SECCOMP_RET_*` with its data), and how many instructions that took.
    public func run(_ call: FilteredCall) -> (action: UInt32, steps: Int) {
        var (at, accumulator, steps) = (0, UInt32(0), 0)
        while true {
            let it = instructions[at]
            (at, steps) = (at + 1, steps + 1)
            switch it.code {
            case Self.load: accumulator = call.word(at: it.k)
            case Self.and: accumulator &= it.k
            case Self.jump: at += Int(it.k)
            case Self.jumpEqual: at += Int(accumulator == it.k ? it.jt : it.jf)
            case Self.jumpGreater: at += Int(accumulator > it.k ? it.jt : it.jf)
            case Self.jumpAtLeast: at += Int(accumulator >= it.k ? it.jt : it.jf)
            case Self.jumpAnySet: at += Int(accumulator & it.k != 0 ? it.jt : it.jf)
            default: return (it.k, steps)
            }
        }
    }
}
