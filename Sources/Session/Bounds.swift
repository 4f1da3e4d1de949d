import Capacity
import Cgroups
import Documents
import Glibc
import Syscalls

/// What all sessions of one tenant may use together, as `tenants/NAME.yaml` says it. What is `nil` has no bound.
///
/// ```yaml
/// version: 1
/// memory: 8GiB
/// memoryHigh: 7GiB
/// pids: 4096
/// cpus: 4
/// sessions: 20
/// ```
public struct TenantBounds: Sendable, Equatable {
    /// The most memory, in bytes: what the kernel charges to all of them together.
    public var memory: Int?
    /// Where the kernel begins to slow all of them down, in bytes (`memory.high`; unified hosts only).
    public var memoryHigh: Int?
    /// The most tasks.
    public var pids: Int?
    /// The most processor time, in thousandths of a processor.
    public var cpus: Int?
    /// The most sessions at one time.
    public var sessions: Int?
    /// The file that says so; `nil` where there is none, and nothing bounds the tenant.
    public var file: String?

    /// No bounds.
    public init() {}
}

/// What all sessions of the host may use together, as `host.yaml` says it. What is `nil` has no bound.
public struct HostBounds: Sendable, Equatable {
    /// Memory that is kept for everything else on the host, in bytes: sessions together get the host's RAM without it.
    public var reserve: Int?
    /// How much memory admission takes the host to have, in bytes; `nil`: what it has.
    public var memory: Int?
    /// Whether sessions take berths before they start.
    public var admits = true
    /// From how much memory pressure on a start is refused while memory is short: percent of the last ten seconds.
    public var pressure = 20
    /// The most tasks of all sessions.
    public var pids: Int?
    /// The most processor time of all sessions, in thousandths of a processor.
    public var cpus: Int?
    /// The file that says so; `nil` where there is none.
    public var file: String?

    /// No bounds.
    public init() {}
}

extension TenantBounds {
    static let fields = ["version", "memory", "memoryHigh", "pids", "cpus", "sessions"]

    /// Reads the bounds of a tenant: those of `/etc/carrel/tenants/NAME.yaml`, else of `tenants/NAME.yaml` in the state
    /// directory, else none.
    ///
    /// - Throws: everything that is wrong with the file, or that someone else could have written it.
    public static func load(_ tenant: String, in state: StateDirectory) throws(Problems) -> TenantBounds {
        try load(tenant, places: ["/etc/carrel/tenants", state["tenants"]])
    }

    static func load(_ tenant: String, places: [String]) throws(Problems) -> TenantBounds {
        for place in places {
            if let bounds = try read(file: "\(place)/\(tenant).yaml") { return bounds }
        }
        return TenantBounds()
    }

    /// Reads one file; `nil` where there is none.
    public static func read(file: String) throws(Problems) -> TenantBounds? {
        var bounds = TenantBounds()
        var highMark: Mark?
        let isThere = try readBounds(file, fields) { entry, reader in
            switch entry.key {
            case "memory": reader.size(entry, "memory", &bounds.memory, atLeast: 4 << 20)
            case "memoryHigh":
                highMark = entry.value.mark
                reader.size(entry, "memoryHigh", &bounds.memoryHigh, atLeast: 4 << 20)
            case "pids":
                reader.bound(entry, &bounds.pids) { reader.whole($0, "pids", &$1, 1...4_194_304, or: ", or none") }
            case "cpus": reader.value(entry, "cpus", &bounds.cpus, reader.processors)
            case "sessions":
                reader.bound(entry, &bounds.sessions) {
                    reader.whole($0, "sessions", &$1, 0...1_000_000, or: ", or none")
                }
            default: return false
            }
            return true
        } check: { reader in
            guard let high = bounds.memoryHigh, let memory = bounds.memory, high > memory else { return }
            reader.note(highMark, "memoryHigh", "expected at most memory, which is \(ByteSize.text(memory))")
        }
        bounds.file = file
        return isThere ? bounds : nil
    }

    /// The bounds as a document.
    public var node: Node {
        func count(_ value: Int?) -> Node { value.map { Node(.integer(Int64($0))) } ?? nil }
        return [
            "memoryBytes": count(memory), "memoryHighBytes": count(memoryHigh), "pids": count(pids),
            "cpus": cpus.map { Node(.number(Double($0) / 1000)) } ?? nil, "sessions": count(sessions),
            "file": file.map { Node(.string($0)) } ?? nil,
        ]
    }

    /// What the kernel holds the tenant's cgroup to.
    var limits: CgroupLimits {
        var limits = CgroupLimits(
            memoryMax: memory.map { UInt64($0) }, pidsMax: pids.map { UInt64($0) },
            cpuMax: cpus.map { Double($0) / 1000 })
        limits.memoryHigh = memoryHigh.map { UInt64($0) }
        // Each session has its own bound on swap, and one session's want of memory is no reason to end the others'.
        limits.swapMax = nil
        limits.oomGroup = false
        return limits
    }
}

extension HostBounds {
    static let fields = ["version", "reserve", "memory", "admission", "pressure", "pids", "cpus"]

    /// Reads the bounds of the host: those of `/etc/carrel/host.yaml`, else of `host.yaml` in the state directory.
    ///
    /// - Throws: everything that is wrong with the file, or that someone else could have written it.
    public static func load(in state: StateDirectory) throws(Problems) -> HostBounds {
        for file in ["/etc/carrel/host.yaml", state["host.yaml"]] {
            if let bounds = try read(file: file) { return bounds }
        }
        return HostBounds()
    }

    /// Reads one file; `nil` where there is none.
    public static func read(file: String) throws(Problems) -> HostBounds? {
        var bounds = HostBounds()
        var reserveMark: Mark?
        let isThere = try readBounds(file, fields) { entry, reader in
            switch entry.key {
            case "reserve":
                reserveMark = entry.value.mark
                reader.size(entry, "reserve", &bounds.reserve, atLeast: 0)
            case "memory": reader.size(entry, "memory", &bounds.memory, atLeast: 4 << 20)
            case "admission": reader.value(entry, "admission", &bounds.admits, reader.flag)
            case "pressure": reader.whole(entry, "pressure", &bounds.pressure, 1...100)
            case "pids":
                reader.bound(entry, &bounds.pids) { reader.whole($0, "pids", &$1, 1...4_194_304, or: ", or none") }
            case "cpus": reader.value(entry, "cpus", &bounds.cpus, reader.processors)
            default: return false
            }
            return true
        } check: { reader in
            guard let reserve = bounds.reserve else { return }
            if reserve >= hostMemory() {
                reader.note(
                    reserveMark, "reserve", "expected less than the host's memory, which is \(hostMemory() >> 20)MiB")
            } else if let memory = bounds.memory, reserve >= memory {
                reader.note(reserveMark, "reserve", "expected less than memory, which is \(ByteSize.text(memory))")
            }
        }
        bounds.file = file
        return isThere ? bounds : nil
    }

    /// What the kernel holds the cgroup of all sessions to.
    var limits: CgroupLimits {
        var limits = CgroupLimits(
            memoryMax: reserve.map { UInt64(hostMemory() - $0) }, pidsMax: pids.map { UInt64($0) },
            cpuMax: cpus.map { Double($0) / 1000 })
        limits.swapMax = nil
        limits.oomGroup = false
        return limits
    }
}

/// The memory of the host, or of the container that is one to Carrel, in bytes.
func hostMemory() -> Int { Int(min(HostMemory.total, CgroupHost.detect().memoryLimit ?? .max)) }

/// Reads a file of bounds whole; false where there is none.
private func readBounds(
    _ file: String, _ fields: [String], _ member: (Node.Entry, ProfileReader) -> Bool,
    check: (ProfileReader) -> Void
) throws(Problems) -> Bool {
    guard access(file, F_OK) == 0 || errno != ENOENT else { return false }
    let reader = ProfileReader(file: file)
    let content: [UInt8]
    do throws(Distrust) {
        content = try trustedContent(file)
    } catch {
        throw Problems([Problem(file: file, mark: nil, message: error.message)])
    }
    guard let document = reader.document(content) else { throw Problems(reader.problems) }
    reader.members(document, "", fields) { entry in entry.key == "version" || member(entry, reader) }
    if document.entries != nil { reader.checkVersion(of: document) }
    check(reader)
    try reader.finish()
    return true
}

extension ProfileReader {
    /// Reads a bound that may be `none`, with the reader of a value that may not.
    fileprivate func bound(_ entry: Node.Entry, _ bound: inout Int?, _ read: (Node.Entry, inout Int) -> Void) {
        if entry.value.string == "none" { return bound = nil }
        var value = -1
        read(entry, &value)
        bound = value < 0 ? nil : value
    }
}
