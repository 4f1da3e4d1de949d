import Glibc
import Syscalls
import SystemPackage

/// Opens a kernel file.
func open(_ path: String, _ flags: Int32 = O_RDONLY) throws(CgroupError) -> FileDescriptor {
    try kernel { () throws(SystemError) in try Syscalls.open(path, flags) }
}

/// Writes `value` to a kernel file in one call; the error tells both.
func write(_ value: String, _ path: String) throws(CgroupError) {
    do throws(SystemError) {
        try writeControl(value, to: path)
    } catch {
        throw .system(
            SystemError(error.call, error.call == "write" ? "\(value) to \(path)" : path, errno: error.errno))
    }
}

/// What a kernel file says.
func read(_ path: String) throws(CgroupError) -> String {
    let file = try open(path)
    defer { close(file) }
    return try readAgain(file)
}

/// What a kernel file that is open says now, from its start; at most 16 kB, more than any of the files here has.
func readAgain(_ file: FileDescriptor) throws(CgroupError) -> String {
    try kernel { () throws(SystemError) in
        var failure: SystemError?
        let text = String(unsafeUninitializedCapacity: 16_384) { buffer in
            do throws(SystemError) {
                return try retrying("pread") { pread(file.rawValue, buffer.baseAddress, buffer.count, 0) }
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        return text
    }
}

/// The number after `key` in a kernel file of lines `key number`; `nil` where it has none.
func value(_ key: String, in text: String) -> UInt64? {
    for line in text.utf8.split(separator: UInt8(ascii: "\n")) where line.starts(with: key.utf8) {
        let rest = line.dropFirst(key.utf8.count)
        if rest.first == UInt8(ascii: " ") { return UInt64(Substring(rest.dropFirst())) }
    }
    return nil
}

/// The number that a kernel file consists of; `nil` where it is `max`, and where there is no such file.
func number(_ path: String) -> UInt64? {
    guard let text = try? read(path) else { return nil }
    return UInt64(Substring(text.utf8.prefix { $0 != UInt8(ascii: "\n") }))
}

/// The names of the directories in `path`, in the kernel's order; none where `path` is gone.
func subdirectories(_ path: String) throws(CgroupError) -> [String] {
    try kernel { () throws(SystemError) in
        guard let stream = opendir(path) else {
            if errno == ENOENT { return [] }
            throw SystemError.last("opendir", path)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            guard entry.pointee.d_type == DT_DIR else { continue }
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }
}
