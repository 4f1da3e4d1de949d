import Cgroups
import Glibc
import Syscalls
import SystemPackage

/// criu (criu.org), the program that writes processes down and makes them again, driven by its own protocol over a socket
/// (`criu swrk`; images/rpc.proto of its source has the messages and the numbers of their fields).
struct CRIU {
    /// What can be asked of it (`criu_req_type`).
    enum Request: Int {
        case dump = 1
        case restore = 2
        case preDump = 4
    }

    /// A directory: a descriptor of this process, or a path as criu has it.
    enum Images {
        case descriptor(FileDescriptor)
        case path(String)
    }

    /// `criu_opts`.
    struct Options {
        private(set) var message = ProtocolBuffer()
        /// The path of its log.
        let log: String

        /// - Parameters:
        ///   - images: where the files are that it reads or writes.
        ///   - work: where its log goes.
        ///   - name: the name of that.
        init(_ images: Images, _ work: ImageDirectory, log name: String, _ chosen: CheckpointOptions) {
            log = "\(work.path)/\(name)"
            switch images {
            case .descriptor(let descriptor): message.add(1, Int(descriptor.rawValue))
            case .path(let path):
                message.add(1, -1)
                message.add(68, path)
            }
            message.add(17, Int(work.descriptor.rawValue))
            message.add(9, 4)  // log_level: all
            message.add(10, name)
            message.add(12, true)  // notify_scripts
            message.add(24, true)  // manage_cgroups, of which the mode is
            message.add(34, 0)  // IGNORE: they are ours to make
            message.add(30, true)  // ext_masters: a mount that gets events of one outside
            message.add(5, chosen.keepsTCP)
            message.add(4, chosen.keepsExternalSockets)
            message.add(8, chosen.keepsFileLocks)
            message.add(18, chosen.linksRemap)
            // What is held still sends nothing; only a connection that is to live on has a peer that must not be answered.
            if !chosen.keepsTCP { message.add(64, 3) }
        }

        /// Of a dump: the process at the top.
        mutating func setProcess(_ pid: pid_t) { message.add(2, Int(pid)) }
        /// The root of its mounts.
        mutating func setRoot(_ path: String) { message.add(13, path) }
        /// What is outside, and stays there.
        mutating func addExternal(_ text: String) { message.add(37, text) }
        /// Of a dump: the processes go on.
        mutating func leaveRunning() { message.add(3, true) }
        /// Of a dump: an earlier one, relative to the images, of which unchanged memory is taken.
        mutating func setParent(_ path: String) { message.add(14, path) }
        /// Of a dump: changes of memory are followed from here on.
        mutating func trackMemory() { message.add(15, true) }
        /// Of a dump: the cgroup of processes that stand still, and do so again if they are left.
        mutating func setFrozen(_ directory: String) { message.add(44, directory) }
        /// Of a restore: the processes are children of who asks, not of criu; and mounts are bound from where they are staged. Its
        /// other way (`mntns_compat_mode` is off) wants one source for all that get events of one mount, as wide as the widest.
        mutating func prepareRestore() {
            message.add(26, true)
            message.add(65, true)
        }
        /// Of a restore: a descriptor that takes the place of what was `key`.
        mutating func inherit(_ descriptor: FileDescriptor, as key: String) {
            var entry = ProtocolBuffer()
            entry.add(1, key)
            entry.add(2, Int(descriptor.rawValue))
            message.add(27, entry)
        }
    }

    /// The stage of a restore at which all is as it was, and nothing has run: who throws then has killed the processes.
    static let lastStage = "pre-resume"

    /// Where it is, in the caller's `PATH`.
    static var program: String? {
        searchPath(currentEnvironment()).map { $0 + "/criu" }.first { (path: String) in access(path, X_OK) == 0 }
    }

    /// What a network namespace that was joined is called in what it writes.
    static let networkKey = "extRootNetNS"

    private let pid: pid_t
    private let process: FileDescriptor
    private let channel: FileDescriptor

    /// Starts it.
    ///
    /// - Parameters:
    ///   - cgroup: where it is, and what it makes.
    ///   - kept: descriptors that it gets beside the standard three, at their numbers.
    ///   - prepare: run in its process first.
    init(
        in cgroup: CgroupEntry? = nil, keeping kept: [FileDescriptor], _ prepare: () throws(LaunchError) -> Void
    ) throws(RuntimeError) {
        guard let program = Self.program else {
            throw RuntimeError("criu is not installed, or not in PATH: checkpoint and restore are done by it")
        }
        do throws(SystemError) {
            let pair = try socketPair()
            // Its path may be hidden by what `prepare` mounts.
            let file = try open(program, O_PATH)
            defer { Syscalls.close(file) }
            let words = CStringVector([program, "swrk", String(pair.1.rawValue)])
            let environment = CStringVector(currentEnvironment())
            defer {
                words.free()
                environment.free()
            }
            switch try cloneProcess(into: cgroup?.cloneInto) {
            case .child:
                do throws(LaunchError) {
                    try during(.cgroup) { () throws(SystemError) in try cgroup?.enter() }
                    try during(.prepare) { () throws(SystemError) in
                        try closeAll(from: 3, but: kept + [pair.1, file])
                        try changeSignalMask(SIG_SETMASK, sigset_t())
                    }
                    // Memory and files of the container are in what it writes.
                    umask(0o077)
                    try prepare()
                    try during(.exec) { () throws(SystemError) in
                        for descriptor in kept + [pair.1, file] { try setCloseOnExec(descriptor, false) }
                        try execute(file, words, environment: environment)
                    }
                } catch {
                    fail(pair.1, error)
                }
                _exit(1)
            case .parent(let pid, let process):
                Syscalls.close(pair.1)
                (self.pid, self.process, channel) = (pid, process, pair.0)
            }
        } catch {
            throw RuntimeError("criu: \(error)")
        }
    }

    /// Has it do what is asked, and waits for its end.
    ///
    /// - Parameters:
    ///   - notified: told how far it is, with the number of the process at the top where there is one; where it throws, criu
    ///     gives up.
    func perform(
        _ request: Request, _ options: Options,
        _ notified: (_ stage: String, _ pid: pid_t?) throws(RuntimeError) -> Void
    ) throws(RuntimeError) {
        defer {
            Syscalls.close(channel)
            _ = try? wait(for: pid)
            Syscalls.close(process)
        }
        var message = ProtocolBuffer()
        message.add(1, request.rawValue)
        message.add(2, options.message)
        say(message)
        var refusal: RuntimeError?
        while true {
            let answer = try listen(options.log)
            if answer.number(1) == 6 {  // NOTIFY
                let notice = answer.message(5)
                let stage = notice?.text(1) ?? ""
                do throws(RuntimeError) {
                    try notified(stage, notice?.number(2).flatMap { pid_t(exactly: $0) })
                } catch {
                    if refusal == nil { refusal = error }
                    // From here on it gives up no more, and waits for ever for processes that were killed.
                    if stage == Self.lastStage {
                        try? pidfdSendSignal(process, SIGKILL)
                        throw error
                    }
                }
                var reply = ProtocolBuffer()
                reply.add(1, 6)
                reply.add(3, refusal == nil)
                say(reply)
                continue
            }
            if let refusal { throw refusal }
            guard answer.number(2) == 1 else {
                let why =
                    Self.firstError(in: options.log)
                    ?? "it does not say why; one reason is a limit of the container's cgroup, which holds criu too"
                throw RuntimeError("criu: \(why) (its log: \(options.log))")
            }
            return
        }
    }

    private func say(_ message: ProtocolBuffer) {
        // One that has ended is told by what it has said before.
        _ = try? send(message.bytes, over: channel)
    }

    private func listen(_ log: String) throws(RuntimeError) -> ProtocolBuffer {
        let bytes = (try? receive(from: channel, limit: 64 << 10).bytes) ?? []
        if bytes.first == Message.failure.rawValue {
            throw RuntimeError("criu: \(LaunchError(bytes: Array(bytes.dropFirst())))")
        }
        guard !bytes.isEmpty, let answer = ProtocolBuffer(bytes) else {
            throw RuntimeError("criu ended by itself (its log: \(log))")
        }
        return answer
    }

    /// What went wrong, of its log: the first error but for those that it goes on from on any host. Its answer has just the first.
    private static func firstError(in log: String) -> String? {
        guard let text = try? readText(log) else { return nil }
        let harmless = ["tun: Unable to create tun", "RLIMIT_NOFILE for self", "cgroupd: recv req error", "FAILED."]
        for line in text.split(separator: "\n") where !harmless.contains(where: { line.contains($0) }) {
            // (SECONDS) [PID: ]Error (FILE:LINE): WHAT
            guard let start = line.firstRange(of: "Error (criu/"),
                let end = line[start.upperBound...].firstRange(of: "): ")
            else { continue }
            return String(line[end.upperBound...])
        }
        return nil
    }
}

/// The caller's environment.
private func currentEnvironment() -> [String] {
    var found: [String] = []
    var next = environ
    while let word = next.pointee {
        found.append(String(cString: word))
        next += 1
    }
    return found
}
