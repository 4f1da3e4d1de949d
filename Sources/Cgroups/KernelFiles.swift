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
    try withContents(path) { String(decoding: $0, as: UTF8.self) }
}

/// Hands `body` what a kernel file says, without an allocation: reports are written while the caller waits.
func withContents<Result>(_ path: String, _ body: (UnsafeRawBufferPointer) -> Result) throws(CgroupError) -> Result {
    let file = try open(path)
    defer { close(file) }
    return try withContents(file, body)
}

/// Hands `body` what an open kernel file says now, from its start; at most 16 kB: lists of processes are longer.
func withContents<Result>(
    _ file: FileDescriptor, _ body: (UnsafeRawBufferPointer) -> Result
) throws(CgroupError) -> Result {
    try withUnsafeTemporaryAllocation(byteCount: 16_384, alignment: 8) { buffer throws(CgroupError) in
        let count = try kernel { () throws(SystemError) in
            try retrying("pread") { pread(file.rawValue, buffer.baseAddress, buffer.count, 0) }
        }
        return body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
}

/// The number after the word `key` in a kernel file of lines like `key number` or `some avg10=0.00 total=number`.
///
/// - Parameter skipping: how many such words to pass by first.
/// - Returns: `nil` where the file has no such word.
func value(_ key: String, skipping: Int = 0, in text: some Sequence<UInt8>) -> UInt64? {
    var key = key
    return key.withUTF8 { key in
        var skipping = skipping
        var number: UInt64?
        var matched: Int? = 0  // how much of the key this word begins with; nil when it is another word
        for byte in text {
            let endsWord = byte == UInt8(ascii: " ") || byte == UInt8(ascii: "=") || byte == UInt8(ascii: "\n")
            if let found = number {
                if endsWord { return found }
                number = found &* 10 &+ UInt64(byte &- UInt8(ascii: "0"))
            } else if endsWord {
                if matched == key.count {
                    if skipping == 0 { number = 0 } else { skipping -= 1 }
                }
                matched = 0
            } else if let count = matched {
                matched = count < key.count && byte == key[count] ? count + 1 : nil
            }
        }
        return number
    }
}

/// The number that a kernel file consists of; `nil` where it is `max`, and where there is no such file.
func number(_ path: String) -> UInt64? {
    (try? withContents(path) { number(in: $0) }) ?? nil
}

/// The same of an open kernel file.
func number(_ file: FileDescriptor) -> UInt64? {
    (try? withContents(file) { number(in: $0) }) ?? nil
}

/// The limit that a kernel file says; `nil` where it is none, which v1 says as the largest multiple of the page size.
func bound(_ path: String) -> UInt64? {
    number(path).flatMap { $0 > UInt64(Int64.max - 65_536) ? nil : $0 }
}

/// The number that a text begins with; `nil` where it begins with none.
func number(in text: some Sequence<UInt8>) -> UInt64? {
    var found: UInt64?
    for byte in text {
        guard byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") else { break }
        found = (found ?? 0) &* 10 &+ UInt64(byte &- UInt8(ascii: "0"))
    }
    return found
}

/// The names of the directories in `path`, in the kernel's order; none where `path` is gone.
func subdirectories(_ path: String) throws(CgroupError) -> [String] {
    do throws(SystemError) {
        return try list(path, onlyDirectories: true)
    } catch {
        if error.errno == .noSuchFileOrDirectory { return [] }
        throw .system(error)
    }
}
