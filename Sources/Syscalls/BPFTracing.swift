import CSyscalls
import Glibc
import SystemPackage

// bpf(2): maps and programs. Every descriptor made here is close-on-exec, as bpf(2) makes them.

/// How a map finds its values (`BPF_MAP_TYPE_*`).
public enum BPFMapType: UInt32, Sendable {
    /// By a key of any bytes.
    case hash = 1
    /// By a number from 0.
    case array = 2
    /// As `array`, with a value for each processor.
    case perCPUArray = 6
}

/// A table that a program in the kernel writes and its loader reads.
public struct BPFMap: Sendable {
    /// Its descriptor.
    public let descriptor: FileDescriptor
    /// Bytes of a key.
    public let keySize: Int
    /// Bytes of a value.
    public let valueSize: Int

    /// Makes one (`BPF_MAP_CREATE`).
    ///
    /// - Parameters:
    ///   - entries: the most entries; a hash has memory for those alone that are there (`BPF_F_NO_PREALLOC`).
    ///   - key, value: sizes in bytes.
    /// - Throws: `EPERM` without `CAP_BPF` and `CAP_PERFMON`.
    public init(_ type: BPFMapType, key: Int, value: Int, entries: Int) throws(SystemError) {
        var attributes = carrel_bpf_map(
            map_type: type.rawValue, key_size: UInt32(key), value_size: UInt32(value), max_entries: UInt32(entries),
            map_flags: type == .hash ? 1 : 0)
        descriptor = FileDescriptor(rawValue: Int32(try bpf(BPF_MAP_CREATE, &attributes, "BPF_MAP_CREATE")))
        keySize = key
        valueSize = value
    }

    /// Writes a value (`BPF_MAP_UPDATE_ELEM`).
    public func set(_ key: [UInt8], _ value: [UInt8]) throws(SystemError) {
        precondition(key.count == keySize && value.count == valueSize)
        try element(BPF_MAP_UPDATE_ELEM, "BPF_MAP_UPDATE_ELEM", key, value)
    }

    /// The value of a key (`BPF_MAP_LOOKUP_ELEM`).
    ///
    /// - Throws: `ENOENT` where there is none.
    public func value(_ key: [UInt8]) throws(SystemError) -> [UInt8] {
        try element(BPF_MAP_LOOKUP_ELEM, "BPF_MAP_LOOKUP_ELEM", key, [UInt8](repeating: 0, count: valueSize))
    }

    /// All entries of a hash, in no order. Nothing may be writing to it.
    public func entries() throws(SystemError) -> [(key: [UInt8], value: [UInt8])] {
        var found: [(key: [UInt8], value: [UInt8])] = []
        var last: [UInt8]?
        while true {
            let key: [UInt8]
            do throws(SystemError) {
                key = try element(
                    BPF_MAP_GET_NEXT_KEY, "BPF_MAP_GET_NEXT_KEY", last, [UInt8](repeating: 0, count: keySize))
            } catch {
                if error.errno == .noSuchFileOrDirectory { return found }
                throw error
            }
            found.append((key, try value(key)))
            last = key
        }
    }

    @discardableResult
    private func element(
        _ command: bpf_cmd, _ name: String, _ key: [UInt8]?, _ value: [UInt8]
    ) throws(SystemError) -> [UInt8] {
        var value = value
        let result = (key ?? []).withUnsafeBytes { key in
            value.withUnsafeMutableBytes { value in
                var attributes = carrel_bpf_element(
                    map_fd: UInt32(descriptor.rawValue), padding: 0, key: UInt64(UInt(bitPattern: key.baseAddress)),
                    value_or_next: UInt64(UInt(bitPattern: value.baseAddress)), flags: 0)
                return Result { () throws(SystemError) in try bpf(command, &attributes, name) }
            }
        }
        _ = try result.get()
        return value
    }
}

/// Loads a program for a raw tracepoint and attaches it; it runs until the descriptors are closed.
///
/// - Parameters:
///   - instructions: an array of `struct bpf_insn`, 8 bytes each.
///   - tracepoint: for example `sys_enter`.
/// - Returns: the program, and what it is attached by.
/// - Throws: `EACCES` or `EINVAL` where the verifier refuses it, with the end of its log; `EPERM` without `CAP_BPF` and
///   `CAP_PERFMON`.
public func attachProgram(
    _ instructions: [UInt8], to tracepoint: String
) throws(SystemError) -> (program: FileDescriptor, link: FileDescriptor) {
    let program = try loadProgram(instructions)
    do throws(SystemError) {
        let name = Array(tracepoint.utf8CString)
        let result = name.withUnsafeBytes { name in
            var attributes = carrel_bpf_raw_tracepoint(
                name: UInt64(UInt(bitPattern: name.baseAddress)), prog_fd: UInt32(program.rawValue), padding: 0)
            return Result { () throws(SystemError) in
                try bpf(BPF_RAW_TRACEPOINT_OPEN, &attributes, "BPF_RAW_TRACEPOINT_OPEN \(tracepoint)")
            }
        }
        return (program, FileDescriptor(rawValue: Int32(try result.get())))
    } catch {
        close(program)
        throw error
    }
}

/// How often a program was skipped since it ran already on that processor (`recursion_misses`, Linux 5.12).
public func missedRuns(of program: FileDescriptor) throws(SystemError) -> UInt64 {
    var info = [UInt8](repeating: 0, count: carrel_bpf_info_size)
    let result = info.withUnsafeMutableBytes { info in
        var attributes = carrel_bpf_info(
            bpf_fd: UInt32(program.rawValue), info_len: UInt32(info.count),
            info: UInt64(UInt(bitPattern: info.baseAddress)))
        return Result { () throws(SystemError) in
            try bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes, "BPF_OBJ_GET_INFO_BY_FD")
        }
    }
    _ = try result.get()
    return info.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: carrel_bpf_recursion_misses, as: UInt64.self) }
}

private func loadProgram(_ instructions: [UInt8]) throws(SystemError) -> FileDescriptor {
    // The helpers that read a tracee's memory are for programs under the GPL or a license that goes with it.
    let license = Array("Dual MIT/GPL".utf8CString)
    var log = [UInt8]()
    func load() -> Result<Int, SystemError> {
        instructions.withUnsafeBytes { instructions in
            license.withUnsafeBytes { license in
                log.withUnsafeMutableBytes { log in
                    var attributes = carrel_bpf_program()
                    attributes.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT.rawValue
                    attributes.insn_cnt = UInt32(instructions.count / 8)
                    attributes.insns = UInt64(UInt(bitPattern: instructions.baseAddress))
                    attributes.license = UInt64(UInt(bitPattern: license.baseAddress))
                    if !log.isEmpty {
                        attributes.log_level = 1
                        attributes.log_size = UInt32(log.count)
                        attributes.log_buf = UInt64(UInt(bitPattern: log.baseAddress))
                    }
                    return Result { () throws(SystemError) in try bpf(BPF_PROG_LOAD, &attributes, "BPF_PROG_LOAD") }
                }
            }
        }
    }
    do throws(SystemError) {
        return FileDescriptor(rawValue: Int32(try load().get()))
    } catch {
        if error.errno == .notPermitted { throw error }
        // Once more, for the verifier's reason.
        log = [UInt8](repeating: 0, count: 1 << 20)
        if let program = try? load().get() { return FileDescriptor(rawValue: Int32(program)) }
        let text = String(decoding: log.prefix { $0 != 0 }.suffix(600), as: UTF8.self)
        throw SystemError("bpf", "BPF_PROG_LOAD: \(text)", errno: error.errno)
    }
}

private func bpf<Attributes>(
    _ command: bpf_cmd, _ attributes: inout Attributes, _ name: @autoclosure () -> String
) throws(SystemError) -> Int {
    let result = withUnsafeMutablePointer(to: &attributes) {
        carrel_syscall(
            Int(SYS_bpf), Int(command.rawValue), Int(bitPattern: $0), MemoryLayout<Attributes>.size, 0, 0, 0)
    }
    if result == -1 { throw SystemError.last("bpf", name()) }
    return result
}
