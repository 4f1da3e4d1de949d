import CSyscalls
import Documents
import Glibc
import Seccomp
import Syscalls
import SystemPackage
import Workshop

/// Where a session that is recorded runs, and what its programs are.
struct RecordedPlace {
    /// The root of the image on the host; empty for the host's own.
    private let root: String
    /// Directories inside and where their paths begin on the host, the longest first.
    private let places: [Place]

    private struct Place {
        let inside: String
        /// `nil`: gone with the session.
        let outside: String?
        /// Whether `outside` is the root, so that the whole path is looked up in it.
        var isRoot = false
    }

    init(_ parts: SessionParts) {
        let profile = parts.profile
        var places = profile.mounts.map { Place(inside: $0.target, outside: $0.source) }
        places.append(Place(inside: profile.workdir.target, outside: parts.workdir))
        for path in [profile.config?.target ?? "/tmp", profile.user.home, "/tmp", "/dev", "/proc", "/run"] {
            places.append(Place(inside: path, outside: nil))
        }
        switch profile.image {
        case .named(_, let path), .directory(let path):
            root = path
            places.append(Place(inside: "", outside: path))
        case .host:
            root = ""
            places += ["/usr", "/bin", "/sbin", "/lib", "/lib64"].map { Place(inside: $0, outside: "/", isRoot: true) }
        }
        self.places = places.sorted { $0.inside.utf8.count > $1.inside.utf8.count }
    }

    /// The kernel, the C library and the image.
    var environment: RecordedEnvironment {
        let running = RunningSystem()
        let release = ["usr/lib/os-release", "etc/os-release"].lazy.compactMap { contents(of: $0, in: root) }.first
        return RecordedEnvironment(
            kernel: running.release, libc: libraryVersion(root: root), architecture: running.machine,
            system: release.flatMap(systemName), image: packages(release ?? []))
    }

    /// A digest of what is installed: of the list of packages with their versions, and of the system's name. An image that is
    /// a plain directory has no digest of its own, and to read all of it takes longer than most runs.
    private func packages(_ release: [UInt8]) -> String? {
        for list in ["var/lib/dpkg/status", "lib/apk/db/installed", "var/lib/rpm/rpmdb.sqlite"] {
            guard let bytes = contents(of: list, in: root) else { continue }
            return "packages:sha256:" + sha256(release + bytes)
        }
        return nil
    }

    /// Tells each of these programs apart from others of its path.
    func identify(_ executables: inout [RecordedExecutable]) {
        for index in executables.indices { executables[index].identity = identity(of: executables[index].path) }
    }

    private func identity(of path: String) -> String? {
        guard let place = places.first(where: { Self.isBelow(path, $0.inside) }), let outside = place.outside else {
            return nil
        }
        let rest = String(path.dropFirst(place.isRoot ? 0 : place.inside.count).drop { $0 == "/" })
        return withFile(rest, in: outside) { file, size in fileIdentity(file, size: size) }
    }

    private static func isBelow(_ path: String, _ directory: String) -> Bool {
        path.hasPrefix("/") && (directory.isEmpty || path.hasPrefix(directory + "/"))
    }
}

/// Reads a file below a directory that a session could write in, or that somebody else has made: no link leads out, and no
/// pipe makes us wait.
private func withFile<Result>(
    _ path: String, in directory: String, _ body: (_ file: FileDescriptor, _ size: Int) -> Result?
) -> Result? {
    guard let directory = try? open(directory.isEmpty ? "/" : directory, O_RDONLY | O_DIRECTORY) else { return nil }
    defer { close(directory) }
    guard let file = try? open(path, O_RDONLY | O_NONBLOCK, in: directory, [.inRoot, .noMagicLinks]) else { return nil }
    defer { close(file) }
    guard let status = try? status(file), status.st_mode & S_IFMT == S_IFREG else { return nil }
    return body(file, Int(status.st_size))
}

private func contents(of path: String, in directory: String, limit: Int = 64 << 20) -> [UInt8]? {
    withFile(path, in: directory) { file, _ in try? readAll(file, limit: limit) }
}

/// The build id of a program (a hash that the linker made of its content; ld(1), `--build-id`), else a digest of the file, where
/// it is not a large one.
private func fileIdentity(_ file: FileDescriptor, size: Int) -> String? {
    func bytes(_ offset: Int, _ count: Int) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: count)
        let read = buffer.withUnsafeMutableBytes { pread(file.rawValue, $0.baseAddress, count, off_t(offset)) }
        return Array(buffer.prefix(max(0, read)))
    }
    if let id = buildID(bytes) { return "build-id:" + hexadecimal(Array(id)) }
    let most = 4 << 20
    return size <= most ? "sha256:" + sha256(bytes(0, size)) : nil
}

/// The note `NT_GNU_BUILD_ID` of a 64-bit program (elf(5)).
private func buildID(_ read: (_ offset: Int, _ count: Int) -> [UInt8]) -> ArraySlice<UInt8>? {
    func number<Value: FixedWidthInteger>(_ bytes: [UInt8], _ offset: Int, as type: Value.Type) -> Int? {
        guard offset >= 0, offset + MemoryLayout<Value>.size <= bytes.count else { return nil }
        return bytes.withUnsafeBytes { Int(exactly: $0.loadUnaligned(fromByteOffset: offset, as: Value.self)) }
    }
    let header = read(0, 64)
    guard header.starts(with: [0x7f, 0x45, 0x4c, 0x46, 2, 1]), let table = number(header, 32, as: UInt64.self),
        let size = number(header, 54, as: UInt16.self), let count = number(header, 56, as: UInt16.self), size >= 56
    else { return nil }
    let programs = read(table, size * min(count, 64))
    for program in stride(from: 0, to: programs.count, by: size) {
        let isNote = number(programs, program, as: UInt32.self) == 4  // PT_NOTE
        guard isNote, let start = number(programs, program + 8, as: UInt64.self),
            let length = number(programs, program + 32, as: UInt64.self), length <= 1 << 16
        else { continue }
        let notes = read(start, length)
        var at = 0
        while let name = number(notes, at, as: UInt32.self), let data = number(notes, at + 4, as: UInt32.self),
            let kind = number(notes, at + 8, as: UInt32.self)
        {
            let begin = at + 12 + (name + 3) / 4 * 4
            if kind == 3, name == 4, data > 0, begin + data <= notes.count { return notes[begin..<begin + data] }
            at = begin + (data + 3) / 4 * 4
        }
    }
    return nil
}

/// `debian 12`, of os-release(5).
private func systemName(_ release: [UInt8]) -> String? {
    func value(_ key: String) -> Substring? {
        String(decoding: release, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix(key + "=") }
            .map { $0.dropFirst(key.utf8.count + 1).drop { $0 == "\"" }.prefix { $0 != "\"" } }
    }
    return value("ID").map { id in value("VERSION_ID").map { "\(id) \($0)" } ?? String(id) }
}

/// The C library below `root`, for example `glibc 2.36`, by the words in its file; empty where none is found.
private func libraryVersion(root: String) -> String {
    for directory in ["x86_64-linux-gnu", "aarch64-linux-gnu", ".", "../lib64"] {
        guard let bytes = contents(of: "usr/lib/\(directory)/libc.so.6", in: root, limit: 8 << 20) else { continue }
        // GNU C Library (Debian GLIBC 2.36-9+deb12u13) stable release version 2.36.
        guard let banner = find("GNU C Library (", in: bytes[...]),
            let found = find("release version ", in: bytes[banner...].prefix(256))
        else { continue }
        let version = bytes[(found + 16)...].prefix { $0 == 0x2e || 0x30...0x39 ~= $0 }
        let text = String(decoding: version, as: UTF8.self)
        return "glibc " + (text.hasSuffix(".") ? String(text.dropLast()) : text)
    }
    for machine in ["x86_64", "aarch64"] where exists("\(root)/lib/ld-musl-\(machine).so.1") { return "musl" }
    return ""
}

/// Where a text begins, by memchr(3): files are large, and a session waits.
private func find(_ text: String, in bytes: ArraySlice<UInt8>) -> Int? {
    let text = Array(text.utf8)
    return bytes.withUnsafeBytes { all -> Int? in
        var at = 0
        while at + text.count <= all.count,
            let next = memchr(all.baseAddress! + at, Int32(text[0]), all.count - text.count - at + 1)
        {
            at = UnsafeRawPointer(next) - all.baseAddress!
            if memcmp(next, text, text.count) == 0 { return bytes.startIndex + at }
            at += 1
        }
        return nil
    }
}
