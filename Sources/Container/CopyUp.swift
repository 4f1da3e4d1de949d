import Glibc
import Syscalls
import SystemPackage

/// Copies what is in one directory into another, empty one: what a tmpfs with the option `tmpcopyup` begins with.
///
/// Owners, permission bits and times are kept; links are copied as links and never followed; devices, sockets and FIFOs
/// are made anew where the caller may make them.
func copyUp(from source: FileDescriptor, to target: FileDescriptor) throws(SystemError) {
    for name in try list(".", at: source) {
        let found = try status(name, at: source, followingLinks: false)
        let mode = found.st_mode & 0o7777
        switch found.st_mode & S_IFMT {
        case S_IFDIR:
            try makeDirectory(name, mode: 0o700, at: target)
            let from = try open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, at: source)
            defer { close(from) }
            let to = try open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, at: target)
            defer { close(to) }
            try copyUp(from: from, to: to)
        case S_IFLNK:
            let destination = try readLink(name, at: source)
            try checking("symlinkat", name) { symlinkat(destination, target.rawValue, name) }
        case S_IFREG:
            let from = try open(name, O_RDONLY | O_NOFOLLOW, at: source)
            defer { close(from) }
            let to = try open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600, at: target)
            defer { close(to) }
            var left = Int(found.st_size)
            while left > 0 {
                let copied = try retrying("sendfile", name) { sendfile(to.rawValue, from.rawValue, nil, left) }
                if copied == 0 { break }
                left -= copied
            }
        default: try makeNode(name, mode: found.st_mode, device: found.st_rdev, at: target)
        }
        try setOwner(name, user: found.st_uid, group: found.st_gid, at: target)
        if found.st_mode & S_IFMT != S_IFLNK {
            try checking("fchmodat", name) { fchmodat(target.rawValue, name, mode, 0) }
        }
        var times = [found.st_atim, found.st_mtim]
        try checking("utimensat", name) { utimensat(target.rawValue, name, &times, AT_SYMLINK_NOFOLLOW) }
    }
    let own = try status(source)
    try checking("fchown") { fchown(target.rawValue, own.st_uid, own.st_gid) }
    try checking("fchmod") { fchmod(target.rawValue, own.st_mode & 0o7777) }
}
