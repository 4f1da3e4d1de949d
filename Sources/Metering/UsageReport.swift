/// The usage that a response has told of so far.
struct UsageReport: Sendable, Equatable {
    /// Counts of tokens as they are told; `nil` where nothing was.
    struct Counts: Sendable, Equatable {
        var input: UInt64?
        var output: UInt64?
        var cacheWrite: UInt64?
        var cacheWrite5m: UInt64?
        var cacheWrite1h: UInt64?
        var cacheRead: UInt64?

        /// As what prices are for.
        ///
        /// - Parameter mayWriteHour: writes whose life was not told are an hour's: never less than the truth.
        func usage(mayWriteHour: Bool) -> Usage {
            let told = (cacheWrite5m ?? 0).saturatingAdd(cacheWrite1h ?? 0)
            let written = cacheWrite ?? told
            let hour = told == 0 && mayWriteHour ? written : min(cacheWrite1h ?? 0, written)
            return Usage(
                input: input ?? 0, output: output ?? 0, cacheWrite5m: written - hour, cacheWrite1h: hour,
                cacheRead: cacheRead ?? 0)
        }
    }

    /// One of several samplings of a request.
    struct Iteration: Sendable, Equatable {
        var type: String?
        var model: String?
        var counts = Counts()

        /// Whether the counts at the top stand for it too: they leave out what is sampled beside the message.
        var isOfMessage: Bool { type == nil || type == "message" || type == "fallback_message" }
    }

    var counts = Counts()
    var webSearches: UInt64?
    var isUS: Bool?
    var isFast: Bool?
    var isBatch: Bool?
    var iterations: [Iteration]?

    /// Whether no count is greater than any model's: one that is tells nothing, as one below 0 does not.
    var isPossible: Bool {
        let all = [counts] + (iterations ?? []).map(\.counts)
        return (webSearches ?? 0) <= Self.most
            && all.allSatisfy { counts in
                [
                    counts.input, counts.output, counts.cacheWrite, counts.cacheWrite5m, counts.cacheWrite1h,
                    counts.cacheRead,
                ].allSatisfy { ($0 ?? 0) <= Self.most }
            }
    }
    private static let most: UInt64 = 1 << 32

    /// Whether prompt and answer were told: what leaves one of them out tells no sum.
    var isWhole: Bool {
        func isWhole(_ counts: Counts) -> Bool { counts.input != nil && counts.output != nil }
        let iterations = iterations ?? []
        return isWhole(counts) || !iterations.isEmpty && iterations.allSatisfy { isWhole($0.counts) }
    }

    /// Takes a later report in: what it tells overrides, since all counts are cumulative. Zeros do not override counts
    /// of the prompt: some servers fill the later report up with them.
    mutating func merge(_ later: UsageReport) {
        func prompt(_ old: inout UInt64?, _ new: UInt64?) {
            if let new, new > 0 || old == nil { old = new }
        }
        prompt(&counts.input, later.counts.input)
        prompt(&counts.cacheRead, later.counts.cacheRead)
        let told = (later.counts.cacheWrite5m ?? 0).saturatingAdd(later.counts.cacheWrite1h ?? 0)
        if told > 0 {
            counts.cacheWrite5m = later.counts.cacheWrite5m
            counts.cacheWrite1h = later.counts.cacheWrite1h
        }
        prompt(&counts.cacheWrite, later.counts.cacheWrite ?? (told > 0 ? told : nil))
        counts.output = later.counts.output ?? counts.output
        webSearches = later.webSearches ?? webSearches
        isUS = later.isUS ?? isUS
        isFast = later.isFast ?? isFast
        isBatch = later.isBatch ?? isBatch
        iterations = later.iterations ?? iterations
    }
}

/// What a report costs.
struct CostReading {
    let prices: PriceTable
    let policy: UnknownModelPolicy
    let mayWriteHour: Bool

    /// Nanodollars and counts, and whether a model was charged at the ceiling since the table does not have it.
    func cost(_ report: UsageReport, model: String) -> (picodollars: UInt128, usage: Usage, isCeiling: Bool) {
        var isCeiling = false
        func cost(_ usage: Usage, _ name: String) -> UInt128 {
            let rates = prices.rates(for: name)
            if rates == nil { isCeiling = true }
            var factors: [Factor] = []
            if report.isFast == true { factors.append(rates?.fast ?? prices.ceilingFast) }
            if report.isUS == true { factors.append(prices.geo) }
            if report.isBatch == true { factors.append(prices.batch) }
            return (rates ?? prices.ceiling).cost(of: usage, factors)
        }
        func total(_ iterations: [UsageReport.Iteration]) -> (UInt128, Usage) {
            iterations.reduce((0, Usage())) { sum, iteration in
                let usage = iteration.counts.usage(mayWriteHour: mayWriteHour)
                return (sum.0 + cost(usage, iteration.model ?? model), sum.1 + usage)
            }
        }
        let top = report.counts.usage(mayWriteHour: mayWriteHour)
        let iterations = report.iterations ?? []
        let (ofMessage, messageUsage) = total(iterations.filter(\.isOfMessage))
        let (beside, besideUsage) = total(iterations.filter { !$0.isOfMessage })
        // Iterations tell more than the sum (each has its own tier and model), unless the server left some out.
        let told = messageUsage.tokens >= top.tokens
        var usage = (told ? messageUsage : top) + besideUsage
        usage.webSearches = report.webSearches ?? 0
        let picodollars = (told && !iterations.isEmpty ? ofMessage : max(ofMessage, cost(top, model))) + beside
        return (picodollars + UInt128(usage.webSearches) * UInt128(prices.webSearch), usage, isCeiling)
    }
}
