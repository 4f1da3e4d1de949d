import Cgroups
import Documents
import Glibc
import Records
import Syscalls
import SystemPackage

/// Writes what happens into the ledger and the audit log of a state directory.
struct Recorder {
    private let state: StateDirectory

    init(_ state: StateDirectory) { self.state = state }

    var audit: AuditLog { AuditLog(state["audit.jsonl"]) }
    var ledger: Ledger { Ledger(state["ledger.jsonl"]) }

    /// Writes an event down before it takes effect.
    ///
    /// - Throws: ``SessionError`` where the log cannot be written: what cannot be told does not happen.
    func decided(_ event: AuditLog.Event, _ fields: Node) throws(SessionError) {
        try telling("audit log", fix: "make room or give the right to write \(state["audit.jsonl"])") {
            () throws(SystemError) in try audit.append(event, fields)
        }
    }

    /// Writes down the end of a session: its report in the ledger and in `copy`, its exit in the audit log. The session
    /// is over whatever can be written, so what cannot is told on standard error.
    func ended(_ report: Report, copy: String?) {
        do throws(SystemError) { try ledger.append(report) } catch { warn("ledger: \(error)") }
        var fields: Node = [
            "session": Node(.string(report.session)), "tenant": Node(.string(report.tenant)),
            "how": Node(.string(report.exit.how.rawValue)), "status": Node(.integer(report.exit.status ?? 0)),
            "why": Node(.string(report.exit.why)),
        ]
        if let by = report.exit.by { fields.append("by", by.node) }
        do throws(SystemError) {
            switch report.exit.how {
            case .oom, .timeout, .idle, .budget, .cpuTime, .recycled: try audit.append(.limit, fields)
            case .tripwire: try audit.append(.tripwire, fields)
            default: break
            }
            try audit.append(.exit, fields)
        } catch { warn("audit log: \(error)") }
        if let copy { self.copy(report, to: copy) }
    }

    /// Writes a report where `--report` wants it.
    func copy(_ report: Report, to copy: String) {
        do throws(SystemError) {
            try OutputFile(path: copy).write(report.node.json(pretty: true) + "\n")
        } catch { warn("report \(copy): cannot be written: \(String(cString: strerror(error.errno.rawValue)))") }
    }

    /// Tells the caller, on standard error; one that does not read it within ten seconds is not told.
    func warn(_ text: String) {
        let errors = FileDescriptor(rawValue: 2)
        if (try? poll([(errors, .writable)], timeout: 10_000)) == [[]] { return }
        try? writeAll("carrel: \(text)\n".utf8, to: errors)
    }
}

extension Node {
    /// Adds a member to a mapping.
    mutating func append(_ key: String, _ value: Node) {
        guard case .mapping(var entries) = content else { return }
        entries.append(Entry(key: key, value: value))
        content = .mapping(entries)
    }
}

extension Report.Usage {
    /// What the kernel counted; nothing where the session had no cgroup.
    init(_ usage: CgroupUsage?) {
        func signed(_ value: UInt64?) -> Int64? { value.map { Int64(clamping: $0) } }
        self.init(
            memoryPeakBytes: signed(usage?.memoryPeak), memoryClipped: usage?.memoryIsClipped ?? false,
            oomKills: signed(usage?.oomKills), cpuNanoseconds: signed(usage?.cpu),
            cpuUserNanoseconds: signed(usage?.cpuUser), cpuSystemNanoseconds: signed(usage?.cpuSystem),
            pidsPeak: signed(usage?.pidsPeak), pidsLimitHits: signed(usage?.pidsLimitHits))
    }
}

extension Report.Pressure {
    /// `nil` where the host measures none.
    init?(_ usage: CgroupUsage) {
        func stall(_ pressure: CgroupUsage.Pressure?) -> Stall? {
            pressure.map {
                Stall(someMicroseconds: Int64(clamping: $0.some), fullMicroseconds: Int64(clamping: $0.full))
            }
        }
        guard usage.cpuPressure != nil || usage.memoryPressure != nil || usage.ioPressure != nil else { return nil }
        self.init(
            cpu: stall(usage.cpuPressure), memory: stall(usage.memoryPressure), io: stall(usage.ioPressure))
    }
}

extension Report.Limits {
    /// What a profile asks for.
    init(_ profile: Profile) {
        let limits = profile.limits
        self.init(
            memoryBytes: Int64(limits.memory), swapBytes: Int64(limits.swap), pids: Int64(limits.pids),
            cpus: limits.cpus.map { Double($0) / 1000 }, openFiles: Int64(limits.openFiles),
            tmpfs: [
                Report.Tmpfs(path: "/tmp", sizeBytes: Int64(limits.tmp)),
                Report.Tmpfs(path: profile.user.home, sizeBytes: Int64(limits.home)),
                Report.Tmpfs(path: "/dev/shm", sizeBytes: Int64(limits.shm)),
            ], wallClockNanoseconds: limits.wallClock, idleNanoseconds: limits.idle, graceNanoseconds: limits.grace)
        memoryHighBytes = limits.memoryHigh.map { Int64($0) }
        cpuTimeNanoseconds = limits.cpuTime
        ceilingBytes = limits.ceiling.map { Int64($0) }
        recycleNanoseconds = limits.recycle
    }
}
