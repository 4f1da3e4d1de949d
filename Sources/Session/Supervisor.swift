import Capacity
import Cgroups
import Container
import Documents
import EgressPolicy
import Glibc
import Records
import Syscalls
import SystemPackage

/// Waits for one session: one thread over one epoll(7). Whatever ends the session, it writes the report.
///
/// While nothing happens a detached session's supervisor is parked: it becomes `carrel-init park`, which sleeps on the same
/// epoll descriptor and becomes `carrel supervise` again when there is something to do (Docs/Architecture.md, "Resident").
final class Supervisor {
    private(set) var record: SessionRecord
    let state: StateDirectory
    let container: RunningContainer
    private let limits: Profile.Limits
    private let cgroup: Cgroup?
    private let descriptors: SupervisorDescriptors
    private var oom: OutOfMemoryWatch?
    private var ending: Ending?
    /// When the grace is over, monotonic nanoseconds; `nil` while nothing is being ended.
    private var graceEnd: UInt64?
    private var idle: IdleWatch
    private var bounds: LimitWatch
    private let relay: TerminalRelay?
    private let log: SessionLog?
    private let link: GatewayLink?
    private var draft: Report
    private let listener: (any CallListener)?
    private var curve: CurveRecorder?
    private var canPark = true

    /// What the epoll descriptor tells of.
    enum Token: UInt64 {
        case process = 1
        case status
        case signals
        case timer
        case outOfMemory
        case log
        case terminal
        case gateway
        case listener
        case curve
        case pids
    }

    init(
        _ record: SessionRecord, _ state: StateDirectory, _ container: RunningContainer, _ limits: Profile.Limits,
        _ cgroup: Cgroup?, _ oom: OutOfMemoryWatch?, _ descriptors: SupervisorDescriptors, _ relay: TerminalRelay?,
        _ log: SessionLog?, _ link: GatewayLink?, _ draft: Report, _ idle: IdleWatch, _ bounds: LimitWatch,
        _ listener: (any CallListener)?
    ) {
        self.record = record
        self.state = state
        self.container = container
        self.limits = limits
        self.cgroup = cgroup
        self.oom = oom
        self.descriptors = descriptors
        self.relay = relay
        self.log = log
        self.link = link
        self.draft = draft
        self.idle = idle
        self.listener = listener
        self.bounds = bounds
    }

    /// Waits until the session is over and gives what `carrel` exits with.
    func supervise() throws(SystemError) -> Int32 {
        // What the gateway told together with its first word is read already: the descriptor does not tell of it.
        hearGateway()
        try arm()
        while true {
            // A detached session that is quiet needs no Swift runtime to wait.
            // Traffic is told of once a second at most.
            let parks = record.isDetached && graceEnd == nil && curve == nil && canPark
            let events = try epollWait(descriptors.epoll, timeout: parks ? link == nil ? 500 : 2000 : nil)
            if events.isEmpty { park() }
            for event in events {
                switch Token(rawValue: event.token) {
                case .process: return finish()
                case .status: return finish()
                case .signals: try takeSignals()
                case .timer:
                    _ = try takeCount(descriptors.timer)
                    try tick(monotonicNanoseconds())
                case .outOfMemory:
                    if (try? oom?.happened()) == true, bounds.isOutOfMemory(cgroup) { end(.outOfMemory) }
                case .pids: refusedFork()
                case .log: log?.drain { descriptors.unwatch($0) }
                case .terminal: relay?.carry()
                case .gateway: hearGateway()
                case .listener: attendListener(event.events)
                case .curve: curve?.look()
                case nil: break
                }
            }
            try arm()
        }
    }

    /// Calls that wait for an answer; or none of the session's processes is left that could ask.
    private func attendListener(_ events: Readiness) {
        guard let asking = container.listener else { return }
        if events.contains(.readable) { listener?.attendAll(asking) } else { descriptors.unwatch(asking) }
    }

    // MARK: Time

    private var wallClockEnd: UInt64? {
        limits.wallClock.map { record.startedMonotonic + UInt64($0) }
    }

    /// Sets the one timer to whatever comes first.
    private func arm() throws(SystemError) {
        let next = [
            graceEnd, ending == nil ? wallClockEnd : nil, ending == nil ? idle.next : nil,
            ending == nil ? link?.retry : nil, ending == nil ? bounds.next : nil,
        ].compactMap { $0 }.min()
        try timerFDSet(descriptors.timer, nanoseconds: next.map { max($0, 1) } ?? 0, absolute: true)
    }

    private func tick(_ now: UInt64) throws(SystemError) {
        if let graceEnd, now >= graceEnd {
            killAll()
            self.graceEnd = nil
        }
        if ending != nil { return }
        if let wallClockEnd, now >= wallClockEnd { return end(.timeout) }
        if let retry = link?.retry, now >= retry { reconnect() }
        if let ending = bounds.look(now, cgroup) { return end(ending) }
        guard let limit = limits.idle.map({ UInt64($0) }), let look = idle.next, now >= look else { return }
        // A session that someone has paused does nothing for a reason: no time of that counts.
        if (try? cgroup?.isFrozen()) == true { return idle.restart(now, limit: limit) }
        if idle.isOver(now, limit: limit, cpu: try? cgroup?.cpuTime()) { end(.idle) }
    }

    // MARK: Ending

    /// Begins the end: a signal first, for which the program has its grace, then death. Memory gives no grace: the
    /// session is at its limit, and the kernel has killed part of it already.
    private func end(_ why: Ending, signal: Int32 = SIGTERM) {
        if ending == nil { ending = why }
        if case .outOfMemory = why { return killAll() }
        if limits.grace == 0 { return killAll() }
        try? cgroup?.thaw()
        try? pidfdSendSignal(container.process, signal)
        graceEnd = monotonicNanoseconds() + UInt64(limits.grace)
    }

    /// The limit on tasks refused a fork: written down once, counted in the report.
    private func refusedFork() {
        bounds.takeRefusedFork(descriptors)
        try? Recorder(state).decided(
            .limit,
            [
                "session": Node(.string(record.id)), "tenant": Node(.string(record.tenant)), "limit": "pids",
                "why": "a fork was refused: the session came up against its limit on tasks",
            ])
    }

    private func killAll() {
        if let cgroup, (try? cgroup.kill()) != nil { return }
        try? pidfdSendSignal(container.process, SIGKILL)
    }

    private func takeSignals() throws(SystemError) {
        while let signal = try readSignal(descriptors.signals) {
            switch signal.signal {
            case SIGWINCH: relay?.resize()
            case SIGHUP where isIgnored(SIGHUP): break
            case SIGINT, SIGTERM, SIGHUP, SIGQUIT:
                // Once asks, twice insists.
                if ending != nil {
                    killAll()
                } else {
                    end(.killed(by: sender(of: signal)), signal: signal.signal)
                }
            default: try? pidfdSendSignal(container.process, signal.signal)
            }
        }
    }

    // MARK: The gateway

    /// Takes what the gateway tells: traffic counts as progress, and what it decides is done.
    private func hearGateway() {
        takeEvents()
        if link?.retry != nil && ending == nil { reconnect() }
    }

    private func takeEvents() {
        guard let link else { return }
        // The kernel forgets the descriptor when it is closed; every copy of it is this process's.
        for event in link.take() {
            switch event {
            case .activity:
                if let limit = limits.idle { idle.restart(monotonicNanoseconds(), limit: UInt64(limit)) }
            case .usage: LiveSessions(state: state).note(link.usage, of: record.id)
            case .decision(let decision): obey(decision)
            case .resume: thaw()
            case .softMark(let detail): audit(.softMark, ["detail": Node(.string(detail))])
            default: break
            }
        }
    }

    private func obey(_ decision: GatewayDecision) {
        if ending != nil { return }
        switch decision.action {
        case .end:
            end(.gateway(decision))
            // Who shows a credential elsewhere is not asked to come to an end.
            if decision.reason == .tripwire { killAll() }
        case .pause:
            link?.isPaused = true
            audit(.pause, ["why": Node(.string(decision.reason.rawValue)), "detail": Node(.string(decision.detail))])
            // A session that cannot be frozen has no egress any more, and goes on without.
            try? cgroup?.freeze()
            if !record.isDetached {
                Recorder(state).warn(
                    "session \(record.id) is paused: \(decision.detail)\n  fix: carrel budget raise \(record.id) lets it go on"
                )
            }
        }
    }

    /// Whom an operator has paused, no raise of a budget has go on.
    private func thaw() {
        guard ending == nil, let link, link.isPaused else { return }
        link.isPaused = false
        guard (try? cgroup?.isFrozen()) == true else { return }
        audit(.resume, ["why": "budget"])
        try? cgroup?.thaw()
        if let limit = limits.idle { idle.restart(monotonicNanoseconds(), limit: UInt64(limit)) }
    }

    private func audit(_ event: AuditLog.Event, _ more: Node) {
        var fields: Node = ["session": Node(.string(record.id)), "tenant": Node(.string(record.tenant))]
        for entry in more.entries ?? [] { fields.append(entry.key, entry.value) }
        try? Recorder(state).decided(event, fields)
    }

    /// Hands the listeners to the next gateway. Nothing leaves the session while there is none.
    private func reconnect() {
        guard let link else { return }
        switch link.reconnect() {
        case .success:
            if let connection = link.connection { try? descriptors.watch(.gateway, connection.descriptor) }
            takeEvents()
        case .failure(let error):
            let note = "the gateway was gone: \(error.message)"
            if !draft.notes.contains(note), draft.notes.count < 16 { draft.notes.append(note) }
        }
    }

    // MARK: The end

    /// The session is over: writes the report from what the kernel counted, then removes everything.
    ///
    /// The program's end is told by PID 1 just before its own, and what the kernel has to do for that end (it waits for
    /// grace periods as it dissolves the namespaces) takes as long as the report.
    private func finish() -> Int32 {
        let (status, largest) = payloadStatus()
        // Without a word PID 1 was killed, and the rest of the session may not know it yet.
        if status == nil { awaitEnd() }
        log?.drain { _ in }
        link?.finish()
        let usage = cgroup?.usage(now: false)
        if ending == nil { ending = marked(status) }
        // The kernel may have killed a part of the session, or all of it, before it told.
        if ending == nil, usage?.oomKills ?? 0 > 0 { ending = .outOfMemory }
        let culprit = usage?.oomKills ?? 0 > 0 ? cgroup.map { record.culprit($0) } : nil
        let (exit, code) = Session.exit(status, ending, culprit)
        var report = draft
        // By the clock that nobody sets: how long it took is what ceilings and plans go by.
        report.ended = draft.ended.later(by: Int64(monotonicNanoseconds() - record.startedMonotonic))
        report.exit = exit
        report.usage = Report.Usage(usage)
        if let link { report.egress = link.usage }
        report.usage.residentPeakBytes = largest
        report.usage.pageCacheBytes = cgroup?.pageCache().map { Int64(clamping: $0) }
        report.curve = curve?.finish()
        report.pressure = usage.flatMap { Report.Pressure($0) }
        if let listener { report.denials = listener.finish() }
        report.throttled = usage.map { record.throttles($0) } ?? []
        let recorder = Recorder(state)
        recorder.ended(report, copy: record.reportPath)

        if status != nil { awaitEnd() }
        log?.drain { _ in }
        oom?.close()
        do { try cgroup?.remove() } catch { recorder.warn("session \(record.id): \(error)") }
        if let workdir = record.workdir { WorkdirClaims.release(record.id, workdir: workdir, in: state) }
        if link != nil { Door.release(session: record.id, in: state) }
        try? BerthBook(state["berths"]).release(holder: record.supervisor)
        LiveSessions(state: state).remove(LiveSessions.Claim(record.id, supervisor: record.supervisor))
        // Nothing of the session is left to be kept by a caller who does not read.
        relay?.finish(descriptors.signals)
        // The caller of an attached session is told what its program could not: that Carrel ended it.
        if ending != nil && !record.isDetached { recorder.warn("session \(record.id): \(exit.why)") }
        return code
    }

    /// Waits until PID 1 is gone, and with it every process of the session.
    private func awaitEnd() { _ = try? wait(for: container.pid) }

    /// Looks at the session's memory from now on, and every so many nanoseconds. Such a supervisor does not park.
    func recordCurve(every interval: UInt64) throws(SystemError) {
        let name = "curves/\(record.id).jsonl"
        guard let cgroup, let curve = try? CurveRecorder(cgroup, path: state[name], name: name, interval: interval)
        else {
            return Recorder(state).warn("session \(record.id): its cgroup does not count memory: no curve is recorded")
        }
        try descriptors.watch(.curve, curve.timer)
        self.curve = curve
    }

    /// What PID 1 wrote before it ended: how the payload did, and the bytes of the largest resident set. `nil` where it was
    /// killed before it could.
    private func payloadStatus() -> (WaitStatus?, Int64?) {
        var words = (Int64(0), Int64(0))
        guard read(container.status.rawValue, &words, 16) == 16 else { return (nil, nil) }
        return (WaitStatus(word: Int32(truncatingIfNeeded: words.0)), words.1 << 10)
    }

    /// Who ended the session from outside, who writes it down before acting.
    private func marked(_ status: WaitStatus?) -> Ending? {
        EndingMark.found(record, in: state).flatMap { $0.tells(of: status) ? $0.ending : nil }
    }

    // MARK: Parking

    /// Becomes `carrel-init park` until something happens. Everything to come back is in the record and in descriptors.
    ///
    /// It is about memory alone: a supervisor that cannot park stays as it is.
    private func park() {
        if let link { draft.egress = link.usage }
        if record.draft != draft.node {
            record.draft = draft.node
            try? LiveSessions(state: state).write(record, isFirst: false)
        }
        listener?.rest()
        let kept = descriptors.all(container, oom, log) + (link?.descriptors ?? []) + [bounds.pids].compactMap { $0 }
        do throws(SystemError) {
            let ours = try open(try carrelInitPath(), O_PATH)
            defer { close(ours) }
            let program = try open("/proc/self/exe", O_PATH)
            defer { close(program) }
            for descriptor in kept + [program] { try setCloseOnExec(descriptor, false) }
            let words =
                ["carrel-init", "park", String(descriptors.epoll.rawValue), String(program.rawValue)]
                + ["carrel", "supervise", state.path, record.id]
                + [descriptors.text(container, oom, log, idle, bounds) + (link.map { ";" + $0.text } ?? "")]
            // Should it have to start a gateway, that reads the same configuration.
            let variables = environmentVariable(Gateway.configured).map { ["\(Gateway.configured)=\($0)"] } ?? []
            try execute(ours, CStringVector(words), environment: CStringVector(variables))
        } catch {
            for descriptor in kept { try? setCloseOnExec(descriptor, true) }
            canPark = false
            draft.notes.append("the supervisor could not be made small: \(error)")
        }
    }
}

/// Watches for a session that does nothing: next to no processor time over the whole of its idle limit.
struct IdleWatch {
    /// Whether a program does something that uses so much processor time in so long: more than a two hundredth of one CPU.
    /// An agent that waits for its caller has timers of its own: the Claude Code CLI uses more than a thousandth.
    static func isBusy(_ cpu: UInt64, in time: UInt64) -> Bool { cpu > time / 200 }

    /// When the CPU time was last seen to grow.
    var since: UInt64
    /// The CPU time then, nanoseconds.
    var cpu: UInt64
    /// When to look again.
    var next: UInt64?

    /// Counts from now.
    mutating func restart(_ now: UInt64, limit: UInt64) {
        since = now
        next = now + max(limit / 4, 10_000_000)
    }

    /// Looks at the CPU time; `cpu` is `nil` where nothing counts it, and then no session is idle.
    mutating func isOver(_ now: UInt64, limit: UInt64, cpu: UInt64?) -> Bool {
        guard let cpu else {
            next = nil
            return false
        }
        if Self.isBusy(cpu &- self.cpu, in: now - since) {
            restart(now, limit: limit)
            self.cpu = cpu
        } else {
            next = min(since + limit, now + max(limit / 4, 10_000_000))
        }
        return now - since >= limit
    }
}

extension Supervisor {
    /// A supervisor that has slept.
    ///
    /// - Throws: what is wrong with the record's beginning of a report.
    convenience init(
        resuming record: SessionRecord, _ state: StateDirectory, _ parked: ParkedDescriptors, _ link: GatewayLink?
    ) throws(Problems) {
        let draft = try Report(record.draft, file: record.id)
        var limits = Profile.Limits()
        limits.wallClock = draft.limitsAsked.wallClockNanoseconds
        limits.idle = draft.limitsAsked.idleNanoseconds
        limits.grace = draft.limitsAsked.graceNanoseconds ?? 0
        limits.cpuTime = draft.limitsAsked.cpuTimeNanoseconds
        limits.ceiling = draft.limitsAsked.ceilingBytes.map { Int($0) }
        limits.recycle = draft.limitsAsked.recycleNanoseconds
        let cgroup = record.openCgroup()
        var bounds = LimitWatch(limits, cgroup)
        bounds.resume(pids: parked.pids, overSince: parked.overSince)
        let container = RunningContainer(
            pid: record.pid, process: parked.process, status: parked.status, terminal: nil,
            listener: parked.listener, timeline: [])
        let log = parked.logPipe.map {
            SessionLog(pipe: $0, path: state["logs/\(record.id)"], limit: record.logLimit)
        }
        self.init(
            record, state, container, limits, cgroup, parked.oom, parked.descriptors, nil, log, link, draft,
            parked.idle, bounds, parked.listener.flatMap { _ in DenialWatch(resuming: record, in: state) })
    }
}
