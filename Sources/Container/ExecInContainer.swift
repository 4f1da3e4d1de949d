import Cgroups
import Documents
import Glibc
import OCISpec
import Privileges
import Syscalls
import SystemPackage

/// What `exec` is asked for: a whole process of the specification, or changes to the container's own.
public struct RuntimeExecRequest: Sendable {
    /// The container's name.
    public var id: String
    /// The program and its arguments.
    public var command: [String] = []
    /// A file with the process as JSON (config.md, "Process"), instead of all that follows.
    public var processFile: String?
    /// Whether it gets a terminal.
    public var wantsTerminal = false
    /// `UID[:GID]`.
    public var user: String?
    /// Supplementary groups.
    public var additionalGids: [UInt32] = []
    /// The working directory.
    public var directory: String?
    /// Variables beside the container's, `NAME=value`.
    public var environment: [String] = []
    /// Capabilities beside the container's.
    public var capabilities: [String] = []
    /// Whether no program can gain privileges; `nil`: as the container.
    public var noNewPrivileges: Bool?
    /// The AppArmor profile; `nil`: as the container.
    public var apparmorProfile: String?
    /// The SELinux label; `nil`: as the container.
    public var selinuxLabel: String?
    /// Whether to return when the program runs.
    public var isDetached = false
    /// A file that gets the number of the program's process.
    public var pidFile: String?
    /// A Unix socket that gets the terminal.
    public var consoleSocket: String?
    /// How many descriptors beyond the standard three the program keeps.
    public var preservedDescriptors: Int32 = 0
    /// A cgroup in the container's own that the program shall be in; `nil` for the container's.
    public var cgroup: String?
    /// Whether a container that is held still is no reason to refuse.
    public var ignoresPause = false

    /// A request for a program in the container `id`.
    public init(id: String) { self.id = id }
}

extension RuntimeContainer {
    /// Runs a program beside the container's payload, in its namespaces and cgroup, behind its filter.
    ///
    /// - Returns: the program's exit status, or 0 where it is detached.
    public func execute(_ request: RuntimeExecRequest) throws(RuntimeError) -> Int32 {
        let (state, isPaused) = status()
        guard state == .running || state == .created, let container = openProcess() else {
            throw RuntimeError("cannot exec in a stopped container")
        }
        if isPaused && !request.ignoresPause { throw RuntimeError("cannot exec in a paused container") }
        try RuntimeRoot.requireOpen(request.preservedDescriptors)
        var spec = try spec()
        let filter = try spec.linux?.seccomp.map { seccomp throws(RuntimeError) in
            try filterProgram(of: seccomp, nil)
        }
        spec.process = try process(request, spec.process ?? Process())
        // What is checked is the process; hooks are for the container's own.
        spec.hooks = nil
        try telling("") { () throws(Problems) in
            try spec.validate(file: request.processFile ?? "exec", lenient: true)
        }
        let wantsTerminal = spec.process?.terminal ?? false
        if wantsTerminal && request.isDetached && request.consoleSocket == nil {
            throw RuntimeError("cannot allocate tty if carrel-oci will detach without setting console socket")
        }
        try RuntimeRoot.requireTerminal(wantsTerminal, for: request.consoleSocket)
        let console = try request.consoleSocket.map { path throws(RuntimeError) in
            try telling("--console-socket") { () throws(SystemError) in try connectLocal(to: path) }
        }
        var listener: FileDescriptor?
        if let path = spec.linux?.seccomp?.listenerPath, !path.isEmpty {
            listener = try telling("linux.seccomp.listenerPath") { () throws(SystemError) in try connectLocal(to: path)
            }
        }
        let entry = try telling("container \(id)") { () throws(CgroupError) in
            guard let name = request.cgroup else { return try cgroup()?.entry(beside: record.pid) }
            return try cgroup()?.entry(below: CgroupPath(oci: name))
        }
        if entry == nil && request.cgroup != nil { throw RuntimeError("--cgroup: container \(id) has no cgroup") }
        var launch = LaunchRequest(
            spec: spec, extensions: Extensions(annotations: spec.annotations), cgroup: entry, filter: filter,
            initPath: "",
            passedDescriptors: (0..<request.preservedDescriptors).map { FileDescriptor(rawValue: 3 + $0) })
        var options = RuntimeOptions(gate: nil, state: self.state)
        options.listener = listener
        launch.runtime = options
        let foreground =
            request.isDetached ? nil : try telling("exec") { () throws(SystemError) in try ForegroundProcess() }
        let entered: EnteredProcess
        do throws(LaunchError) {
            entered = try enter(launch, container)
        } catch {
            throw RuntimeError("exec failed: \(error)", exitStatus: error.exitStatus)
        }
        return try telling("exec") { () throws(SystemError) in
            do throws(SystemError) {
                _ = try wait(for: entered.helper)
                let pid = try processID(of: entered.program)
                if let console, let terminal = entered.terminal {
                    try send(Array("/dev/ptmx".utf8), descriptors: [terminal], over: console)
                }
                if let file = request.pidFile { try tellProcess(pid, in: file) }
                guard let foreground else { return 0 }
                return try foreground.attend(
                    entered.program, pid: pid, terminal: console == nil ? entered.terminal : nil)
            } catch {
                // Whoever asked is told that it does not run, and has nothing to end it by.
                endProgram(entered.program)
                throw error
            }
        }
    }

    private func process(_ request: RuntimeExecRequest, _ own: Process) throws(RuntimeError) -> Process {
        if let file = request.processFile {
            let bytes = try telling("--process") { () throws(SystemError) in try readFile(file, limit: 1 << 20) }
            return try telling("--process") { () throws(Problems) in
                try Process(try Node.parse(bytes, file: file), file: file)
            }
        }
        var process = own
        process.args = request.command
        process.terminal = request.wantsTerminal
        if let directory = request.directory { process.cwd = directory }
        for variable in request.environment {
            process.env.removeAll { $0.hasPrefix(variable.prefix { $0 != "=" } + "=") }
            process.env.append(variable)
        }
        if let user = request.user {
            // Strictly: a name, a sign or a space is no id (CVE-2026-30892).
            let parts = user.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            let numbers = parts.map { part in
                part.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt32(part) : nil
            }
            guard let uid = numbers[0], numbers.allSatisfy({ $0 != nil }) else {
                throw RuntimeError("--user \(user): expected UID[:GID] in digits")
            }
            process.user.uid = uid
            if numbers.count == 2, let gid = numbers[1] { process.user.gid = gid }
        }
        process.user.additionalGids += request.additionalGids
        if !request.capabilities.isEmpty {
            var sets = process.capabilities ?? LinuxCapabilities()
            func add(_ set: inout [String]) { set += request.capabilities.filter { !set.contains($0) } }
            add(&sets.bounding)
            add(&sets.effective)
            add(&sets.permitted)
            process.capabilities = sets
        }
        if let value = request.noNewPrivileges { process.noNewPrivileges = value }
        if let profile = request.apparmorProfile { process.apparmorProfile = profile }
        if let label = request.selinuxLabel { process.selinuxLabel = label }
        return process
    }
}
