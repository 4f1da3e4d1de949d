import Syscalls

/// One mount, as proc_pid_mountinfo(5) tells it.
struct MountEntry {
    /// The number that `fdinfo` has for open files (`mnt_id`).
    let id: Int
    /// The device of its filesystem, `MAJOR:MINOR`.
    let device: String
    /// The directory of the filesystem that is its top.
    let root: String
    /// Where it is mounted.
    let point: String
    /// Its own options: `ro`, `nosuid` and others.
    let options: String
    /// `shared`, `master`, `unbindable`: how it passes events on; empty where it is private.
    let propagation: [String]
    /// Those that it exchanges events with, as `shared:N`.
    let peers: String?
    /// The type of its filesystem.
    let type: String
    /// The options of its filesystem.
    let filesystemOptions: String

    fileprivate init?(_ line: Substring) {
        let fields = line.split(separator: " ", omittingEmptySubsequences: false)
        guard fields.count > 9, let end = fields.firstIndex(of: "-"), end >= 6, fields.count > end + 3,
            let id = Int(fields[0])
        else { return nil }
        self.id = id
        device = String(fields[2])
        root = unescaped(fields[3])
        point = unescaped(fields[4])
        options = String(fields[5])
        propagation = fields[6..<end].map { String($0.prefix { $0 != ":" }) }.filter { $0 != "propagate_from" }
        peers = fields[6..<end].first { $0.hasPrefix("shared:") }.map(String.init)
        type = String(fields[end + 1])
        filesystemOptions = String(fields[end + 3])
    }
}

/// The mounts that a process sees, each behind those that it is stacked on.
///
/// - Parameter process: its number, or `self`.
func mountTable(of process: String) throws(SystemError) -> [MountEntry] {
    try readText("/proc/\(process)/mountinfo").split(separator: "\n").compactMap { MountEntry($0) }
}

/// How many mounts are stacked at `path`.
func mountCount(at path: String) -> Int {
    ((try? mountTable(of: "self")) ?? []).count { $0.point == path }
}

/// A path of mountinfo, which has space, tab, newline and backslash as three octal digits.
private func unescaped(_ field: Substring) -> String {
    guard field.utf8.contains(0x5c) else { return String(field) }
    var rest = field.utf8[...]
    var bytes: [UInt8] = []
    while let byte = rest.popFirst() {
        if byte == 0x5c, let code = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8) {
            bytes.append(code)
            rest.removeFirst(3)
        } else {
            bytes.append(byte)
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}
