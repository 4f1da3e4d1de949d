import Container
import Documents
import Glibc
import OCISpec
import Seccomp
import Syscalls
import SystemPackage

// The agent of containers whose refused calls are to be explained (`dev.carrel.explain`): a container has no supervisor that
// could listen to its filter, so one process of the host listens to all.

extension Carrel {
    /// Listens at a Unix socket for the filters of containers (config-linux.md, "The Container Process State"), answers what
    /// they refuse as they themselves would, and calls `body` with each kind of refusal when it is first seen, until
    /// SIGTERM or SIGINT.
    ///
    /// - Parameters:
    ///   - path: the socket; `nil` for the one that `carrel-oci` asks.
    ///   - ready: called with the socket's path once it is there.
    ///   - body: gets the container's name and the refusal.
    public func explainContainers(
        at path: String?, ready: (String) throws(SessionError) -> Void,
        _ body: @escaping (String, Node) -> Void
    ) throws(SessionError) {
        let path = path ?? explainSocket
        let agent = try telling("seccomp agent") { () throws(SystemError) in
            if let slash = path.lastIndex(of: "/") { try makeDirectories(String(path[..<slash]), mode: 0o700) }
            return try ExplainAgent(state, path, body)
        }
        defer { agent.end() }
        try ready(path)
        try telling("seccomp agent") { () throws(SystemError) in try agent.serve() }
    }
}

private final class ExplainAgent {
    /// A connection that has not told all yet, or a container's filter.
    private enum Member {
        case caller(FileDescriptor, bytes: [UInt8], descriptors: [FileDescriptor])
        case container(FileDescriptor, DenialWatch)
    }

    private let state: StateDirectory
    private let path: String
    private let listener: FileDescriptor
    private let signals: FileDescriptor
    private let epoll: FileDescriptor
    private let tell: (String, Node) -> Void
    private var members: [Int32: Member] = [:]
    /// Nobody needs to say more.
    private static let longest = 1 << 20

    init(_ state: StateDirectory, _ path: String, _ tell: @escaping (String, Node) -> Void) throws(SystemError) {
        self.state = state
        self.path = path
        self.tell = tell
        if let other = try? connectLocal(to: path) {
            close(other)
            throw SystemError("bind", "\(path), where another agent listens", errno: .addressInUse)
        }
        try remove(path)
        listener = try listenLocal(at: path, mode: 0o600)
        let wanted = signalSet([SIGTERM, SIGINT])
        try changeSignalMask(SIG_BLOCK, wanted)
        signals = try signalFD(wanted)
        epoll = try epollCreate()
        try epollControl(epoll, .add, listener)
        try epollControl(epoll, .add, signals)
    }

    func serve() throws(SystemError) {
        while true {
            for event in try epollWait(epoll, timeout: nil) {
                let number = Int32(truncatingIfNeeded: event.token)
                if number == signals.rawValue { return }
                if number == listener.rawValue {
                    accept()
                } else if let member = members[number] {
                    switch member {
                    case .caller(let connection, let bytes, let descriptors): read(connection, bytes, descriptors)
                    case .container(let filter, let watch):
                        if event.events.contains(.readable) { watch.attendAll(filter) } else { drop(number) }
                    }
                }
            }
        }
    }

    /// With the agent go the filters' listeners: what was refused is then answered ENOSYS by the kernel.
    func end() {
        for number in members.keys { drop(number) }
        try? remove(path)
    }

    private func accept() {
        guard let connection = try? acceptConnection(listener, nonBlocking: true) else { return }
        guard let peer = try? peerCredentials(of: connection), peer.uid == 0 || peer.uid == geteuid(),
            (try? epollControl(epoll, .add, connection)) != nil
        else { return close(connection) }
        members[connection.rawValue] = .caller(connection, bytes: [], descriptors: [])
    }

    private func read(_ connection: FileDescriptor, _ before: [UInt8], _ known: [FileDescriptor]) {
        do throws(SystemError) {
            let (bytes, descriptors) = try receive(from: connection, limit: 65536)
            members[connection.rawValue] = .caller(
                connection, bytes: before + bytes, descriptors: known + descriptors)
            if before.count + bytes.count > Self.longest || known.count + descriptors.count > 16 {
                return drop(connection.rawValue)
            }
            if !bytes.isEmpty { return }
        } catch {
            if error.errno == .wouldBlock { return }
        }
        // All is said.
        if case .caller(_, let bytes, var descriptors)? = members[connection.rawValue], !descriptors.isEmpty {
            let filter = descriptors.removeFirst()
            members[connection.rawValue] = .caller(connection, bytes: [], descriptors: descriptors)
            take(filter, bytes)
        }
        drop(connection.rawValue)
    }

    /// Begins to listen to a container's filter. Where it cannot be read, every refusal is answered ENOSYS.
    private func take(_ filter: FileDescriptor, _ message: [UInt8]) {
        let told = (try? Node.parse(message, file: "the container's state"))?["state"]
        let id = told?["id"]?.string ?? "?"
        let name = "oci:\(id)"
        let configuration = (told?["bundle"]?.string ?? "") + "/config.json"
        let node = (try? readFile(configuration, limit: 8 << 20)).flatMap { try? Node.parse($0, file: configuration) }
        let seccomp = node?["linux"]?["seccomp"]
        let profile = seccomp.flatMap { try? LinuxSeccomp($0, file: configuration) }
        let watch = DenialWatch(
            session: name, tenant: told?["annotations"]?["dev.carrel.tenant"]?.string ?? "default", profile: profile,
            in: state)
        watch.told = { [tell] denial in
            tell(
                name,
                Node(.mapping([Node.Entry(key: "container", value: Node(.string(name)))] + (denial.entries ?? []))))
        }
        if let profile, let program = try? filterProgram(of: profile, seccomp) { try? watch.resume(program) }
        guard (try? epollControl(epoll, .add, filter)) != nil else { return close(filter) }
        members[filter.rawValue] = .container(filter, watch)
    }

    private func drop(_ number: Int32) {
        guard let member = members.removeValue(forKey: number) else { return }
        try? epollControl(epoll, .delete, FileDescriptor(rawValue: number))
        switch member {
        case .caller(let connection, _, let descriptors):
            for descriptor in [connection] + descriptors { close(descriptor) }
        case .container(let filter, let watch):
            _ = watch.finish()
            close(filter)
        }
    }
}
