import Container
import Documents
import Glibc
import OCISpec
import Seccomp
import Syscalls
import SystemPackage

// The agent of containers whose refused calls are to be explained (`dev.carrel.explain`): a container has no supervisor that
// could listen to its filter, so one service of the host does, in a process for each.

extension Carrel {
    /// Takes the filters' listeners of containers at the socket that `carrel-oci` asks, answers what they refuse as they
    /// themselves would, and calls `body` with each kind of refusal when it is first seen, until SIGTERM or SIGINT.
    ///
    /// - Parameter body: gets the container's name and the refusal, in a process of that container's own.
    public func explainContainers(_ body: @escaping (String, Node) -> Void) throws(SessionError) {
        try telling("seccomp agent") { () throws(SystemError) in
            let agent = try ExplainAgent(state, body)
            defer { agent.end() }
            try agent.serve()
        }
    }
}

private final class ExplainAgent {
    private enum Member {
        /// A connection that has not told all yet.
        case caller(FileDescriptor, bytes: [UInt8], descriptors: [FileDescriptor])
        /// The process that listens to a container, and the name of its log.
        case listener(FileDescriptor, pid_t, log: String)
    }

    private let state: StateDirectory
    private let socket: FileDescriptor
    private let signals: FileDescriptor
    private let epoll: FileDescriptor
    private let tell: (String, Node) -> Void
    private var members: [Int32: Member] = [:]
    /// Nobody needs to say more.
    private static let longest = 1 << 20

    init(_ state: StateDirectory, _ tell: @escaping (String, Node) -> Void) throws(SystemError) {
        self.state = state
        self.tell = tell
        let path = explainSocket
        try makeDirectories(directory(of: path), mode: 0o700)
        if let other = try? connectLocal(to: path) {
            close(other)
            throw SystemError("bind", "\(path), where another agent listens", errno: .addressInUse)
        }
        try remove(path)
        socket = try listenLocal(at: path, mode: 0o600)
        let wanted = signalSet([SIGTERM, SIGINT])
        try changeSignalMask(SIG_BLOCK, wanted)
        // Whoever reads what is told may go: the containers' calls are answered all the same.
        signal(SIGPIPE, SIG_IGN)
        signals = try signalFD(wanted)
        epoll = try epollCreate()
        try epollControl(epoll, .add, socket)
        try epollControl(epoll, .add, signals)
    }

    func serve() throws(SystemError) {
        while true {
            for event in try epollWait(epoll, timeout: nil) {
                let number = Int32(truncatingIfNeeded: event.token)
                if number == signals.rawValue { return }
                if number == socket.rawValue {
                    accept()
                } else if case .caller(let connection, let bytes, let descriptors)? = members[number] {
                    read(connection, bytes, descriptors)
                } else {
                    drop(number)
                }
            }
        }
    }

    /// With the agent go the filters' listeners: what was refused is then answered ENOSYS by the kernel.
    func end() {
        for number in members.keys { drop(number) }
        try? remove(explainSocket)
    }

    private func accept() {
        guard let connection = try? acceptConnection(socket, nonBlocking: true) else { return }
        guard let peer = try? peerCredentials(of: connection), peer.uid == 0 || peer.uid == geteuid(),
            (try? epollControl(epoll, .add, connection)) != nil
        else { return close(connection) }
        members[connection.rawValue] = .caller(connection, bytes: [], descriptors: [])
    }

    private func read(_ connection: FileDescriptor, _ before: [UInt8], _ known: [FileDescriptor]) {
        guard let (new, more) = try? receive(from: connection, limit: 65536) else { return drop(connection.rawValue) }
        let (bytes, descriptors) = (before + new, known + more)
        members[connection.rawValue] = .caller(connection, bytes: bytes, descriptors: descriptors)
        // A whole document is all that is said. The connection may stay open: its other end is closed by the payload's
        // execve(2), and the calls before it wait for an answer.
        if let filter = descriptors.first, let message = try? Node.parse(bytes, file: "the container's state") {
            listen(to: filter, message)
        } else if !new.isEmpty, bytes.count <= Self.longest, descriptors.count <= 16 {
            return
        }
        drop(connection.rawValue)
    }

    private func drop(_ number: Int32) {
        guard let member = members.removeValue(forKey: number) else { return }
        try? epollControl(epoll, .delete, FileDescriptor(rawValue: number))
        switch member {
        case .caller(let connection, _, let descriptors):
            for descriptor in [connection] + descriptors { close(descriptor) }
        case .listener(let process, let pid, let log):
            try? pidfdSendSignal(process, SIGKILL)
            _ = try? wait(for: pid)
            close(process)
            try? remove(DenialLog.path(log, in: state))
        }
    }

    /// Listens to a container's filter, in a process of its own: reading the memory of a caller can last as long as the caller
    /// wants (userfaultfd(2), a FUSE mapping), and another container is not to wait for that.
    private func listen(to filter: FileDescriptor, _ message: Node) {
        let told = message["state"]
        let name = "oci:\(told?["id"]?.string ?? "")"
        // Containers of two engines can have one name.
        let log = "\(name):\(told?["pid"]?.int ?? 0)"
        try? remove(DenialLog.path(log, in: state))
        switch try? cloneProcess() {
        case .child: attend(filter, name, log: log, told)
        case .parent(let pid, let process):
            members[process.rawValue] = .listener(process, pid, log: log)
            if (try? epollControl(epoll, .add, process)) == nil { drop(process.rawValue) }
        case nil:
            Recorder(state).warn("\(name): no process to explain it: \(String(cString: strerror(errno)))")
        }
    }

    private func attend(_ filter: FileDescriptor, _ name: String, log: String, _ told: Node?) -> Never {
        try? setParentDeathSignal(SIGKILL)
        guard (try? readLink("/proc/self/fd/\(filter.rawValue)")) == "anon_inode:seccomp notify" else { _exit(1) }
        try? closeAll(from: 3, but: [filter])
        let configuration = (told?["bundle"]?.string ?? "") + "/config.json"
        let node = (try? readFile(configuration, limit: 8 << 20)).flatMap { try? Node.parse($0, file: configuration) }
        let seccomp = node?["linux"]?["seccomp"]
        let profile = seccomp.flatMap { try? LinuxSeccomp($0, file: configuration) }
        let watch = DenialWatch(
            session: log, tenant: told?["annotations"]?["dev.carrel.tenant"]?.string ?? "default", profile: profile,
            in: state)
        watch.told = { [tell] denial in
            let container = Node.Entry(key: "container", value: Node(.string(name)))
            tell(name, Node(.mapping([container] + (denial.entries ?? []))))
        }
        let program = profile.flatMap { try? filterProgram(of: $0, seccomp) }
        if program.flatMap({ try? watch.resume($0) }) == nil {
            Recorder(state).warn("\(name): \(configuration) tells no filter: every refusal is ENOSYS")
        }
        while let ready = try? poll([(filter, .readable)]), ready[0].contains(.readable) { watch.attendAll(filter) }
        _ = watch.finish()
        _exit(0)
    }
}
