import Documents
import Records

/// The runs of one kind that a ceiling is reckoned from: one profile, one box, one command.
public struct Measurements: Sendable {
    /// One run.
    public struct Run: Sendable, Equatable {
        /// The session's name.
        public var session: String
        /// The most memory that was charged at one time, by the kernel's counter, in bytes.
        public var peak: Double
        /// Whether it came up against its limit, so that the peak says what it got.
        public var isClipped: Bool
        /// The guide's figure, in bytes: the largest resident set of a process, or the highest sum of all that was seen.
        public var resident: Double?
        /// How long it lasted, in seconds.
        public var seconds: Double
        /// How it ended.
        public var how: Report.Exit.How
        /// What its memory did over time.
        public var summary: Report.Curve?
        /// The curve itself.
        public var curve: Curve?
        /// Processor time, in nanoseconds.
        public var cpuNanoseconds: Int64?
    }

    /// The profile's name.
    public var profile: String
    /// The command; empty where sessions as they came ran different ones.
    public var command: [String]
    /// The runs, in the order in which they ended.
    public var runs: [Run] = []
    /// The memory limit that they ran under, in bytes; `nil` where there was none.
    public var limit: Double?
    /// The campaigns that they are of; empty where they are sessions as they came.
    public var campaigns: [String] = []
    /// Memory that belongs to no run alone, in bytes: page cache that the warm-up was charged with. It is there once.
    public var shared: Double = 0
    /// Sessions left out since they only warmed the page cache, were refused or failed to start.
    public var leftOut = 0
    /// Runs that did not do their work to its end, and are no measurements: what they would have needed is not known. That
    /// they needed at least their peak is (``leastCeiling``).
    public var unfinished: [Unfinished] = []

    /// Runs that ended in the same way before their work was done.
    public struct Unfinished: Sendable, Equatable {
        /// How they ended.
        public var how: Report.Exit.How
        /// Their exit status; `nil` where that is not how they differ.
        public var status: Int64?
        /// How many.
        public var runs: Int
        /// One of them.
        public var session: String
        /// The highest of their peaks, in bytes.
        public var peak: Double

        /// For people: `exited with 1`.
        public var text: String {
            switch how {
            case .exited: "exited with \(status ?? 1)"
            case .signaled: "were ended by signal \((status ?? 128) - 128)"
            case .timeout: "came up against their time limit"
            case .idle: "came up against their idle limit"
            case .cpuTime: "used all of their processor time"
            case .killed: "were killed"
            default: "ended as \(how.rawValue)"
            }
        }
    }
    /// What a reader has to know of where the runs are from.
    public var notes: [String] = []

    /// No runs yet.
    public init(profile: String, command: [String]) {
        self.profile = profile
        self.command = command
    }

    /// The peaks, the clipped ones counted and not taken for measurements.
    public var peaks: OrderStatistics {
        OrderStatistics(runs.filter { !$0.isClipped }.map(\.peak), clipped: runs.count { $0.isClipped })
    }

    /// The guide's figures.
    public var residents: OrderStatistics {
        OrderStatistics(runs.filter { !$0.isClipped }.compactMap(\.resident), clipped: runs.count { $0.isClipped })
    }

    /// How long half of the runs lasted at most, in seconds.
    public var medianSeconds: Double { OrderStatistics(runs.map(\.seconds)).median ?? 0 }

    /// What a ceiling is not below, in bytes: what was needed even without having come to the end.
    public var leastCeiling: Double { unfinished.map(\.peak).max() ?? 0 }

    /// What to know of the runs that are no measurements, a line for each kind.
    public var unfinishedText: [String] {
        let all = runs.count + unfinished.reduce(0) { $0 + $1.runs }
        return unfinished.map {
            "\($0.runs) of \(all) runs \($0.text): they are no measurements (carrel report \($0.session))"
        }
    }

    /// The runs that grew without end, as far as their curves tell.
    public var leaks: [Run] { runs.filter { $0.summary?.isLeak == true } }
}

extension Measurements {
    /// Chooses from all reports of a host.
    ///
    /// A run counts where its program exited with 0, and where it came up against its memory limit, as one that is clipped. Of
    /// sessions as they came those count too that somebody or another limit ended: that is how such sessions end.
    ///
    /// Measured runs come first: those of the newest campaign of the profile, and of all earlier ones of the same box and
    /// command. Where nothing was measured, all sessions of the profile count, with a note: among them are those that were
    /// the first to touch their files, and were charged for everyone's page cache.
    ///
    /// - Parameters:
    ///   - profile: the profile's name; `nil`: that of the newest campaign, else of the newest report.
    ///   - campaign: only this campaign.
    ///   - withEarlier: that campaign, and what adds up with it.
    ///   - curve: reads the curve that a report names.
    public init?(
        from reports: [Report], profile: String? = nil, campaign: String? = nil, withEarlier: Bool = false,
        curve: (String) -> Curve? = { _ in nil }
    ) {
        let ofProfile = reports.filter { profile == nil || $0.profile.name == profile }
        var measured = ofProfile.filter { $0.campaign != nil }
        let named = measured.filter { campaign == nil || $0.campaign?.name == campaign }
        guard let newest = named.last ?? (campaign == nil ? ofProfile.last : nil) else { return nil }
        if !withEarlier { measured = named }
        self.init(profile: newest.profile.name, command: newest.command)
        let isMeasured = newest.campaign != nil
        let chosen = (isMeasured ? measured : ofProfile).filter {
            $0.profile == newest.profile && (!isMeasured || $0.command == newest.command)
        }
        if chosen.contains(where: { $0.command != command }) { command = [] }
        for report in chosen {
            if let name = report.campaign?.name, !campaigns.contains(name) { campaigns.append(name) }
            if report.campaign?.isWarmUp == true {
                shared = max(shared, Double(report.usage.pageCacheBytes ?? 0))
                leftOut += 1
                continue
            }
            guard report.exit.how != .refused, report.exit.how != .failed, let peak = report.usage.memoryPeakBytes,
                peak > 0
            else {
                leftOut += 1
                continue
            }
            guard report.usage.memoryClipped || report.exit.isDone(inCampaign: isMeasured) else {
                addUnfinished(report, peak: Double(peak))
                continue
            }
            var run = Run(
                session: report.session, peak: Double(peak),
                isClipped: report.usage.memoryClipped || report.exit.how == .oom,
                // A clock that was set back makes no run shorter than none.
                seconds: max(
                    0,
                    Double(report.ended.seconds - report.started.seconds)
                        + Double(report.ended.nanoseconds - report.started.nanoseconds) / 1e9), how: report.exit.how,
                summary: report.curve, cpuNanoseconds: report.usage.cpuNanoseconds)
            run.resident = [report.usage.residentPeakBytes, report.curve?.residentSumBytes].compactMap { $0 }.max()
                .flatMap { $0 > 0 ? Double($0) : nil }
            run.curve = report.curve.flatMap { summary in curve(summary.file).flatMap { $0.isWhole(summary) ? $0 : nil }
            }
            runs.append(run)
            limit = [limit, report.limitsInForce.memoryBytes.map { Double($0) }].compactMap { $0 }.max()
        }
        if !isMeasured {
            notes.append(
                "no campaign was measured: these are sessions as they came, and those that touched files first paid for "
                    + "everyone's page cache (carrel measure keeps that out)")
        }
        if runs.isEmpty && unfinished.isEmpty { return nil }
    }

    private mutating func addUnfinished(_ report: Report, peak: Double) {
        let status = [.exited, .signaled].contains(report.exit.how) ? report.exit.status : nil
        let index =
            unfinished.firstIndex { $0.how == report.exit.how && $0.status == status } ?? unfinished.endIndex
        if index == unfinished.endIndex {
            unfinished.append(
                Unfinished(how: report.exit.how, status: status, runs: 0, session: report.session, peak: 0))
        }
        unfinished[index].runs += 1
        unfinished[index].peak = max(unfinished[index].peak, peak)
    }
}

extension Report.Exit {
    /// Whether what the session was started for was done.
    fileprivate func isDone(inCampaign: Bool) -> Bool {
        switch how {
        case .exited: status == 0
        case .oom: true
        case .timeout, .idle, .cpuTime, .recycled, .budget, .killed: !inCampaign
        default: false
        }
    }
}
