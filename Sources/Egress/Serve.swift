import EgressPolicy
import Glibc
import Syscalls
import SystemPackage

/// Serves the sessions of a state directory until it is told to end or nobody needs it.
///
/// SIGTERM and SIGINT end it when what is under way has come to its end (30 seconds at most), SIGHUP has it read the
/// credentials again.
///
/// - Parameters:
///   - state: the state directory, absolute.
///   - config: gateway.yaml; `nil` for none.
///   - idleExit: nanoseconds without a session or an operator, after which it ends; `nil` for never.
/// - Throws: what keeps it from serving: a `GatewayError`, `SystemError` or the `Problems` of the configuration.
public func serveGateway(state: String, config path: String?, idleExit: UInt64?) throws {
    // Secrets are in this process: no core, no debugger of the same user (prctl(2), PR_SET_DUMPABLE).
    try setDumpable(false)
    try setResourceLimit(Int32(RLIMIT_CORE.rawValue), soft: 0, hard: 0, named: "core")
    try raiseOpenFiles()
    // What cannot be written, as beyond a limit on the size of files of whoever started it, is told of.
    for signal in [SIGPIPE, SIGXFSZ] { Glibc.signal(signal, SIG_IGN) }
    let places = GatewayPlaces(state: state)
    try makeDirectories(places.directory, mode: 0o700)
    let alone = try takePlace(places)
    defer { close(alone) }
    // Blocked before any thread is made, so that all of them inherit it.
    let signals = signalSet([SIGTERM, SIGINT, SIGHUP])
    try changeSignalMask(SIG_BLOCK, signals)
    let config = try GatewayConfig(path: path)
    // A program of the operator's has needs of its own.
    if config.runsCommands {
        tell("not confined: gateway.yaml has it run commands")
    } else {
        try confine(to: places.directory, metricsPort: config.metricsPort)
    }
    let gateway = try Gateway(state: state, config: config, configPath: path)
    try MetricsServer.start(gateway, port: config.metricsPort)
    let control = try ControlServer(gateway)
    let waiter = SignalWaiter(signals) { number in
        guard number == SIGHUP else { return control.stop() }
        do {
            try gateway.reload()
            tell("credentials read again")
        } catch {
            tell("credentials stay as they were: \(error)")
        }
    }
    try waiter.start()
    tell("serving \(state) as process \(getpid())")
    // One that a supervisor has started is no service, whatever it has inherited.
    if idleExit == nil { notifyManager() }
    try control.run(idleExit: idleExit)
    // A supervisor that comes now finds nobody, and starts another.
    try? remove(places.control)
    gateway.drain(for: 30)
    tell("ended")
}

/// Tells the service manager, where one waits for it, that sessions can come (sd_notify(3)).
private func notifyManager() {
    guard let path = getenv("NOTIFY_SOCKET") else { return }
    do throws(SystemError) {
        let manager = try connectDatagrams(to: String(cString: path))
        defer { close(manager) }
        try send(Array("READY=1".utf8), over: manager)
    } catch {
        tell("the service manager cannot be told: \(error)")
    }
}

/// Only one gateway serves a directory: the lock goes with its process.
private func takePlace(_ places: GatewayPlaces) throws -> FileDescriptor {
    let path = places.serving
    let file = try open(path, O_RDWR | O_CREAT | O_NOFOLLOW)
    var isMine = false
    defer { if !isMine { close(file) } }
    // One that was told to end lets its requests come to their end first, and takes nobody in meanwhile.
    for attempt in 0..<400 {
        isMine = (try? lock(file, LOCK_EX | LOCK_NB, named: path)) != nil
        if isMine { return file }
        if attempt >= 20, let other = serving(places) {
            throw GatewayError(
                "another gateway, process \(other), serves \(places.directory)",
                fix: "end it (kill \(other); of a service: systemctl stop), or name another --state")
        }
        _ = try poll([], timeout: 100)
    }
    throw GatewayError("a gateway that is ending holds \(places.directory)", fix: "try again when it has ended")
}

/// The process that answers at the control socket.
private func serving(_ places: GatewayPlaces) -> pid_t? {
    guard let connection = try? GatewayConnection(to: places.control) else { return nil }
    defer { connection.close() }
    return try? peerCredentials(of: connection.descriptor).pid
}

/// As many descriptors as the host allows: each connection has two.
///
/// - Throws: ``GatewayError`` where they are too few for its event loops, which have no other way to say so than a crash.
private func raiseOpenFiles() throws {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    guard limit.rlim_max < 64 else { return }
    throw GatewayError(
        "\(limit.rlim_max) open files are too few for the gateway",
        fix: "raise the limit of who starts it (ulimit -n 4096)")
}

/// Says something on standard error.
public func tell(_ text: String) {
    try? writeAll(Array("carrel-gateway: \(text)\n".utf8), to: FileDescriptor(rawValue: 2))
}

/// A thread that waits for signals, which all other threads block.
private final class SignalWaiter: Sendable {
    private let descriptor: FileDescriptor
    private let handle: @Sendable (Int32) -> Void

    init(_ signals: sigset_t, _ handle: @escaping @Sendable (Int32) -> Void) {
        descriptor = (try? signalFD(signals)) ?? FileDescriptor(rawValue: -1)
        self.handle = handle
    }

    func start() throws {
        var thread = pthread_t()
        let failure = pthread_create(
            &thread, nil,
            { context in
                let waiter = Unmanaged<SignalWaiter>.fromOpaque(context!).takeRetainedValue()
                waiter.wait()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        if failure != 0 { throw SystemError("pthread_create", nil, errno: Errno(rawValue: failure)) }
    }

    private func wait() {
        while (try? poll([(descriptor, .readable)])) != nil {
            guard let info = try? readSignal(descriptor) else { continue }
            handle(info.signal)
        }
    }
}
