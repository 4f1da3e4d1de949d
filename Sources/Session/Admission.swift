import Capacity
import Documents
import Glibc
import Syscalls
import SystemPackage

extension Carrel {
    var berths: BerthBook { BerthBook(state["berths"]) }

    /// Takes a berth for a session before anything of it is made: by its profile's ceiling, where one was measured for just
    /// this box, else by its memory limit.
    ///
    /// - Throws: ``SessionError`` with exit status 75 (`EX_TEMPFAIL` of sysexits.h) where there is none, at once or after
    ///   the time that the request would wait.
    func admit(_ request: SessionRequest, _ profile: Profile) throws(SessionError) {
        let rules = try admissionRules()
        guard let capacity = rules.capacity else { return }
        let now = Timestamp.now.seconds
        let limit = UInt64(profile.limits.memory)
        var berth = Berth(
            holder: getpid(), bytes: limit, tenant: Berth.Name(request.tenant), since: now,
            expectedEnd: profile.limits.wallClock.map { now + $0 / 1_000_000_000 } ?? 0)
        if let measured = measuredCeiling(of: profile) {
            berth.bytes = min(measured.bytes, limit)
            berth.expectedEnd = now + measured.medianSeconds
        }
        let bounds = try berthBounds(capacity, tenant: request.tenant)
        let attempt = { (ticket: UInt64?) throws(SessionError) -> SessionError? in
            if let short = shortage(rules, berth.bytes) { return short }
            return try take(berth, bounds, ticket: ticket)?.error(now: Timestamp.now.seconds)
        }
        guard try attempt(nil) != nil else { return }
        // The sweep tells the dead apart from processes that have their numbers by chance.
        sweepAll()
        guard var refusal = try attempt(nil) else { return }
        if let wait = request.wait {
            let end = monotonicNanoseconds() + UInt64(wait)
            guard let last = try queue(berth, until: end, attempt) else { return }
            refusal = last
        }
        throw refusal
    }

    /// Waits in line until there is a berth, or the time is up.
    private func queue(
        _ berth: Berth, until end: UInt64, _ attempt: (UInt64?) throws(SessionError) -> SessionError?
    ) throws(SessionError) -> SessionError? {
        var waiting = berth
        // Whoever finds this place after that time knows that nobody is behind it any more.
        waiting.expectedEnd = waiting.since + Int64((end - min(end, monotonicNanoseconds())) / 1_000_000_000) + 1
        let ticket = try telling("berths") { () throws(SystemError) in try berths.queue(waiting) }
        // Not told of changes, it looks often enough all the same.
        let watch = try? inotifyInit()
        defer { if let watch { close(watch) } }
        if let watch { _ = try? inotifyAdd(watch, berths.path, UInt32(IN_MODIFY)) }
        while true {
            guard let refusal = try attempt(ticket) else { return nil }
            let now = monotonicNanoseconds()
            if now >= end {
                try? berths.release(holder: berth.holder)
                return refusal
            }
            let patience = min(Int((end - now) / 1_000_000) + 1, watch == nil ? 50 : 250)
            _ = try? poll(watch.map { [($0, .readable)] } ?? [], timeout: patience)
            if let watch {
                var events = [UInt8](repeating: 0, count: 4096)
                while read(watch.rawValue, &events, events.count) > 0 {}
            }
        }
    }

    private func take(
        _ berth: Berth, _ bounds: BerthBounds, ticket: UInt64?
    ) throws(SessionError) -> BerthRefusal? {
        var supervisors: Set<Int32>?
        let now = Timestamp.now.seconds
        // It begins now, however long it has waited: by that others know that its marker is still to come.
        var berth = berth
        if berth.expectedEnd > 0 { berth.expectedEnd += now - berth.since }
        berth.since = now
        return try telling(
            "berths", fix: "see whether \(berths.path) can be written; while no session runs it can be removed"
        ) {
            () throws(SystemError) in
            try berths.take(berth, bounds, ticket: ticket) { other in
                if hasEnded(other.holder) { return true }
                if other.kind != .taken { return other.expectedEnd + 5 < now }
                // A start has its berth before its marker, for some milliseconds.
                if now - other.since < 10 { return false }
                if supervisors == nil { supervisors = Set(live.claims().map(\.supervisor)) }
                return supervisors?.contains(other.holder) == false
            }
        }
    }

    /// PSI alone says little: a session that thrashes at its own limit drives it up. Together with too little memory for
    /// one more it says that the host was promised more than it has.
    private func shortage(_ rules: AdmissionRules, _ bytes: UInt64) -> SessionError? {
        guard let pressure = HostMemory.pressure, pressure >= rules.pressure, let available = HostMemory.available,
            available < bytes
        else { return nil }
        return SessionError(
            "the host is short of memory: tasks waited for it in \(Int(pressure)) % of the last ten seconds, "
                + "\(mebibytes(available)) are available, and this session may need "
                + ByteSize.text(Int(bytes)),
            fix: "carrel run --wait 60s waits for it; carrel top shows who has it", exitStatus: 75)
    }

    func ceilingPath(_ profile: String) -> String { state["ceilings/\(profile)"] }

    /// What was measured for just this box; `nil` where nothing was, or for another.
    func measuredCeiling(of profile: Profile) -> MeasuredCeiling? {
        MeasuredCeiling(path: ceilingPath(profile.name)).flatMap { $0.digest == profile.box ? $0 : nil }
    }
}

extension Profile {
    /// What a measurement of memory holds for: the profile without what changes from call to call and has no part in it.
    var box: String {
        var box = self
        box.environment = Environment()
        box.limits.wallClock = nil
        box.limits.idle = nil
        box.limits.grace = 0
        return sha256(Array(box.node.json().utf8))
    }
}

extension BerthRefusal {
    /// The refusal as a caller is told it.
    func error(now: Int64) -> SessionError {
        let queue = waiting > 0 ? "; \(waiting) wait\(waiting == 1 ? "s" : "")" : ""
        let holders = sessions == 1 ? "1 session has" : "\(sessions) sessions have"
        let what =
            switch reason {
            case .hostMemory:
                "the host is full: \(holders) \(wholeMebibytes(used)) of \(mebibytes(capacity)), and this one needs "
                    + wholeMebibytes(asked) + queue
            case .queue:
                "the host is full: \(holders) \(wholeMebibytes(used)) of \(mebibytes(capacity)), and \(waiting) that "
                    + "wait for the rest come first"
            case .tenantMemory:
                "the tenant is full: its \(holders) \(wholeMebibytes(used)) of its \(mebibytes(capacity)), and this one "
                    + "needs \(wholeMebibytes(asked))\(queue)"
            case .tenantSessions: "the tenant is full: it has \(sessions) of its \(capacity) sessions\(queue)"
            }
        var fix = "carrel run --wait 60s queues for a berth"
        if reason == .tenantSessions && capacity == 0 {
            fix = "the tenant's file allows none (carrel tenant show tells which): raise sessions"
        } else if let nextEnd {
            fix +=
                nextEnd > now
                ? "; the next session is expected to end in \(TimeSpan.text((nextEnd - now) * 1_000_000_000))"
                : "; a session that should have ended by now is expected to at any moment"
        } else if sessions > 0 {
            fix += "; the sessions have no time limit, so when one ends is not known"
        }
        return SessionError(what, fix: fix, exitStatus: 75)
    }
}

/// A size in whole MiB, or in larger units where they divide it.
private func mebibytes(_ bytes: UInt64) -> String { ByteSize.text((Int(clamping: bytes) >> 20) << 20) }

/// The same for what has to fit into it: a part of a MiB counts as one.
private func wholeMebibytes(_ bytes: UInt64) -> String { mebibytes(bytes + (1 << 20) - 1) }
