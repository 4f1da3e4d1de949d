import Glibc
import Syscalls
import SystemPackage

/// A file as execve(2) sees it: an ELF file, a script, or a directory where the caller allows whole directories.
struct Program {
    private let file: FileDescriptor
    private let path: String

    init(_ file: FileDescriptor, _ path: String) {
        self.file = file
        self.path = path
    }

    /// The files that the kernel, and env(1), execute to run this one.
    ///
    /// - Throws: `ENOEXEC` where it is neither ELF of this machine nor a script.
    func interpreters(_ searchPath: [String]) throws(SystemError) -> [String] {
        let start: [UInt8]
        do throws(SystemError) {
            start = try bytes(at: 0, count: 256)  // BINPRM_BUF_SIZE: all that the kernel looks at.
        } catch {
            if error.errno == .isDirectory { return [] }
            throw error
        }
        if start.starts(with: [0x7F, 0x45, 0x4C, 0x46]) { return try elfInterpreter(start).map { [$0] } ?? [] }
        if start.starts(with: [0x23, 0x21]) { return try scriptInterpreters(start[2...], searchPath) }
        throw notExecutable
    }

    /// `PT_INTERP` of an ELF file (elf(5)); `nil` for a static one.
    private func elfInterpreter(_ header: [UInt8]) throws(SystemError) -> String? {
        let sixtyFourBit: UInt8 = 2
        let littleEndian: UInt8 = 1
        guard header.count >= 64, header[4] == sixtyFourBit, header[5] == littleEndian, number(header, 54, 2) == 56
        else { throw notExecutable }
        let count = number(header, 56, 2)
        let table = try bytes(at: number(header, 32, 8), count: count * 56)
        guard table.count == count * 56 else { throw notExecutable }
        for entry in stride(from: 0, to: table.count, by: 56) where number(table, entry, 4) == PT_INTERP {
            let size = number(table, entry + 32, 8)
            guard size > 1, size <= Int(PATH_MAX) else { throw notExecutable }
            let name = try bytes(at: number(table, entry + 8, 8), count: size)
            guard name.count == size, name.first == 0x2F, name.firstIndex(of: 0) == size - 1 else {
                throw notExecutable
            }
            return String(decoding: name.dropLast(), as: UTF8.self)
        }
        return nil
    }

    /// The interpreter of a `#!` line as the kernel reads it, and, where that is env(1), what env will find.
    private func scriptInterpreters(_ text: ArraySlice<UInt8>, _ searchPath: [String]) throws(SystemError) -> [String] {
        let line = text.prefix { $0 != 0x0A && $0 != 0 }
        let words = line.split { $0 == 0x20 || $0 == 0x09 }.map { String(decoding: $0, as: UTF8.self) }
        guard let interpreter = words.first, interpreter.hasPrefix("/") else { throw notExecutable }
        guard interpreter.hasSuffix("/env") else { return [interpreter] }
        // env's own options, as `-S`, and assignments come before the program.
        guard let name = words.dropFirst().first(where: { !$0.hasPrefix("-") && !$0.contains("=") }) else {
            return [interpreter]
        }
        if name.hasPrefix("/") { return [interpreter, name] }
        let found = searchPath.lazy.map { "\($0)/\(name)" }.first { (path: String) in access(path, X_OK) == 0 }
        return [interpreter] + (found.map { [$0] } ?? [])
    }

    private var notExecutable: SystemError { SystemError("execve", path, errno: Errno(rawValue: ENOEXEC)) }

    private func number(_ bytes: [UInt8], _ offset: Int, _ size: Int) -> Int {
        Int(truncatingIfNeeded: bytes[offset..<offset + size].reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) })
    }

    /// Up to `count` bytes: fewer where the file ends.
    private func bytes(at offset: Int, count: Int) throws(SystemError) -> [UInt8] {
        guard offset >= 0 else { throw notExecutable }
        var buffer = [UInt8](repeating: 0, count: count)
        let read = try retrying("pread", path) { pread(file.rawValue, &buffer, count, offset) }
        buffer.removeLast(count - read)
        return buffer
    }
}
