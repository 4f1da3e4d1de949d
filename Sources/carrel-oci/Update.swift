import Container
import Documents
import Glibc
import OCISpec
import Options

extension Option {
    static let resources = Option(
        "resources", letter: "r", takes: "FILE", completing: .file, "`linux.resources` as JSON; `-` is standard input")
    static let memory = Option("memory", takes: "SIZE", "The most memory: bytes, or `512M`; -1 for no limit")
    static let memoryReservation = Option("memory-reservation", takes: "SIZE", "What reclaim leaves")
    static let memorySwap = Option("memory-swap", takes: "SIZE", "The most memory and swap together")
    static let cpuShares = Option("cpu-share", takes: "SHARES", "The share of processor time")
    static let cpuQuota = Option("cpu-quota", takes: "MICROSECONDS", "The processor time in each period")
    static let cpuPeriod = Option("cpu-period", takes: "MICROSECONDS", "The length of a period")
    static let cpuBurst = Option("cpu-burst", takes: "MICROSECONDS", "What can be saved up of unused quota")
    static let cpuIdle = Option(
        "cpu-idle", takes: "WHETHER", completing: .choices("0 1"), "1: only where nobody else runs")
    static let cpuRealtimeRuntime = Option(
        "cpu-rt-runtime", takes: "MICROSECONDS", "The real-time processor time in each period; cgroup v1 alone")
    static let cpuRealtimePeriod = Option(
        "cpu-rt-period", takes: "MICROSECONDS", "The length of a period of that; cgroup v1 alone")
    static let cpusetCpus = Option("cpuset-cpus", takes: "LIST", "The processors that may be used")
    static let cpusetMems = Option("cpuset-mems", takes: "LIST", "The memory nodes that may be used")
    static let pidsLimit = Option("pids-limit", takes: "COUNT", "The most tasks")
    static let blkioWeight = Option("blkio-weight", takes: "WEIGHT", "The share of disk time, 10 to 1000")
}

extension Command {
    static let update = Command(
        "update", in: "Life cycle", operands: [.container],
        options: [
            .resources, .memory, .memoryReservation, .memorySwap, .cpuShares, .cpuQuota, .cpuPeriod, .cpuBurst,
            .cpuIdle, .cpuRealtimeRuntime, .cpuRealtimePeriod, .cpusetCpus, .cpusetMems, .pidsLimit, .blkioWeight,
        ], "Change a container's limits")
    static let spec = Command(
        "spec", in: "Inspect", options: [.bundle, .rootlessSpec], "Write a `config.json` to begin with")
}

extension Option {
    static let rootlessSpec = Option("rootless", "For an ordinary user")
}

/// The limits that the words name.
func resources(_ words: Words) throws(RuntimeError) -> LinuxResources {
    if let file = words[.resources] {
        let text: String
        if file == "-" {
            var lines = ""
            while let line = readLine(strippingNewline: false) { lines += line }
            text = lines
        } else {
            text = try RuntimeRoot.read(file)
        }
        do throws(Problems) {
            return try LinuxResources(try Node.parse(Array(text.utf8), file: file), file: file)
        } catch {
            throw RuntimeError("\(error)")
        }
    }
    func number<Number: FixedWidthInteger>(_ option: Option) throws(RuntimeError) -> Number? {
        guard let text = words[option] else { return nil }
        guard let number = Number(text) else { throw RuntimeError("--\(option.name) \(text): expected a whole number") }
        return number
    }
    func size(_ option: Option) throws(RuntimeError) -> Int64? {
        guard let text = words[option] else { return nil }
        if let size = Int64(text) ?? bytes(text) { return size }
        throw RuntimeError("--\(option.name) \(text): expected a number of bytes, or one such as 512M, 2g or 1GiB")
    }
    var memory = LinuxMemory()
    memory.limit = try size(.memory)
    memory.reservation = try size(.memoryReservation)
    memory.swap = try size(.memorySwap)
    var cpu = LinuxCPU()
    cpu.shares = try number(.cpuShares)
    cpu.quota = try number(.cpuQuota)
    cpu.period = try number(.cpuPeriod)
    cpu.burst = try number(.cpuBurst)
    cpu.idle = try number(.cpuIdle)
    cpu.realtimeRuntime = try number(.cpuRealtimeRuntime)
    cpu.realtimePeriod = try number(.cpuRealtimePeriod)
    cpu.cpus = words[.cpusetCpus]
    cpu.mems = words[.cpusetMems]
    var resources = LinuxResources()
    if memory != LinuxMemory() { resources.memory = memory }
    if cpu != LinuxCPU() { resources.cpu = cpu }
    if let limit: Int64 = try number(.pidsLimit) { resources.pids = LinuxPids(limit: limit) }
    if let weight: UInt16 = try number(.blkioWeight) { resources.blockIO = LinuxBlockIO(weight: weight) }
    return resources
}

/// A size as callers of runc write it (go-units, `RAMInBytes`): with `k`, `m`, `g`, `t` or `p`, each of 1024, in either case and
/// with or without `b` or `iB` behind; `nil` for anything else.
private func bytes(_ text: String) -> Int64? {
    let digits = text.utf8.prefix { (0x30...0x39).contains($0) }
    let unit = text.utf8.dropFirst(digits.count).map { $0 | 0x20 }
    let shifts: [UInt8: Int64] = [0x6b: 10, 0x6d: 20, 0x67: 30, 0x74: 40, 0x70: 50]
    guard let number = Int64(Substring(digits)), let shift = unit.first.flatMap({ shifts[$0] }),
        ["", "b", "ib"].contains(String(decoding: unit.dropFirst(), as: UTF8.self)), number <= Int64.max >> shift
    else { return nil }
    return number << shift
}

/// Writes `config.json`, where there is none.
func writeSpecification(_ words: Words) throws(RuntimeError) {
    let path = (words[.bundle].map { $0 + "/" } ?? "") + "config.json"
    let spec = Spec.usual(rootless: words.has(.rootlessSpec) ? (geteuid(), getegid()) : nil)
    guard let file = fopen(path, "wxe") else {
        throw RuntimeError("\(path): \(String(cString: strerror(errno)))")
    }
    fputs(spec.node.json(pretty: true) + "\n", file)
    guard fclose(file) == 0 else { throw RuntimeError("\(path): \(String(cString: strerror(errno)))") }
}
