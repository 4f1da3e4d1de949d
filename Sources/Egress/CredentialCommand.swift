import Glibc
import Syscalls
import SystemPackage

/// What a program writes that tells a credential's secret.
///
/// It has its time, and is killed then: a gateway that waited for ever could neither serve nor be told to end.
///
/// - Throws: ``GatewayError`` for one that cannot be started, ends otherwise than with 0, or does not end.
func output(
    of arguments: [String], for name: String, within limit: UInt64 = 30_000_000_000
) throws -> String {
    let end = monotonicNanoseconds() + limit
    let pipe = try makePipe()
    defer { close(pipe.reading) }
    let pid = try spawn(arguments, for: name, writing: pipe.writing)
    var bytes: [UInt8] = []
    var isOpen = true
    while isOpen, try isReadable(pipe.reading, until: end) {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = try retrying("read", arguments[0]) { read(pipe.reading.rawValue, &buffer, buffer.count) }
        isOpen = count > 0 && bytes.count < 1 << 20
        bytes += buffer.prefix(count)
    }
    var status: Int32 = 0
    while waitpid(pid, &status, WNOHANG) == 0 {
        if monotonicNanoseconds() < end {
            _ = try poll([], timeout: 5)
        } else {
            kill(-pid, SIGKILL)
            _ = try wait(for: pid)
            throw GatewayError("credential \(name): \(arguments[0]) did not end in \(limit / 1_000_000_000) s")
        }
    }
    guard status == 0 else { throw GatewayError("credential \(name): \(arguments[0]) did not end with 0") }
    return String(decoding: bytes, as: UTF8.self)
}

private func isReadable(_ descriptor: FileDescriptor, until end: UInt64) throws -> Bool {
    let now = monotonicNanoseconds()
    return try now < end && poll([(descriptor, .readable)], timeout: Int((end - now) / 1_000_000) + 1)[0] != []
}

/// Starts the program, in a process group of its own, with signals as programs expect them: the gateway blocks some.
private func spawn(_ arguments: [String], for name: String, writing: FileDescriptor) throws -> pid_t {
    defer { close(writing) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, writing.rawValue, 1)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var blocked = signalSet([])
    var ignored = signalSet([SIGPIPE, SIGXFSZ])
    posix_spawnattr_setsigmask(&attributes, &blocked)
    posix_spawnattr_setsigdefault(&attributes, &ignored)
    posix_spawnattr_setflags(
        &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
    let words = CStringVector(arguments)
    defer { words.free() }
    var pid: pid_t = 0
    let failure = posix_spawnp(&pid, arguments[0], &actions, &attributes, words.pointer, environ)
    guard failure == 0 else {
        throw GatewayError(
            "credential \(name): \(SystemError("posix_spawn", arguments[0], errno: Errno(rawValue: failure)))")
    }
    return pid
}
