import Glibc
import Syscalls
import SystemPackage

/// Opens `path` inside `root` with `O_PATH`, and makes it, parents first, where it is missing. Whatever links the tree
/// holds, nothing outside `root` is reached or made (openat2(2), `RESOLVE_IN_ROOT`).
///
/// - Parameters:
///   - path: absolute, `root` being its `/`.
///   - isDirectory: what to make: a directory, or an empty file.
///   - more: further restrictions of the walk.
///   - throughLinks: makes what a symbolic link leads to where that is missing, as images have it of /etc/resolv.conf and
///     /var/run; otherwise such a link is an error.
public func openOrMake(
    _ path: String, in root: FileDescriptor, isDirectory: Bool, _ more: PathResolution = [], throughLinks: Bool = false
) throws(SystemError) -> FileDescriptor {
    do throws(SystemError) {
        return try open(path, O_PATH, in: root, [.inRoot, .noMagicLinks, more])
    } catch {
        guard error.errno == .noSuchFileOrDirectory, let slash = path.utf8.lastIndex(of: 0x2f) else { throw error }
        let name = String(path[path.index(after: slash)...])
        guard !name.isEmpty, name != ".." else { throw error }
        let above = slash == path.startIndex ? "/" : String(path[..<slash])
        let parent = try openOrMake(above, in: root, isDirectory: true, more, throughLinks: throughLinks)
        defer { close(parent) }
        if throughLinks, let target = try? readLink(name, at: parent) {
            // One that leads to itself was ELOOP above.
            let names = target.utf8.split(separator: 0x2f).map { String(Substring($0)) }
            let place = (target.utf8.first == 0x2f ? [""] : [above]) + names
            return try openOrMake(
                place.joined(separator: "/"), in: root, isDirectory: isDirectory, more, throughLinks: true)
        }
        if isDirectory {
            try makeDirectory(name, at: parent)
        } else {
            close(try open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o644, at: parent))
        }
        return try open(name, O_PATH | O_NOFOLLOW, at: parent)
    }
}
