import Capacity
import Cgroups
import Glibc
import Records
import Syscalls
import SystemPackage

/// A campaign: representative sessions of one kind, run to be measured.
public struct MeasureRequest: Sendable {
    /// What each run is.
    public var session: SessionRequest
    /// How many are measured.
    public var runs = 30
    /// How many at a time.
    public var parallel = 1
    /// How many run before, one at a time, and are no measurements: the first to touch an image's files is charged for
    /// their page cache, which then is there for all.
    public var warmUps = 1
    /// From one look at a session's memory to the next, in nanoseconds.
    public var interval: Int64 = 1_000_000_000

    /// A campaign of 30 runs, one at a time.
    public init(_ session: SessionRequest) { self.session = session }
}

/// What a campaign was, beside the reports of its runs.
public struct MeasureOutcome: Sendable {
    /// Its name.
    public var campaign: String
    /// The runs.
    public var measurements: Measurements
    /// The most that all sessions together were charged with at one time, by the kernel's counter of the cgroup above
    /// them, in bytes; `nil` where others were in it, or nothing counts.
    public var peakOfSum: UInt64?
    /// What that cgroup was charged with before the first of them, in bytes: page cache of the warm-up.
    public var base: UInt64
    /// Seconds that one start took, on average.
    public var startSeconds: Double
    /// The ceiling that admission goes by from now on, be it of earlier runs; `nil` where it goes by the limit.
    public var ceiling: MeasuredCeiling?
}

extension Carrel {
    /// Runs representative sessions and measures them.
    ///
    /// - Parameter progress: called after each run with how many are over, and of how many.
    /// - Throws: ``SessionError`` where a session cannot be started, and with exit status 130 on SIGINT and its like; the
    ///   sessions are ended then.
    public func measure(
        _ request: MeasureRequest, progress: (Int, Int) -> Void = { _, _ in }
    ) throws(SessionError) -> MeasureOutcome {
        try withCampaign(request) { campaign throws(SessionError) in
            let total = request.warmUps + request.runs
            try campaign.run(request.warmUps, parallel: 1, isWarmUp: true) { progress($0, total) }
            campaign.restart()
            try campaign.run(request.runs, parallel: request.parallel) { progress(request.warmUps + $0, total) }
            return try outcome(of: campaign, request, adopting: true)
        }
    }

    /// What a validation found.
    public struct Validation: Sendable {
        /// How many sessions ran at once.
        public var sessions: Int
        /// What the runs that went before them predicted for the peak of their sum: the rest of the sum is page cache that
        /// was there before. Bytes.
        public var predicted: StartedTogether
        /// Page cache that was there before, in bytes.
        public var base: UInt64
        /// The kernel's peak of the cgroup above them, in bytes.
        public var measured: UInt64
        /// The sum of their own peaks, in bytes: what it would have been with all at their peak at one moment.
        public var sumOfPeaks: Double
        /// The runs that the prediction is from.
        public var calibration: Measurements
        /// The runs that were all at once.
        public var together: Measurements

        /// The prediction for what the kernel counts, in bytes.
        public var predictedTotal: Double { predicted.median + Double(base) }
        /// How far the prediction is off, as a part of what was measured: above 0 it was too high.
        public var error: Double { predictedTotal / Double(max(measured, 1)) - 1 }
    }

    /// Predicts the peak of the sum of many sessions from single ones, then runs them all at once and looks.
    ///
    /// - Parameters:
    ///   - request: `runs` are the single ones.
    ///   - sessions: how many run at once.
    public func validate(
        _ request: MeasureRequest, sessions: Int, progress: (Int, Int) -> Void = { _, _ in }
    ) throws(SessionError) -> Validation {
        try withCampaign(request) { campaign throws(SessionError) in
            let total = request.warmUps + request.runs + sessions
            try campaign.run(request.warmUps, parallel: 1, isWarmUp: true) { progress($0, total) }
            try campaign.run(request.runs, parallel: request.parallel) { progress(request.warmUps + $0, total) }
            let calibration = try outcome(of: campaign, request, adopting: false)
            try refuseUnfinished(calibration.measurements)
            guard calibration.measurements.peaks.clipped == 0 else {
                throw SessionError(
                    "\(calibration.measurements.peaks.clipped) of \(request.runs) single runs came up against their limit: "
                        + "nothing can be predicted from them", fix: "give them more: --memory")
            }
            guard
                let predicted = StartedTogether(
                    calibration.measurements.runs, count: sessions, gap: calibration.startSeconds)
            else {
                throw SessionError(
                    "the runs are too short to have curves", fix: "look more often: --interval 10ms")
            }
            campaign.restart()
            try campaign.run(sessions, parallel: sessions) { progress(request.warmUps + request.runs + $0, total) }
            guard let measured = campaign.peak else {
                throw SessionError(
                    "nothing counts the sessions together: other sessions of tenant \(campaign.tenant) run, or its cgroup "
                        + "has no memory controller", fix: "give another --tenant; see carrel doctor")
            }
            let all = try outcome(of: campaign, request, adopting: false).measurements
            try refuseUnfinished(all)
            var together = all
            together.runs = Array(all.runs.suffix(sessions))
            return Validation(
                sessions: sessions, predicted: predicted, base: campaign.base, measured: measured,
                sumOfPeaks: together.runs.reduce(0) { $0 + $1.peak }, calibration: calibration.measurements,
                together: together)
        }
    }

    /// A prediction is of runs that do their work, and so is what it is compared with.
    private func refuseUnfinished(_ measurements: Measurements) throws(SessionError) {
        if measurements.unfinished.isEmpty { return }
        throw SessionError(
            measurements.unfinishedText.joined(separator: "; "),
            fix: "run a command that ends with 0 when its work is done")
    }

    private func withCampaign<Result>(
        _ request: MeasureRequest, _ body: (CampaignRunner) throws(SessionError) -> Result
    ) throws(SessionError) -> Result {
        let campaign = try CampaignRunner(self, request)
        defer { campaign.end() }
        return try body(campaign)
    }

    private func outcome(
        of campaign: CampaignRunner, _ request: MeasureRequest, adopting: Bool
    ) throws(SessionError) -> MeasureOutcome {
        guard let measurements = try measurements(profile: nil, campaign: campaign.name) else {
            throw SessionError("no run of campaign \(campaign.name) was measured: see carrel audit log")
        }
        var outcome = MeasureOutcome(
            campaign: campaign.name, measurements: measurements, peakOfSum: campaign.peak, base: campaign.base,
            startSeconds: campaign.startSeconds)
        // Another campaign of the profile may have come to its end meanwhile.
        guard adopting, let all = try self.measurements(profile: nil, campaign: campaign.name, withEarlier: true) else {
            return outcome
        }
        let profile = try load(request.session.profile, request.session.overrides)
        let ceiling = MeasuredCeiling(
            peaks: all.peaks, atLeast: all.leastCeiling, medianSeconds: Int64(all.medianSeconds.rounded(.up)),
            digest: profile.box)
        let path = ceilingPath(profile.name)
        try telling("ceiling") { () throws(SystemError) in
            if let ceiling {
                try ceiling.write(to: path)
            } else if all.peaks.clipped > 0, measuredCeiling(of: profile) != nil {
                // What it was reckoned from is known to be too little now.
                try Syscalls.remove(path)
            }
        }
        outcome.ceiling = measuredCeiling(of: profile)
        return outcome
    }

    /// The runs in the ledger that a ceiling can be reckoned from; `nil` where there are none.
    ///
    /// - Parameters:
    ///   - profile: the profile's name; `nil`: that of the newest campaign.
    ///   - campaign: only this one.
    ///   - withEarlier: that one, and earlier ones of the same profile, box and command.
    public func measurements(
        profile: String?, campaign: String?, withEarlier: Bool = false
    ) throws(SessionError) -> Measurements? {
        var reports: [Report] = []
        func read(onlyMeasured: Bool) throws(SystemError) -> String? {
            try Recorder(state).ledger.forEachReport { report in
                if profile != nil && report.profile.name != profile || onlyMeasured && report.campaign == nil { return }
                reports.append(report)
            }
        }
        let damage = try telling("ledger") { () throws(SystemError) in
            // A ledger may be larger than memory: sessions as they came are kept only where nothing was measured.
            let damage = try read(onlyMeasured: true)
            return reports.isEmpty && campaign == nil ? try read(onlyMeasured: false) : damage
        }
        var found = Measurements(from: reports, profile: profile, campaign: campaign, withEarlier: withEarlier) {
            name in
            // A report is no authority over paths: curves are in one directory.
            guard name.hasPrefix("curves/"), !name.dropFirst(7).contains("/") else { return nil }
            return (try? readFile(state[name])).flatMap { Curve($0) }
        }
        if let damage {
            if found == nil { throw SessionError("nothing was measured; " + damage) }
            found?.notes.append(damage)
        }
        return found
    }
}

/// Runs the sessions of a campaign, in the background, under one cgroup whose peak is theirs together.
private final class CampaignRunner {
    let name: String
    let tenant: String
    private let carrel: Carrel
    private let request: MeasureRequest
    private let signals: FileDescriptor
    private var runs = 0
    private var watch: PeakWatch?
    private var anchor: Cgroup?
    private(set) var base: UInt64 = 0
    private var startNanoseconds: UInt64 = 0
    private var starts = 0

    init(_ carrel: Carrel, _ request: MeasureRequest) throws(SessionError) {
        self.carrel = carrel
        self.request = request
        tenant = request.session.tenant
        try checkName(tenant, of: "tenant")
        name = "m-" + String(monotonicNanoseconds(CLOCK_REALTIME) / 1_000_000, radix: 36)
        signals = try telling("measure") { () throws(SystemError) in
            let set = signalSet([SIGINT, SIGTERM, SIGHUP])
            try changeSignalMask(SIG_BLOCK, set)
            return try signalFD(set)
        }
        carrel.sweepAll()
        makeAnchor()
    }

    /// An empty cgroup beside the sessions' keeps the one above them, and its counters, from one session to the next. It has
    /// a session's name and marker, so that the sweep finds it after a kill.
    private func makeAnchor() {
        let host = CgroupHost.detect()
        guard let path = try? CgroupPath("carrel/\(tenant)/\(name)"), let parent = path.parent,
            (try? carrel.live.claim(name)) != nil
        else { return }
        // Any limit makes the memory controller's directory appear on a hybrid host.
        guard let made = try? Cgroup.create(host, path, CgroupLimits(memoryMax: 1 << 30)) else {
            return carrel.live.remove(LiveSessions.Claim(name, supervisor: getpid()))
        }
        anchor = made
        // Others' sessions in the same cgroup would be counted too.
        guard (try? Cgroup.names(host, in: parent)) == [name], let above = try? Cgroup.open(host, parent) else {
            return
        }
        watch = try? above.watchPeak()
        base = above.usage().memory ?? 0
    }

    /// Counts the peak of the sum from now on.
    func restart() {
        guard watch != nil, let parent = anchor?.path.parent, let above = try? Cgroup.open(CgroupHost.detect(), parent)
        else { return }
        watch = try? above.watchPeak()
        base = above.usage().memory ?? 0
    }

    /// The peak of the sum since then.
    var peak: UInt64? { watch?.bytes }

    /// Seconds that one start took, on average.
    var startSeconds: Double { starts == 0 ? 0 : Double(startNanoseconds) / Double(starts) / 1e9 }

    /// Runs so many sessions, and returns when all are over.
    func run(
        _ count: Int, parallel: Int, isWarmUp: Bool = false, _ progress: (Int) -> Void
    ) throws(SessionError) {
        var live: [Carrel.StartedSession] = []
        var (started, over) = (0, 0)
        do throws(SessionError) {
            while over < count {
                while started < count && live.count < max(parallel, 1) {
                    live.append(try start(isWarmUp: isWarmUp))
                    started += 1
                }
                let ready = try telling("measure") { () throws(SystemError) in
                    try poll([(signals, .readable)] + live.map { ($0.supervisor, .readable) })
                }
                if ready[0].contains(.readable) {
                    throw SessionError("interrupted after \(over) of \(count) runs", exitStatus: 130)
                }
                for index in live.indices.reversed() where !ready[index + 1].isEmpty {
                    let session = live.remove(at: index)
                    session.reap()
                    over += 1
                    progress(over)
                }
            }
        } catch {
            for session in live {
                _ = try? carrel.kill(.session(session.id), signal: nil, grace: 0, hold: false)
                session.reap()
            }
            throw error
        }
    }

    private func start(isWarmUp: Bool) throws(SessionError) -> Carrel.StartedSession {
        var session = request.session
        if !isWarmUp { runs += 1 }
        session.isDetached = true
        session.session = "\(name)-\(isWarmUp ? "w" : "")\(isWarmUp ? starts + 1 : runs)"
        session.campaign = Report.Campaign(name: name, run: isWarmUp ? 0 : Int64(runs))
        session.curve = request.interval
        let before = monotonicNanoseconds()
        let started: Carrel.StartedSession
        do throws(SessionError) { started = try carrel.startDetached(session) } catch  where error.exitStatus == 75 {
            throw SessionError(
                error.message, fix: "measure fewer at a time, with a smaller --memory, or while the host has room",
                exitStatus: 75)
        }
        startNanoseconds += monotonicNanoseconds() - before
        starts += 1
        return started
    }

    func end() {
        if let anchor {
            try? anchor.remove()
            carrel.live.remove(LiveSessions.Claim(name, supervisor: getpid()))
        }
        close(signals)
    }
}
