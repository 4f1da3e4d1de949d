import Glibc
import Privileges
import Syscalls
import SystemPackage

/// Takes from this process what it does not need, before it has threads: it reads what sessions and upstreams send it, and
/// whoever takes it over by that has no more than this. It
/// - gains no privilege any more, and keeps of the capabilities those to read what root may name in gateway.yaml, to end a
///   container whose budget is spent, and to bind the port of the metrics;
/// - changes no file outside of `directory`, executes nothing, mounts nothing and traces nobody (landlock(7)), where the
///   kernel has Landlock; with ABI 6 it reaches no abstract socket of others either.
///
/// - Throws: `SystemError`, `ControlError` where a part cannot be had that the kernel has.
func confine(to directory: String, metricsPort: UInt16?) throws {
    try setNoNewPrivileges()
    let ports = metricsPort.map { $0 < 1024 } ?? false ? ["CAP_NET_BIND_SERVICE"] : []
    try Capabilities(keeping: ["CAP_DAC_READ_SEARCH", "CAP_KILL"] + ports).apply()
    let abi = Landlock.abi
    // Before ABI 2 a domain can rename nothing between directories.
    if abi < 2 { return tell("goes on without Landlock, which this kernel does not have or a filter keeps from it") }
    let changes: Landlock.FileAccess = abi < 3 ? [.change, .refer] : [.change, .refer, .truncate]
    let ruleset = try Landlock.createRuleset(
        files: changes.union(.execute), scopes: abi < 6 ? [] : .abstractSockets)
    defer { close(ruleset) }
    let own = try open(directory, O_PATH | O_DIRECTORY)
    defer { close(own) }
    try Landlock.allow(changes, on: own, named: directory, in: ruleset)
    try Landlock.restrictSelf(ruleset)
}
