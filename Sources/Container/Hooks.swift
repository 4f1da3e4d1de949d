import CSyscalls
import Documents
import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// Runs the hooks of one kind in their order; the first that fails ends it (config.md, "POSIX-platform Hooks").
///
/// - Parameters:
///   - kind: the member of `hooks`, for the error.
///   - state: the container's state as JSON, the standard input of each.
func runHooks(_ hooks: [Hook], _ kind: String, state: [UInt8]) throws(LaunchError) {
    for (index, hook) in hooks.enumerated() { try run(hook, "hooks.\(kind)[\(index)] \(hook.path)", state) }
}

/// Runs the hooks that follow a start or an end: whichever of them fails is told, and changes nothing (runtime.md, "Lifecycle").
func runFollowingHooks(_ hooks: [Hook], _ kind: String, state: [UInt8]) {
    for (index, hook) in hooks.enumerated() {
        do throws(LaunchError) {
            try run(hook, "hooks.\(kind)[\(index)] \(hook.path)", state)
        } catch {
            let message = "carrel-oci: warning: \(error)\n"
            _ = message.withCString { write(2, $0, strlen($0)) }
        }
    }
}

private func run(_ hook: Hook, _ name: String, _ state: [UInt8]) throws(LaunchError) {
    switch try during(.hooks, name, { () throws(SystemError) in try run(hook, state) }) {
    case .exited(0): return
    case .exited(let code): throw LaunchError(.hooks, nil, "\(name): exit status \(code)")
    case .signaled(let signal): throw LaunchError(.hooks, nil, "\(name): killed by signal \(signal)")
    case nil: throw LaunchError(.hooks, nil, "\(name): aborted after its timeout of \(hook.timeout ?? 0) s")
    }
}

/// How the hook ended; `nil` where its time was up.
private func run(_ hook: Hook, _ state: [UInt8]) throws(SystemError) -> WaitStatus? {
    // A file in memory: no pipe to fill, and no signal where the hook does not read.
    let input = try makeMemoryFile("state")
    defer { close(input) }
    try writeAll(state, to: input, named: "state")
    try checking("lseek", "state") { lseek(input.rawValue, 0, SEEK_SET) }
    let arguments = CStringVector(hook.args.isEmpty ? [hook.path] : hook.args)
    let environment = CStringVector(hook.env)
    defer {
        arguments.free()
        environment.free()
    }
    switch try cloneProcess() {
    case .child:
        do throws(SystemError) {
            try duplicate(input, as: 0)
            // Its output is for whoever reads the runtime's messages; the container's own stays clean.
            try duplicate(FileDescriptor(rawValue: 2), as: 1)
            try closeOnExec(from: 3)
            try changeSignalMask(SIG_SETMASK, sigset_t())
            try execute(hook.path, arguments, environment: environment)
        } catch {
            let message = "\(error)\n"
            _ = message.withCString { write(2, $0, strlen($0)) }
            _exit(127)
        }
    case .parent(let pid, let process):
        defer { close(process) }
        let limit = hook.timeout.map { Int(clamping: min($0, 1 << 31)) * 1000 }
        if try poll([(process, .readable)], timeout: limit)[0].isEmpty {
            try? pidfdSendSignal(process, SIGKILL)
            _ = try wait(for: pid)
            return nil
        }
        return try wait(for: pid)
    }
}

extension State {
    /// The state as one line of JSON, for hooks and the seccomp agent.
    func json(_ status: ContainerState, pid: pid_t?) -> [UInt8] {
        var state = self
        state.status = status
        state.pid = pid
        return Array(state.node.json().utf8)
    }
}
