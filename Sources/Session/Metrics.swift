import Capacity
import Cgroups
import Documents
import Glibc
import Records
import Syscalls
import SystemPackage

extension Carrel {
    /// What a host's sessions and berths are doing, as OpenMetrics text.
    public func metrics() throws(SessionError) -> String {
        sweepAll()
        var metrics = OpenMetrics()
        let statistics = try self.statistics(nil)
        func labels(_ entry: SessionStatistics) -> [(String, String)] {
            [("session", entry.id), ("tenant", entry.tenant)]
        }
        func each(_ value: (CgroupUsage) -> UInt64?, scale: Double = 1) -> [([(String, String)], Double)] {
            statistics.compactMap { entry in
                entry.usage.flatMap(value).map { (labels(entry), Double($0) * scale) }
            }
        }
        let tenants = Dictionary(grouping: statistics, by: \.tenant).sorted { $0.key < $1.key }
        metrics.add(
            "carrel_sessions", .gauge, help: "Live sessions",
            tenants.isEmpty ? [([], 0)] : tenants.map { ([("tenant", $0.key)], Double($0.value.count)) })
        metrics.add(
            "carrel_session_memory_bytes", .gauge, unit: "bytes", help: "Memory charged to a session", each(\.memory))
        metrics.add(
            "carrel_session_memory_peak_bytes", .gauge, unit: "bytes",
            help: "The most memory ever charged to a session",
            each(\.memoryPeak))
        metrics.add(
            "carrel_session_memory_limit_bytes", .gauge, unit: "bytes", help: "A session's memory limit",
            each(\.memoryMax))
        metrics.add("carrel_session_tasks", .gauge, help: "Processes and threads of a session", each(\.pids))
        metrics.add(
            "carrel_session_cpu_seconds", .counter, unit: "seconds", help: "Processor time of a session",
            each(\.cpu, scale: 1e-9))
        metrics.add(
            "carrel_session_memory_stall_seconds", .counter, unit: "seconds",
            help: "Time in which some task of a session waited for memory",
            each({ $0.memoryPressure?.some }, scale: 1e-6))
        add(egress: &metrics)
        try add(berths: &metrics)
        try add(ledger: &metrics)
        return metrics.document
    }

    /// What live sessions have used of the network.
    private func add(egress metrics: inout OpenMetrics) {
        let used = ((try? live.all()) ?? []).compactMap { record in
            live.egress(of: record).map { ([("session", record.id), ("tenant", record.tenant)], $0) }
        }
        func each(_ value: (Report.Egress) -> Double) -> [([(String, String)], Double)] {
            used.map { ($0.0, value($0.1)) }
        }
        metrics.add(
            "carrel_session_egress_sent_bytes", .counter, unit: "bytes",
            help: "What a session sent through the gateway", each { Double($0.bytesUp) })
        metrics.add(
            "carrel_session_egress_received_bytes", .counter, unit: "bytes",
            help: "What a session received through the gateway", each { Double($0.bytesDown) })
        metrics.add(
            "carrel_session_cost_dollars", .counter, unit: "dollars", help: "What a session has spent, in US dollars",
            each { Double($0.microdollars) / 1e6 })
    }

    private func add(berths metrics: inout OpenMetrics) throws(SessionError) {
        let use = try berthUse()
        metrics.add("carrel_berths", .gauge, help: "Berths that are taken", [([], Double(use.sessions))])
        metrics.add(
            "carrel_berths_taken_bytes", .gauge, unit: "bytes", help: "Memory that berths have taken",
            [([], Double(use.taken))])
        if let capacity = use.capacity {
            metrics.add(
                "carrel_berths_capacity_bytes", .gauge, unit: "bytes", help: "Memory that berths can be taken of",
                [([], Double(capacity))])
        }
        metrics.add(
            "carrel_starts_waiting", .gauge, help: "Starts that wait for a berth",
            [([], Double(use.waiting))])
    }

    /// Sessions that are over, by how they ended.
    private func add(ledger metrics: inout OpenMetrics) throws(SessionError) {
        let ends = try telling("ledger") { () throws(SystemError) in try Recorder(state).ledger.ends() }
        metrics.add(
            "carrel_sessions_ended", .counter, help: "Sessions in the ledger, by how they ended",
            Report.Exit.How.allCases.map { ([("how", $0.rawValue)], Double(ends.how[$0] ?? 0)) })
        metrics.add(
            "carrel_ledger_unreadable_lines", .gauge, help: "Lines of the ledger that are no reports",
            [([], Double(ends.unreadable))])
    }

    /// Answers each connection to a Unix socket with the metrics of that moment, as HTTP, until a signal ends it.
    ///
    /// - Parameter path: where the socket is made; one that nobody listens on is replaced.
    public func serveMetrics(at path: String) throws(SessionError) {
        let signals = try telling("metrics") { () throws(SystemError) in
            let set = signalSet([SIGINT, SIGTERM, SIGHUP])
            try changeSignalMask(SIG_BLOCK, set)
            return try signalFD(set)
        }
        let listener = try telling("metrics", fix: "see whether another carrel metrics has it") {
            () throws(SystemError) in

            // A socket that nobody listens on is what a killed server has left.
            if let other = try? connectLocal(to: path) {
                close(other)
                throw SystemError("bind", path, errno: .addressInUse)
            }
            if let found = try? status(path, followingLinks: false) {
                guard found.st_mode & S_IFMT == S_IFSOCK else { throw SystemError("bind", path, errno: .fileExists) }
                try Syscalls.remove(path)
            }
            return try listenLocal(at: path, mode: 0o600)
        }
        defer {
            close(listener)
            try? Syscalls.remove(path)
        }
        while true {
            let ready = try telling("metrics") { () throws(SystemError) in
                try poll([(signals, .readable), (listener, .readable)])
            }
            if !ready[0].isEmpty { return }
            guard let connection = try? acceptConnection(listener) else { continue }
            defer { close(connection) }
            // A scraper sends its request first; one that only listens is not made to wait for long.
            if (try? poll([(connection, .readable)], timeout: 200))?[0].contains(.readable) == true {
                var request = [UInt8](repeating: 0, count: 8192)
                _ = recv(connection.rawValue, &request, request.count, Int32(MSG_DONTWAIT))
            }
            var (status, kind, body) = ("200 OK", "application/openmetrics-text; version=1.0.0", "")
            // What is wrong now, such as an error in host.yaml, may be mended by the next scrape.
            do throws(SessionError) { body = try metrics() } catch {
                (status, kind, body) = ("500 Internal Server Error", "text/plain", "\(error)\n")
            }
            let answer =
                "HTTP/1.1 \(status)\r\nContent-Type: \(kind); charset=utf-8\r\nContent-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n"
                + body
            sendAll(Array(answer.utf8), to: connection)
        }
    }

    /// What a client does not take within some seconds it does not get: others wait.
    private func sendAll(_ bytes: [UInt8], to connection: FileDescriptor) {
        var rest = bytes[...]
        while !rest.isEmpty {
            guard (try? poll([(connection, .writable)], timeout: 2000))?[0].contains(.writable) == true else { return }
            let count = rest.withUnsafeBytes {
                Glibc.send(
                    connection.rawValue, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if count <= 0 { return }
            rest = rest.dropFirst(count)
        }
    }
}
