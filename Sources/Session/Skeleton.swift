import Container
import Documents
import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// A root filesystem put together once and used read-only by many sessions: the mount points, and the few files of /etc
/// that belong to no package. What an image holds is mounted into it.
///
/// An image directory need not have the mount points, and is never written to make them.
struct Skeleton {
    /// The directory that is the session's root.
    let path: String
    /// Holds it against the sweep until a record tells that it is used.
    let hold: FileDescriptor
    /// What of the image is mounted into it.
    let mounts: [Mount]

    /// Where something is mounted.
    struct MountPoint {
        let path: String
        let isDirectory: Bool
    }

    /// A file or link of the skeleton's own.
    enum Item {
        case directory
        case link(to: String)
        case text(String)
        case copy(of: String)
    }

    private static let bindOptions = ["rbind", "ro", "nosuid", "nodev", "idmap"]

    /// The `host` image: the host's /usr read-only, the links into it, and a minimal /etc.
    static func host(
        _ user: SessionUser, mountPoints: [MountPoint], ignoring patterns: [String], in state: StateDirectory
    ) throws(SessionError) -> Skeleton {
        var items: [(String, Item)] = [("usr", .directory)]
        for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
            guard let found = try? status("/" + name, followingLinks: false) else { continue }
            guard found.st_mode & S_IFMT == S_IFLNK, let target = try? readLink("/" + name) else {
                throw SessionError(
                    "the host image needs a merged /usr, and /\(name) is a directory of its own",
                    fix: "use a directory image (--image /path/to/root)")
            }
            items.append((name, .link(to: target)))
        }
        items += [
            ("etc", .directory), ("var", .directory), ("var/tmp", .link(to: "../tmp")), ("run", .directory),
            ("etc/passwd", .text(user.passwd)), ("etc/group", .text(user.group)),
            ("etc/hosts", .text("127.0.0.1 localhost\n::1 localhost\n")), ("etc/resolv.conf", .text(resolver)),
            ("etc/nsswitch.conf", .text("passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n")),
            // What protects and hides files of the workdir stands in it as files: not for git to add.
            ("etc/gitconfig", .text("[core]\n\texcludesFile = /etc/gitignore\n")),
            ("etc/gitignore", .text(gitignore(patterns))),
            ("etc/localtime", .link(to: (try? readLink("/etc/localtime")) ?? "/usr/share/zoneinfo/UTC")),
        ]
        var signature = "host"
        // What is copied from the host's /etc, and watched for change by its time.
        for name in ["etc/alternatives", "etc/ssl/certs", "etc/ld.so.cache", "etc/ssl/openssl.cnf", "etc/timezone"] {
            guard let found = try? status("/" + name) else { continue }
            if name == "etc/ssl/certs" { items.append(("etc/ssl", .directory)) }
            items.append((name, .copy(of: "/" + name)))
            signature += " \(name):\(found.st_ino).\(found.st_mtim.tv_sec).\(found.st_mtim.tv_nsec)"
        }
        let (path, hold) = try make("host", signature, items, mountPoints, in: state)
        return Skeleton(
            path: path, hold: hold,
            mounts: [Mount(destination: "/usr", type: "bind", source: "/usr", options: bindOptions)])
    }

    /// A directory image: every entry of its root that no mount point lies in is mounted as it is; where a mount point
    /// is missing, the directory is made in the skeleton and the image's entries are mounted into that.
    static func directory(
        _ image: String, mountPoints: [MountPoint], in state: StateDirectory
    ) throws(SessionError) -> Skeleton {
        guard image != "/" else {
            throw SessionError(
                "image /: a session never sees the host's whole tree",
                fix: "use --image host, and name further directories under mounts: in the profile")
        }
        var items: [(String, Item)] = []
        var mounts: [Mount] = []
        func expand(_ relative: String) throws(SessionError) {
            let inside = relative.isEmpty ? "" : relative + "/"
            let names = try telling("image \(image)") { () throws(SystemError) in try list("\(image)/\(relative)") }
            for name in names.sorted() {
                let path = inside + name
                if mountPoints.contains(where: { $0.path == "/" + path }) { continue }
                let found = try telling("image \(image)") { () throws(SystemError) in
                    try status("\(image)/\(path)", followingLinks: false)
                }
                switch found.st_mode & S_IFMT {
                case S_IFLNK:
                    let target = try telling("image \(image)") { () throws(SystemError) in
                        try readLink("\(image)/\(path)")
                    }
                    items.append((path, .link(to: target)))
                case S_IFDIR:
                    items.append((path, .directory))
                    let below = mountPoints.filter { $0.path.hasPrefix("/\(path)/") }
                    if below.contains(where: { !exists(image + $0.path) }) {
                        try expand(path)
                    } else {
                        mounts.append(
                            Mount(
                                destination: "/" + path, type: "bind", source: "\(image)/\(path)", options: bindOptions)
                        )
                    }
                case S_IFREG:
                    items.append((path, .text("")))
                    mounts.append(
                        Mount(destination: "/" + path, type: "bind", source: "\(image)/\(path)", options: bindOptions))
                default: continue  // a device, a socket or a pipe of an image means nothing in a session
                }
            }
        }
        try expand("")
        var signature = image
        for (name, item) in items {
            signature += " \(name)"
            if case .link(let target) = item { signature += ">" + target }
        }
        let (path, hold) = try make("directory", signature, items, mountPoints, in: state)
        return Skeleton(path: path, hold: hold, mounts: mounts)
    }

    /// The patterns of a workdir as gitignore(5) writes them: without a slash in front they would hold at any depth.
    private static func gitignore(_ patterns: [String]) -> String {
        patterns.map { $0.hasPrefix("**/") ? $0 + "\n" : "/\($0)\n" }.joined()
    }

    static let resolver = "# No resolver outside the session: names are the gateway's.\nnameserver 127.0.0.1\n"

    /// Finds the skeleton of these contents, or makes it beside its place and renames it there.
    private static func make(
        _ kind: String, _ signature: String, _ items: [(String, Item)], _ mountPoints: [MountPoint],
        in state: StateDirectory
    ) throws(SessionError) -> (path: String, hold: FileDescriptor) {
        var text = "2 \(signature) " + mountPoints.map(\.path).joined(separator: ":")
        for case (let name, .text(let content)) in items { text += " \(name)=\(content)" }
        for case (let name, .link(let target)) in items { text += " \(name)>\(target)" }
        let path = state["images/\(kind)-\(shortName(text))"]
        if let hold = Images.hold(path) { return (path, hold) }
        let draft = "\(path).\(getpid()).new"
        do throws(SystemError) {
            try makeDirectory(draft, mode: 0o755, orExisting: false)
            for (name, item) in items {
                let target = "\(draft)/\(name)"
                switch item {
                case .directory: try makeDirectories(target)
                case .link(let destination): try checking("symlink", target) { symlink(destination, target) }
                case .text(let content): try replaceFile(target, with: content.utf8, mode: 0o644)
                case .copy(let source): try copyTree(source, to: target)
                }
            }
            // An image's links are in the draft by now: they lead nowhere but inside it.
            let root = try open(draft, O_RDONLY | O_DIRECTORY)
            defer { close(root) }
            for point in mountPoints {
                close(try openOrMake(point.path, in: root, isDirectory: point.isDirectory))
            }
            try checking("rename", path) { rename(draft, path) }
        } catch {
            try? removeTree(draft)
            // Another call may have been first: it made the same.
            if let hold = Images.hold(path) { return (path, hold) }
            throw SessionError("cannot put together the root: \(error)")
        }
        guard let hold = Images.hold(path) else { throw SessionError("the root \(path) was removed as it was made") }
        return (path, hold)
    }

    /// Copies files, links and directories by their content; anything else is passed over.
    private static func copyTree(_ source: String, to target: String) throws(SystemError) {
        let found = try status(source, followingLinks: false)
        switch found.st_mode & S_IFMT {
        case S_IFDIR:
            try makeDirectory(target)
            for name in try list(source) { try copyTree("\(source)/\(name)", to: "\(target)/\(name)") }
        case S_IFLNK:
            let destination = try readLink(source)
            try checking("symlink", target) { symlink(destination, target) }
        case S_IFREG:
            guard let content = try? readFile(source) else { return }
            try replaceFile(target, with: content, mode: 0o644)
        default: return
        }
    }
}

/// Who the payload is, inside.
struct SessionUser {
    let uid: UInt32
    let gid: UInt32
    let name: String
    let home: String

    var passwd: String {
        "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n\(name):x:\(uid):\(gid):\(name):\(home):/bin/sh\n"
            + "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    }

    var group: String { "root:x:0:\n\(name):x:\(gid):\nnogroup:x:65534:\n" }
}

/// The fingerprint of a text as a name of a file: 16 digits.
func shortName(_ text: String) -> String {
    let digits = String(fingerprint(text), radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
}
