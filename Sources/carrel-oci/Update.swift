import Container
import Documents
import Glibc
import OCISpec
import Options

extension Option {
    static let resources = Option(
        "resources", letter: "r", takes: "FILE", completing: .file, "`linux.resources` as JSON; `-` is standard input")
    static let memory = Option("memory", takes: "BYTES", "The most memory; -1 for no limit")
    static let memoryReservation = Option("memory-reservation", takes: "BYTES", "What reclaim leaves")
    static let memorySwap = Option("memory-swap", takes: "BYTES", "The most memory and swap together")
    static let cpuShares = Option("cpu-share", takes: "SHARES", "The share of processor time")
    static let cpuQuota = Option("cpu-quota", takes: "MICROSECONDS", "The processor time in each period")
    static let cpuPeriod = Option("cpu-period", takes: "MICROSECONDS", "The length of a period")
    static let cpusetCpus = Option("cpuset-cpus", takes: "LIST", "The processors that may be used")
    static let cpusetMems = Option("cpuset-mems", takes: "LIST", "The memory nodes that may be used")
    static let pidsLimit = Option("pids-limit", takes: "COUNT", "The most tasks")
    static let blkioWeight = Option("blkio-weight", takes: "WEIGHT", "The share of disk time, 10 to 1000")
}

extension Command {
    static let update = Command(
        "update", in: "Life", operands: [.container],
        options: [
            .resources, .memory, .memoryReservation, .memorySwap, .cpuShares, .cpuQuota, .cpuPeriod, .cpusetCpus,
            .cpusetMems, .pidsLimit, .blkioWeight,
        ], "Change a container's limits")
    static let spec = Command(
        "spec", in: "Looking", options: [.bundle, .rootlessSpec], "Write a `config.json` to begin with")
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
    var memory = LinuxMemory()
    memory.limit = try number(.memory)
    memory.reservation = try number(.memoryReservation)
    memory.swap = try number(.memorySwap)
    var cpu = LinuxCPU()
    cpu.shares = try number(.cpuShares)
    cpu.quota = try number(.cpuQuota)
    cpu.period = try number(.cpuPeriod)
    cpu.cpus = words[.cpusetCpus]
    cpu.mems = words[.cpusetMems]
    var resources = LinuxResources()
    if memory != LinuxMemory() { resources.memory = memory }
    if cpu != LinuxCPU() { resources.cpu = cpu }
    if let limit: Int64 = try number(.pidsLimit) { resources.pids = LinuxPids(limit: limit) }
    if let weight: UInt16 = try number(.blkioWeight) { resources.blockIO = LinuxBlockIO(weight: weight) }
    return resources
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
