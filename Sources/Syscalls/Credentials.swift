import CSyscalls
import Glibc
import SystemPackage

// The ids are set by the system calls themselves, for the calling thread alone: glibc's functions of these names go
// through a list of threads that is not true in the child of a bare clone3(2).

/// No program that this process executes can gain privileges, for good (`PR_SET_NO_NEW_PRIVS`, prctl(2)).
public func setNoNewPrivileges() throws(SystemError) {
    try checking("prctl", "PR_SET_NO_NEW_PRIVS") {
        carrel_syscall(Int(SYS_prctl), Int(PR_SET_NO_NEW_PRIVS), 1, 0, 0, 0, 0)
    }
}

/// Whether others of the same user may trace this process and open its `/proc` files (`PR_SET_DUMPABLE`, prctl(2)).
/// Lasts until the next execve(2) or change of ids.
public func setDumpable(_ dumpable: Bool) throws(SystemError) {
    try checking("prctl", "PR_SET_DUMPABLE") {
        carrel_syscall(Int(SYS_prctl), Int(PR_SET_DUMPABLE), dumpable ? 1 : 0, 0, 0, 0, 0)
    }
}

/// The signal that this process gets when the thread that made it ends (`PR_SET_PDEATHSIG`, prctl(2)); 0: none.
///
/// A change of ids or a gain of capabilities clears it, so it comes after those. A parent that died before the call
/// sends nothing: the caller looks afterwards whether its parent is still there.
public func setParentDeathSignal(_ signal: Int32) throws(SystemError) {
    try checking("prctl", "PR_SET_PDEATHSIG") {
        carrel_syscall(Int(SYS_prctl), Int(PR_SET_PDEATHSIG), Int(signal), 0, 0, 0, 0)
    }
}

/// Whether the permitted set survives the change from user id 0 to others, until the next execve(2)
/// (`PR_SET_KEEPCAPS`, prctl(2)).
public func setKeepCapabilities(_ keep: Bool) throws(SystemError) {
    try checking("prctl", "PR_SET_KEEPCAPS") {
        carrel_syscall(Int(SYS_prctl), Int(PR_SET_KEEPCAPS), keep ? 1 : 0, 0, 0, 0, 0)
    }
}

/// Replaces the supplementary groups (setgroups(2)); needs `CAP_SETGID`, and a user namespace that does not deny it.
public func setSupplementaryGroups(_ groups: [gid_t]) throws(SystemError) {
    try checking("setgroups") {
        groups.withUnsafeBufferPointer {
            carrel_syscall(Int(SYS_setgroups), $0.count, Int(bitPattern: $0.baseAddress), 0, 0, 0, 0)
        }
    }
}

/// Sets the real, the effective and the saved group id (setresgid(2)), and with them the filesystem's.
public func setGroupIDs(_ id: gid_t) throws(SystemError) {
    try checking("setresgid", "\(id)") { carrel_syscall(Int(SYS_setresgid), Int(id), Int(id), Int(id), 0, 0, 0) }
}

/// Sets the ids by which this process opens and makes files, and no others (setfsuid(2), setfsgid(2)): they tell of no failure.
public func setFilesystemIDs(user: uid_t, group: gid_t) {
    _ = carrel_syscall(Int(SYS_setfsgid), Int(group), 0, 0, 0, 0, 0)
    _ = carrel_syscall(Int(SYS_setfsuid), Int(user), 0, 0, 0, 0, 0)
}

/// Sets the real, the effective and the saved user id (setresuid(2)), and with them the filesystem's.
public func setUserIDs(_ id: uid_t) throws(SystemError) {
    try checking("setresuid", "\(id)") { carrel_syscall(Int(SYS_setresuid), Int(id), Int(id), Int(id), 0, 0, 0) }
}

/// Gives this process a new, empty session keyring in place of the one it inherited (`KEYCTL_JOIN_SESSION_KEYRING`,
/// keyctl(2)).
///
/// The keyring counts against the quota of the caller's user id at that moment, as the host numbers it (`EDQUOT`): 200
/// (`kernel.keys.maxkeys`) for any but the host's root, who has a million. The process keeps it through a change of
/// ids.
public func joinNewSessionKeyring() throws(SystemError) {
    try checking("keyctl", "KEYCTL_JOIN_SESSION_KEYRING") {
        carrel_syscall(Int(SYS_keyctl), Int(KEYCTL_JOIN_SESSION_KEYRING), 0, 0, 0, 0, 0)
    }
}

/// Sets a resource limit of process `pid`, 0 being the caller (prlimit(2)).
///
/// - Parameters:
///   - resource: `RLIMIT_*` as a number.
///   - soft: the limit in force; `UInt64.max` is none.
///   - hard: how far it can be raised. Raising it itself needs `CAP_SYS_RESOURCE` in the *initial* user namespace.
public func setResourceLimit(
    _ resource: Int32, soft: UInt64, hard: UInt64, of pid: pid_t = 0, named name: String
) throws(SystemError) {
    var limit = rlimit(rlim_cur: rlim_t(soft), rlim_max: rlim_t(hard))
    try checking("prlimit", name) {
        withUnsafeMutablePointer(to: &limit) {
            carrel_syscall(Int(SYS_prlimit64), Int(pid), Int(resource), Int(bitPattern: $0), 0, 0, 0)
        }
    }
}

/// A resource limit of process `pid`, 0 being the caller (prlimit(2)).
///
/// - Parameter resource: `RLIMIT_*` as a number.
public func resourceLimit(
    _ resource: Int32, of pid: pid_t = 0, named name: String
) throws(SystemError) -> (soft: UInt64, hard: UInt64) {
    var limit = rlimit()
    try checking("prlimit", name) {
        withUnsafeMutablePointer(to: &limit) {
            carrel_syscall(Int(SYS_prlimit64), Int(pid), Int(resource), 0, Int(bitPattern: $0), 0, 0)
        }
    }
    return (UInt64(limit.rlim_cur), UInt64(limit.rlim_max))
}
