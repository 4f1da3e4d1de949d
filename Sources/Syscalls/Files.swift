import CSyscalls
import Glibc
import SystemPackage

extension FileDescriptor {
    /// The directory that relative paths start from where no other is given (`AT_FDCWD`).
    public static let workingDirectory = FileDescriptor(rawValue: AT_FDCWD)
}

/// Opens `path` relative to `directory` (openat(2)); always close-on-exec.
///
/// - Parameters:
///   - flags: `O_*` flags; `O_CLOEXEC` is added.
///   - mode: permission bits of a file that is created, before the umask.
public func open(
    _ path: String, _ flags: Int32, mode: mode_t = 0o600, at directory: FileDescriptor = .workingDirectory
) throws(SystemError) -> FileDescriptor {
    FileDescriptor(
        rawValue: try retrying("openat", path) { Glibc.openat(directory.rawValue, path, flags | O_CLOEXEC, mode) })
}

/// Closes `descriptor`; a descriptor that is closed already is not an error worth telling.
public func close(_ descriptor: FileDescriptor) {
    _ = Glibc.close(descriptor.rawValue)
}

/// Opens `path`, hands the descriptor to `body`, and closes it on every way out.
public func withOpen<Result>(
    _ path: String, _ flags: Int32, mode: mode_t = 0o600, at directory: FileDescriptor = .workingDirectory,
    _ body: (FileDescriptor) throws(SystemError) -> Result
) throws(SystemError) -> Result {
    let descriptor = try open(path, flags, mode: mode, at: directory)
    defer { close(descriptor) }
    return try body(descriptor)
}

/// Everything from the current offset to the end of the file.
///
/// - Parameter limit: the most bytes to read; a longer file throws `EFBIG`.
public func readAll(
    _ descriptor: FileDescriptor, limit: Int = 64 << 20, named name: String? = nil
) throws(SystemError) -> [UInt8] {
    var bytes: [UInt8] = []
    var size = 4096
    while true {
        let start = bytes.count
        bytes.append(contentsOf: repeatElement(0, count: size))
        let count = try retrying("read", name) {
            bytes.withUnsafeMutableBytes { Glibc.read(descriptor.rawValue, $0.baseAddress! + start, size) }
        }
        bytes.removeLast(size - count)
        if count == 0 { return bytes }
        if bytes.count > limit { throw SystemError("read", name, errno: .fileTooLarge) }
        size = min(max(size, bytes.count), 1 << 20)
    }
}

/// The whole file at `path`.
public func readFile(
    _ path: String, at directory: FileDescriptor = .workingDirectory, limit: Int = 64 << 20
) throws(SystemError) -> [UInt8] {
    try withOpen(path, O_RDONLY, at: directory) { file throws(SystemError) in
        try readAll(file, limit: limit, named: path)
    }
}

/// The whole file at `path` as text (invalid UTF-8 is repaired).
public func readText(_ path: String, at directory: FileDescriptor = .workingDirectory) throws(SystemError) -> String {
    String(decoding: try readFile(path, at: directory), as: UTF8.self)
}

/// Writes all of `bytes`, however many calls that takes.
public func writeAll(
    _ bytes: some Collection<UInt8>, to descriptor: FileDescriptor, named name: String? = nil
) throws(SystemError) {
    let contiguous = ContiguousArray(bytes)
    var done = 0
    while done < contiguous.count {
        done += try retrying("write", name) {
            contiguous.withUnsafeBytes {
                Glibc.write(descriptor.rawValue, $0.baseAddress! + done, contiguous.count - done)
            }
        }
    }
}

/// Writes `text` to an existing kernel file (procfs, cgroupfs) in one call, as those require.
public func writeControl(
    _ text: String, to path: String, at directory: FileDescriptor = .workingDirectory
) throws(SystemError) {
    try withOpen(path, O_WRONLY, at: directory) { file throws(SystemError) in
        var text = text
        try retrying("write", path) {
            text.withUTF8 { Glibc.write(file.rawValue, $0.baseAddress, $0.count) }
        }
    }
}

/// Replaces the file at `path` in one step: readers see the old content or the new, never a part (rename(2)). What somebody has
/// put in the way of the new one, a pipe or a link, is not opened.
public func replaceFile(
    _ path: String, with bytes: some Collection<UInt8>, mode: mode_t = 0o600,
    at directory: FileDescriptor = .workingDirectory
) throws(SystemError) {
    let temporary = "\(path).\(getpid()).new"
    do throws(SystemError) {
        func write() throws(SystemError) {
            try withOpen(temporary, O_WRONLY | O_CREAT | O_EXCL, mode: mode, at: directory) {
                file throws(SystemError) in try writeAll(bytes, to: file, named: temporary)
            }
        }
        do throws(SystemError) { try write() } catch {
            guard error.errno == .fileExists else { throw error }
            _ = unlinkat(directory.rawValue, temporary, 0)
            try write()
        }
        try checking("rename", path) {
            Glibc.renameat(directory.rawValue, temporary, directory.rawValue, path)
        }
    } catch {
        _ = unlinkat(directory.rawValue, temporary, 0)
        throw error
    }
}

/// Gives a file another name (renameat2(2)).
///
/// - Parameter replacing: without, a file of that name is `EEXIST` (`RENAME_NOREPLACE`).
public func rename(
    _ path: String, at directory: FileDescriptor = .workingDirectory, to target: String,
    in targetDirectory: FileDescriptor = .workingDirectory, replacing: Bool
) throws(SystemError) {
    try checking("renameat2", target) {
        path.withCString { path in
            target.withCString {
                carrel_syscall(
                    Int(SYS_renameat2), Int(directory.rawValue), Int(bitPattern: path), Int(targetDirectory.rawValue),
                    Int(bitPattern: $0), replacing ? 0 : 1, 0)
            }
        }
    }
}

/// Makes one directory (mkdirat(2)); one that exists already is not an error when `orExisting` is set.
public func makeDirectory(
    _ path: String, mode: mode_t = 0o755, orExisting: Bool = true, at directory: FileDescriptor = .workingDirectory
) throws(SystemError) {
    do throws(SystemError) {
        try checking("mkdirat", path) { Glibc.mkdirat(directory.rawValue, path, mode) }
    } catch {
        if orExisting && error.errno == .fileExists { return }
        throw error
    }
}

/// Makes a directory and every missing parent of it.
public func makeDirectories(
    _ path: String, mode: mode_t = 0o755, at directory: FileDescriptor = .workingDirectory
) throws(SystemError) {
    do throws(SystemError) {
        try makeDirectory(path, mode: mode, at: directory)
    } catch {
        guard error.errno == .noSuchFileOrDirectory, let slash = path.lastIndex(of: "/"), slash != path.startIndex
        else { throw error }
        try makeDirectories(String(path[..<slash]), mode: mode, at: directory)
        try makeDirectory(path, mode: mode, at: directory)
    }
}

/// Whether anything is at `path`, symbolic links not followed.
public func exists(_ path: String, at directory: FileDescriptor = .workingDirectory) -> Bool {
    (try? status(path, at: directory, followingLinks: false)) != nil
}

/// What fstatat(2) says of `path`.
public func status(
    _ path: String, at directory: FileDescriptor = .workingDirectory, followingLinks: Bool = true
) throws(SystemError) -> stat {
    var result = stat()
    try checking("fstatat", path) {
        fstatat(directory.rawValue, path, &result, followingLinks ? 0 : AT_SYMLINK_NOFOLLOW)
    }
    return result
}

/// What fstat(2) says of an open descriptor.
public func status(_ descriptor: FileDescriptor) throws(SystemError) -> stat {
    var result = stat()
    try checking("fstat") { fstat(descriptor.rawValue, &result) }
    return result
}

/// The names in a directory, without `.` and `..`, in the kernel's order.
///
/// - Parameters:
///   - onlyDirectories: what the filesystem itself tells to be anything else is left out; for the kernel's own.
///   - notUTF8: gets the names that are not UTF-8, and their repaired text, which is then not in the list.
public func list(
    _ path: String, at directory: FileDescriptor = .workingDirectory, onlyDirectories: Bool = false,
    notUTF8: ((UnsafePointer<CChar>, String) throws(SystemError) -> Void)? = nil
) throws(SystemError) -> [String] {
    let descriptor = try open(path, O_RDONLY | O_DIRECTORY, at: directory)
    guard let stream = fdopendir(descriptor.rawValue) else {
        let error = SystemError.last("fdopendir", path)
        close(descriptor)
        throw error
    }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
        errno = 0
        guard let entry = readdir(stream) else {
            if errno == 0 { return names }
            throw SystemError.last("readdir", path)
        }
        let bytes = UnsafeRawPointer(entry).advanced(by: MemoryLayout<dirent>.offset(of: \.d_name)!)
            .assumingMemoryBound(to: CChar.self)
        let text = String(validatingCString: bytes)
        let name = text ?? String(cString: bytes)
        if name == "." || name == ".." || onlyDirectories && entry.pointee.d_type != DT_DIR { continue }
        if text == nil, let notUTF8 {
            try notUTF8(bytes, name)
        } else {
            names.append(name)
        }
    }
}

/// The names in a directory as C strings, for what somebody else has named: no name need be UTF-8.
public func listBytes(at directory: FileDescriptor, onlyDirectories: Bool = false) throws(SystemError) -> [[CChar]] {
    var others: [[CChar]] = []
    let names = try list(".", at: directory, onlyDirectories: onlyDirectories) { bytes, _ in
        others.append(Array(UnsafeBufferPointer(start: bytes, count: strlen(bytes) + 1)))
    }
    return names.map { Array($0.utf8CString) } + others
}

/// Sets when a file, or a link itself, was last read and written to: a distance from the beginning of this second (utimensat(2)).
public func setModificationTime(_ path: String, inNanoseconds distance: Int64) throws(SystemError) {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    let (seconds, rest) = distance.quotientAndRemainder(dividingBy: 1_000_000_000)
    now.tv_sec += Int(seconds)
    let times = [timespec](repeating: timespec(tv_sec: now.tv_sec, tv_nsec: max(0, Int(rest))), count: 2)
    try checking("utimensat", path) { utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) }
}

/// Where the symbolic link at `path` points (readlinkat(2)).
public func readLink(
    _ path: String, at directory: FileDescriptor = .workingDirectory
) throws(SystemError) -> String {
    var result: Result<Int, SystemError> = .success(0)
    let text = String(unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer in
        let count = buffer.withMemoryRebound(to: CChar.self) {
            readlinkat(directory.rawValue, path, $0.baseAddress!, $0.count)
        }
        if count == -1 { result = .failure(SystemError.last("readlinkat", path)) }
        return max(count, 0)
    }
    _ = try result.get()
    return text
}

/// Whether a file has extended attributes, access control lists included (flistxattr(2), acl(5)).
public func hasExtendedAttributes(_ file: FileDescriptor) throws(SystemError) -> Bool {
    try checking("flistxattr") { carrel_syscall(Int(SYS_flistxattr), Int(file.rawValue), 0, 0, 0, 0, 0) } > 0
}

/// Sets an extended attribute of a file (fsetxattr(2)).
public func setExtendedAttribute(_ name: String, of file: FileDescriptor, to value: String) throws(SystemError) {
    try checking("fsetxattr", "\(name)=\(value)") {
        name.withCString { name in
            value.withCString {
                carrel_syscall(
                    Int(SYS_fsetxattr), Int(file.rawValue), Int(bitPattern: name), Int(bitPattern: $0), strlen($0) + 1,
                    0, 0)
            }
        }
    }
}

/// Removes a file, or an empty directory where `directory` is set; what is gone already is not an error.
public func remove(
    _ path: String, directory isDirectory: Bool = false, at directory: FileDescriptor = .workingDirectory
) throws(SystemError) {
    do throws(SystemError) {
        try checking("unlinkat", path) {
            unlinkat(directory.rawValue, path, isDirectory ? AT_REMOVEDIR : 0)
        }
    } catch {
        if error.errno != .noSuchFileOrDirectory { throw error }
    }
}

/// Removes a directory and all that is in it, never following a symbolic link out of it.
public func removeTree(_ path: String, at directory: FileDescriptor = .workingDirectory) throws(SystemError) {
    guard let found = try? status(path, at: directory, followingLinks: false) else { return }
    guard found.st_mode & S_IFMT == S_IFDIR else { return try remove(path, at: directory) }
    let inside = try open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, at: directory)
    defer { close(inside) }
    for name in try list(".", at: inside) { try removeTree(name, at: inside) }
    try remove(path, directory: true, at: directory)
}
