import CSyscalls
import Cgroups
import Glibc
import OCISpec
import Privileges
import Seccomp
import Syscalls
import SystemPackage

// The launch sequence. Two processes walk it: the parent, which has the caller's privileges and stays as the supervisor,
// and the child, which has all new namespaces and becomes PID 1 of the container. Read it top to bottom: each line is
// one step, in the order in which the kernel sees it.

/// Starts a container and returns when its payload has been executed.
///
/// The caller must have one thread. Nothing of the container is left when this throws, but for the cgroup, which is the
/// caller's.
///
/// - Parameters:
///   - meanwhile: called with the id of PID 1 while that builds its root; the payload starts only after it has returned, and
///     not at all where it throws.
///   - serving: called after it with the listeners that the request asks for, which are then the caller's, in the order of
///     the request; not called where it asks for none. The payload waits for it too.
/// - Throws: ``LaunchError``, and what `meanwhile` and `serving` throw.
public func launch(
    _ request: LaunchRequest, serving: ([FileDescriptor]) throws -> Void = { _ in },
    meanwhile: (pid_t) throws -> Void = { _ in }
) throws -> RunningContainer {
    let timeline = try Timeline()
    defer { timeline.free() }
    let plan = try LaunchPlan(request)
    // Nothing of ours may be open in the container by mistake (CVE-2024-21626); what is meant to be is told at the end.
    try during(.prepare) { () throws(SystemError) in try closeOnExec(from: 3) }
    let channel = try during(.prepare) { () throws(SystemError) in try socketPair() }
    let status = try during(.prepare) { () throws(SystemError) in try makePipe() }
    timeline.mark(.prepare)
    // Among other processes, a child is looked into from its first instant, with the host's root and descriptors in its hands
    // (CVE-2016-9962): it inherits that it cannot be. An ordinary user's can only once its ids are mapped (`IDMap.write`).
    if plan.isAmongOthers && plan.mapsAsRoot {
        try during(.prepare) { () throws(SystemError) in try setDumpable(false) }
    }

    let result: CloneResult
    do throws(SystemError) {
        result = try plan.joined.clone(
            plan.namespaces.subtracting([.cgroup, .time]), into: request.cgroup?.cloneInto)
    } catch {
        for descriptor in [channel.0, channel.1, status.reading, status.writing] { close(descriptor) }
        throw LaunchError(.clone, error, plan.cloneAdvice(error.errno))
    }
    switch result {
    case .child:
        close(channel.0)
        close(status.reading)
        beInit(request, plan, timeline, parent: channel.1, status: status.writing)
    case .parent(let pid, let process):
        close(channel.1)
        close(status.writing)
        plan.joined.close()
        timeline.mark(.clone)
        defer { close(channel.0) }
        do {
            let (terminal, listener) = try guide(
                request, plan, timeline, pid: pid, child: channel.0, serving, meanwhile)
            return RunningContainer(
                pid: pid, process: process, status: status.reading, terminal: terminal, listener: listener,
                timeline: timeline.steps)
        } catch {
            kill(pid, SIGKILL)
            _ = try? wait(for: pid)
            close(process)
            close(status.reading)
            throw error
        }
    }
}

/// The parent's part: what the child may not do for itself.
private func guide(
    _ request: LaunchRequest, _ plan: LaunchPlan, _ timeline: Timeline, pid: pid_t, child: FileDescriptor,
    _ serving: ([FileDescriptor]) throws -> Void, _ meanwhile: (pid_t) throws -> Void
) throws -> (terminal: FileDescriptor?, listener: FileDescriptor?) {
    // The scheduler leaves a new process on its parent's processor, to run when that one sleeps. Sleeping now, until the
    // child says that it runs, gets the two onto two processors; without, all of what follows would come first.
    try waitForWord(of: child, request, .clone)
    let first = try during(.clone) { () throws(SystemError) in try receive(from: child) }
    guard first.bytes.first == Message.running.rawValue else {
        throw LaunchError(.clone, nil, "the child was killed at birth")
    }
    // The ids first: until then the child is nobody, and no file that it makes has an owner.
    do throws(ControlError) { try plan.idMap?.write(pid: pid) } catch { throw LaunchError(.idMap, nil, "\(error)") }
    try plan.setOutOfMemoryScore(of: pid)
    try plan.moveNetworkDevices(to: pid)
    timeline.mark(.idMap)
    // A state can be longer than a message: the child makes those that it tells of.
    try tell(child, .idMap, text: Array(String(pid).utf8))
    do {
        // While the child makes its own filesystems, the host's trees are cloned and id-mapped for it: only the owner of
        // their superblocks may map ids, and a path of the caller's may not be open to the container's root at all.
        var maps = MapNamespaces(container: plan.hasUserNamespace ? pid : nil, canMap: true)
        // Before the payload starts: whoever watches it must not wait for anything when it does.
        defer { maps.free() }
        let binds = plan.parentBinds ? try plan.prepareBinds(&maps) : []
        timeline.mark(.binds)
        // Raising a hard limit needs CAP_SYS_RESOURCE of the host, which the child no longer has. What a container of the OCI
        // runtime builds is not held to them: it takes its own last of all.
        try during(.privileges) { () throws(SystemError) in
            if plan.runtime == nil { try plan.limits.apply(to: pid) } else { try plan.limits.raise(of: pid) }
        }
        // One message takes 253 descriptors (unix(7)).
        for start in stride(from: 0, to: max(1, binds.count), by: 200) {
            try tell(child, .binds, Array(binds[start..<min(start + 200, binds.count)]))
        }
        for bind in binds { close(bind) }
        // Its root is the child's to build now; its payload waits for the caller's word.
        try meanwhile(pid)
    }
    if !request.extensions.listeners.isEmpty { try serving(receiveListeners(request, from: child)) }
    if plan.hasHooksBeforePivot {
        guard try hear(child).first == Message.assembled.rawValue else {
            throw LaunchError(.hooks, nil, "the child ended before its hooks")
        }
        let state = plan.state(.creating, pid)
        // As crun tells it, and as hooks that are older than the status `creating` expect it.
        try runHooks(plan.spec.hooks?.prestart ?? [], "prestart", state: plan.state(.created, pid))
        try runHooks(plan.spec.hooks?.createRuntime ?? [], "createRuntime", state: state)
        try tell(child, .pivot)
    }
    try tell(child, .proceed)

    // Now the child is alone: it tells what failed, sends its terminal and its filter's listener, waits for a start, or
    // closes the channel by executing the payload.
    var terminal: FileDescriptor?
    var listener: FileDescriptor?
    while true {
        try waitForWord(of: child, request, .exec, answering: listener)
        let message = try during(.exec) { () throws(SystemError) in try receiveLast(from: child) }
        switch message.bytes.first {
        case nil:
            guard timeline.end(of: .exec) != nil else {
                throw LaunchError(
                    timeline.steps.last?.step ?? .clone, nil, "the child was killed before it could start the payload")
            }
            return (terminal, listener)
        case Message.terminal.rawValue: terminal = message.descriptors.first
        case Message.filterListener.rawValue: listener = message.descriptors.first
        case Message.waiting.rawValue: return (terminal, listener)
        default: throw LaunchError(bytes: Array(message.bytes.dropFirst()))
        }
    }
}

/// The child's part up to the fork of the payload; then it is PID 1.
private func beInit(
    _ request: LaunchRequest, _ plan: LaunchPlan, _ timeline: Timeline, parent: FileDescriptor, status: FileDescriptor
) -> Never {
    do throws(LaunchError) {
        // Every signal waits until carrel-init looks for it; the payload gets an empty mask. A container that has not
        // started can be ended by any.
        if plan.runtime == nil {
            _ = try during(.clone) { () throws(SystemError) in
                var all = sigset_t()
                sigfillset(&all)
                try changeSignalMask(SIG_SETMASK, all)
            }
        }
        try during(.clone) { () throws(SystemError) in try send([Message.running.rawValue], over: parent) }
        // Into its cgroups before anything else. Their namespace comes after, or its root would be the caller's place:
        // clone3(2) takes the parent's, even with CLONE_INTO_CGROUP (cgroup_namespaces(7)).
        try during(.cgroup) { () throws(SystemError) in
            try request.cgroup?.enter()
            // Of the caller's descriptors, those of the host's directories above all, none is of use from here on.
            if plan.runtime != nil {
                try closeAll(from: 3, but: request.descriptors(and: [parent, status]) + plan.joined.files)
            }
            if plan.namespaces.contains(.cgroup) { try unshareNamespaces(.cgroup) }
        }
        timeline.mark(.cgroup)
        // A session of its own: no terminal of the caller's to inject input into (TIOCSTI, CVE-2017-5226).
        _ = try during(.privileges) { () throws(SystemError) in try checking("setsid") { setsid() } }
        // Nor is the caller's command line to be read from inside, until the payload has its own.
        if plan.runtime != nil { renameProcess("carrel-oci") }
        // Hooks of the host's run with all that the caller may do.
        if !plan.hasHooksBeforePivot {
            try during(.privileges) { () throws(SystemError) in try plan.capabilities.limitBounding() }
        }
        try plan.enterTimeNamespace()
        let pid = pid_t(String(decoding: try listen(parent, for: .idMap).text, as: UTF8.self)) ?? 0
        if plan.isAmongOthers { try during(.privileges) { () throws(SystemError) in try setDumpable(false) } }
        // The host's trees as long as this is still the caller, who can reach them; a parent with more rights does it.
        let all = plan.makesAllInOrder ? try plan.makeAllInOrder() : nil
        var reached = all?.binds
        if reached == nil && !plan.parentBinds {
            var maps = MapNamespaces(container: nil, canMap: false)
            reached = try plan.prepareBinds(&maps)
        }
        // While the caller still is the user: the keyring counts against whoever joins it, and a user's share of them is small.
        try plan.joinKeyring()
        // Root of the new user namespace: the owner of what is made below.
        if plan.mapsRoot { try during(.idMap) { () throws(SystemError) in try becomeNamespaceRoot() } }
        try plan.secludeMounts()
        let own: [FileDescriptor]
        if let all { own = all.own } else { own = try plan.makeFilesystems() }
        timeline.mark(.filesystems)

        var received = try listen(parent, for: .binds).descriptors
        while plan.parentBinds && received.count < plan.bindCount {
            received += try listen(parent, for: .binds).descriptors
        }
        // By the host's /proc, which is still in reach: an image's own has no say in where a sysctl or a label is written.
        if plan.namespaces.contains(.network) || !request.extensions.listeners.isEmpty {
            if request.hasContainerDoor { try requireNoOtherNetwork() }
            try during(.network) { () throws(SystemError) in try bringLoopbackUp() }
            try openListeners(request.extensions.listeners, sendingTo: parent)
        }
        try plan.setKernelNames()
        timeline.mark(.network)
        // What is made for the payload has the mode that it says, whatever the caller's umask is.
        let callers = umask(0)
        var (root, initProgram) = try plan.assemble(own: own, binds: reached ?? received)
        timeline.mark(.mounts)
        try during(.devices) { () throws(SystemError) in try plan.makeDevices(in: root) }
        try during(.devices, plan.runtime == nil ? "" : "dev.carrel.pinnedPaths") { () throws(SystemError) in
            try root.bindOntoItself(request.extensions.pinnedPaths, readOnly: false) { _ in true }
        }
        try during(.devices, plan.runtime == nil ? "" : "linux.readonlyPaths") { () throws(SystemError) in
            // What a session protects of its workdir was there, or was made: it is not there because somebody took it away.
            try root.bindOntoItself(request.spec.linux?.readonlyPaths ?? [], readOnly: true) {
                plan.runtime == nil && !$0.utf8.starts(with: "/proc/".utf8)
            }
        }
        try during(.devices, plan.runtime == nil ? "" : "linux.maskedPaths") { () throws(SystemError) in
            try root.mask(request.spec.linux?.maskedPaths ?? [], label: LaunchPlan.mountLabel(request.spec))
        }
        umask(callers)
        timeline.mark(.devices)
        if plan.hasHooksBeforePivot {
            try during(.hooks) { () throws(SystemError) in try send([Message.assembled.rawValue], over: parent) }
            _ = try listen(parent, for: .pivot)
            try runHooks(
                plan.spec.hooks?.createContainer ?? [], "createContainer", state: plan.state(.creating, pid))
            try during(.privileges) { () throws(SystemError) in try plan.capabilities.limitBounding() }
        }
        try plan.setProcessAttributes()
        try plan.changeRoot(to: &root)
        timeline.mark(.pivot)

        let terminal = try plan.openTerminal(in: root)
        if let terminal {
            try during(.terminal) { () throws(SystemError) in
                try send([Message.terminal.rawValue], descriptors: [terminal.controller], over: parent)
            }
            close(terminal.controller)
        }
        close(root.root)
        timeline.mark(.terminal)

        // Before the payload exists, so that PID 1 has nothing either.
        try settle(plan)
        timeline.mark(.privileges)

        _ = try listen(parent, for: .proceed)
        guard plan.runtime == nil, let initProgram else {
            beContained(
                request, plan, timeline, parent: parent, terminal: terminal?.payload, initProgram: initProgram, pid: pid
            )
        }
        try during(.exec) { () throws(SystemError) in
            try setParentDeathSignal(SIGKILL)
            // A parent that died before that call sends no signal: its end of the channel tells.
            if try poll([(parent, .readable)], timeout: 0)[0].contains(.hangUp) { _exit(1) }
        }
        // The payload never sees the caller's command line in PID 1's.
        renameProcess("carrel-init")
        let payload = try during(.exec) { () throws(SystemError) in
            try spawnSharingMemory {
                bePayload(request, plan, timeline, parent: parent, terminal: terminal?.payload)
            }
        }
        try become(initProgram, payload: payload, status: status, parent: parent)
    } catch {
        fail(parent, error)
    }
}

/// Takes away from the caller everything that the payload is not to have.
///
/// Ids before capabilities, since changing ids needs some. The bounding set went earlier (`limitBounding`), while there was
/// something to wait for.
func dropPrivileges(_ plan: LaunchPlan) throws(LaunchError) {
    try during(.privileges) { () throws(SystemError) in
        try plan.capabilities.holdThroughIDs()
        try plan.identity.assume()
        try plan.capabilities.apply(keepingAdmin: plan.keepsAdminForFilter)
        if plan.runtime == nil || plan.process.noNewPrivileges { try setNoNewPrivileges() }
        // Not traceable by the payload, which has the same ids (CVE-2016-9962).
        try setDumpable(false)
    }
}

/// Goes into the payload's directory, inside the new root, and takes away from the caller what the payload is not to have.
///
/// A session's is looked up with the payload's ids. A container's with the rights of who makes it, as runc and crun have it: an
/// image's may be closed to its user (`WORKDIR /root`, `USER nobody`); with the payload's where those do not lead there.
func settle(_ plan: LaunchPlan) throws(LaunchError) {
    let isThere = plan.runtime != nil && (try? plan.enterWorkingDirectory()) != nil
    try dropPrivileges(plan)
    if !isThere { try plan.enterWorkingDirectory() }
}

/// PID 1 from here on: holds nothing of the caller's, and can call nothing that it does not need.
private func become(
    _ program: FileDescriptor, payload: pid_t, status: FileDescriptor, parent: FileDescriptor
) throws(LaunchError) -> Never {
    try during(.exec) { () throws(SystemError) in
        // The payload runs by now, and can leave this process no descriptor (prlimit(2)): a session that has begun is not
        // refused for that.
        if let null = try? open("/dev/null", O_RDWR) { for target in 0...2 { try? duplicate(null, as: Int32(target)) } }
        try setCloseOnExec(status, false)
        try FilterProgram.allowing(initCalls).install()
        // The launcher hears of the payload's execve(2) when the last copy of the channel is closed.
        close(parent)
        // A short session is over before another program would have started; a long one is worth the memory.
        attendSession(payload: payload, status: status.rawValue, patience: 50_000_000)
        let words = CStringVector(["carrel-init", "init", String(payload), String(status.rawValue)])
        try? execute(program, words, environment: CStringVector([]))
        // It is about memory alone: this copy does the same.
        attendSession(payload: payload, status: status.rawValue, patience: -1)
        _exit(1)
    }
}

/// The payload: its descriptors, then what it may execute, what it may call, and then itself.
func bePayload(
    _ request: LaunchRequest, _ plan: LaunchPlan, _ timeline: Timeline, parent: FileDescriptor,
    terminal: FileDescriptor?
) -> Never {
    do throws(LaunchError) {
        try during(.exec) { () throws(SystemError) in
            try checking("setsid") { setsid() }
            if let terminal {
                try becomeControllingTerminal(terminal)
                for target in 0...2 { try duplicate(terminal, as: Int32(target)) }
            } else if let given = request.standardDescriptors {
                for (target, descriptor) in given.enumerated() { try duplicate(descriptor, as: Int32(target)) }
            }
            try closeOnExec(from: 3)
            for descriptor in request.passedDescriptors { try setCloseOnExec(descriptor, false) }
        }
        try restrictPrograms(request, plan, timeline)
        // Looked up before the filter, which then needs to let nothing of the launcher's through but execve(2).
        let programs = try plan.findPayload()
        if let filter = request.filter {
            if filter.flags.contains(.listener) {
                try installAsking(filter, over: parent)
            } else {
                _ = try during(.seccomp) { () throws(SystemError) in try filter.install() }
            }
        }
        timeline.mark(.exec)
        try plan.executePayload(programs)
    } catch {
        fail(parent, error)
    }
}

/// What the payload may execute, and its signals.
func restrictPrograms(
    _ request: LaunchRequest, _ plan: LaunchPlan, _ timeline: Timeline
) throws(LaunchError) {
    if let policy = plan.landlock {
        try during(.landlock) { () throws(SystemError) in try policy.restrict() }
    }
    timeline.mark(.landlock)
    try during(.exec) { () throws(SystemError) in try changeSignalMask(SIG_SETMASK, sigset_t()) }
    // A list of programs means little where a program can be made in memory: no mount is above a memfd for Landlock to
    // see (Docs/Profiles.md, "exec").
    if request.extensions.executables != nil {
        _ = try during(.seccomp) { () throws(SystemError) in
            try FilterProgram.refusing([SYS_memfd_create, SYS_memfd_secret]).install()
        }
    }
}

/// What carrel-init calls: its exec and the start of a static C runtime, then its loop.
let initCalls: [Int32] = {
    let calls = [
        SYS_execveat, SYS_brk, SYS_set_tid_address, SYS_set_robust_list, SYS_rseq, SYS_prlimit64, SYS_readlinkat,
        SYS_getrandom, SYS_mprotect, SYS_mmap, SYS_munmap, SYS_prctl, SYS_rt_sigtimedwait, SYS_rt_sigreturn, SYS_wait4,
        SYS_kill, SYS_write, SYS_close, SYS_exit, SYS_exit_group,
    ]
    // What younger architectures do without (asm-generic/unistd.h).
    #if arch(x86_64)
        return calls + [SYS_arch_prctl, SYS_readlink]
    #else
        return calls
    #endif
}()
