import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// A process that the caller stays for: its signals and its terminal are handed on until it has ended.
public struct ForegroundProcess {
    private enum Token: UInt64 { case process, signals, terminal }

    private let epoll: FileDescriptor
    private let signals: FileDescriptor

    /// Blocks every signal, so that none is lost between the start of the process and `attend`.
    public init() throws(SystemError) {
        signals = try takeSignals()
        epoll = try epollCreate()
    }

    /// Waits for the caller's child `pid`, and gives its exit status as a shell would have it.
    ///
    /// - Parameters:
    ///   - process: a descriptor of the child.
    ///   - program: a descriptor of who gets the signals, where that is another: the child waits for it.
    ///   - terminal: the controlling side of its own terminal, where it has one.
    public func attend(
        _ process: FileDescriptor, pid: pid_t, program: FileDescriptor? = nil, terminal: FileDescriptor?
    ) throws(SystemError) -> Int32 {
        var relay: TerminalRelay?
        try epollControl(epoll, .add, process, token: Token.process.rawValue)
        try epollControl(epoll, .add, signals, token: Token.signals.rawValue)
        if let terminal {
            let carrier = try TerminalRelay(controller: terminal)
            try epollControl(epoll, .add, carrier.descriptor, token: Token.terminal.rawValue)
            relay = carrier
        }
        while true {
            for event in try epollWait(epoll) {
                switch Token(rawValue: event.token) {
                case .process:
                    relay?.finish(signals)
                    switch try wait(for: pid) {
                    case .exited(let code): return code
                    case .signaled(let signal): return 128 + signal
                    }
                case .signals:
                    while let signal = try readSignal(signals) {
                        if signal.signal == SIGWINCH {
                            relay?.resize()
                        } else {
                            try? pidfdSendSignal(program ?? process, signal.signal)
                        }
                    }
                case .terminal: relay?.carry()
                case nil: break
                }
            }
        }
    }
}

extension RuntimeRoot {
    /// Makes a container, starts it, and stays until it has ended, to take it away; or leaves it to itself.
    ///
    /// - Parameter detached: returns when the payload runs.
    /// - Returns: the payload's exit status, or 0.
    public func run(
        _ request: CreateRequest, detached: Bool, keepsRecord: Bool = false
    ) throws(RuntimeError) -> Int32 {
        var request = request
        request.waits = false
        request.takesTerminal = !detached
        let foreground = detached ? nil : try telling("run") { () throws(SystemError) in try ForegroundProcess() }
        let (container, process, terminal, hooks) = try create(request)
        container.hasStarted(hooks)
        guard let foreground else {
            container.close()
            return 0
        }
        return try attend(
            container, process, by: foreground, terminal: request.consoleSocket == nil ? terminal : nil, hooks: hooks,
            keepsRecord: keepsRecord)
    }

    /// Stays until a container has ended, and takes it away.
    ///
    /// - Returns: its exit status.
    func attend(
        _ container: RuntimeContainer, _ process: FileDescriptor, by foreground: ForegroundProcess,
        terminal: FileDescriptor?, hooks: Hooks?, keepsRecord: Bool = false
    ) throws(RuntimeError) -> Int32 {
        // The lock goes: whoever wants to kill or delete it meanwhile can.
        _ = flock(container.directory.descriptor.rawValue, LOCK_UN)
        let status = try telling("run") { () throws(SystemError) in
            try foreground.attend(process, pid: container.record.pid, terminal: terminal)
        }
        if !keepsRecord {
            // By its directory, for the name may be another container's by now.
            guard try telling("run", { () throws(SystemError) in try container.directory.lockIfThere() }) else {
                return status
            }
            let record = try ContainerRecord.read(container.directory)
            var left = RuntimeContainer(directory: container.directory, record: record)
            left.opened = container.opened
            try left.delete(force: true, poststop: hooks?.poststop ?? [])
            left.close()
        }
        return status
    }
}
