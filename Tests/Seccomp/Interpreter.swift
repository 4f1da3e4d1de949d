import Foundation

@testable import Seccomp

/// A call as the kernel describes it to a filter (`struct seccomp_data`).
struct Call: CustomStringConvertible {
    static let x86_64: UInt32 = 0xC000_003E
    static let i386: UInt32 = 0x4000_0003
    static let aarch64: UInt32 = 0xC000_00B7
    #if arch(x86_64)
        static let native = x86_64
    #else
        static let native = aarch64
    #endif

    var number: UInt32
    var arch = Call.native
    var arguments: [UInt64] = [0, 0, 0, 0, 0, 0]

    var description: String {
        "call \(number) of \(String(arch, radix: 16))(\(arguments.map { String($0, radix: 16) }.joined(separator: ", ")))"
    }

    var words: [UInt32] {
        [number, arch, 0, 0] + arguments.flatMap { [UInt32(truncatingIfNeeded: $0), UInt32($0 >> 32)] }
    }
}

struct BadProgram: Error { let reason: String }

/// Runs the part of classic BPF that seccomp(2) takes, and refuses what bpf_check_classic of the kernel refuses.
struct Interpreter {
    struct Instruction {
        let code: UInt16
        let yes: UInt8
        let no: UInt8
        let k: UInt32
    }
    let instructions: [Instruction]

    init(_ bytes: [UInt8]) throws {
        guard bytes.count % 8 == 0, !bytes.isEmpty, bytes.count / 8 <= 4096 else { throw BadProgram(reason: "size") }
        instructions = stride(from: 0, to: bytes.count, by: 8).map { at in
            bytes.withUnsafeBytes {
                Instruction(
                    code: $0.loadUnaligned(fromByteOffset: at, as: UInt16.self), yes: $0[at + 2], no: $0[at + 3],
                    k: $0.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self))
            }
        }
        guard instructions.last?.code == 0x06 else { throw BadProgram(reason: "does not end with a return") }
    }

    /// What the filter returns for `call`, and how many instructions that took.
    func run(_ call: Call) throws -> (action: UInt32, steps: Int) {
        let words = call.words
        var (at, accumulator, steps) = (0, UInt32(0), 0)
        while true {
            guard instructions.indices.contains(at) else { throw BadProgram(reason: "jump past the end from \(at)") }
            let it = instructions[at]
            (at, steps) = (at + 1, steps + 1)
            func jump(_ holds: Bool) { at += Int(holds ? it.yes : it.no) }
            switch it.code {
            case 0x20:  // load a word
                guard it.k % 4 == 0, it.k < 64 else { throw BadProgram(reason: "load from \(it.k)") }
                accumulator = words[Int(it.k / 4)]
            case 0x54: accumulator &= it.k
            case 0x05: at += Int(it.k)
            case 0x15: jump(accumulator == it.k)
            case 0x25: jump(accumulator > it.k)
            case 0x35: jump(accumulator >= it.k)
            case 0x45: jump(accumulator & it.k != 0)
            case 0x06: return (it.k, steps)
            default: throw BadProgram(reason: "instruction \(it.code) at \(at - 1)")
            }
        }
    }
}
