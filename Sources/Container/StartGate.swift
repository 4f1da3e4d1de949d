import CSyscalls
import Documents
import Glibc
import OCISpec
import Seccomp
import Syscalls
import SystemPackage

// The last part of a container of the OCI runtime: all is built, privileges are gone. It waits for `start`, runs the
// hooks that are to run inside, and becomes the payload. Nothing of ours is left then.

/// PID 1 of the container from here on.
///
/// - Parameters:
///   - parent: the channel to `create`, which closes when the container waits or runs.
///   - initProgram: carrel-init, where that is to be PID 1 and the payload its child.
///   - pid: its number on the host, for the state that hooks and the seccomp agent are told; `nil` for a program of `exec`.
func beContained(
    _ request: LaunchRequest, _ plan: LaunchPlan, _ timeline: Timeline, parent: FileDescriptor,
    terminal: FileDescriptor?, initProgram: FileDescriptor? = nil, pid: pid_t? = nil
) -> Never {
    var teller = parent
    do throws(LaunchError) {
        try takeDescriptors(request, terminal, parent, initProgram)
        let environment = CStringVector(plan.environmentWithHome)
        // What cannot be executed is told to who creates the container, not only to who starts it.
        let programs = try plan.findPayload()
        if let gate = plan.runtime?.gate {
            try during(.exec) { () throws(SystemError) in try send([Message.waiting.rawValue], over: parent) }
            close(parent)
            teller = try during(.exec) { () throws(SystemError) in try waitAtGate(gate) }
        }
        let hooks = plan.spec.hooks?.startContainer ?? []
        let isTold = !hooks.isEmpty || request.filter?.flags.contains(.listener) ?? false
        let state = isTold ? pid.map { plan.state(.created, $0) } ?? [] : []
        try runHooks(hooks, "startContainer", state: state)
        // A hook may have brought a device.
        if request.hasContainerDoor { try requireNoOtherNetwork() }
        // From here on this is the payload, and no longer PID 1.
        if let initProgram { try becomeInit(initProgram, plan) }
        try during(.privileges) { () throws(SystemError) in try plan.limits.apply() }
        try restrictPrograms(request, plan, timeline)
        try installFilter(request, plan, state)
        if plan.keepsAdminForFilter {
            try during(.privileges) { () throws(SystemError) in try plan.capabilities.apply() }
        }
        timeline.mark(.exec)
        try plan.executePayload(programs, environment: environment)
    } catch {
        fail(teller, error)
    }
}

/// The three standard descriptors, and those that the caller passes; all others go with execve(2) (CVE-2024-21626).
private func takeDescriptors(
    _ request: LaunchRequest, _ terminal: FileDescriptor?, _ parent: FileDescriptor, _ initProgram: FileDescriptor?
) throws(LaunchError) {
    try during(.exec) { () throws(SystemError) in
        if let terminal {
            // The payload's own session takes it where that is not this one.
            if initProgram == nil { try becomeControllingTerminal(terminal) }
            for target in 0...2 { try duplicate(terminal, as: Int32(target)) }
        }
        // What is left open waits with the container for its start: the lock of its directory must not.
        let kept =
            request.passedDescriptors
            + [parent, request.runtime?.gate, request.runtime?.listener, initProgram].compactMap { $0 }
        try closeAll(from: 3, but: kept)
        for descriptor in request.passedDescriptors { try setCloseOnExec(descriptor, false) }
    }
}

/// Waits until `start` connects and says so; one that dies before is no start.
private func waitAtGate(_ gate: FileDescriptor) throws(SystemError) -> FileDescriptor {
    while true {
        let starter = try acceptConnection(gate)
        if let message = try? receive(from: starter), message.bytes.first == Message.start.rawValue {
            close(gate)
            return starter
        }
        close(starter)
    }
}

/// Installs the filter as the last thing before execve(2), or nearly; the descriptor of one that asks goes to the agent at
/// `listenerPath`.
private func installFilter(_ request: LaunchRequest, _ plan: LaunchPlan, _ state: [UInt8]) throws(LaunchError) {
    guard let filter = request.filter else { return }
    if filter.flags.contains(.listener) {
        guard let listener = plan.runtime?.listener else {
            throw LaunchError(.seccomp, nil, "linux.seccomp.listenerPath: SCMP_ACT_NOTIFY needs one")
        }
        try installAsking(filter, over: listener, message: processState(plan, state))
    } else {
        _ = try during(.seccomp) { () throws(SystemError) in try filter.install() }
    }
}

/// What the seccomp agent is told beside the descriptor (config-linux.md, "The Container Process State").
private func processState(_ plan: LaunchPlan, _ state: [UInt8]) -> [UInt8] {
    let container = (try? Node.parse(state, file: "state")) ?? Node(.mapping([]))
    let metadata = plan.spec.linux?.seccomp?.listenerMetadata
    var members: [Node.Entry] = [
        .init(key: "ociVersion", value: Node(.string(plan.spec.ociVersion))),
        .init(key: "fds", value: ["seccompFd"]), .init(key: "pid", value: container["pid"] ?? 0),
    ]
    if let metadata, !metadata.isEmpty { members.append(.init(key: "metadata", value: Node(.string(metadata)))) }
    members.append(.init(key: "state", value: container))
    return Array(Node(.mapping(members)).json().utf8)
}

extension LaunchPlan {
    /// Whether the filter is installed by `CAP_SYS_ADMIN`, for want of `no_new_privs` (seccomp(2)): the capability then
    /// goes only after the filter is there.
    var keepsAdminForFilter: Bool {
        runtime != nil && !process.noNewPrivileges && spec.linux?.seccomp != nil
    }

    /// The environment with `HOME`, of the container's /etc/passwd where the specification says nothing (as runc).
    var environmentWithHome: [String] {
        if process.env.contains(where: { $0.hasPrefix("HOME=") }) { return process.env }
        return process.env + ["HOME=\(homeDirectory(of: process.user.uid) ?? "/")"]
    }
}

/// The home directory of a user by /etc/passwd, an ordinary file of at most a megabyte.
private func homeDirectory(of uid: uid_t) -> String? {
    guard let file = try? open("/etc/passwd", O_RDONLY | O_NONBLOCK, in: .workingDirectory, .noMagicLinks) else {
        return nil
    }
    defer { close(file) }
    guard let found = try? status(file), found.st_mode & S_IFMT == S_IFREG,
        let text = try? readAll(file, limit: 1 << 20)
    else { return nil }
    for line in text.split(separator: 0x0a) {
        let fields = line.split(separator: 0x3a, omittingEmptySubsequences: false)
        if fields.count > 5, fields[2].elementsEqual(String(uid).utf8) {
            return String(decoding: fields[5], as: UTF8.self)
        }
    }
    return nil
}
