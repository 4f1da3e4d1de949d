import Session
import Syscalls

/// Writes a file whole, in place of what is there; a link that leads to it stays.
func writeFile(_ path: String, _ text: String, _ option: String = "--output") throws(SessionError) {
    try writeFile(path, [UInt8](text.utf8), option)
}

func writeFile(_ path: String, _ bytes: [UInt8], _ option: String = "--output") throws(SessionError) {
    var place = path
    if let there = try? open(path, O_PATH) {
        defer { close(there) }
        if let found = try? status(there) { try requireFile(found, option, at: path) }
        place = (try? readLink("/proc/self/fd/\(there.rawValue)")) ?? path
    }
    do throws(SystemError) { try replaceFile(place, with: bytes, mode: 0o644) } catch {
        throw SessionError("\(option) \(path): \(error)")
    }
}
