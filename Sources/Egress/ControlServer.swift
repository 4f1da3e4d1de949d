import Documents
import EgressPolicy
import Glibc
import Metering
import NIOConcurrencyHelpers
import Syscalls
import SystemPackage

/// The control socket: supervisors hand their sessions' listeners over, operators ask.
///
/// One thread, since descriptors travel beside bytes (`SCM_RIGHTS`, unix(7)), which NIO's channels do not carry.
final class ControlServer: @unchecked Sendable {
    private let gateway: Gateway
    private let listener: FileDescriptor
    private let epoll: FileDescriptor
    private let wake: FileDescriptor
    /// Only on the control thread.
    private var peers: [Int32: ControlPeer] = [:]
    /// The sessions that end with a process, by its descriptor. Only on the control thread.
    private var processes: [Int32: (process: SessionProcess, session: EgressSession)] = [:]
    private let stopping = NIOLockedValueBox(false)
    /// Whether it ends by itself when nobody needs it. Only on the control thread.
    private var endsWhenIdle = false
    /// Nanoseconds since the last peer was there.
    private(set) var idleSince = monotonicNanoseconds()

    init(_ gateway: Gateway) throws {
        self.gateway = gateway
        let path = gateway.places.control
        try? remove(path)
        listener = try listenLocal(at: path, mode: 0o600)
        epoll = try epollCreate()
        wake = try eventFD()
        try epollControl(epoll, .add, listener)
        try epollControl(epoll, .add, wake)
    }

    /// Serves until ``stop()``, or until nobody has been there for so long.
    func run(idleExit: UInt64?) throws(SystemError) {
        endsWhenIdle = idleExit != nil
        // Whoever has connected, and has no session here, is told at once: what is under way can take a while.
        defer {
            close(listener)
            for peer in Array(peers.values) where peer.session == nil { drop(peer) }
        }
        while !stopping.withLockedValue({ $0 }) {
            if !peers.isEmpty || !processes.isEmpty { idleSince = monotonicNanoseconds() }
            if let idleExit, monotonicNanoseconds() - idleSince > idleExit { return }
            for event in try epollWait(epoll, timeout: 1000) {
                let descriptor = Int32(truncatingIfNeeded: event.token)
                if descriptor == listener.rawValue {
                    accept()
                } else if let peer = peers[descriptor] {
                    if event.events.contains(.writable) { peer.flush() }
                    if !event.events.subtracting(.writable).isEmpty { read(peer) }
                    if peer.isBroken { drop(peer) }
                } else if let ended = processes.removeValue(forKey: descriptor) {
                    forget(ended.process)
                    gateway.close(ended.session)
                    try? gateway.budgets.close(session: ended.session.id)
                }
            }
            for peer in peers.values {
                if peer.isBroken {
                    drop(peer)
                } else if peer.takeWantsWriting() {
                    try? epollControl(epoll, .modify, peer.descriptor, [.readable, .writable])
                }
            }
            try? gateway.budgets.synchronise()
        }
    }

    func stop() {
        stopping.withLockedValue { $0 = true }
        try? eventFDAdd(wake)
    }

    private func accept() {
        guard let descriptor = try? acceptConnection(listener, nonBlocking: true) else { return }
        // The socket's mode and directory say the same; this is what holds if one of them is changed.
        guard let peer = try? peerCredentials(of: descriptor), peer.uid == geteuid() || peer.uid == 0,
            peers.count < 8192
        else { return close(descriptor) }
        peers[descriptor.rawValue] = ControlPeer(descriptor)
        try? epollControl(epoll, .add, descriptor)
    }

    private func drop(_ peer: ControlPeer) {
        if let session = peer.session { gateway.close(session) }
        peers[peer.descriptor.rawValue] = nil
        try? epollControl(epoll, .delete, peer.descriptor)
        peer.end()
    }

    private func read(_ peer: ControlPeer) {
        do throws(SystemError) {
            let (bytes, descriptors) = try receive(from: peer.descriptor, limit: 65536)
            peer.descriptors += descriptors
            if bytes.isEmpty { return drop(peer) }
            peer.buffer += bytes
        } catch {
            if error.errno != .wouldBlock { drop(peer) }
            return
        }
        while let end = peer.buffer.firstIndex(of: 0x0A) {
            let line = Array(peer.buffer[..<end])
            peer.buffer.removeFirst(end + 1)
            perform(line, peer)
        }
        if peer.buffer.count > 4 << 20 || peer.descriptors.count > 256 { drop(peer) }
    }

    private func perform(_ line: [UInt8], _ peer: ControlPeer) {
        do {
            switch try ControlRequest(line: line) {
            case .hello(let session, let policy): peer.send(try hello(session, policy))
            case .open(let open): try self.open(open, peer)
            case .close:
                if let session = peer.session {
                    // Its last usage goes out before the connection ends.
                    try session.loop.submit { session.close() }.wait()
                    try? gateway.budgets.close(session: session.id)
                }
                drop(peer)
            case .budget(let id): peer.send(.answer(try state(of: id)))
            case .raise(let id, let microdollars, let tokens):
                do throws(BudgetFailure) {
                    let nanodollars = microdollars.saturatingMultiply(1000)
                    try gateway.budgets.raise(session: id, nanodollars: nanodollars, tokens: tokens)
                } catch {
                    throw GatewayError("the budget of \(id) is not raised: \(error)")
                }
                if let session = gateway.session(id) { session.loop.execute { session.resume() } }
                peer.send(.answer(try state(of: id)))
            case .closeMatching(let session, let tenant):
                let count = gateway.closeMatching(session: session, tenant: tenant)
                peer.send(.answer(["closed": Node(.integer(Int64(count)))]))
            case .status:
                let more = Node.Entry(key: "endsWhenIdle", value: Node(.bool(endsWhenIdle)))
                peer.send(.answer(Node(.mapping((gateway.status.entries ?? []) + [more]))))
            }
        } catch let error as GatewayError {
            peer.send(.refused(why: error.message, fix: error.fix))
        } catch let error as ControlProtocolError {
            peer.send(.refused(why: error.description, fix: ControlRequest.restart(getpid())))
        } catch {
            peer.send(.refused(why: "\(error)", fix: nil))
        }
    }

    private func hello(_ session: String?, _ policy: Node?) throws -> ControlEvent {
        var dummies: [String: String] = [:]
        if let policy {
            let policy = try EgressPolicy(policy)
            try gateway.checkCredentials(policy)
            // A name is claimed before its gateway is greeted. What the book has of it is of a session that is gone, and never
            // said so: its supervisor was killed, or there was no gateway to be told.
            if let session, gateway.session(session) == nil { try gateway.budgets.close(session: session) }
            for name in policy.credentials where gateway.credentials[name] != nil {
                dummies[name] = gateway.credentials.dummy(for: name, session: session ?? "")
            }
        }
        let authority = gateway.authority
        return .hello(GatewayHello(ca: authority.certificatePath, bundle: authority.bundlePath, dummies: dummies))
    }

    private func open(_ open: OpenSession, _ peer: ControlPeer) throws {
        let descriptors = peer.descriptors
        peer.descriptors = []
        let expected = open.listeners.count + (open.endsWithProcess ? 1 : 0)
        guard peer.session == nil, descriptors.count == expected, !gateway.isDraining else {
            for descriptor in descriptors { close(descriptor) }
            if gateway.isDraining { throw GatewayError("the gateway is ending", fix: "try again") }
            if peer.session != nil { throw GatewayError("the connection serves a session already") }
            throw GatewayError(
                "carrel and the gateway that runs are of different builds: expected \(expected) descriptors for the session, "
                    + "found \(descriptors.count)", fix: ControlRequest.restart(getpid()))
        }
        if open.endsWithProcess { return try openForProcess(open, descriptors, peer) }
        // Clients that have waited are served at once: what becomes of that is told after the answer.
        let held = NIOLockedValueBox<[ControlEvent]?>([])
        peer.session = try gateway.open(open, descriptors) { [weak peer] event in
            let isHeld = held.withLockedValue { held in
                held?.append(event)
                return held != nil
            }
            if !isHeld { peer?.send(event) }
        }
        peer.send(.ready(dummies: gateway.credentials.dummies(session: open.session)))
        held.withLockedValue { held in
            for event in held ?? [] { peer.send(event) }
            held = nil
        }
    }

    /// A session that outlives its connection: its process ends it, and is what can be ended. One that is to be paused has
    /// its requests refused, as every session has, until its budget is raised.
    private func openForProcess(_ open: OpenSession, _ descriptors: [FileDescriptor], _ peer: ControlPeer) throws {
        let process = SessionProcess(descriptors[descriptors.count - 1])
        do throws(SystemError) {
            try pidfdSendSignal(process.descriptor, 0)
            try epollControl(epoll, .add, process.descriptor)
        } catch {
            descriptors.forEach(close)
            throw GatewayError("expected a descriptor of a living process behind the listeners: \(error)")
        }
        do {
            let session = try gateway.open(open, Array(descriptors.dropLast())) { event in
                if case .decision(let decision) = event, decision.action == .end { process.kill() }
            }
            processes[process.descriptor.rawValue] = (process, session)
        } catch {
            forget(process)
            throw error
        }
        peer.send(.ready(dummies: gateway.credentials.dummies(session: open.session)))
    }

    private func forget(_ process: SessionProcess) {
        // Who sent the descriptor may have it open still: closing it would not end the watch.
        try? epollControl(epoll, .delete, process.descriptor)
        process.end()
    }

    private func state(of id: String) throws -> Node {
        guard let state = gateway.budgets.state(session: id) else {
            throw GatewayError("no session \(id) has a budget")
        }
        func account(_ account: BudgetState.Account) -> Node {
            [
                "spent": Node(.unsigned(account.spent)), "reserved": Node(.unsigned(account.reserved)),
                "limit": account.limit.map { Node(.unsigned($0)) } ?? nil,
            ]
        }
        return [
            "session": Node(.string(id)), "nanodollars": account(state.nanodollars), "tokens": account(state.tokens),
            "softMark": Node(.bool(state.isPastSoftMark)),
        ]
    }
}

/// One connection to the control socket. Written from any thread, read and closed by the control thread.
final class ControlPeer: @unchecked Sendable {
    let descriptor: FileDescriptor
    // On the control thread alone.
    var buffer: [UInt8] = []
    var descriptors: [FileDescriptor] = []
    var session: EgressSession?

    private struct Output {
        var waiting: [UInt8] = []
        var isBroken = false
        var isEnded = false
        var wantsWriting = false
    }

    private let output = NIOLockedValueBox(Output())
    /// A supervisor that does not read is cut off: its session would not hear of a decision.
    private static let most = 1 << 20

    init(_ descriptor: FileDescriptor) { self.descriptor = descriptor }

    var isBroken: Bool { output.withLockedValue { $0.isBroken } }

    func takeWantsWriting() -> Bool { output.withLockedValue { $0.wantsWriting && !$0.waiting.isEmpty } }

    func send(_ event: ControlEvent) {
        output.withLockedValue { output in
            if output.isEnded || output.isBroken { return }
            output.waiting += event.line
            write(&output)
            if output.waiting.count > Self.most { output.isBroken = true }
        }
    }

    func flush() { output.withLockedValue { write(&$0) } }

    private func write(_ output: inout Output) {
        while !output.waiting.isEmpty {
            let count = output.waiting.withUnsafeBytes {
                Glibc.send(descriptor.rawValue, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if count < 0 {
                if errno == EINTR { continue }
                if errno != EAGAIN { output.isBroken = true }
                break
            }
            output.waiting.removeFirst(count)
        }
        output.wantsWriting = !output.waiting.isEmpty
    }

    func end() {
        output.withLockedValue { output in
            if output.isEnded { return }
            output.isEnded = true
            for descriptor in descriptors { close(descriptor) }
            close(descriptor)
        }
    }
}

/// The process that a session ends with. Killed from any thread, closed by the control thread.
final class SessionProcess: Sendable {
    let descriptor: FileDescriptor
    private let isOpen = NIOLockedValueBox(true)

    init(_ descriptor: FileDescriptor) { self.descriptor = descriptor }

    func kill() {
        isOpen.withLockedValue { if $0 { try? pidfdSendSignal(descriptor, SIGKILL) } }
    }

    func end() {
        isOpen.withLockedValue { isOpen in
            if isOpen { close(descriptor) }
            isOpen = false
        }
    }
}
