import CSyscalls
import Glibc

/// How a process is scheduled (sched_setattr(2)).
public struct SchedulingAttributes: Sendable, Equatable {
    /// `SCHED_*` as a number.
    public var policy: UInt32
    /// `SCHED_FLAG_*`.
    public var flags: UInt64
    /// -20 to 19; of `SCHED_OTHER` and `SCHED_BATCH`.
    public var nice: Int32
    /// 1 to 99; of `SCHED_FIFO` and `SCHED_RR`.
    public var priority: UInt32
    /// Nanoseconds; of `SCHED_DEADLINE`.
    public var runtime: UInt64
    /// Nanoseconds; of `SCHED_DEADLINE`.
    public var deadline: UInt64
    /// Nanoseconds; of `SCHED_DEADLINE`.
    public var period: UInt64

    /// Collects the attributes.
    public init(
        policy: UInt32, flags: UInt64, nice: Int32, priority: UInt32, runtime: UInt64, deadline: UInt64, period: UInt64
    ) {
        self.policy = policy
        self.flags = flags
        self.nice = nice
        self.priority = priority
        self.runtime = runtime
        self.deadline = deadline
        self.period = period
    }
}

/// Schedules the caller by `attributes`.
public func setScheduling(_ attributes: SchedulingAttributes) throws(SystemError) {
    var value = carrel_sched_attr(
        size: UInt32(MemoryLayout<carrel_sched_attr>.size), policy: attributes.policy, flags: attributes.flags,
        nice: attributes.nice, priority: attributes.priority, runtime: attributes.runtime,
        deadline: attributes.deadline, period: attributes.period)
    try checking("sched_setattr") {
        withUnsafeMutablePointer(to: &value) {
            carrel_syscall(Int(SYS_sched_setattr), 0, Int(bitPattern: $0), 0, 0, 0, 0)
        }
    }
}

/// Sets the I/O priority of the caller (ioprio_set(2)).
///
/// - Parameters:
///   - class: 1 real time, 2 best effort, 3 idle.
///   - level: 0 (highest) to 7.
public func setIOPriority(class: Int, level: Int) throws(SystemError) {
    let process = 1  // IOPRIO_WHO_PROCESS
    try checking("ioprio_set") { carrel_syscall(Int(SYS_ioprio_set), process, 0, `class` << 13 | level, 0, 0, 0) }
}

/// Lets the caller run on these processors only (sched_setaffinity(2)).
///
/// - Parameter processors: their numbers, below 8192.
public func setAffinity(_ processors: [Int]) throws(SystemError) {
    var mask = [UInt64](repeating: 0, count: 128)
    for processor in processors where processor < mask.count * 64 { mask[processor / 64] |= 1 << (processor % 64) }
    try checking("sched_setaffinity") {
        mask.withUnsafeMutableBytes {
            carrel_syscall(Int(SYS_sched_setaffinity), 0, $0.count, Int(bitPattern: $0.baseAddress), 0, 0, 0)
        }
    }
}

/// Sets the execution domain of the caller (personality(2)).
public func setPersonality(_ domain: UInt) throws(SystemError) {
    try checking("personality") { carrel_syscall(Int(SYS_personality), Int(domain), 0, 0, 0, 0, 0) }
}
