import Cgroups
import Glibc
import Privileges
import Syscalls
import SystemPackage

/// A program that runs in a container beside its payload.
public struct EnteredProcess: Sendable {
    /// The helper that waits for the program in the host's PID namespace: its exit status is the program's. That of a
    /// container of the OCI runtime has ended: its program is the caller's own child.
    public let helper: pid_t
    /// A descriptor of the helper.
    public let process: FileDescriptor
    /// A descriptor of the program, for signals.
    public let program: FileDescriptor
    /// The controlling side of the program's own terminal, where the specification asked for one.
    public let terminal: FileDescriptor?
}

/// Runs another program in a container, behind the same filter, ids and limits as its payload.
///
/// - Parameters:
///   - request: the specification of the container, with the program in `process`.
///   - container: a descriptor of its PID 1.
/// - Throws: ``LaunchError``.
public func enter(
    _ request: LaunchRequest, _ container: FileDescriptor
) throws(LaunchError) -> EnteredProcess {
    let plan = try LaunchPlan(request, entering: true)
    let timeline = try Timeline()
    defer { timeline.free() }
    try during(.prepare) { () throws(SystemError) in try closeOnExec(from: 3) }
    let channel = try during(.prepare) { () throws(SystemError) in try socketPair() }
    let result = try during(.clone) { () throws(SystemError) in try cloneProcess(into: request.cgroup?.cloneInto) }
    switch result {
    case .child:
        close(channel.0)
        join(request, plan, timeline, container, parent: channel.1)
    case .parent(let helper, let process):
        close(channel.1)
        defer { close(channel.0) }
        var program: FileDescriptor?
        do throws(LaunchError) {
            var terminal: FileDescriptor?
            while true {
                try waitForWord(of: channel.0, request, .exec)
                let message = try during(.exec) { () throws(SystemError) in try receive(from: channel.0) }
                switch message.bytes.first {
                case nil:
                    guard let program, timeline.end(of: .exec) != nil else {
                        throw LaunchError(.exec, nil, "the session ended before the program could start")
                    }
                    return EnteredProcess(helper: helper, process: process, program: program, terminal: terminal)
                case Message.program.rawValue: program = message.descriptors.first
                case Message.terminal.rawValue: terminal = message.descriptors.first
                default:
                    // It has failed, and its helper ends by itself: so that it has told of the program, or waited for it.
                    _ = try? poll([(process, .readable)], timeout: 10_000)
                    throw LaunchError(bytes: Array(message.bytes.dropFirst()))
                }
            }
        } catch {
            kill(helper, SIGKILL)
            _ = try? wait(for: helper)
            close(process)
            // What the helper said last may be the program.
            if program == nil, (try? isSilent(channel.0)) == false {
                program = (try? receive(from: channel.0))?.descriptors.first
            }
            if let program {
                if plan.runtime == nil { try? pidfdSendSignal(program, SIGKILL) } else { endProgram(program) }
                close(program)
            }
            throw error
        }
    }
}

/// Kills a program that is the caller's child and did not come to run, and waits for it: PID 1 of the container does not end
/// before the last of the others is waited for (pid_namespaces(7)), and whoever gets orphans may not do that.
func endProgram(_ program: FileDescriptor) {
    try? pidfdSendSignal(program, SIGKILL)
    // In a container that is held still it ends when that goes on.
    _ = try? poll([(program, .readable)], timeout: 10_000)
    while waitpid(-1, nil, WNOHANG) > 0 {}
}

/// Whether nothing is to be received from a channel now, nor its end.
private func isSilent(_ channel: FileDescriptor) throws(SystemError) -> Bool {
    try poll([(channel, .readable)], timeout: 0)[0].isEmpty
}

/// The helper: into the container's cgroup first, so that whatever ends the session ends it too; then into its
/// namespaces, of which the new PID namespace is for its child alone.
///
/// It cannot be traced from inside (CVE-2016-9962), holds no directory of the host, and is in the host's PID namespace,
/// where the session does not see it.
private func join(
    _ request: LaunchRequest, _ plan: LaunchPlan, _ timeline: Timeline, _ container: FileDescriptor,
    parent: FileDescriptor
) -> Never {
    do throws(LaunchError) {
        let affinity = plan.runtime == nil ? nil : plan.process.execCPUAffinity
        try plan.setAffinity(affinity?.initial, "initial")
        try during(.cgroup) { () throws(SystemError) in try request.cgroup?.enter() }
        try plan.setAffinity(affinity?.final, "final")
        try during(.prepare) { () throws(SystemError) in
            try closeAll(from: 3, but: request.descriptors(and: [parent, container]))
        }
        let root = try plan.openRoot(of: container)
        try plan.joinKeyring()
        try during(.privileges) { () throws(SystemError) in
            try plan.setOwnOutOfMemoryScore()
            // Nor is the caller's command line, with what it says of the host, to be read from inside.
            renameProcess("carrel")
            try setDumpable(false)
            if plan.runtime == nil { try plan.limits.apply() } else { try plan.limits.raise() }
            try checking("setsid") { setsid() }
        }
        if plan.runtime != nil { try plan.setProcessAttributes() }
        try during(.clone) { () throws(SystemError) in
            let session: Namespaces = [.user, .mount, .pid, .network, .ipc, .uts, .cgroup]
            if plan.runtime == nil {
                try enterSession(session, container)
            } else {
                try enterNamespaces(plan.namespaces, of: container)
            }
            guard let root else { return }
            try checking("fchdir", "the container's root") { fchdir(root.rawValue) }
            try checking("chroot", "the container's root") { chroot(".") }
            close(root)
        }
        close(container)
        // A caller that is killed takes the program with it, through this process.
        if plan.runtime == nil {
            try during(.exec) { () throws(SystemError) in try setParentDeathSignal(SIGKILL) }
        }
        // The runtime's callers wait for the program themselves, or have it as their own when the runtime is gone.
        let program = try during(.exec) { () throws(SystemError) in
            try cloneProcess(asSibling: plan.runtime != nil)
        }
        switch program {
        case .child: beEntered(request, plan, timeline, parent: parent)
        case .parent(let pid, let descriptor):
            try during(.exec) { () throws(SystemError) in
                try send([Message.program.rawValue], descriptors: [descriptor], over: parent)
            }
            if plan.runtime != nil { _exit(0) }
            // Nothing of the caller's stays open here: what a pipe's reader waits for is the program alone.
            for number: Int32 in 0...2 { Glibc.close(number) }
            close(parent)
            close(descriptor)
            let status = try during(.exec) { () throws(SystemError) in try wait(for: pid) }
            switch status {
            case .exited(let code): _exit(code)
            case .signaled(let signal): _exit(128 + signal)
            }
        }
    } catch {
        fail(parent, error)
    }
}

/// Enters the namespaces of a session. An ordinary user may do so when PID 1 has executed carrel-init, some 50 ms after the
/// start: until then PID 1 has memory of the caller's user namespace, which it has closed to that user (ptrace(2)).
private func enterSession(_ namespaces: Namespaces, _ container: FileDescriptor) throws(SystemError) {
    for _ in 0..<400 {
        do throws(SystemError) { return try enterNamespaces(namespaces, of: container) } catch {
            if error.errno != .notPermitted { throw error }
        }
        usleep(5_000)
    }
    try enterNamespaces(namespaces, of: container)
}

extension LaunchPlan {
    /// The root of a container whose mount namespace is not its own alone: going into that one leads to another root, the
    /// host's where it has none.
    fileprivate func openRoot(of container: FileDescriptor) throws(LaunchError) -> FileDescriptor? {
        let mounts = spec.linux?.namespaces.first { $0.type == .mount }
        if runtime == nil || mounts.map({ ($0.path ?? "").isEmpty }) ?? false { return nil }
        return try during(.prepare, "the container's root") { () throws(SystemError) in
            let root = try open("/proc/\(processID(of: container))/root", O_PATH | O_DIRECTORY)
            // Had it ended, the number could be another's.
            if try poll([(container, .readable)], timeout: 0)[0].isEmpty { return root }
            close(root)
            throw SystemError("open", "root of the container", errno: .noSuchProcess)
        }
    }
}

private func beEntered(
    _ request: LaunchRequest, _ plan: LaunchPlan, _ timeline: Timeline, parent: FileDescriptor
) -> Never {
    do throws(LaunchError) {
        // A terminal belongs to who opens it, and the host's ids, which this process has, are nobody's in another user namespace.
        if plan.runtime == nil || plan.namespaces.contains(.user) {
            setFilesystemIDs(user: plan.identity.uid, group: plan.identity.gid)
        }
        let terminal = try plan.openTerminal()
        if let terminal {
            try during(.terminal) { () throws(SystemError) in
                try send([Message.terminal.rawValue], descriptors: [terminal.controller], over: parent)
            }
            close(terminal.controller)
        }
        try during(.privileges) { () throws(SystemError) in try plan.capabilities.limitBounding() }
        try settle(plan)
        if plan.runtime != nil {
            try during(.exec) { () throws(SystemError) in try checking("setsid") { setsid() } }
            beContained(request, plan, timeline, parent: parent, terminal: terminal?.payload)
        }
        // Given up while its cgroup stood still, or the caller was killed: nobody is at the other end any more.
        let isWanted = try during(.exec) { () throws(SystemError) in
            try setParentDeathSignal(SIGKILL)
            return try isSilent(parent)
        }
        if !isWanted { _exit(1) }
        bePayload(request, plan, timeline, parent: parent, terminal: terminal?.payload)
    } catch {
        fail(parent, error)
    }
}
