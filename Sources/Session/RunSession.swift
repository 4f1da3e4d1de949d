import Capacity
import Cgroups
import Container
import Documents
import Glibc
import OCISpec
import Records
import Seccomp
import Syscalls
import SystemPackage

/// What an orchestrator asks for: one agent run.
public struct SessionRequest: Sendable {
    /// The program and its arguments.
    public var command: [String]
    /// The profile's name, or the path of its file.
    public var profile = "default"
    /// What the command line sets of the profile.
    public var overrides = ProfileOverrides()
    /// Whose session it is.
    public var tenant = "default"
    /// The working tree on the host; `nil` for none.
    public var workdir: String?
    /// The session's name; made up where it is `nil`.
    public var session: String?
    /// Where a copy of the report goes.
    public var report: String?
    /// Whether the caller gets the session's name and goes on, instead of waiting for the end.
    public var isDetached = false
    /// Whether the session gets a terminal of its own, tied to the caller's.
    public var wantsTerminal = false
    /// How long to wait for a berth where the host is full, in nanoseconds; `nil`: not at all.
    public var wait: Int64?
    /// From one look at its memory to the next, in nanoseconds; `nil`: its curve is not recorded.
    public var curve: Int64?
    /// The campaign of measurements that it is a run of.
    public var campaign: Report.Campaign?
    /// Numbers of the caller's descriptors that the session keeps.
    public var passedDescriptors: [Int32] = []
    /// A request with everything else as usual.
    public init(command: [String]) { self.command = command }
}

extension Carrel {
    /// Runs a session to its end and gives the exit status of `carrel`; with `isDetached`, until it runs.
    ///
    /// - Throws: ``SessionError`` where it was not started: nothing of it is left then but the record of the refusal.
    public func run(_ request: SessionRequest) throws(SessionError) -> Int32 {
        if request.isDetached { return try detach(request) }
        return try runHere(request, log: nil, recorder: nil) { _ in }
    }

    /// The walk of one session (Docs/Architecture.md): each step one named call.
    ///
    /// - Parameters:
    ///   - recorder: records its calls.
    ///   - started: called when the payload runs, with the session's name.
    func runHere(
        _ request: SessionRequest, log: SessionLog.Pipe?, recorder: SessionRecorder?, _ started: (String) -> Void
    ) throws(SessionError) -> Int32 {
        var clock = PhaseClock()
        sweepOrphans()
        let id = request.session ?? "s-" + Self.randomLetters()
        try checkName(id, of: "session")
        try checkName(request.tenant, of: "tenant")
        try checkDescriptors(request)
        let supervisor: Supervisor
        do throws(SessionError) {
            try request.checkPlaces()
            let profile = try load(request.profile, request.overrides)
            clock.mark("profile")
            try refuseHeld(id: id, tenant: request.tenant, profile)
            try admit(request, profile)
            clock.mark("berth")
            // What it has waited for that is no part of its time.
            clock.started = .now
            supervisor = try prepare(request, id, profile, log, recorder, &clock)
        } catch {
            try? berths.release(holder: getpid())
            // A refusal is a decision too; that it cannot be written down is no reason to hide why it was made.
            try? Recorder(state).decided(
                .refusal,
                [
                    "session": Node(.string(id)), "tenant": Node(.string(request.tenant)),
                    "profile": Node(.string(request.profile)), "why": Node(.string(error.message)),
                    "by": caller().node,
                ])
            throw error
        }
        started(id)
        enforceOverdue()
        return try telling("session \(id)") { () throws(SystemError) in try supervisor.supervise() }
    }

    /// Refuses descriptors that are not open.
    private func checkDescriptors(_ request: SessionRequest) throws(SessionError) {
        for number in request.passedDescriptors where number < 3 || fcntl(number, F_GETFD) == -1 {
            throw SessionError(
                "--pass-fd \(number): " + (number < 3 ? "0 to 2 are the session's in any case" : "it is not open"))
        }
    }

    /// Everything from the checked profile to the running payload. Whatever it has made is undone where it fails.
    private func prepare(
        _ request: SessionRequest, _ id: String, _ profile: Profile, _ log: SessionLog.Pipe?,
        _ recorder: SessionRecorder?, _ clock: inout PhaseClock
    ) throws(SessionError) -> Supervisor {
        do throws(SessionError) {
            try live.claim(id)
        } catch {
            // A supervisor that is dead and was not waited for has the name no longer.
            sweepAll()
            try live.claim(id)
        }
        var made: Cgroup?
        var link: GatewayLink?
        do throws(SessionError) {
            let tenant = try Tenant.open(request.tenant, in: state)
            let door = try profile.door.map { (policy) throws(SessionError) in
                try Door.open(policy, session: id, in: state)
            }
            defer { door?.close() }
            if door != nil { clock.mark("gateway") }
            let parts = SessionParts(
                id: id, profile: profile, tenant: tenant, workdir: try request.workdir.map(absolute),
                command: request.command, terminal: request.wantsTerminal ? callerWindowSize() : nil, state: state,
                door: door)
            var composed = try compose(parts, guarding: true)
            // Once the container runs, the session's record names the root.
            defer { close(composed.hold) }
            clock.mark("compose")
            var filter = try loadFilter(profile)
            clock.mark("filter")
            let (cgroup, levels) = try makeCgroup(parts, &composed)
            made = cgroup
            let listener = try callListener(recorder, parts)
            if let listener { filter = try listener.begin(filter, cgroup) }
            try Self.check(filter, of: profile, listener)
            let entry = try entry(cgroup, of: id, tenant.name)
            defer { entry?.close() }
            clock.mark("limits")

            let descriptors = try telling("supervisor") { () throws(SystemError) in try SupervisorDescriptors() }
            var launchRequest = LaunchRequest(
                spec: composed.spec, extensions: composed.extensions, cgroup: entry, filter: filter,
                initPath: try telling("carrel-init") { () throws(SystemError) in try carrelInitPath() },
                passedDescriptors: request.passedDescriptors.map { FileDescriptor(rawValue: $0) })
            if let listener { launchRequest.answer = { listener.attend($0) } }
            if let log { launchRequest.standardDescriptors = [log.null, log.writing, log.writing] }
            var record: SessionRecord?
            var draft: Report?
            let (launched, startedMonotonic) = (Timestamp.now, monotonicNanoseconds())
            let reportPath = try request.report.map { (path) throws(SessionError) in try OutputFile(at: path).path }
            let session = door?.request(session: id, tenant: tenant.name, profile: profile.name)
            let serving: ([FileDescriptor]) throws(SessionError) -> Void = { listeners throws(SessionError) in
                if let door, let session { link = try door.serve(session, listeners, in: self.state) }
            }
            let obstacle = {
                // From its record on it is paused, and goes on, as one that runs.
                (record == nil ? self.whyPaused(id, tenant.name, cgroup) : nil) ?? Self.signalled("run")
            }
            func meanwhile(_ pid: pid_t) throws {
                // While the child builds its root, the parent writes down what it is doing.
                var report = self.draft(parts, composed, cgroup, clock)
                report.campaign = request.campaign
                // From then on the supervisor counts.
                report.ended = launched
                draft = report
                let written = SessionRecord(
                    id: id, tenant: tenant.name, profile: profile.name, command: request.command,
                    workdir: parts.workdir, started: report.started, pid: pid, supervisor: getpid(),
                    isDetached: request.isDetached,
                    cgroup: cgroup, startedMonotonic: startedMonotonic, draft: report.node,
                    spec: composed.spec.node, filter: profile.seccomp.path,
                    isExplained: listener is DenialWatch, isRecorded: recorder != nil, door: session?.node ?? nil,
                    reportPath: reportPath, logLimit: profile.limits.log, levels: levels)
                try live.write(written, isFirst: true)
                record = written
                // Who holds starts writes that down before looking for sessions, and this one is there to be found now.
                try refuseHeld(id: id, tenant: tenant.name, profile)
                try Recorder(state).decided(
                    .start,
                    [
                        "session": Node(.string(id)), "tenant": Node(.string(tenant.name)),
                        "profile": Node(.string(profile.name)), "sha256": Node(.string(report.profile.sha256)),
                        "command": Node(.sequence(request.command.map { Node(.string($0)) })),
                        "by": caller().node,
                    ])
            }
            let container = try starting(launchRequest, "cannot start the session", unless: obstacle) {
                try launch($0, serving: serving, meanwhile: meanwhile)
            }
            listener?.launched()
            guard let record, var draft else { throw SessionError("cannot start the session: no record was written") }
            draft.launch = clock.phases + Self.phases(container.timeline, since: startedMonotonic)
            return try telling("supervisor") { () throws(SystemError) in
                let supervisor = try watch(
                    record, container, profile.limits, cgroup, descriptors, log, draft, link, listener)
                if let interval = request.curve { try supervisor.recordCurve(every: UInt64(interval)) }
                return supervisor
            }
        } catch {
            link?.abandon()
            try? made?.kill()
            try? made?.remove()
            WorkdirClaims.release(id, workdir: try? request.workdir.map(absolute), in: state)
            Door.release(session: id, in: state)
            live.remove(LiveSessions.Claim(id, supervisor: getpid()))
            throw error
        }
    }

    /// Adds everything that can happen to the supervisor's epoll descriptor.
    private func watch(
        _ record: SessionRecord, _ container: RunningContainer, _ limits: Profile.Limits, _ cgroup: Cgroup?,
        _ descriptors: SupervisorDescriptors, _ log: SessionLog.Pipe?, _ draft: Report, _ link: GatewayLink?,
        _ listener: (any CallListener)?
    ) throws(SystemError) -> Supervisor {
        try descriptors.watch(.process, container.process)
        try descriptors.watch(.status, container.status)
        try descriptors.watch(.signals, descriptors.signals)
        try descriptors.watch(.timer, descriptors.timer)
        if let asking = container.listener { try descriptors.watch(.listener, asking) }
        let oom = cgroup.flatMap { try? $0.watchOutOfMemory() }
        if let oom { try descriptors.watch(.outOfMemory, oom.descriptor, oom.readiness) }
        var sessionLog: SessionLog?
        if let log {
            close(log.writing)
            let path = state["logs/\(record.id)"]
            // What another session of this name has written is not its own.
            for old in [path, SessionLog.older(path)] { try? remove(old) }
            sessionLog = SessionLog(pipe: log.reading, path: path, limit: record.logLimit)
            try descriptors.watch(.log, log.reading)
        }
        var relay: TerminalRelay?
        if let terminal = container.terminal {
            let carrier = try TerminalRelay(controller: terminal)
            try descriptors.watch(.terminal, carrier.descriptor)
            relay = carrier
        }
        let now = monotonicNanoseconds()
        let idle = IdleWatch(
            since: now, cpu: 0, next: limits.idle.map { now + max(UInt64($0) / 4, 10_000_000) })
        if let connection = link?.connection { try descriptors.watch(.gateway, connection.descriptor) }
        let bounds = LimitWatch(limits, cgroup, descriptors)
        return Supervisor(
            record, state, container, limits, cgroup, oom, descriptors, relay, sessionLog, link, draft, idle, bounds,
            listener)
    }

    // MARK: Parts

    /// Loads a profile from the catalog of this installation.
    public func load(_ name: String, _ overrides: ProfileOverrides) throws(SessionError) -> Profile {
        do throws(Problems) {
            return try Profile.load(name, from: catalog, overrides: overrides)
        } catch {
            throw SessionError(error.description)
        }
    }

    /// Whoever looks on at the session's calls; `nil` for most sessions.
    private func callListener(
        _ recorder: SessionRecorder?, _ parts: SessionParts
    ) throws(SessionError) -> (any CallListener)? {
        if let recorder {
            recorder.describe(parts)
            return recorder
        }
        guard parts.profile.seccomp.explain else { return nil }
        return DenialWatch(
            session: parts.id, tenant: parts.tenant.name, profile: try filterSource(parts.profile), in: state)
    }

    /// Refuses a filter that asks somebody who is not there: its calls would wait for an answer that never comes.
    private static func check(
        _ filter: FilterProgram, of profile: Profile, _ listener: (any CallListener)?
    ) throws(SessionError) {
        if listener != nil || !filter.flags.contains(.listener) { return }
        throw SessionError(
            "seccomp \(profile.seccomp.path): SCMP_ACT_NOTIFY asks a listener, and a session has none",
            fix:
                "refuse with SCMP_ACT_ERRNO, and have it explained: seccomp: {file: \(profile.seccomp.name), explain: true}"
        )
    }

    private func loadFilter(_ profile: Profile) throws(SessionError) -> FilterProgram {
        do throws(FilterError) {
            return try FilterCache(directory: state["cache/seccomp"]).program(forFile: profile.seccomp.path).program
        } catch {
            throw SessionError("seccomp \(profile.seccomp.path): \(error)")
        }
    }

    /// A profile's filter as the OCI specification has it.
    func filterSource(_ profile: Profile) throws(SessionError) -> LinuxSeccomp {
        let path = profile.seccomp.path
        let bytes = try telling("seccomp") { () throws(SystemError) in try readFile(path) }
        do throws(Problems) {
            return try LinuxSeccomp(Node.parse(bytes, file: path), file: path)
        } catch {
            throw SessionError("seccomp \(path): \(error)")
        }
    }

    /// The report as far as it is known before the session runs.
    private func draft(
        _ parts: SessionParts, _ composed: ComposedSession, _ cgroup: Cgroup?, _ clock: PhaseClock
    ) -> Report {
        let asked = Report.Limits(parts.profile)
        var inForce = asked
        for absent in composed.absent {
            switch absent.control {
            case "memory": inForce.memoryBytes = nil
            case "memory.high": inForce.memoryHighBytes = nil
            case "swap": inForce.swapBytes = nil
            case "pids": inForce.pids = nil
            case "cpu", "cpus": inForce.cpus = nil
            default: break
            }
        }
        let boot = (try? readText("/proc/sys/kernel/random/boot_id"))?.split(separator: "\n").first ?? ""
        let mounts = parts.profile.mounts.filter(\.isOfCommandLine).map {
            "--mount: \($0.source) at \($0.target), \($0.access.rawValue)"
        }
        return Report(
            session: parts.id, tenant: parts.tenant.name,
            host: Report.Host(name: RunningSystem().name, bootID: String(boot)),
            carrel: Carrel.version,
            profile: Report.Profile(
                name: parts.profile.name, sha256: sha256(Array(parts.profile.digested.json().utf8))),
            image: parts.profile.image.description, command: parts.command, started: clock.started,
            ended: clock.started,
            exit: Report.Exit(how: .lost, status: nil, why: "the supervisor was killed"), limitsAsked: asked,
            limitsInForce: inForce, cgroups: CgroupHost.detect().mode.rawValue,
            absent: composed.absent.map { Report.Absence(name: $0.control, reason: $0.reason) },
            egress: parts.door == nil ? nil : Report.Egress(),
            notes: mounts
                + (parts.profile.network == .gateway && parts.door == nil
                    ? ["network: gateway, and no rule under egress: nothing leaves this session"] : []))
    }

    /// The time that each step took, from the end of the one before, whichever process it was in.
    private static func phases(
        _ timeline: [(step: LaunchStep, end: UInt64)], since start: UInt64
    ) -> [Report.Phase] {
        var previous = start
        return timeline.map { step in
            defer { previous = step.end }
            return Report.Phase(step.step.rawValue, microseconds: Int64((step.end &- previous) / 1000))
        }
    }

    /// Ten letters that tell one start from another.
    static func randomLetters() -> String {
        let letters = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)
        var random = SystemRandomNumberGenerator()
        return String(decoding: (0..<10).map { _ in letters.randomElement(using: &random)! }, as: UTF8.self)
    }

    private func callerWindowSize() -> WindowSize {
        (try? windowSize(of: FileDescriptor(rawValue: 0))) ?? WindowSize(rows: 24, columns: 80)
    }
}

/// Times the steps before the launch proper.
struct PhaseClock {
    /// When the session's own time began.
    var started = Timestamp.now
    private(set) var phases: [Report.Phase] = []
    private var last = monotonicNanoseconds()

    mutating func mark(_ name: String) {
        let now = monotonicNanoseconds()
        phases.append(Report.Phase(name, microseconds: Int64((now - last) / 1000)))
        last = now
    }
}

/// An absolute path for one that may be relative to the working directory, as text: no link is looked at. An empty one stays
/// what it is, and names nothing.
func absolute(_ path: String) throws(SessionError) -> String {
    if path.hasPrefix("/") || path.isEmpty { return path }
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    guard getcwd(&buffer, buffer.count) != nil else { throw SessionError("\(path): \(SystemError.last("getcwd"))") }
    let here = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    return path == "." ? here : "\(here)/\(path)"
}
