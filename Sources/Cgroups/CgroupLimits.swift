import OCISpec

/// What a cgroup is held to. What is `nil` stays as the kernel has it: without a limit when it is new.
///
/// Where a limit is a number of bytes or tasks, ``unlimited`` takes one away that was set before.
public struct CgroupLimits: Sendable, Equatable {
    /// The number that lifts a limit.
    public static let unlimited = UInt64.max

    // MARK: memory, in bytes

    /// The most memory. Page cache, tmpfs and kernel memory count.
    public var memoryMax: UInt64?
    /// Where the kernel starts to slow the cgroup down and to reclaim. Unified hosts only.
    public var memoryHigh: UInt64?
    /// What reclaim leaves to the cgroup while there is anything else to reclaim.
    public var memoryLow: UInt64?
    /// What reclaim never takes; where it cannot be kept, the kernel kills others. Unified hosts only.
    public var memoryMin: UInt64?
    /// The most swap, beside `memoryMax`; on a hybrid host in force only with `memoryMax`. None by default.
    public var swapMax: UInt64? = 0
    /// Whether running out of memory ends all processes at once. On a hybrid host the kernel has no such switch:
    /// whoever watches the cgroup (``Cgroup/watchOutOfMemory()``) kills the rest.
    public var oomGroup = true
    /// Whether a ``memoryMax`` below what is used now is refused, instead of making the kernel kill.
    public var checksUse = false
    /// How readily it is swapped, 0 to 100. Hybrid hosts only.
    public var swappiness: UInt64?
    /// Whether tasks wait at the limit instead of being killed. Hybrid hosts only.
    public var disablesOOMKiller: Bool?
    /// The most kernel memory. Hybrid hosts with kernels that still count it apart.
    public var kernelMemory: UInt64?
    /// The most kernel memory of TCP buffers. Hybrid hosts only.
    public var kernelMemoryTCP: UInt64?

    // MARK: tasks

    /// The most tasks (threads).
    public var pidsMax: UInt64?

    // MARK: processors

    /// The most processor time: microseconds in each ``cpuPeriod``.
    public var cpuQuota: UInt64?
    /// The length of a period of ``cpuQuota``, in microseconds: 1,000 to 1,000,000; 100,000 in a new cgroup.
    public var cpuPeriod: UInt64?
    /// What of the quota can be saved up for later periods, in microseconds.
    public var cpuBurst: UInt64?
    /// The share of processor time when it is short: 1 to 10,000, where 100 is what every other cgroup has.
    public var cpuWeight: UInt64?
    /// The same as cgroup v1 has it, 2 to 262,144, where 1024 is the usual; in place of ``cpuWeight``.
    public var cpuShares: UInt64?
    /// Whether it gets a processor only when nobody else wants it (`SCHED_IDLE`).
    public var cpuIdle: Bool?
    /// Real-time scheduling: microseconds in each period. Hybrid hosts only.
    public var realtimeRuntime: Int64?
    /// The length of a period of real-time scheduling, in microseconds. Hybrid hosts only.
    public var realtimePeriod: UInt64?
    /// The processors that may be used, as a list like `0-3,7`.
    public var cpus: String?
    /// The memory nodes that may be used, as a list.
    public var mems: String?

    // MARK: the rest

    /// Block devices.
    public var io = IOLimits()
    /// The most huge pages in bytes, by their size as the kernel writes it: `2MB`.
    public var hugePages: [String: UInt64] = [:]
    /// The most handles and objects of RDMA devices, by device.
    public var rdma: [String: LinuxRdma] = [:]
    /// Class and priorities of packets. Hybrid hosts only.
    public var network: LinuxNetwork?
    /// Which devices may be used, the last match deciding; what none matches may not. Empty: nothing is decided.
    public var devices: [LinuxDeviceCgroup] = []
    /// Further files of a cgroup v2 directory and what to write to them. Unified hosts only.
    public var unified: [String: String] = [:]

    /// No limit but on swap.
    public init(memoryMax: UInt64? = nil, pidsMax: UInt64? = nil, cpuMax: Double? = nil) {
        self.memoryMax = memoryMax
        self.pidsMax = pidsMax
        self.cpuMax = cpuMax
    }

    /// The most processor time as a number of processors: 1.5 is one and a half. What is no such number becomes a quota
    /// of 0, which the kernel refuses.
    public var cpuMax: Double? {
        get { cpuQuota.map { Double($0) / Double(cpuPeriod ?? 100_000) } }
        set {
            cpuPeriod = newValue == nil ? nil : 100_000
            cpuQuota = newValue.map { UInt64(exactly: ($0 * 100_000).rounded()) ?? 0 }
        }
    }
}

/// What a cgroup may do with block devices.
public struct IOLimits: Sendable, Equatable {
    /// The share when a device is short of time, 10 to 1000, where 100 is the usual.
    public var weight: UInt64?
    /// The share that its own tasks have beside its children. Hybrid hosts only.
    public var leafWeight: UInt64?
    /// Shares on single devices.
    public var weights: [LinuxWeightDevice] = []
    /// Bytes a second.
    public var readBytes: [LinuxThrottleDevice] = []
    /// Bytes a second.
    public var writeBytes: [LinuxThrottleDevice] = []
    /// Operations a second.
    public var readOperations: [LinuxThrottleDevice] = []
    /// Operations a second.
    public var writeOperations: [LinuxThrottleDevice] = []

    /// No limit.
    public init() {}
}

/// One file to write so that a limit holds.
struct Setting: Equatable {
    /// The controller whose file it is.
    let controller: String
    let file: String
    let value: String
    /// What holds without the file on a kernel that has none.
    var without = Without.nothing
    /// Another file and value for a kernel that does not have this one.
    var instead: Instead?

    /// Whether a limit can hold although the kernel does not have its file.
    enum Without: Equatable {
        /// It cannot.
        case nothing
        /// It forbids swap altogether, which holds on a host that has none.
        case forbiddenSwap
        /// It only repeats another, or says what is so by itself.
        case everything
    }

    struct Instead: Equatable {
        let file: String
        let value: String
    }

    init(_ controller: String, _ file: String, _ value: some CustomStringConvertible, without: Without = .nothing) {
        self.controller = controller
        self.file = file
        self.value = value.description
        self.without = without
    }

    /// Answers for `path`, the file of this setting, which the kernel does not have.
    func absent(_ path: String) throws(CgroupError) {
        switch without {
        case .everything: return
        case .nothing:
            throw .controlAbsent(
                control: file, reason: "this kernel has no \(path)", fix: "use a newer kernel, or do without this limit"
            )
        case .forbiddenSwap:
            let areas = try read("/proc/swaps").split(separator: "\n").count - 1
            if areas > 0 {
                throw .controlAbsent(
                    control: "swap", reason: "this kernel has no \(path), and the host has \(areas) swap areas",
                    fix: "boot with swapaccount=1, or swapoff -a")
            }
        }
    }
}

/// A limit as the kernel's files have it: a number, or the word that lifts it.
func limit(_ value: UInt64, unlimited word: String = "max") -> String {
    value == CgroupLimits.unlimited ? word : String(value)
}
