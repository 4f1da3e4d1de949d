import Glibc
import Syscalls
import SystemPackage

/// A file as execve(2) sees it: an ELF file, a script, or a directory where the caller allows whole directories.
struct Program {
    private let file: FileDescriptor
    private let path: String
    /// The first bytes, which mostly hold all that matters; `nil` for a directory.
    private let start: [UInt8]?

    init(_ file: FileDescriptor, _ path: String) throws(SystemError) {
        self.file = file
        self.path = path
        do throws(SystemError) {
            start = try Self.read(file, path, at: 0, count: 1024)
        } catch {
            if error.errno != .isDirectory { throw error }
            start = nil
        }
    }

    /// The files that the kernel, and env(1), execute to run this one.
    ///
    /// - Throws: `ENOEXEC` where it is neither ELF of this machine nor a script.
    func interpreters(_ searchPath: [String]) throws(SystemError) -> [String] {
        guard let start else { return [] }
        if start.starts(with: [0x7F, 0x45, 0x4C, 0x46]) { return try elfInterpreter(start).map { [$0] } ?? [] }
        // BINPRM_BUF_SIZE: all of a script that the kernel looks at.
        if start.starts(with: [0x23, 0x21]) {
            return try scriptInterpreters(start[2..<min(256, start.count)], searchPath)
        }
        throw notExecutable
    }

    /// `PT_INTERP` of an ELF file (elf(5)); `nil` for a static one.
    private func elfInterpreter(_ header: [UInt8]) throws(SystemError) -> String? {
        let sixtyFourBit: UInt8 = 2
        let littleEndian: UInt8 = 1
        let entrySize = 56
        guard header.count >= 64, header[4] == sixtyFourBit, header[5] == littleEndian,
            number(header, 54, as: UInt16.self) == entrySize
        else { throw notExecutable }
        let count = number(header, 56, as: UInt16.self)
        let table = try bytes(at: number(header, 32, as: UInt64.self), count: count * entrySize)
        for entry in stride(from: 0, to: table.count, by: entrySize)
        where number(table, entry, as: UInt32.self) == PT_INTERP {
            let size = number(table, entry + 32, as: UInt64.self)
            guard size > 1, size <= Int(PATH_MAX) else { throw notExecutable }
            let name = try bytes(at: number(table, entry + 8, as: UInt64.self), count: size)
            guard name.first == 0x2F, name.firstIndex(of: 0) == size - 1 else { throw notExecutable }
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

    private func number<Number: FixedWidthInteger>(_ bytes: [UInt8], _ offset: Int, as: Number.Type) -> Int {
        bytes.withUnsafeBytes {
            Int(truncatingIfNeeded: $0.loadUnaligned(fromByteOffset: offset, as: Number.self).littleEndian)
        }
    }

    /// Exactly `count` bytes.
    private func bytes(at offset: Int, count: Int) throws(SystemError) -> [UInt8] {
        guard offset >= 0 else { throw notExecutable }
        if let start, offset <= start.count, count <= start.count - offset {
            return Array(start[offset..<offset + count])
        }
        let bytes = try Self.read(file, path, at: offset, count: count)
        guard bytes.count == count else { throw notExecutable }
        return bytes
    }

    /// Up to `count` bytes: fewer where the file ends.
    private static func read(
        _ file: FileDescriptor, _ path: String, at offset: Int, count: Int
    ) throws(SystemError) -> [UInt8] {
        var result: Result<Int, SystemError> = .success(0)
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            result = Result { () throws(SystemError) in
                try retrying("pread", path) { pread(file.rawValue, buffer.baseAddress, count, offset) }
            }
            if case .success(let read) = result { filled = read }
        }
        _ = try result.get()
        return bytes
    }
}
