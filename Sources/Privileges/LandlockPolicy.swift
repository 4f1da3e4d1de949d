import Glibc
import Syscalls
import SystemPackage

/// What Landlock (landlock(7)) adds beneath the mounts: an allowlist of programs, and no signals or abstract sockets to
/// processes outside of the session. Defence in depth: whatever it denies, mounts and namespaces deny in their own way.
///
/// ## What the allowlist holds, and with what
///
/// *execve(2) and execveat(2) of anything else fail with `EACCES`*, by whatever name: a copy, a link, a rename,
/// `/proc/self/root/...`, `/proc/1/exe`, a passed descriptor. The rules are on files, not names. This needs nothing
/// else, but that listed files cannot be written by the session; rules are on what is there when the session starts.
///
/// *The loader runs nothing else either.* The kernel opens a program's ELF interpreter, and a script's `#!`
/// interpreter, with the same right as the program, so listing a program lists `ld-linux-x86-64.so.2`, which can be
/// executed by itself then and takes any file: `ld-linux-x86-64.so.2 /tmp/evil`. No hook tells the two apart. What
/// stops it is that the loader must *read* what it maps, and map it executable:
/// - Files in `programDirectories` that are not listed cannot be read, thus not loaded (and not copied).
/// - Files on a `noexec` mount cannot be mapped executable (`EPERM`). **The launch sequence must therefore mount noexec
///   all that the session can write**: the workdir, every tmpfs (/tmp, $HOME, /dev, /dev/shm), the config directory.
///   The same stops `LD_PRELOAD` and dlopen(3) of what the session wrote.
/// - Programs of the image that lie in library directories (/usr/lib/git-core) remain loadable by this
///   detour: add their directory to `programDirectories`.
///
/// *memfds*: Landlock permits execution of a memfd always, as it lies on no mount that could be listed, and a memfd can
/// be mapped executable even where `vm.memfd_noexec` refuses to execute it. Only **the system call filter closes this:
/// memfd_create(2) is to be refused** in a session with an allowlist.
///
/// *Code put into a listed program's own memory* is no execution, and Landlock does not see it. What even a shell can do,
/// writing /proc/self/mem, is denied together with all other writing in /proc. What remains is an interpreter with a
/// foreign function interface (Python's ctypes, Perl's syscall), a JIT, a debugger: listing one means trusting that it
/// runs anything it can read. Such code has no more rights than any in the session: filter, mounts, ids and limits hold
/// for all of it.
public struct LandlockPolicy: Sendable, Equatable {
    /// What can be executed, as absolute paths inside the new root: files, which also list the interpreters that they
    /// need, and directories, which stand for everything beneath (put there later too) but list no interpreters. What
    /// does not exist is passed over. `nil`: everything.
    public var executables: [String]?
    /// Where the interpreter of a `#!/usr/bin/env name` script is looked for: the session's PATH.
    public var searchPath: [String]
    /// Directories of which the session can read what is listed in `executables`, and nothing else. Symbolic links in
    /// these paths are not followed: `/bin` says nothing where that is a link to `/usr/bin`.
    public var programDirectories: [String]
    /// What cannot be reached outside of the session.
    public var scopes: Landlock.Scopes

    /// Where images keep programs.
    public static let usualProgramDirectories = [
        "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/games", "/usr/libexec", "/usr/local/bin", "/usr/local/sbin",
        "/usr/local/games", "/usr/local/libexec",
    ]

    /// A policy; see the properties.
    public init(
        executables: [String]?, searchPath: [String] = ["/usr/local/bin", "/usr/bin", "/bin"],
        programDirectories: [String] = LandlockPolicy.usualProgramDirectories,
        scopes: Landlock.Scopes = [.abstractSockets, .signals]
    ) {
        self.executables = executables
        self.searchPath = searchPath
        self.programDirectories = programDirectories
        self.scopes = scopes
    }

    /// The least Landlock ABI that can hold it: 6 (Linux 6.12) for scopes, 2 (5.19) for an allowlist, since before that
    /// no domain with file rules could rename between directories; 0 where it asks for nothing.
    public var requiredABI: Int { !scopes.isEmpty ? 6 : executables != nil ? 2 : 0 }

    /// Refuses what this kernel cannot hold, and paths that are not absolute. For the parent, before anything is
    /// started.
    ///
    /// - Throws: `ControlError` naming the control and the fix.
    public func check(abi: Int = Landlock.abi) throws(ControlError) {
        for path in (executables ?? []) + programDirectories where !path.hasPrefix("/") {
            throw ControlError("exec", "expected an absolute path, found \"\(path)\"")
        }
        if abi >= requiredABI { return }
        let control = executables != nil && abi < 2 ? "exec" : "landlock scopes"
        if abi == 0 {
            throw ControlError(
                control, "Landlock is not active in this kernel",
                fix: "boot with landlock among the modules of lsm=, on a kernel with CONFIG_SECURITY_LANDLOCK")
        }
        throw ControlError(
            control, "needs Landlock ABI \(requiredABI), this kernel has \(abi)",
            fix: "use Linux \(requiredABI == 6 ? "6.12" : "5.19") or later")
    }

    /// Whether the allowlist names this file, under whatever name, or a directory that it lies in. What a listed program
    /// needs besides is not looked for.
    public func lists(_ program: String) -> Bool {
        guard let executables, let real = realpath(program, nil) else { return false }
        defer { free(real) }
        let listed = executables.compactMap { try? status($0) }
        var path = String(cString: real)
        while true {
            if let found = try? status(path.isEmpty ? "/" : path),
                listed.contains(where: { $0.st_dev == found.st_dev && $0.st_ino == found.st_ino })
            {
                return true
            }
            guard let slash = path.lastIndex(of: "/") else { return false }
            path.removeSubrange(slash...)
        }
    }

    /// Puts the caller, and all that it will start, under the policy, for good.
    ///
    /// Called in the child, after pivot_root(2) and `no_new_privs`, and before the system call filter. From then on the
    /// caller cannot change mounts, nor trace a process outside. A process that enters the session later is
    /// under a policy of its own: with `.signals` neither can signal the other.
    ///
    /// - Throws: the failed call with its path; `ENOEXEC` for a listed file that is no program of this machine, `ELOOP`
    ///   for a chain of interpreters that the kernel would not follow.
    public func restrict() throws(SystemError) {
        if requiredABI == 0 { return }
        let files: Landlock.FileAccess =
            executables == nil ? [.execute, .refer] : [.execute, .readFile, .writeFile, .refer]
        let ruleset = try Landlock.createRuleset(files: files, scopes: scopes)
        defer { close(ruleset) }
        if let executables {
            var rules = ExecutableRules(ruleset, searchPath: searchPath)
            for path in executables { try rules.list(path) }
            try rules.allowFiles(outside: programDirectories)
            try rules.allowStandardStreams()
        } else {
            // Whatever is in the root, and nothing else: not the launcher itself, which is the caller's program until its
            // execve(2) and could be executed as /proc/self/exe, by a script's first line too (CVE-2019-5736).
            let root = try open("/", O_PATH | O_DIRECTORY)
            defer { close(root) }
            try Landlock.allow([.execute, .refer], on: root, named: "/", in: ruleset)
        }
        try Landlock.restrictSelf(ruleset)
    }
}
