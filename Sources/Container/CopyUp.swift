import Glibc
import Syscalls
import SystemPackage

/// Copies what is in one directory into another, empty one: what a tmpfs with the option `tmpcopyup` begins with.
///
/// Owners, permission bits and times are kept; links are copied as links and never followed; devices, sockets and FIFOs
/// are made anew where the caller may make them.
func copyUp(from source: FileDescriptor, to target: FileDescriptor) throws(SystemError) {
    for name in try listBytes(at: source) { try copyUp(name, from: source, to: target) }
    let own = try status(source)
    try checking("fchown") { fchown(target.rawValue, own.st_uid, own.st_gid) }
    try checking("fchmod") { fchmod(target.rawValue, own.st_mode & 0o7777) }
}

private func copyUp(
    _ name: [CChar], from source: FileDescriptor, to target: FileDescriptor
) throws(SystemError) {
    func shown() -> String { name.withUnsafeBufferPointer { String(cString: $0.baseAddress!) } }
    func open(_ flags: Int32, at directory: FileDescriptor) throws(SystemError) -> FileDescriptor {
        FileDescriptor(
            rawValue: try retrying("openat", shown()) {
                openat(directory.rawValue, name, flags | O_NOFOLLOW | O_CLOEXEC, 0o600)
            })
    }
    var found = stat()
    try checking("fstatat", shown()) { fstatat(source.rawValue, name, &found, AT_SYMLINK_NOFOLLOW) }
    switch found.st_mode & S_IFMT {
    case S_IFDIR:
        try checking("mkdirat", shown()) { mkdirat(target.rawValue, name, 0o700) }
        let from = try open(O_RDONLY | O_DIRECTORY, at: source)
        defer { close(from) }
        let to = try open(O_RDONLY | O_DIRECTORY, at: target)
        defer { close(to) }
        try copyUp(from: from, to: to)
    case S_IFLNK:
        var destination = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        try checking("readlinkat", shown()) { readlinkat(source.rawValue, name, &destination, Int(PATH_MAX)) }
        try checking("symlinkat", shown()) { symlinkat(destination, target.rawValue, name) }
    case S_IFREG:
        let from = try open(O_RDONLY, at: source)
        defer { close(from) }
        let to = try open(O_WRONLY | O_CREAT | O_EXCL, at: target)
        defer { close(to) }
        var left = Int(found.st_size)
        while left > 0 {
            let copied = try retrying("sendfile", shown()) { sendfile(to.rawValue, from.rawValue, nil, left) }
            if copied == 0 { break }
            left -= copied
        }
    default: try checking("mknodat", shown()) { mknodat(target.rawValue, name, found.st_mode, found.st_rdev) }
    }
    try checking("fchownat", shown()) {
        fchownat(target.rawValue, name, found.st_uid, found.st_gid, AT_SYMLINK_NOFOLLOW)
    }
    if found.st_mode & S_IFMT != S_IFLNK {
        try checking("fchmodat", shown()) { fchmodat(target.rawValue, name, found.st_mode & 0o7777, 0) }
    }
    var times = [found.st_atim, found.st_mtim]
    try checking("utimensat", shown()) { utimensat(target.rawValue, name, &times, AT_SYMLINK_NOFOLLOW) }
}
