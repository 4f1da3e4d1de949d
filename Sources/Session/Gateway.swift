import Container
import Documents
import EgressPolicy
import Glibc
import Syscalls
import SystemPackage

/// The gateway of a state directory: one process of the host, which whoever needs it first starts.
struct Gateway {
    private let state: StateDirectory
    private let places: GatewayPlaces
    /// How long an answer may take, milliseconds.
    private static let patience = 10_000
    /// How long it may take until there is one that answers, nanoseconds.
    private let startPatience: UInt64

    /// The gateway of this directory.
    ///
    /// - Parameter startPatience: nanoseconds for which one that starts is waited for, or one that lets what is under way come
    ///   to its end (30 s) before the next can start.
    init(_ state: StateDirectory, startPatience: UInt64 = 45_000_000_000) {
        self.state = state
        self.startPatience = startPatience
        places = GatewayPlaces(state: state.path)
    }

    /// What a session is to be composed with.
    ///
    /// What comes of it follows from the configuration as it is now: a gateway that an earlier start has left may have read
    /// another, or be of another build. Where it refuses and serves nobody it is ended, and a new one is asked.
    func greet(session: String, policy: Node) throws(SessionError) -> GatewayHello {
        let request = ControlRequest.hello(session: session, policy: policy)
        var answer: ControlEvent
        do throws(SessionError) {
            answer = try ask(request, starting: true)
        } catch {
            guard endUnused() else { throw error }
            answer = try ask(request, starting: true)
        }
        guard case .hello(let hello) = answer else { throw Self.surprised(answer) }
        return hello
    }

    /// Ends a gateway that would end by itself soon, since it serves nobody.
    ///
    /// - Returns: whether there was such a one, and it is gone.
    private func endUnused() -> Bool {
        guard case .answer(let status)? = try? ask(.status, starting: false), status["endsWhenIdle"]?.bool == true,
            status["sessions"]?.elements?.isEmpty == true, let number = status["pid"]?.int,
            let process = try? pidfdOpen(pid_t(truncatingIfNeeded: number))
        else { return false }
        defer { close(process) }
        try? pidfdSendSignal(process, SIGTERM)
        return (try? poll([(process, .readable)], timeout: Self.patience))?[0].contains(.readable) == true
    }

    /// Sends a request on a connection of its own and gives the answer.
    ///
    /// - Parameter starting: whether a gateway is started where there is none.
    func ask(_ request: ControlRequest, starting: Bool) throws(SessionError) -> ControlEvent {
        // A gateway that was idle may end between the connection and the request.
        for _ in 0..<3 {
            var connection = try connect(starting: starting)
            defer { connection.close() }
            if let answer = try exchange(request, &connection) { return answer }
        }
        throw Self.endsAtOnce(places)
    }

    /// `nil` where the gateway has closed the connection.
    private func exchange(
        _ request: ControlRequest, _ connection: inout GatewayConnection
    ) throws(SessionError) -> ControlEvent? {
        do {
            try connection.send(request)
            guard let answer = try connection.next(timeout: Self.patience) else { return nil }
            if case .refused(let why, let fix) = answer { throw SessionError("gateway: \(why)", fix: fix) }
            return answer
        } catch let error as SystemError where error.errno == .brokenPipe {
            return nil
        } catch {
            throw failure(error, connection)
        }
    }

    /// What went wrong between launcher and gateway, and the way out.
    private func failure(_ error: any Error, _ connection: GatewayConnection) -> SessionError {
        if let error = error as? SessionError { return error }
        var fix = "see \(places.log)"
        if error is ControlProtocolError, let peer = try? peerCredentials(of: connection.descriptor) {
            fix = ControlRequest.restart(peer.pid)
        }
        return SessionError("gateway: \(error)", fix: fix)
    }

    static func surprised(_ event: ControlEvent?) -> SessionError {
        SessionError("gateway: expected another answer than \(event.map { "\($0)" } ?? "the end of the connection")")
    }

    /// Serves a session: hands its listeners over on a connection that lives as long as the session.
    func serve(_ session: OpenSession, _ listeners: [FileDescriptor]) throws(SessionError) -> GatewayConnection {
        // As above: one that was there for nobody can end meanwhile.
        for _ in 0..<3 {
            var connection = try connect(starting: true)
            do {
                try connection.send(.open(session), descriptors: listeners)
                switch try connection.next(timeout: Self.patience) {
                case .ready: return connection
                case .refused(let why, let fix): throw SessionError("gateway: \(why)", fix: fix)
                case nil: break
                case let other: throw Self.surprised(other)
                }
            } catch let error as SystemError where error.errno == .brokenPipe {
                // It has ended: as without an answer.
            } catch {
                defer { connection.close() }
                throw failure(error, connection)
            }
            connection.close()
        }
        throw Self.endsAtOnce(places)
    }

    private static func endsAtOnce(_ places: GatewayPlaces) -> SessionError {
        SessionError("the gateway ends as soon as it is asked", fix: "see \(places.log)")
    }

    // MARK: Starting

    /// Connects to the gateway; starts it where none answers, one starter at a time.
    private func connect(starting: Bool) throws(SessionError) -> GatewayConnection {
        if let found = try connected() { return found }
        guard starting else {
            throw SessionError("no gateway runs for \(state.path)", fix: "it runs while a session with a door does")
        }
        let turn = try telling("gateway") { () throws(SystemError) in
            try makeDirectory(places.directory, mode: 0o700)
            return try open(places.lock, O_RDWR | O_CREAT | O_NOFOLLOW)
        }
        defer { Syscalls.close(turn) }
        var isMyTurn = false
        var process: FileDescriptor?
        defer { if let process { Syscalls.close(process) } }
        let end = monotonicNanoseconds() + startPatience
        repeat {
            if let found = try connected() { return found }
            if !isMyTurn { isMyTurn = isLocked(turn, places.lock) }
            if isMyTurn, process == nil, !isTaken { process = try start() }
            // Readable when the process has ended.
            let ended = try telling("gateway") { () throws(SystemError) in
                try poll(process.map { [($0, .readable)] } ?? [], timeout: isMyTurn ? 5 : 20)
            }
            if ended.first?.contains(.readable) == true {
                throw SessionError("the gateway did not start: \(lastWords())", fix: "see \(places.log)")
            }
        } while monotonicNanoseconds() < end
        throw SessionError("the gateway does not answer", fix: "see \(places.log)")
    }

    /// Whether a gateway has the directory that answers nobody: one that starts still, or ends.
    private var isTaken: Bool {
        guard let file = try? open(places.serving, O_RDWR | O_NOFOLLOW) else { return false }
        defer { Syscalls.close(file) }
        return !isLocked(file, places.serving)
    }

    /// Takes the lock on a file, if nobody has it.
    private func isLocked(_ file: FileDescriptor, _ path: String) -> Bool {
        (try? lock(file, LOCK_EX | LOCK_NB, named: path)) != nil
    }

    /// `nil` where nobody listens.
    private func connected() throws(SessionError) -> GatewayConnection? {
        do throws(SystemError) {
            return try GatewayConnection(to: places.control)
        } catch {
            if error.errno == .noSuchFileOrDirectory || error.errno == .connectionRefused { return nil }
            let fix = error.errno == .notPermitted ? "whoever runs as another user listens at \(places.control)" : nil
            throw SessionError("gateway: \(error)", fix: fix)
        }
    }

    /// Starts the gateway as a process of nobody: a session of its own, no descriptor, terminal or directory of the
    /// caller's, and no parent that would have to wait for it.
    ///
    /// - Returns: a descriptor of it.
    private func start() throws(SessionError) -> FileDescriptor {
        let program = try telling("gateway") { () throws(SystemError) in try programDirectory() + "/carrel-gateway" }
        guard access(program, X_OK) == 0 else {
            throw SessionError(
                "the gateway \(program) is not there, or not executable", fix: "install it beside carrel: make install")
        }
        var words = ["carrel-gateway", "serve", "--state", state.path, "--idle-exit", "30s"]
        if let configuration = try configuration() { words += ["--config", configuration] }
        let arguments = CStringVector(words)
        defer { arguments.free() }
        return try telling("start of the gateway") { () throws(SystemError) in
            // What the one before it said last may be why it is gone.
            try? rename(places.log, to: places.log + ".1", replacing: true)
            let log = try open(places.log, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_APPEND)
            defer { close(log) }
            let channel = try socketPair()
            defer { close(channel.0) }
            guard case .parent(let helper, let process) = try cloneProcess() else {
                becomeGateway(program, arguments, log, channel.1)
            }
            close(channel.1)
            close(process)
            let answer = try receive(from: channel.0)
            _ = try wait(for: helper)
            guard let started = answer.descriptors.first else {
                throw SystemError("clone3", program, errno: .noChildProcess)
            }
            return started
        }
    }

    /// The variable that names the configuration.
    static let configured = "CARREL_GATEWAY_CONFIG"

    /// The configuration: `CARREL_GATEWAY_CONFIG`, the host's, or the state directory's, where there is one.
    ///
    /// - Throws: ``SessionError`` for a path that is not absolute: whoever starts a gateway later is in another directory.
    func configuration() throws(SessionError) -> String? {
        if let named = environmentVariable(Self.configured), !named.isEmpty {
            guard named.hasPrefix("/") else {
                throw SessionError("\(Self.configured)=\(named): expected an absolute path")
            }
            return named
        }
        return ["/etc/carrel/gateway.yaml", state["gateway.yaml"]].first { exists($0) }
    }

    /// The helper between: makes the gateway, tells its descriptor, and ends, so that the gateway is init's child.
    private func becomeGateway(
        _ program: String, _ arguments: CStringVector, _ log: FileDescriptor, _ channel: FileDescriptor
    ) -> Never {
        do throws(SystemError) {
            try checking("setsid") { setsid() }
            if case .parent(_, let gateway) = try cloneProcess() {
                try send([0], descriptors: [gateway], over: channel)
                _exit(0)
            }
            let null = try open("/dev/null", O_RDWR)
            for target: Int32 in 0...1 { try duplicate(null, as: target) }
            try duplicate(log, as: 2)
            try closeOnExec(from: 3)
            _ = chdir("/")
            umask(0o022)
            try changeSignalMask(SIG_SETMASK, sigset_t())
            // The caller's environment: the configuration may name variables of it that hold credentials.
            let variables = try readFile("/proc/self/environ").split(separator: 0)
            try execute(
                program, arguments, environment: CStringVector(variables.map { String(decoding: $0, as: UTF8.self) }))
        } catch {
            try? writeAll("carrel-gateway: \(error)\n".utf8, to: log)
            _exit(127)
        }
    }

    /// The end of what the gateway wrote.
    private func lastWords() -> String {
        let text = (try? readText(places.log)) ?? ""
        return text.split(separator: "\n").suffix(3).joined(separator: "; ")
    }
}
