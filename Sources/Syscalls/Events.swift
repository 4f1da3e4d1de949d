import CSyscalls
import Glibc
import SystemPackage

// Waiting. Every descriptor made here is close-on-exec, and those that are read (event, timer, signal, inotify) do not
// block: a read with nothing to tell answers nil or nothing, and the waiting is done in one place, epoll or poll.

/// `EFD_`, `TFD_`, `SFD_` and `IN_` `CLOEXEC` and `NONBLOCK` are these two by definition.
private let quiet = O_CLOEXEC | O_NONBLOCK

/// What a descriptor is watched for, and what was found (`EPOLL*` of epoll_ctl(2)).
public struct Readiness: OptionSet, Sendable, Hashable {
    /// The bits of `struct epoll_event`.
    public let rawValue: UInt32
    /// The set of these bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// There is something to read, or an end of file, or a process that ended (pidfd).
    public static let readable = Readiness(rawValue: 0x001)
    /// There is something urgent: a changed `*.events` or pressure file of the kernel.
    public static let priority = Readiness(rawValue: 0x002)
    /// A write would not block.
    public static let writable = Readiness(rawValue: 0x004)
    /// An error; always watched.
    public static let error = Readiness(rawValue: 0x008)
    /// The other end is closed; always watched.
    public static let hangUp = Readiness(rawValue: 0x010)
}

// MARK: epoll

/// What epollControl does.
public enum EpollOperation: Int32, Sendable {
    case add = 1
    case delete = 2
    case modify = 3
}

/// One descriptor that is ready.
public struct EpollEvent: Sendable, Equatable {
    /// What the descriptor was added with.
    public let token: UInt64
    /// What it is ready for.
    public let events: Readiness
}

/// A new, empty set of watched descriptors (epoll_create1(2)).
public func epollCreate() throws(SystemError) -> FileDescriptor {
    FileDescriptor(rawValue: try checking("epoll_create1") { epoll_create1(O_CLOEXEC) })
}

/// Adds `descriptor` to the set, changes what it is watched for, or takes it out (epoll_ctl(2)).
///
/// - Parameter token: what `epollWait` names the descriptor by; the descriptor's number where none is given.
public func epollControl(
    _ epoll: FileDescriptor, _ operation: EpollOperation, _ descriptor: FileDescriptor,
    _ events: Readiness = .readable, token: UInt64? = nil
) throws(SystemError) {
    let data = epoll_data_t(u64: token ?? UInt64(UInt32(bitPattern: descriptor.rawValue)))
    var event = epoll_event(events: events.rawValue, data: data)
    try checking("epoll_ctl") { epoll_ctl(epoll.rawValue, operation.rawValue, descriptor.rawValue, &event) }
}

/// Waits until a descriptor of the set is ready (epoll_wait(2)); a signal does not cut the wait short.
///
/// - Parameters:
///   - timeout: milliseconds to wait at most; forever where it is `nil`.
///   - most: the most events to take at once.
/// - Returns: what is ready; empty when the time was up.
public func epollWait(
    _ epoll: FileDescriptor, timeout: Int? = nil, most: Int = 16
) throws(SystemError) -> [EpollEvent] {
    var events = [epoll_event](repeating: epoll_event(), count: most)
    let count = try waiting("epoll_wait", timeout) { epoll_wait(epoll.rawValue, &events, Int32(most), $0) }
    return events[..<count].map { EpollEvent(token: $0.data.u64, events: Readiness(rawValue: $0.events)) }
}

// MARK: poll

/// Waits until one of `descriptors` is ready for what its place in the array asks (poll(2)); a signal does not cut the
/// wait short.
///
/// - Parameter timeout: milliseconds to wait at most; forever where it is `nil`.
/// - Returns: what each is ready for, in the order given; all empty when the time was up.
public func poll(
    _ descriptors: [(FileDescriptor, Readiness)], timeout: Int? = nil
) throws(SystemError) -> [Readiness] {
    var entries = descriptors.map {
        pollfd(fd: $0.0.rawValue, events: Int16(truncatingIfNeeded: $0.1.rawValue), revents: 0)
    }
    try waiting("poll", timeout) { Glibc.poll(&entries, nfds_t(entries.count), $0) }
    return entries.map { Readiness(rawValue: UInt32(UInt16(bitPattern: $0.revents))) }
}

/// Repeats an interrupted wait for the time that is left of it.
@discardableResult
private func waiting(_ call: String, _ timeout: Int?, _ body: (Int32) -> Int32) throws(SystemError) -> Int {
    let end = timeout.map { monotonicNanoseconds() + UInt64(max($0, 0)) * 1_000_000 }
    var left = Int32(clamping: timeout.map { max($0, 0) } ?? -1)
    while true {
        let count = body(left)
        if count >= 0 { return Int(count) }
        if errno != EINTR { throw SystemError.last(call) }
        if let end {
            let now = monotonicNanoseconds()
            left = now >= end ? 0 : Int32(clamping: (end - now + 999_999) / 1_000_000)
        }
    }
}

/// The clock of time-outs and measurements: nanoseconds since some moment before, never set back (clock_gettime(2)).
public func monotonicNanoseconds(_ clock: clockid_t = CLOCK_MONOTONIC) -> UInt64 {
    var now = timespec()
    clock_gettime(clock, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

// MARK: eventfd and timerfd

/// A counter that is readable while it is not zero (eventfd(2)).
public func eventFD(_ initial: UInt32 = 0) throws(SystemError) -> FileDescriptor {
    FileDescriptor(rawValue: try checking("eventfd") { eventfd(initial, quiet) })
}

/// Adds to an event counter.
public func eventFDAdd(_ descriptor: FileDescriptor, _ value: UInt64 = 1) throws(SystemError) {
    var value = value
    try retrying("write", "eventfd") { Glibc.write(descriptor.rawValue, &value, 8) }
}

/// A timer that is not yet set; readable once it has run out (timerfd_create(2)).
///
/// - Parameter clock: `CLOCK_MONOTONIC` stands still while the host sleeps, `CLOCK_BOOTTIME` does not.
public func timerFD(_ clock: clockid_t = CLOCK_MONOTONIC) throws(SystemError) -> FileDescriptor {
    FileDescriptor(rawValue: try checking("timerfd_create") { timerfd_create(clock, quiet) })
}

/// Sets a timer, or stops it (timerfd_settime(2)).
///
/// - Parameters:
///   - nanoseconds: from now, or by the timer's clock where `absolute` is set; 0 stops the timer.
///   - interval: nanoseconds between the times that follow; 0 for one time only.
public func timerFDSet(
    _ descriptor: FileDescriptor, nanoseconds: UInt64, absolute: Bool = false, interval: UInt64 = 0
) throws(SystemError) {
    func split(_ value: UInt64) -> timespec {
        timespec(tv_sec: Int(value / 1_000_000_000), tv_nsec: Int(value % 1_000_000_000))
    }
    var value = itimerspec(it_interval: split(interval), it_value: split(nanoseconds))
    let flags = absolute ? Int32(TFD_TIMER_ABSTIME) : 0
    try checking("timerfd_settime") { timerfd_settime(descriptor.rawValue, flags, &value, nil) }
}

/// Takes what an event counter or a timer has counted, which sets it to zero; `nil` when it is zero already.
public func takeCount(_ descriptor: FileDescriptor) throws(SystemError) -> UInt64? {
    var value: UInt64 = 0
    return try readStructure(descriptor, &value) ? value : nil
}

// MARK: signals

/// A set of signals as sigprocmask(2) and signalfd(2) take it.
public func signalSet(_ signals: some Sequence<Int32>) -> sigset_t {
    var set = sigset_t()
    sigemptyset(&set)
    for signal in signals { sigaddset(&set, signal) }
    return set
}

/// Changes which signals are held back from the calling thread (sigprocmask(2)) and answers which were.
///
/// - Parameter how: `SIG_BLOCK`, `SIG_UNBLOCK` or `SIG_SETMASK`.
@discardableResult
public func changeSignalMask(_ how: Int32, _ set: sigset_t) throws(SystemError) -> sigset_t {
    var set = set
    var old = sigset_t()
    try checking("sigprocmask") { sigprocmask(how, &set, &old) }
    return old
}

/// Whether a signal that is held back is there to be taken (sigpending(2)).
public func isPending(_ signal: Int32) -> Bool {
    var set = sigset_t()
    return sigpending(&set) == 0 && sigismember(&set, signal) == 1
}

/// Holds back every signal from the calling thread, and gives the descriptor that tells of them instead. The kernel raises
/// `SIGSEGV` and its like whatever the mask; `SIGCHLD` is left, since a descriptor of the process tells of a child. What this
/// process's own writes raise is held back and not told of: the write that failed tells of it.
public func takeSignals() throws(SystemError) -> FileDescriptor {
    var all = sigset_t()
    sigfillset(&all)
    sigdelset(&all, SIGCHLD)
    try changeSignalMask(SIG_BLOCK, all)
    for own in [SIGPIPE, SIGXFSZ] { sigdelset(&all, own) }
    return try signalFD(all)
}

/// A descriptor that is readable when one of `signals`, which the caller has blocked, is pending (signalfd(2)).
public func signalFD(_ signals: sigset_t) throws(SystemError) -> FileDescriptor {
    var signals = signals
    return FileDescriptor(rawValue: try checking("signalfd") { signalfd(-1, &signals, quiet) })
}

/// A signal that was taken from a signal descriptor.
public struct SignalInfo: Sendable, Equatable {
    /// The signal's number.
    public let signal: Int32
    /// Why it was sent: `SI_USER`, `CLD_EXITED` and so on.
    public let code: Int32
    /// Who sent it, or which child it tells of; 0 where the kernel sent it.
    public let pid: pid_t
    /// The sender's real user id.
    public let uid: uid_t
    /// Of a `SIGCHLD`: the exit status or the signal that ended the child.
    public let status: Int32
}

/// Takes the next pending signal; `nil` when there is none.
public func readSignal(_ descriptor: FileDescriptor) throws(SystemError) -> SignalInfo? {
    var info = signalfd_siginfo()
    guard try readStructure(descriptor, &info) else { return nil }
    return SignalInfo(
        signal: Int32(bitPattern: info.ssi_signo), code: info.ssi_code, pid: pid_t(bitPattern: info.ssi_pid),
        uid: info.ssi_uid, status: info.ssi_status)
}

/// Reads one fixed-size record; false when the descriptor has none to give.
private func readStructure<Record: BitwiseCopyable>(
    _ descriptor: FileDescriptor, _ record: inout Record
) throws(SystemError) -> Bool {
    do throws(SystemError) {
        return try retrying("read") { Glibc.read(descriptor.rawValue, &record, MemoryLayout<Record>.size) }
            == MemoryLayout<Record>.size
    } catch {
        if error.errno == .wouldBlock { return false }
        throw error
    }
}

// MARK: inotify

/// What happened to a watched file.
public struct InotifyEvent: Sendable, Equatable {
    /// The watch, as `inotifyAdd` answered it.
    public let watch: Int32
    /// `IN_*` of inotify(7).
    public let mask: UInt32
    /// The file in a watched directory; empty where the watched file itself is meant.
    public let name: String
}

/// A new, empty set of watched files (inotify_init1(2)).
public func inotifyInit() throws(SystemError) -> FileDescriptor {
    FileDescriptor(rawValue: try checking("inotify_init1") { inotify_init1(quiet) })
}

/// Watches `path` for the events of `mask` (`IN_*`); answers the watch (inotify_add_watch(2)).
@discardableResult
public func inotifyAdd(_ descriptor: FileDescriptor, _ path: String, _ mask: UInt32) throws(SystemError) -> Int32 {
    try checking("inotify_add_watch", path) { inotify_add_watch(descriptor.rawValue, path, mask) }
}

/// Takes the events that are waiting; empty when there are none.
public func inotifyRead(_ descriptor: FileDescriptor) throws(SystemError) -> [InotifyEvent] {
    try withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer throws(SystemError) in
        let count: Int
        do throws(SystemError) {
            count = try retrying("read", "inotify") {
                Glibc.read(descriptor.rawValue, buffer.baseAddress, buffer.count)
            }
        } catch {
            if error.errno == .wouldBlock { return [] }
            throw error
        }
        var events: [InotifyEvent] = []
        var at = 0
        while at < count {
            let header = buffer.load(fromByteOffset: at, as: inotify_event.self)
            let name = UnsafeRawBufferPointer(rebasing: buffer[(at + 16)..<(at + 16 + Int(header.len))])
            events.append(
                InotifyEvent(
                    watch: header.wd, mask: header.mask, name: String(decoding: name.prefix { $0 != 0 }, as: UTF8.self))
            )
            at += 16 + Int(header.len)
        }
        return events
    }
}

// MARK: pidfd

/// A descriptor of a process: readable when it has ended, and never another process's (pidfd_open(2)).
public func pidfdOpen(_ pid: pid_t) throws(SystemError) -> FileDescriptor {
    FileDescriptor(rawValue: try checking("pidfd_open", String(pid)) { pidfd_open(pid, 0) })
}

/// Sends a signal to the process behind `descriptor` (pidfd_send_signal(2)); `ESRCH` when it has ended.
public func pidfdSendSignal(_ descriptor: FileDescriptor, _ signal: Int32) throws(SystemError) {
    try checking("pidfd_send_signal") { pidfd_send_signal(descriptor.rawValue, signal, nil, 0) }
}
