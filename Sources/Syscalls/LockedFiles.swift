import Glibc
import SystemPackage

/// Takes an advisory lock on the open file (flock(2)), waiting for it: `LOCK_EX` or `LOCK_SH`. It goes with the last
/// descriptor of this open, so also when its holder is killed.
public func lock(_ descriptor: FileDescriptor, _ operation: Int32, named name: String? = nil) throws(SystemError) {
    try retrying("flock", name) { flock(descriptor.rawValue, operation) }
}

/// Reads up to `count` bytes at `offset` (pread(2)), fewer only at the end of the file.
public func readAt(
    _ descriptor: FileDescriptor, offset: Int, count: Int, named name: String? = nil
) throws(SystemError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
        let got = try retrying("pread", name) {
            bytes.withUnsafeMutableBytes {
                pread(descriptor.rawValue, $0.baseAddress! + done, count - done, off_t(offset + done))
            }
        }
        if got == 0 { break }
        done += got
    }
    bytes.removeLast(count - done)
    return bytes
}

/// Writes `bytes` at `offset` in one call (pwrite(2)); a part written is a failure, `ENOSPC`.
public func writeAt(
    _ descriptor: FileDescriptor, offset: Int, _ bytes: [UInt8], named name: String? = nil
) throws(SystemError) {
    let count = try retrying("pwrite", name) {
        bytes.withUnsafeBytes { pwrite(descriptor.rawValue, $0.baseAddress, $0.count, off_t(offset)) }
    }
    if count < bytes.count { throw SystemError("pwrite", name, errno: .noSpace) }
}

/// Cuts the file to `size` bytes (ftruncate(2)).
public func truncate(_ descriptor: FileDescriptor, to size: Int, named name: String? = nil) throws(SystemError) {
    try retrying("ftruncate", name) { ftruncate(descriptor.rawValue, off_t(size)) }
}

/// Waits until the file's content is on the disk (fdatasync(2)).
public func synchronise(_ descriptor: FileDescriptor, named name: String? = nil) throws(SystemError) {
    try retrying("fdatasync", name) { fdatasync(descriptor.rawValue) }
}
