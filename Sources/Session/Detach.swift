import Container
import Documents
import Glibc
import Syscalls
import SystemPackage

extension SessionLog {
    /// What a detached session's standard descriptors are.
    struct Pipe {
        let null: FileDescriptor
        let reading: FileDescriptor
        let writing: FileDescriptor
    }
}

extension Carrel {
    /// Starts the session under a supervisor of its own and returns when it runs: prints nothing, keeps no terminal,
    /// leaves no zombie.
    ///
    /// - Returns: 0; the session's name is written to standard output.
    func detach(_ request: SessionRequest) throws(SessionError) -> Int32 {
        // The supervisor is not waited for: it outlives this process and belongs to init then.
        let started = try startDetached(request)
        signal(SIGPIPE, SIG_IGN)
        do throws(SystemError) {
            try writeAll((started.id + "\n").utf8, to: FileDescriptor(rawValue: 1))
        } catch {
            // Without a name that its caller chose nobody knows it.
            guard request.session == nil else { return 0 }
            try? pidfdSendSignal(started.supervisor, SIGTERM)
            throw SessionError(
                "cannot print the name of session \(started.id), which is ended: \(error)",
                fix: "choose a --session, or a standard output that can be written")
        }
        return 0
    }

    /// A session that was started in the background.
    struct StartedSession {
        /// Its name.
        let id: String
        /// Readable when its supervisor is gone.
        let supervisor: FileDescriptor
        fileprivate let pid: pid_t

        /// Waits for the supervisor's end, a child of this process.
        func reap() {
            close(supervisor)
            _ = try? Syscalls.wait(for: pid)
        }
    }

    /// Starts the session under a supervisor of its own, a child of this process, and returns when it runs.
    func startDetached(_ request: SessionRequest) throws(SessionError) -> StartedSession {
        if request.wantsTerminal {
            throw SessionError("--detach and --tty exclude each other: a detached session has no terminal")
        }
        let channel = try telling("detach") { () throws(SystemError) in try socketPair() }
        let result = try telling("detach") { () throws(SystemError) in try cloneProcess() }
        switch result {
        case .child:
            close(channel.0)
            superviseDetached(request, channel.1)
        case .parent(let pid, let supervisor):
            close(channel.1)
            let answer = try telling("detach") { () throws(SystemError) in try receive(from: channel.0, limit: 65_536) }
            guard let kind = answer.bytes.first else {
                throw SessionError("the supervisor ended before the session had started")
            }
            let text = String(decoding: answer.bytes.dropFirst(), as: UTF8.self)
            if kind == 0 { return StartedSession(id: text, supervisor: supervisor, pid: pid) }
            let parts = text.split(separator: "\0", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            throw SessionError(
                parts[0], fix: parts.count > 1 && !parts[1].isEmpty ? parts[1] : nil, exitStatus: Int32(kind))
        }
    }

    private func superviseDetached(_ request: SessionRequest, _ channel: FileDescriptor) -> Never {
        do throws(SessionError) {
            let pipe = try telling("detach") { () throws(SystemError) in
                // A start that nobody waits for any more, as when its caller was interrupted, is none.
                try setParentDeathSignal(SIGKILL)
                if try poll([(channel, .readable)], timeout: 0) != [[]] { _exit(125) }
                // Of the caller nothing stays: no terminal, no group of processes, no descriptor; at last no directory.
                try checking("setsid") { setsid() }
                let null = try open("/dev/null", O_RDWR)
                let (reading, writing) = try makePipe()
                for target in 0...2 { try duplicate(null, as: Int32(target)) }
                return SessionLog.Pipe(null: null, reading: reading, writing: writing)
            }
            let status = try runHere(request, log: pipe, recorder: nil) { id in
                // Not before: the request's paths may be relative to it.
                _ = chdir("/")
                try? setParentDeathSignal(0)
                // A session whose name nobody was told is ended in order.
                if (try? send([0] + Array(id.utf8), over: channel)) == nil { Glibc.kill(getpid(), SIGTERM) }
                close(channel)
            }
            _exit(status)
        } catch {
            let status = UInt8(truncatingIfNeeded: error.exitStatus)
            try? send([status] + Array("\(error.message)\0\(error.fix ?? "")".utf8.prefix(60_000)), over: channel)
            _exit(error.exitStatus)
        }
    }

    /// What a parked supervisor wakes up as: goes on where it slept. Called by `carrel-init park` alone.
    ///
    /// - Parameters:
    ///   - id: the session.
    ///   - descriptors: what ``SupervisorDescriptors/text(_:_:_:_:)`` said.
    public static func resumeSupervision(statePath: String, id: String, descriptors: String) throws(SessionError)
        -> Int32
    {
        let state = try StateDirectory(path: statePath)
        let parts = descriptors.split(separator: ";", maxSplits: 1)
        guard let parked = parts.first.flatMap({ ParkedDescriptors(String($0)) }),
            let record = LiveSessions(state: state).find(id)
        else {
            throw SessionError("supervise: this is for carrel itself")
        }
        let supervisor: Supervisor
        do throws(Problems) {
            let link = parts.count < 2 ? nil : GatewayLink(record.door, parts[1], in: state)
            supervisor = try Supervisor(resuming: record, state, parked, link)
        } catch { throw SessionError("supervise: \(error)") }
        return try telling("session \(id)") { () throws(SystemError) in try supervisor.supervise() }
    }
}
