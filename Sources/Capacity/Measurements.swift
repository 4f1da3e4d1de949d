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
    /// The command.
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

    /// The runs that grew without end, as far as their curves tell.
    public var leaks: [Run] { runs.filter { $0.summary?.isLeak == true } }
}

extension Measurements {
    /// Chooses from all reports of a host.
    ///
    /// Measured runs come first: those of the newest campaign of the profile, and of all earlier ones of the same box and
    /// command. Where nothing was measured, all sessions of the profile count, with a note: among them are those that were
    /// the first to touch their files, and were charged for everyone's page cache.
    ///
    /// - Parameters:
    ///   - profile: the profile's name; `nil`: that of the newest campaign, else of the newest report.
    ///   - campaign: only this campaign.
    ///   - curve: reads the curve that a report names.
    public init?(
        from reports: [Report], profile: String? = nil, campaign: String? = nil,
        curve: (String) -> Curve? = { _ in nil }
    ) {
        let ofProfile = reports.filter { profile == nil || $0.profile.name == profile }
        let measured = ofProfile.filter { $0.campaign != nil && (campaign == nil || $0.campaign?.name == campaign) }
        guard let newest = measured.last ?? (campaign == nil ? ofProfile.last : nil) else { return nil }
        self.init(profile: newest.profile.name, command: newest.command)
        let isMeasured = newest.campaign != nil
        let chosen = (isMeasured ? measured : ofProfile).filter {
            $0.profile == newest.profile && (!isMeasured || $0.command == newest.command)
        }
        for report in chosen {
            if let name = report.campaign?.name, !campaigns.contains(name) { campaigns.append(name) }
            if report.campaign?.isWarmUp == true {
                shared = max(shared, Double(report.usage.pageCacheBytes ?? 0))
                leftOut += 1
                continue
            }
            guard report.exit.how != .refused, report.exit.how != .failed, let peak = report.usage.memoryPeakBytes
            else {
                leftOut += 1
                continue
            }
            var run = Run(
                session: report.session, peak: Double(peak), isClipped: report.usage.memoryClipped,
                seconds: Double(report.ended.seconds - report.started.seconds)
                    + Double(report.ended.nanoseconds - report.started.nanoseconds) / 1e9, how: report.exit.how,
                summary: report.curve, cpuNanoseconds: report.usage.cpuNanoseconds)
            run.resident = [report.usage.residentPeakBytes, report.curve?.residentSumBytes].compactMap { $0 }.max().map
            {
                Double($0)
            }
            run.curve = report.curve.flatMap { curve($0.file) }
            runs.append(run)
            limit = [limit, report.limitsInForce.memoryBytes.map { Double($0) }].compactMap { $0 }.max()
        }
        if !isMeasured {
            notes.append(
                "no campaign was measured: these are sessions as they came, and those that touched files first paid for "
                    + "everyone's page cache (carrel measure keeps that out)")
        }
        if runs.isEmpty { return nil }
    }
}
