import CSyscalls
import Glibc
import SystemPackage

// bpf(2), as far as a program that decides something for a cgroup needs it. The words are those of `union bpf_attr`
// (linux/bpf.h), which Swift cannot import.

/// What a program is asked about: its `BPF_PROG_TYPE_*` and `BPF_*` attach type.
public enum BPFProgramKind: Sendable {
    /// Whether a device may be opened or made.
    case cgroupDevice

    fileprivate var program: UInt32 { 15 }
    fileprivate var attachment: UInt32 { 6 }
}

/// Loads a program: eight bytes an instruction, `struct bpf_insn`.
public func bpfLoad(_ instructions: [UInt64], type: BPFProgramKind) throws(SystemError) -> FileDescriptor {
    let number = instructions.withUnsafeBytes { code in
        "GPL".withCString { license in
            var words: [UInt32] = [type.program, UInt32(code.count / 8)]
            words += halves(code.baseAddress) + halves(license)
            return bpf(5, words)
        }
    }
    if number == -1 { throw SystemError.last("bpf", "BPF_PROG_LOAD") }
    return FileDescriptor(rawValue: Int32(number))
}

/// Puts a program in force for a cgroup, beside others or in place of one.
public func bpfAttach(
    _ program: FileDescriptor, to cgroup: FileDescriptor, type: BPFProgramKind, replacing old: FileDescriptor? = nil
) throws(SystemError) {
    // BPF_F_ALLOW_MULTI, BPF_F_REPLACE
    let flags: UInt32 = old == nil ? 2 : 2 | 4
    try checking("bpf", "BPF_PROG_ATTACH") {
        bpf(8, [number(cgroup), number(program), type.attachment, flags, old.map(number) ?? 0])
    }
}

/// The ids of the programs that were put in force for a cgroup itself, not those above it.
public func bpfAttachedPrograms(_ cgroup: FileDescriptor, type: BPFProgramKind) throws(SystemError) -> [UInt32] {
    var ids = [UInt32](repeating: 0, count: 64)
    var words: [UInt32] = []
    let result = ids.withUnsafeMutableBytes { ids in
        words = [number(cgroup), type.attachment, 0, 0] + halves(ids.baseAddress) + [64, 0]
        return words.withUnsafeMutableBytes {
            carrel_syscall(Int(SYS_bpf), 16, Int(bitPattern: $0.baseAddress), $0.count, 0, 0, 0)
        }
    }
    if result == -1 { throw SystemError.last("bpf", "BPF_PROG_QUERY") }
    return Array(ids.prefix(Int(words[6])))
}

/// A descriptor of the program with this id.
public func bpfProgram(id: UInt32) throws(SystemError) -> FileDescriptor {
    FileDescriptor(rawValue: Int32(try checking("bpf", "BPF_PROG_GET_FD_BY_ID") { bpf(13, [id, 0, 0]) }))
}

private func number(_ descriptor: FileDescriptor) -> UInt32 { UInt32(bitPattern: descriptor.rawValue) }

private func halves(_ pointer: UnsafeRawPointer?) -> [UInt32] {
    let address = UInt64(UInt(bitPattern: pointer))
    return [UInt32(truncatingIfNeeded: address), UInt32(truncatingIfNeeded: address >> 32)]
}

/// Every kernel takes a longer structure whose end is zero.
private func bpf(_ command: Int, _ words: [UInt32]) -> Int {
    let all = words + [UInt32](repeating: 0, count: max(0, 24 - words.count))
    return all.withUnsafeBytes {
        carrel_syscall(Int(SYS_bpf), command, Int(bitPattern: $0.baseAddress), $0.count, 0, 0, 0)
    }
}
