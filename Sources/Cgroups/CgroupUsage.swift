import Syscalls

/// What a cgroup uses and has used. A value is `nil` where its controller is not in force or the kernel does not count it.
public struct CgroupUsage: Sendable, Equatable {
    /// Bytes of memory now.
    public var memory: UInt64?
    /// The most bytes of memory there ever were (`memory.peak`, v1 `memory.max_usage_in_bytes`).
    public var memoryPeak: UInt64?
    /// The limit in force, in bytes; `nil` where there is none.
    public var memoryMax: UInt64?
    /// How often the limit was run into. Some kernels count nothing here on hybrid hosts: ask ``memoryIsClipped``.
    public var memoryLimitHits: UInt64?
    /// How many processes the kernel killed for want of memory.
    public var oomKills: UInt64?
    /// Tasks now.
    public var pids: UInt64?
    /// The most tasks there ever were.
    public var pidsPeak: UInt64?
    /// The limit in force; `nil` where there is none.
    public var pidsMax: UInt64?
    /// How often a fork was refused because of the limit.
    public var pidsLimitHits: UInt64?
    /// Nanoseconds of processor time, in all, in user and in kernel mode; counted on every host.
    public var cpu: UInt64?
    /// Nanoseconds of ``cpu`` in user mode.
    public var cpuUser: UInt64?
    /// Nanoseconds of ``cpu`` in kernel mode.
    public var cpuSystem: UInt64?
    /// How often it went beyond its `memory.high`; counted on unified hosts.
    public var memoryHighHits: UInt64?
    /// In how many periods its quota of processor time was used up.
    public var cpuThrottledPeriods: UInt64?
    /// For how long it had to wait then, in nanoseconds.
    public var cpuThrottled: UInt64?
    /// Time lost for want of memory.
    public var memoryPressure: Pressure?
    /// Time lost for want of a processor.
    public var cpuPressure: Pressure?
    /// Time lost waiting for block devices.
    public var ioPressure: Pressure?

    /// Whether the limit was run into, so that ``memoryPeak`` is what the limit left of it and not what was wanted.
    ///
    /// Told by the kernel's counts, and by a peak within one huge page of the limit: Linux 6.18 has `memory.failcnt` at 0
    /// even after a kill.
    public var memoryIsClipped: Bool {
        if (memoryLimitHits ?? 0) + (oomKills ?? 0) > 0 { return true }
        guard let memoryPeak, let memoryMax else { return false }
        return memoryPeak + (2 << 20) > memoryMax
    }

    /// Pressure stall information: for how long, in microseconds, some or all tasks waited (Documentation/accounting/psi.rst).
    public struct Pressure: Sendable, Equatable {
        /// Some tasks waited.
        public var some: UInt64
        /// All tasks waited at once.
        public var full: UInt64
    }
}

extension CgroupUsage.Pressure {
    /// Reads lines like `some avg10=0.00 avg60=0.00 avg300=0.00 total=1234`, of which the second begins with `full`.
    init?(_ path: String) {
        var some: UInt64?
        var full: UInt64?
        try? withContents(path) {
            some = value("total", in: $0)
            full = value("total", skipping: 1, in: $0)
        }
        guard let some else { return nil }
        self.init(some: some, full: full ?? 0)
    }
}

extension CgroupUsage {
    /// Reads what the cgroup with these directories has used and, with `now`, what it uses at present.
    init(directory: String, controllers: [String: String], files: MemoryFiles, now: Bool) {
        if let memory = controllers["memory"] {
            if now { self.memory = number("\(memory)/\(files.current)") }
            memoryMax = bound("\(memory)/\(files.max)")
            memoryPeak = number("\(memory)/\(files.peak)")
            try? withContents("\(memory)/\(files.kills)") {
                oomKills = value("oom_kill", in: $0)
                memoryLimitHits = value("max", in: $0)
                memoryHighHits = value("high", in: $0)
            }
            if memoryLimitHits == nil, let hits = number("\(memory)/memory.failcnt") {
                // Where swap is forbidden both limits are the same, and that of both together is run into first.
                memoryLimitHits = hits + (number("\(memory)/memory.memsw.failcnt") ?? 0)
            }
        }
        if let pids = controllers["pids"] {
            if now { self.pids = number("\(pids)/pids.current") }
            pidsMax = number("\(pids)/pids.max")
            pidsPeak = number("\(pids)/pids.peak")
            try? withContents("\(pids)/pids.events") { pidsLimitHits = value("max", in: $0) }
        }
        try? withContents("\(directory)/cpu.stat") {
            cpu = value("usage_usec", in: $0).map { $0 * 1000 }
            cpuUser = value("user_usec", in: $0).map { $0 * 1000 }
            cpuSystem = value("system_usec", in: $0).map { $0 * 1000 }
        }
        if let cpu = controllers["cpu"] {
            try? withContents("\(cpu)/cpu.stat") {
                cpuThrottledPeriods = value("nr_throttled", in: $0)
                cpuThrottled = value("throttled_usec", in: $0).map { $0 * 1000 } ?? value("throttled_time", in: $0)
            }
        }
        memoryPressure = Pressure("\(directory)/memory.pressure")
        cpuPressure = Pressure("\(directory)/cpu.pressure")
        ioPressure = Pressure("\(directory)/io.pressure")
    }
}
