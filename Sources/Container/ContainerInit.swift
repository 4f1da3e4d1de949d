import CSyscalls
import Glibc
import Privileges
import Seccomp
import Syscalls
import SystemPackage

// The annotation dev.carrel.init: PID 1 of a container is carrel-init, which reaps what has lost its parent, hands signals
// on to the payload, and ends with its exit status. The payload is its child.

/// Forks the payload off, and makes the caller carrel-init.
///
/// Returns in the payload, and only once carrel-init is there and can no longer be looked into: what PID 1 was before, the
/// instant in which execve(2) makes it dumpable, and the descriptors of both are never there for a payload to see
/// (CVE-2019-5736, CVE-2024-21626).
///
/// - Parameter program: carrel-init on a mount that no one can reach.
func becomeInit(_ program: FileDescriptor, _ plan: LaunchPlan) throws(LaunchError) {
    let ready = try during(.exec, "dev.carrel.init") { () throws(SystemError) in
        // Whatever is sent from here on waits until carrel-init looks for it; the payload gets an empty mask.
        var all = sigset_t()
        sigfillset(&all)
        try changeSignalMask(SIG_SETMASK, all)
        return try makePipe()
    }
    switch try during(.exec, "dev.carrel.init", { () throws(SystemError) in try cloneProcess() }) {
    case .parent(let payload, _): beCarrelInit(program, plan, payload: payload, ready: ready.writing)
    case .child:
        close(program)
        close(ready.writing)
        var failed: UInt8 = 0
        // Nothing to read: PID 1 is gone, and with it this process.
        guard read(ready.reading.rawValue, &failed, 1) == 1 else { _exit(1) }
        if failed != 0 {
            throw LaunchError(
                .exec, SystemError("become", "carrel-init", errno: Errno(rawValue: Int32(failed))), "dev.carrel.init")
        }
        // Until it has closed its end too: a payload that may trace it finds no descriptor.
        _ = read(ready.reading.rawValue, &failed, 1)
        close(ready.reading)
        try during(.exec) { () throws(SystemError) in
            try checking("setsid") { setsid() }
            if plan.wantsTerminal { try becomeControllingTerminal(.standardInput) }
        }
    }
}

/// PID 1 from here on: holds no descriptor and no privilege, and can call nothing that it does not need.
private func beCarrelInit(_ program: FileDescriptor, _ plan: LaunchPlan, payload: pid_t, ready: FileDescriptor) -> Never
{
    do throws(SystemError) {
        try plan.capabilities.forSignals.apply()
        try setNoNewPrivileges()
        // The payload's directory can be unmounted without it.
        try checking("chdir", "/") { chdir("/") }
        // Not even the standard ones: what a reader of their other ends waits for is the payload.
        try closeAll(from: 0, but: [program, ready])
        try setCloseOnExec(ready, false)
        let words = CStringVector(["carrel-init", "container", String(payload), String(ready.rawValue)])
        try FilterProgram.allowing(initCalls).install()
        try execute(program, words, environment: CStringVector([]))
    } catch {
        // The payload tells it, and ends; so does this process then.
        var number = UInt8(truncatingIfNeeded: error.errno.rawValue)
        _ = write(ready.rawValue, &number, 1)
        attendSession(payload: payload, status: -1, patience: -1)
        _exit(1)
    }
}

extension Extensions {
    /// Whether a container's PID 1 is carrel-init.
    ///
    /// - Throws: `ControlError` for anything but `true` and `false`.
    func asksForInit() throws(ControlError) -> Bool { try isSet(initProcess, "dev.carrel.init") }
}

extension LaunchPlan {
    /// Where carrel-init is: beside the runtime's own program.
    ///
    /// - Throws: where it is not there, and for a container whose processes are among others': it would not be PID 1.
    static func findInit(_ namespaces: Namespaces) throws(LaunchError) -> String {
        guard namespaces.contains(.pid) else {
            throw LaunchError(
                .prepare, nil,
                "dev.carrel.init: a new PID namespace is needed: only its PID 1 is given the processes to reap")
        }
        return try during(.prepare, "dev.carrel.init") { () throws(SystemError) in
            let path = try programDirectory() + "/carrel-init"
            try checking("access", path) { access(path, X_OK) }
            return path
        }
    }
}
