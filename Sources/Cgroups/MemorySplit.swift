import Glibc
import Syscalls
import SystemPackage

/// What a cgroup's memory is made of at one moment, in bytes.
public struct MemorySplit: Sendable, Equatable {
    /// Memory of programs alone: heaps, stacks.
    public var anon: UInt64
    /// Page cache of files on disks: programs, libraries, what was read. It is charged to whoever touches it first, and the
    /// kernel takes it back when memory is short.
    public var file: UInt64
    /// Shared memory and tmpfs, which has no other place to be.
    public var shmem: UInt64
    /// The kernel's own for it: page tables, stacks, inodes, socket buffers.
    public var kernel: UInt64

    /// A split.
    public init(anon: UInt64, file: UInt64, shmem: UInt64, kernel: UInt64) {
        self.anon = anon
        self.file = file
        self.shmem = shmem
        self.kernel = kernel
    }

    /// Reads `memory.stat`: of v2 (in which `file` counts tmpfs too), or of v1, where what the kernel holds is elsewhere.
    init?(_ text: UnsafeRawBufferPointer, isUnified: Bool, kernel: UInt64?) {
        if isUnified {
            guard let anon = value("anon", in: text), let file = value("file", in: text) else { return nil }
            let shmem = value("shmem", in: text) ?? 0
            self.init(
                anon: anon, file: file - min(shmem, file), shmem: shmem, kernel: value("kernel", in: text) ?? 0)
        } else {
            guard let anon = value("total_rss", in: text), let cache = value("total_cache", in: text) else {
                return nil
            }
            let shmem = value("total_shmem", in: text) ?? 0
            self.init(anon: anon, file: cache - min(shmem, cache), shmem: shmem, kernel: kernel ?? 0)
        }
    }
}

/// Reads a cgroup's memory again and again at little cost: its files stay open.
public final class MemoryMeter {
    /// What one look found.
    public struct Reading: Sendable, Equatable {
        /// Bytes charged now.
        public var bytes: UInt64
        /// What they are made of; `nil` where the kernel does not tell.
        public var split: MemorySplit?
        /// Microseconds that some task has waited for memory so far; `nil` where the kernel does not count.
        public var stall: UInt64?
        /// The resident sets of all processes, each page counted once for each process that has it; `nil` when not asked.
        public var residentSum: UInt64?
    }

    private let isUnified: Bool
    private let current: FileDescriptor
    private let stat: FileDescriptor
    private let kernel: FileDescriptor?
    private let pressure: FileDescriptor?
    private let processes: FileDescriptor?

    init(unified: Bool, memory: String, current: String, v2 directory: String) throws(CgroupError) {
        isUnified = unified
        self.current = try open("\(memory)/\(current)")
        do throws(CgroupError) { stat = try open("\(memory)/memory.stat") } catch {
            Syscalls.close(self.current)
            throw error
        }
        kernel = unified ? nil : try? open("\(memory)/memory.kmem.usage_in_bytes")
        pressure = try? open("\(directory)/memory.pressure")
        processes = try? open("\(directory)/cgroup.procs")
    }

    /// Looks once; `nil` where the cgroup is gone.
    ///
    /// - Parameter withProcesses: add up the processes' resident sets too, one file of `/proc` for each.
    public func read(withProcesses: Bool) -> Reading? {
        guard let bytes = number(current) else { return nil }
        let kernelBytes = kernel.flatMap { number($0) }
        let split = try? withContents(stat) { MemorySplit($0, isUnified: isUnified, kernel: kernelBytes) }
        let stall = pressure.flatMap { file in try? withContents(file) { value("total", in: $0) } }
        var reading = Reading(bytes: bytes, split: split, stall: stall)
        if withProcesses { reading.residentSum = residentSum() }
        return reading
    }

    private func residentSum() -> UInt64? {
        guard let processes else { return nil }
        // Longer than what else is read here: a number and a newline for each.
        lseek(processes.rawValue, 0, SEEK_SET)
        guard let text = try? readAll(processes, named: "cgroup.procs") else { return nil }
        let pids = text.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
        let page = UInt64(sysconf(Int32(_SC_PAGESIZE)))
        var sum: UInt64 = 0
        for pid in pids {
            // proc_pid_statm(5): the second number is the resident set, in pages.
            let pages = try? withContents("/proc/\(pid)/statm") { text -> UInt64 in
                let fields = text.split(separator: UInt8(ascii: " "), maxSplits: 2)
                return fields.count < 2 ? 0 : number(in: fields[1]) ?? 0
            }
            sum += (pages ?? 0) * page
        }
        return sum
    }

    deinit {
        for file in [current, stat] { Syscalls.close(file) }
        for file in [kernel, pressure, processes] { if let file { Syscalls.close(file) } }
    }
}

/// The highest usage of a cgroup and all below since it was asked to begin anew.
public final class PeakWatch {
    private let file: FileDescriptor
    /// Whether the count began with ``PeakWatch``: `memory.peak` can be reset since Linux 6.12, v1's counter always.
    /// Otherwise it counts since the cgroup was made.
    public let isFresh: Bool

    init(_ path: String) throws(CgroupError) {
        if let file = try? open(path, O_RDWR), (try? writeAll("0\n".utf8, to: file)) != nil {
            (self.file, isFresh) = (file, true)
        } else {
            (file, isFresh) = (try open(path), false)
        }
    }

    /// The highest so far, in bytes.
    public var bytes: UInt64? { number(file) }

    deinit { Syscalls.close(file) }
}

extension Cgroup {
    private func memoryDirectory() throws(CgroupError) -> String {
        guard let memory = directories["memory"] else {
            throw .controlAbsent(
                control: "memory", reason: "\(path) was made without a memory limit", fix: "give it one")
        }
        return memory
    }

    /// Opens what tells of its memory, to be read often.
    public func memoryMeter() throws(CgroupError) -> MemoryMeter {
        let memory = try memoryDirectory()
        return try MemoryMeter(
            unified: memory == directory, memory: memory, current: tree.memory.current, v2: directory)
    }

    /// Counts the peak of it and all below from now on.
    public func watchPeak() throws(CgroupError) -> PeakWatch {
        try PeakWatch("\(try memoryDirectory())/\(tree.memory.peak)")
    }

    /// Bytes of page cache that are charged to it; `nil` where that is not counted.
    public func pageCache() -> UInt64? {
        guard let memory = directories["memory"] else { return nil }
        let split = try? withContents("\(memory)/memory.stat") {
            MemorySplit($0, isUnified: memory == directory, kernel: nil)
        }
        return split?.file
    }
}
