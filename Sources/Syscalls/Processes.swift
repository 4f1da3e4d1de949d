import CSyscalls
import Glibc
import SystemPackage

/// The kinds of namespace (namespaces(7)), as the flags of clone3(2), unshare(2) and setns(2).
public struct Namespaces: OptionSet, Sendable, Hashable {
    /// The bits.
    public let rawValue: UInt64
    /// The set of these bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The mount table (mount_namespaces(7)).
    public static let mount = Namespaces(rawValue: 0x0002_0000)
    /// The roots of the cgroup hierarchies (cgroup_namespaces(7)).
    public static let cgroup = Namespaces(rawValue: 0x0200_0000)
    /// Host and domain name (uts_namespaces(7)).
    public static let uts = Namespaces(rawValue: 0x0400_0000)
    /// System V IPC and POSIX message queues (ipc_namespaces(7)).
    public static let ipc = Namespaces(rawValue: 0x0800_0000)
    /// Ids, capabilities and keys (user_namespaces(7)).
    public static let user = Namespaces(rawValue: 0x1000_0000)
    /// Process ids; of setns(2) and unshare(2), those of the children (pid_namespaces(7)).
    public static let pid = Namespaces(rawValue: 0x2000_0000)
    /// Devices, addresses, routes, ports and abstract sockets (network_namespaces(7)).
    public static let network = Namespaces(rawValue: 0x4000_0000)
    /// Offsets of the monotonic and the boot-time clock (time_namespaces(7)); of unshare(2), those of the children.
    public static let time = Namespaces(rawValue: 0x80)
}

/// Which of the two processes returns from ``cloneProcess(namespaces:into:)``.
public enum CloneResult: Sendable {
    /// The new process, with a copy of all memory.
    case child
    /// The caller: the child's id, and a descriptor of it (pidfd_open(2)), close-on-exec.
    case parent(pid: pid_t, descriptor: FileDescriptor)
}

/// Makes a child with a copy of the caller's memory, in new namespaces and straight in a cgroup (clone3(2)).
///
/// The caller must have one thread: only the calling one exists in the child.
///
/// - Parameters:
///   - cgroup: a cgroup v2 directory, joined before the child's first instruction (`CLONE_INTO_CGROUP`).
///   - asSibling: the child is one of the caller's parent, who waits for it (`CLONE_PARENT`).
public func cloneProcess(
    namespaces: Namespaces = [], into cgroup: FileDescriptor? = nil, asSibling: Bool = false
) throws(SystemError) -> CloneResult {
    let clonePidFD: UInt64 = 0x1000
    let cloneParent: UInt64 = 0x8000
    let cloneIntoCgroup: UInt64 = 0x2_0000_0000
    var descriptor: Int32 = -1
    var arguments = carrel_clone_args()
    arguments.flags = namespaces.rawValue | clonePidFD | (cgroup == nil ? 0 : cloneIntoCgroup)
    if asSibling { arguments.flags |= cloneParent } else { arguments.exit_signal = UInt64(SIGCHLD) }
    arguments.cgroup = UInt64(cgroup?.rawValue ?? 0)
    let result = withUnsafeMutablePointer(to: &descriptor) { descriptor in
        arguments.pidfd = UInt64(UInt(bitPattern: descriptor))
        return withUnsafeMutablePointer(to: &arguments) {
            carrel_syscall(Int(SYS_clone3), Int(bitPattern: $0), MemoryLayout<carrel_clone_args>.size, 0, 0, 0, 0)
        }
    }
    if result == -1 { throw SystemError.last("clone3") }
    if result == 0 { return .child }
    return .parent(pid: pid_t(result), descriptor: FileDescriptor(rawValue: descriptor))
}

/// Runs `body` in a child that shares all memory with the caller, on a stack of its own, and returns the child's id when
/// the child has executed a program or ended (clone(2) with `CLONE_VM` and `CLONE_VFORK`).
///
/// No page table is copied, and the child runs at once, since the caller sleeps. Descriptors, ids, filters and the signal
/// mask are the child's own; memory is not: what `body` changes in it, the caller finds changed.
///
/// - Parameter body: ends in execve(2) or `_exit`.
public func spawnSharingMemory(_ body: @escaping () -> Never) throws(SystemError) -> pid_t {
    let (stack, box) = try spawnParts { body() }
    defer { box.release() }
    return try checking("clone") { carrel_clone(runSpawned, stack, CLONE_VM | CLONE_VFORK | SIGCHLD, box.toOpaque()) }
}

/// Runs `body` beside the caller with its memory and its descriptors, but outside of the filters that the caller installs from
/// then on (clone(2) with `CLONE_THREAD`).
///
/// It is gone by the caller's execve(2) at the latest, and nobody has to wait for it: as a child it would be left to a program
/// that knows nothing of it, and PID 1 of a namespace cannot give a child to its parent (`EINVAL` with `CLONE_PARENT`).
///
/// The two have one heap and one `errno`: the caller must make no call and allocate nothing until `body` has said, in
/// memory, that it is done.
public func spawnSharingDescriptors(_ body: @escaping () -> Void) throws(SystemError) {
    let (stack, box) = try spawnParts(body)
    // The box is never given back: nobody waits for the end of what uses it.
    try checking("clone") {
        carrel_clone(runSpawned, stack, CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, box.toOpaque())
    }
}

/// What runs first on a stack of its own; glibc ends whoever returns from it (exit(2)).
private func runSpawned(_ box: UnsafeMutableRawPointer?) -> Int32 {
    if let box { Unmanaged<SpawnBody>.fromOpaque(box).takeUnretainedValue().run() }
    return 0
}

/// A closure that can go through a C pointer.
private final class SpawnBody {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
}

/// The end of a stack, and what runs on it.
private func spawnParts(
    _ body: @escaping () -> Void
) throws(SystemError) -> (stack: UnsafeMutableRawPointer, body: Unmanaged<SpawnBody>) {
    let size = 256 << 10
    // MAP_STACK | MAP_NORESERVE: a page is there when it is touched. It is never given back: the child may be on it still.
    guard
        let stack = mmap(
            nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0),
        stack != MAP_FAILED
    else { throw SystemError.last("mmap", "stack") }
    return (stack + size, Unmanaged.passRetained(SpawnBody(body)))
}

/// Makes a child that does nothing but sleep, in a new user namespace: something for a namespace to belong to until it is
/// open (clone(2) with `CLONE_VM`: no page table is copied). The caller kills it, and waits for it; it does not outlive the
/// caller either, whose descriptors it holds.
public func cloneSleeperInUserNamespace() throws(SystemError) -> pid_t {
    let size = 16 << 10
    guard
        let stack = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0),
        stack != MAP_FAILED
    else { throw SystemError.last("mmap", "stack") }
    return try checking("clone", "user namespace") {
        carrel_clone(
            { caller in
                _ = carrel_syscall(Int(SYS_prctl), Int(PR_SET_PDEATHSIG), Int(SIGKILL), 0, 0, 0, 0)
                while getppid() == pid_t(Int(bitPattern: caller)) { pause() }
                return 0
            }, stack + size, CLONE_VM | SIGCHLD | Int32(Namespaces.user.rawValue),
            UnsafeMutableRawPointer(bitPattern: Int(getpid())))
    }
}

private let CLONE_VM: Int32 = 0x100
private let CLONE_FILES: Int32 = 0x400
private let CLONE_SIGHAND: Int32 = 0x800
private let CLONE_VFORK: Int32 = 0x4000
private let CLONE_THREAD: Int32 = 0x1_0000

/// Shows the process under another name and without its command line, in `/proc/PID/comm` and `/proc/PID/cmdline`
/// (`PR_SET_NAME`, prctl(2)).
public func renameProcess(_ name: String) {
    _ = name.withCString { carrel_syscall(Int(SYS_prctl), Int(PR_SET_NAME), Int(bitPattern: $0), 0, 0, 0, 0) }
    // The strings lie one behind the other (execve(2) puts them there).
    let words = CommandLine.unsafeArgv
    guard let first = words[0], let last = words[Int(CommandLine.argc) - 1] else { return }
    let size = last + strlen(last) - first
    memset(first, 0, size)
    _ = name.withCString { strncpy(first, $0, size) }
}

/// Enters the namespaces of the process that `process` is a descriptor of (setns(2) with a pidfd, Linux 5.8).
public func enterNamespaces(_ namespaces: Namespaces, of process: FileDescriptor) throws(SystemError) {
    try checking("setns") {
        carrel_syscall(Int(SYS_setns), Int(process.rawValue), Int(namespaces.rawValue), 0, 0, 0, 0)
    }
}

/// Moves the caller into new namespaces (unshare(2)).
public func unshareNamespaces(_ namespaces: Namespaces) throws(SystemError) {
    try checking("unshare") { carrel_syscall(Int(SYS_unshare), Int(namespaces.rawValue), 0, 0, 0, 0, 0) }
}

/// A vector of C strings that stays valid until ``free()``: made before clone3(2), used by execve(2) after it.
public struct CStringVector: @unchecked Sendable {
    /// The strings, closed by a null pointer.
    public let pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    /// Copies `strings`.
    public init(_ strings: [String]) {
        count = strings.count
        pointer = .allocate(capacity: strings.count + 1)
        for (index, string) in strings.enumerated() { pointer[index] = strdup(string) }
        pointer[strings.count] = nil
    }

    /// Gives the memory back.
    public func free() {
        for index in 0..<count { Glibc.free(pointer[index]) }
        pointer.deallocate()
    }
}

/// Replaces the process by the program at `path` (execve(2)); returns only by throwing.
public func execute(
    _ path: String, _ arguments: CStringVector, environment: CStringVector
) throws(SystemError) -> Never {
    _ = execve(path, arguments.pointer, environment.pointer)
    throw SystemError.last("execve", path)
}

/// Replaces the process by the program that `file` is open on (execveat(2) with `AT_EMPTY_PATH`); returns only by throwing.
public func execute(
    _ file: FileDescriptor, _ arguments: CStringVector, environment: CStringVector
) throws(SystemError) -> Never {
    _ = "".withCString {
        carrel_syscall(
            Int(SYS_execveat), Int(file.rawValue), Int(bitPattern: $0), Int(bitPattern: arguments.pointer),
            Int(bitPattern: environment.pointer), 0x1000, 0)
    }
    throw SystemError.last("execveat", arguments.pointer[0].map { String(cString: $0) })
}

/// Marks every descriptor from `first` up close-on-exec (close_range(2) with `CLOSE_RANGE_CLOEXEC`, Linux 5.11).
public func closeOnExec(from first: Int32) throws(SystemError) {
    try checking("close_range") { carrel_syscall(Int(SYS_close_range), Int(first), Int(UInt32.max), 4, 0, 0, 0) }
}

/// Closes every descriptor from `first` up but those in `kept` (close_range(2)).
public func closeAll(from first: Int32, but kept: [FileDescriptor]) throws(SystemError) {
    var start = first
    for number in kept.map(\.rawValue).sorted() where number >= start {
        if number > start {
            try checking("close_range") {
                carrel_syscall(Int(SYS_close_range), Int(start), Int(number) - 1, 0, 0, 0, 0)
            }
        }
        start = number + 1
    }
    try checking("close_range") { carrel_syscall(Int(SYS_close_range), Int(start), Int(UInt32.max), 0, 0, 0, 0) }
}

/// Lets `descriptor` through execve(2), or not.
public func setCloseOnExec(_ descriptor: FileDescriptor, _ on: Bool) throws(SystemError) {
    try checking("fcntl") { fcntl(descriptor.rawValue, F_SETFD, on ? FD_CLOEXEC : 0) }
}

/// Makes `target` refer to what `descriptor` refers to (dup2(2)); not close-on-exec.
public func duplicate(_ descriptor: FileDescriptor, as target: Int32) throws(SystemError) {
    if descriptor.rawValue == target { return try setCloseOnExec(descriptor, false) }
    try retrying("dup2") { dup2(descriptor.rawValue, target) }
}

/// Another descriptor of what `descriptor` refers to, close-on-exec (fcntl(2), `F_DUPFD_CLOEXEC`).
public func duplicate(_ descriptor: FileDescriptor) throws(SystemError) -> FileDescriptor {
    FileDescriptor(rawValue: try checking("fcntl") { fcntl(descriptor.rawValue, F_DUPFD_CLOEXEC, 3) })
}

/// How a process ended (wait(2)).
public enum WaitStatus: Sendable, Equatable {
    case exited(Int32)
    case signaled(Int32)

    /// Takes the status word of wait4(2) apart.
    public init(word: Int32) {
        self = word & 0x7f == 0 ? .exited((word >> 8) & 0xff) : .signaled(word & 0x7f)
    }
}

/// Waits for the child `pid` and gives how it ended (waitpid(2)).
public func wait(for pid: pid_t) throws(SystemError) -> WaitStatus {
    var word: Int32 = 0
    try retrying("waitpid") { waitpid(pid, &word, 0) }
    return WaitStatus(word: word)
}

/// Starts a program, one of `PATH` where its name has no slash, and gives the reading end of what it writes to its standard
/// output (posix_spawnp(3)).
///
/// - Parameters:
///   - environment: `nil` for the caller's.
///   - withErrors: whether its standard error goes there too.
public func spawn(
    _ program: String, _ words: [String], environment: [String]? = nil, withErrors: Bool = false
) throws(SystemError) -> (pid: pid_t, output: FileDescriptor) {
    let arguments = CStringVector([program] + words)
    let given = environment.map { CStringVector($0) }
    defer {
        arguments.free()
        given?.free()
    }
    let (reading, writing) = try makePipe()
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for target in withErrors ? 1...2 : 1...1 {
        posix_spawn_file_actions_adddup2(&actions, writing.rawValue, Int32(target))
    }
    var pid: pid_t = 0
    let failure = posix_spawnp(&pid, program, &actions, nil, arguments.pointer, given?.pointer ?? environ)
    close(writing)
    if failure != 0 {
        close(reading)
        throw SystemError("posix_spawn", program, errno: Errno(rawValue: failure))
    }
    return (pid, reading)
}

/// How many processors the calling thread, and what it starts, can run on (sched_getaffinity(2)).
public func usableProcessors() -> Int {
    var mask = [UInt64](repeating: 0, count: 128)
    let bytes = mask.withUnsafeMutableBytes {
        carrel_syscall(Int(SYS_sched_getaffinity), 0, $0.count, Int(bitPattern: $0.baseAddress), 0, 0, 0)
    }
    return bytes <= 0 ? 1 : mask.reduce(0) { $0 + $1.nonzeroBitCount }
}

/// When the kernel started process `pid`, in clock ticks since boot (proc_pid_stat(5), field 22); `nil` where there is none,
/// or nothing of it but its status is left (a zombie), which some hosts' first process takes its time to fetch.
public func startTime(of pid: pid_t) -> UInt64? {
    guard let fields = processStatus(pid), !isOfADead(fields) else { return nil }
    return startTime(in: fields)
}

private func startTime(in fields: ArraySlice<UInt8>) -> UInt64? {
    let numbers = fields.split(separator: UInt8(ascii: " "), maxSplits: 20)
    return numbers.count > 19 ? UInt64(String(decoding: numbers[19], as: UTF8.self)) : nil
}

/// The state of a process as proc_pid_stat(5) has it: `T` is stopped, `Z` a zombie; `nil` where there is none.
public func processState(of pid: pid_t) -> UInt8? { processStatus(pid)?.first }

/// What proc_pid_stat(5) says of a process, from field 3 on: behind its name, which can hold anything.
private func processStatus(_ pid: pid_t) -> ArraySlice<UInt8>? {
    guard let bytes = try? readFile("/proc/\(pid)/stat"), let end = bytes.lastIndex(of: 0x29) else { return nil }
    return bytes[end...].dropFirst(2)
}

/// Whether nothing is left of the process but its status.
private func isOfADead(_ fields: ArraySlice<UInt8>) -> Bool {
    fields.first == UInt8(ascii: "Z") || fields.first == UInt8(ascii: "X")
}

/// Whether a process has ended: its number is free, a zombie's, or has been given anew since `started`
/// (``startTime(of:)``). What cannot be looked at, as where no descriptor is left, has not.
public func hasEnded(_ pid: pid_t, started: UInt64? = nil) -> Bool {
    if kill(pid, 0) == -1 && errno == ESRCH { return true }
    guard let fields = processStatus(pid) else { return false }
    if isOfADead(fields) { return true }
    guard let started, let found = startTime(in: fields) else { return false }
    return found != started
}

/// Gives every signal but `kept` its default disposition, also those that who started this process had ignored.
///
/// What is written beyond the caller's limit on the size of files (`ulimit -f`) fails, and does not end this process; programs
/// that it executes have the default (execve(2)).
public func resetSignals(but kept: Int32 = 0) {
    // struct kernel_sigaction, all zero; by the bare call, since the C library keeps 32 and 33 to itself.
    let action: [UInt64] = [0, 0, 0, 0]
    action.withUnsafeBytes {
        for number in 1...64 where number != SIGKILL && number != SIGSTOP && number != kept {
            _ = carrel_syscall(Int(SYS_rt_sigaction), number, Int(bitPattern: $0.baseAddress), 0, 8, 0, 0)
        }
    }
    signal(SIGXFSZ) { _ in }
}

/// Whether this process ignores a signal (sigaction(2)).
public func isIgnored(_ signal: Int32) -> Bool {
    var action = sigaction()
    guard sigaction(signal, nil, &action) == 0 else { return false }
    return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1  // SIG_IGN
}

/// Takes the place of standard descriptors that are closed, so that nothing that is opened later becomes one by chance. On
/// what is there instead, reading, or writing, fails as it did.
public func occupyStandardDescriptors() {
    for number: Int32 in 0...2 where fcntl(number, F_GETFD) == -1 {
        // The lowest number that is free: this one.
        _ = Glibc.open("/dev/null", number == 0 ? O_WRONLY : O_RDONLY)
    }
}

/// Puts this process before all others, as far as it may: for what must not wait behind the processes that it is about.
///
/// By the lowest real-time priority, which its children do not have (sched(7), `SCHED_RESET_ON_FORK`): a niceness of -20
/// alone was seen to wait for seconds behind thousands that fork. Where that is not allowed, by niceness.
public func raiseOwnPriority() {
    var priority = sched_param()
    priority.sched_priority = 1
    let resetOnFork: Int32 = 0x4000_0000
    if sched_setscheduler(0, SCHED_RR | resetOnFork, &priority) == 0 { return }
    _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, -20)
}
