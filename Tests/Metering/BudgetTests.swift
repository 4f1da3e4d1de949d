import Documents
import EgressPolicy
import Foundation
import Records
import Synchronization
import Testing

@testable import Metering

private func charge(_ dollars: Double, tokens: UInt64 = 0) -> Charge {
    Charge(nanodollars: UInt64(dollars * 1e9), tokens: tokens, model: "m", priceDigest: "d")
}

private func outcome(_ dollars: Double, tokens: UInt64 = 0, answersNote: Bool = false) -> MessagesOutcome {
    MessagesOutcome(
        charge: charge(dollars, tokens: tokens), model: "m", toolCalls: [], isComplete: true, answersNote: answersNote)
}

private func budget(_ dollars: Double?, tokens: UInt64? = nil, soft: Int = 60) -> EgressBudget {
    var budget = EgressBudget()
    budget.microdollars = dollars.map { UInt64($0 * 1e6) }
    budget.tokens = tokens
    budget.softPercent = soft
    return budget
}

private func refusal(_ body: () throws -> Void) -> BudgetRefusal? {
    do {
        try body()
        return nil
    } catch BudgetFailure.refused(let refusal) {
        return refusal
    } catch {
        Issue.record("\(error)")
        return nil
    }
}

@Suite struct BudgetTests {
    let scratch = Scratch()
    private var directory: String { scratch.file("budgets") }

    private func time(_ text: String) throws -> Timestamp { try #require(Timestamp(text)) }

    @Test("while the disk is waited for, requests are reserved and charged")
    func slowDisk() throws {
        let book = try BudgetBook(directory: directory)
        try book.open(session: "s", tenant: "t", budget: budget(1))
        try book.synchronise { _ in
            let settled = try? book.settle(book.reserve(session: "s", charge(0.5)), outcome(0.25))
            #expect(settled?.state?.nanodollars.spent == 250_000_000)
        }
    }

    @Test("what is reserved and what is spent stay within the limit")
    func limits() throws {
        let book = try BudgetBook(directory: directory)
        try book.open(session: "s", tenant: "t", budget: budget(1, tokens: 1000))
        let first = try book.reserve(session: "s", charge(0.7, tokens: 100))
        let found = refusal { _ = try book.reserve(session: "s", charge(0.4)) }
        #expect(found?.scope == .session && found?.unit == .nanodollars && found?.isPassing == true)
        try book.settle(first, outcome(0.1, tokens: 50))
        let second = try book.reserve(session: "s", charge(0.9, tokens: 950))
        #expect(refusal { _ = try book.reserve(session: "s", charge(0, tokens: 1)) }?.unit == .tokens)
        try book.settle(second, outcome(0.9, tokens: 900))
        let last = refusal { _ = try book.reserve(session: "s", charge(0.000000001)) }
        #expect(last?.isPassing == false && last?.atLimit == budget(1).atLimit)
        #expect(last?.description.contains("$1.00") == true)
        let state = try #require(book.state(session: "s"))
        #expect(state.nanodollars == .init(spent: 1_000_000_000, reserved: 0, limit: 1_000_000_000))
        #expect(state.tokens.spent == 950)
        #expect(throws: BudgetFailure.unknownSession("x")) { try book.reserve(session: "x", charge(0)) }
        #expect(throws: BudgetFailure.unknownSession("s")) { try book.settle(second, outcome(1)) }
    }

    @Test("fifty requests at once at 99% of the budget do not pass the cap")
    func race() throws {
        let book = try BudgetBook(directory: directory, host: BudgetLimits(nanodollars: 2_000_000_000))
        for session in ["a", "b"] { try book.open(session: session, tenant: "t", budget: budget(1)) }
        for session in ["a", "b"] { try book.settle(book.reserve(session: session, charge(0.99)), outcome(0.99)) }
        let taken = Mutex(0)
        DispatchQueue.concurrentPerform(iterations: 50) { index in
            let session = index % 2 == 0 ? "a" : "b"
            for _ in 0..<20 {
                guard let place = try? book.reserve(session: session, charge(0.004)) else { continue }
                let state = book.state(session: session)
                #expect((state?.nanodollars.spent ?? .max) + (state?.nanodollars.reserved ?? .max) <= 1_000_000_000)
                _ = try? book.settle(place, outcome(0.004))
                taken.withLock { $0 += 1 }
            }
        }
        // Two of $0.004 fit in each session's last cent.
        #expect(taken.withLock { $0 } == 4)
        #expect(book.state(.host, "").nanodollars.spent == 1_996_000_000)
        #expect(book.state(.tenant, "t").nanodollars.reserved == 0)
    }

    @Test("tenant and host have limits of their own, and days and months end")
    func scopes() throws {
        let tenants = [
            "acme": BudgetLimits(nanodollars: 1_000_000_000, period: .day),
            "*": BudgetLimits(tokens: 10, period: .month),
        ]
        let book = try BudgetBook(
            directory: directory, host: BudgetLimits(nanodollars: 3_000_000_000), tenants: tenants)
        for (session, tenant) in [("a", "acme"), ("b", "acme"), ("c", "globex")] {
            try book.open(session: session, tenant: tenant, budget: nil)
        }
        let day = try time("2026-11-30T23:59:00Z")
        try book.settle(book.reserve(session: "a", charge(0.8), at: day), outcome(0.8))
        #expect(refusal { _ = try book.reserve(session: "b", charge(0.3), at: day) }?.scope == .tenant)
        try book.settle(book.reserve(session: "c", charge(0, tokens: 9), at: day), outcome(0, tokens: 9))
        #expect(refusal { _ = try book.reserve(session: "c", charge(0, tokens: 2), at: day) }?.unit == .tokens)
        let next = try time("2026-12-01T00:00:00Z")
        try book.settle(book.reserve(session: "b", charge(0.9), at: next), outcome(0.9))
        try book.settle(book.reserve(session: "c", charge(0, tokens: 9), at: next), outcome(0, tokens: 9))
        // A clock that is put back gives nothing back.
        #expect(refusal { _ = try book.reserve(session: "b", charge(0.3), at: day) }?.scope == .tenant)
        let later = try time("2026-12-02T00:00:00Z")
        #expect(refusal { _ = try book.reserve(session: "c", charge(0, tokens: 2), at: later) }?.scope == .tenant)
        try book.settle(book.reserve(session: "a", charge(0.9), at: later), outcome(0.9))
        #expect(refusal { _ = try book.reserve(session: "c", charge(0.5), at: later) }?.scope == .host)
    }

    @Test("a clock that was far ahead for a while gives nothing back, and its day is not waited for")
    func clockAhead() throws {
        let limits = BudgetLimits(nanodollars: 1_000_000_000, period: .day)
        let day = try time("2026-11-30T12:00:00Z")
        do {
            let book = try BudgetBook(directory: directory, host: limits, tenants: ["acme": limits])
            try book.open(session: "a", tenant: "acme", budget: nil)
            let running = try book.reserve(session: "a", charge(0.1), at: day)
            try book.settle(
                book.reserve(session: "a", charge(0.8), at: time("2031-01-01T00:00:00Z")), outcome(0.8))
            let found = refusal { _ = try book.reserve(session: "a", charge(0.15), at: day) }
            #expect(found?.spent == 800_000_000 && found?.reserved == 100_000_000)
            try book.settle(running, outcome(0.1))
        }
        let book = try BudgetBook(directory: directory, host: limits, tenants: ["acme": limits], at: day)
        try book.open(session: "a", tenant: "acme", budget: nil)
        #expect(refusal { _ = try book.reserve(session: "a", charge(0.15), at: day) }?.spent == 900_000_000)
        let next = try time("2026-12-01T00:00:00Z")
        try book.settle(book.reserve(session: "a", charge(0.9), at: next), outcome(0.9))
        #expect(refusal { _ = try book.reserve(session: "a", charge(0.2), at: next) }?.spent == 900_000_000)
    }

    @Test("the note is asked from the soft mark on, until the agent did what it asks for, and again after a raise")
    func softMark() throws {
        let book = try BudgetBook(directory: directory)
        try book.open(session: "s", tenant: "t", budget: budget(1))
        #expect(try !book.settle(book.reserve(session: "s", charge(0.5)), outcome(0.59)).passedSoftMark)
        #expect(book.note(session: "s") == nil)
        #expect(try book.settle(book.reserve(session: "s", charge(0.01)), outcome(0.01)).passedSoftMark)
        #expect(book.note(session: "s")?.contains("$0.60 of $1.00") == true)
        #expect(try !book.settle(book.reserve(session: "s", charge(0.01)), outcome(0.01)).passedSoftMark)
        #expect(book.note(session: "s") != nil)
        try book.settle(book.reserve(session: "s", charge(0.01)), outcome(0.01, answersNote: true))
        #expect(book.note(session: "s") == nil && book.state(session: "s")?.isPastSoftMark == true)
        #expect(throws: BudgetFailure.unlimited(session: "s", unit: "tokens")) {
            try book.raise(session: "s", tokens: 1)
        }
        #expect(try book.raise(session: "s", nanodollars: 1_000_000_000).isPastSoftMark == false)
        #expect(book.note(session: "s") == nil)
        try book.settle(book.reserve(session: "s", charge(0.7)), outcome(0.7))
        #expect(book.note(session: "s")?.contains("$2.00") == true)
        try book.open(session: "never", tenant: "t", budget: budget(1, soft: 100))
        try book.settle(book.reserve(session: "never", charge(1)), outcome(1))
        #expect(book.note(session: "never") == nil)
    }

    @Test("a book that is opened again knows everything, and charges in full what was never settled")
    func reopened() throws {
        do {
            let book = try BudgetBook(directory: directory)
            try book.open(session: "s", tenant: "t", budget: budget(10))
            try book.open(session: "over", tenant: "t", budget: budget(1))
            try book.settle(book.reserve(session: "s", charge(1)), outcome(0.25, tokens: 7, answersNote: true))
            try book.settle(book.reserve(session: "over", charge(1)), outcome(1))
            try book.close(session: "over")
            try book.raise(session: "s", nanodollars: 5_000_000_000)
            let place = try book.reserve(session: "s", charge(0.5))
            try book.grow(place, to: charge(0.75))
            #expect(throws: BudgetFailure.self) { try BudgetBook(directory: directory) }  // it is taken
        }
        for _ in 0..<3 {
            let book = try BudgetBook(directory: directory)
            let state = try #require(book.state(session: "s"))
            #expect(state.nanodollars == .init(spent: 1_000_000_000, reserved: 0, limit: 15_000_000_000))
            #expect(state.tokens.spent == 7 && !state.hasAnsweredNote)  // a raise asks anew
            #expect(book.state(session: "over") == nil)
            #expect(book.state(.tenant, "t").nanodollars.spent == 2_000_000_000)
            try book.open(session: "s", tenant: "t", budget: budget(10))
            #expect(book.state(session: "s") == state)
        }
    }

    @Test("a name that another tenant's session has now brings nothing of the old one with it")
    func anothersName() throws {
        let book = try BudgetBook(directory: directory)
        try book.open(session: "s", tenant: "t", budget: budget(10))
        try book.settle(book.reserve(session: "s", charge(1)), outcome(1))
        try book.raise(session: "s", nanodollars: 1)
        // Its supervisor was killed: nobody has said that it is over.
        try book.open(session: "s", tenant: "u", budget: budget(10))
        #expect(book.state(session: "s")?.nanodollars == .init(spent: 0, reserved: 0, limit: 10_000_000_000))
        try book.settle(book.reserve(session: "s", charge(2)), outcome(2))
        #expect(book.state(.tenant, "t").nanodollars.spent == 1_000_000_000)
        #expect(book.state(.tenant, "u").nanodollars.spent == 2_000_000_000)
    }

    @Test("a soft mark that was passed as the gateway died is told of when the session comes again, once")
    func softMarkOfTheDead() throws {
        do {
            let book = try BudgetBook(directory: directory)
            #expect(try !book.open(session: "s", tenant: "t", budget: budget(1)))
            try book.settle(book.reserve(session: "s", charge(0.5)), outcome(0.5))
            _ = try book.reserve(session: "s", charge(0.2))
        }
        let book = try BudgetBook(directory: directory)
        #expect(try book.open(session: "s", tenant: "t", budget: budget(1)))
        #expect(book.state(session: "s")?.description == "$0.70 of $1.00")
        #expect(try !book.open(session: "s", tenant: "t", budget: budget(1)))
    }

    @Test("a line that was never finished is cut off; one that was changed is not passed over")
    func torn() throws {
        do {
            let book = try BudgetBook(directory: directory)
            try book.open(session: "s", tenant: "t", budget: budget(10))
            try book.settle(book.reserve(session: "s", charge(1)), outcome(1))
        }
        let path = directory + "/book.jsonl"
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        try #require(whole.count { $0 == 0x0A } == 3)
        let lines = whole.split(separator: 0x0A, omittingEmptySubsequences: false).map { Data($0) }
        for place in 0..<whole.count {
            try whole.prefix(place).write(to: URL(fileURLWithPath: path))
            let book = try BudgetBook(directory: directory)
            let spent = book.state(session: "s")?.nanodollars.spent
            // Three lines: the session is there; a dollar is reserved (and counts in full); it is charged.
            let told = whole.prefix(place).count { $0 == 0x0A }
            #expect(spent == [nil, 0, 1_000_000_000][min(told, 2)])
        }
        for bad in ["{}", "null", "x", #"{"do":"settle","id":-1}"#, #"{"do":"spent","nanodollars":1}"#] {
            var changed = lines
            changed[0] = Data(bad.utf8)
            try Data(changed.joined(separator: [0x0A])).write(to: URL(fileURLWithPath: path))
            let failure = #expect(throws: BudgetFailure.self) { try BudgetBook(directory: directory) }
            guard case .damaged(_, let line, _) = failure else {
                Issue.record("found \(String(describing: failure)) for \(bad)")
                continue
            }
            #expect(line == 1)
        }
    }

    @Test("a writer that is killed at any instant forgets nothing that it told of")
    func killed() async throws {
        let told = scratch.file("told")
        for round in 0..<6 {
            let life = UInt32(3000 + 9137 * round)
            await #expect(processExitsWith: .signal(SIGKILL)) {
                [directory = directory as String, told = told as String, life = life as UInt32] in
                Thread.detachNewThread {
                    usleep(life)
                    kill(getpid(), SIGKILL)
                }
                let book = try BudgetBook(directory: directory)
                try book.open(session: "s", tenant: "t", budget: nil)
                let file = open(told, O_WRONLY | O_CREAT | O_APPEND, 0o600)
                let bound = Charge(nanodollars: 1000, tokens: 1, model: "m", priceDigest: "d")
                while true {
                    let place = try book.reserve(session: "s", bound)
                    // As a request that went upstream: from here on it has cost something.
                    write(file, "x", 1)
                    let outcome = MessagesOutcome(
                        charge: bound, model: "m", toolCalls: [], isComplete: true, answersNote: false)
                    try book.settle(place, outcome)
                }
            }
            let count = UInt64((try? Data(contentsOf: URL(fileURLWithPath: told)).count) ?? 0)
            let book = try BudgetBook(directory: directory)
            let spent = book.state(.tenant, "t").nanodollars.spent
            // One more at most for each life: reserved, and killed before it was sent.
            #expect(spent >= count * 1000 && spent <= (count + UInt64(round) + 1) * 1000)
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: told)).count > 0)
    }

    @Test("a full disk refuses what cannot be written down, and the book goes on when there is room")
    func fullDisk() async throws {
        await #expect(processExitsWith: .success) { [directory = directory as String] in
            let book = try BudgetBook(directory: directory)
            try book.open(session: "s", tenant: "t", budget: nil)
            signal(SIGXFSZ, SIG_IGN)
            var limit = rlimit(rlim_cur: 2000, rlim_max: .max)
            setrlimit(__rlimit_resource_t(1), &limit)  // RLIMIT_FSIZE
            let bound = Charge(nanodollars: 1000, tokens: 1, model: "m", priceDigest: "d")
            var written = 0
            do {
                while written < 1000 {
                    _ = try book.reserve(session: "s", bound)
                    written += 1
                }
                exit(1)
            } catch BudgetFailure.notWritten {}
            limit.rlim_cur = .max
            setrlimit(__rlimit_resource_t(1), &limit)
            _ = try book.reserve(session: "s", bound)
            exit(book.state(session: "s")?.nanodollars.reserved == UInt64(written + 1) * 1000 ? 0 : 2)
        }
        let book = try BudgetBook(directory: directory)
        #expect(book.state(.tenant, "t").nanodollars.spent > 2000)
    }

    @Test("a long book is written anew, and says the same")
    func rewritten() throws {
        let book = try BudgetBook(directory: directory)
        try book.open(session: "s", tenant: "t", budget: nil)
        let place = try book.reserve(session: "s", charge(0.5))
        for _ in 0..<30_000 { try book.settle(book.reserve(session: "s", charge(0.001)), outcome(0.0001)) }
        let size = try FileManager.default.attributesOfItem(atPath: directory + "/book.jsonl")[.size] as? Int
        #expect(try #require(size) < 5 << 20)
        #expect(book.state(session: "s")?.nanodollars == .init(spent: 3_000_000_000, reserved: 500_000_000, limit: nil))
        try book.settle(place, outcome(0.5))
        #expect(book.state(.host, "").nanodollars.spent == 3_500_000_000)
    }

    @Test("requests come at the rate that is allowed, and a burst of one interval's")
    func rates() {
        let limiter = RateLimiter()
        let rate = EgressRate(requests: 60, interval: 60_000_000_000)
        var now: UInt64 = 1_000_000_000_000
        for _ in 0..<60 { #expect(limiter.take("a", rate, now: now) == nil) }
        #expect(limiter.take("a", rate, now: now) == 1_000_000_000)
        #expect(limiter.take("b", rate, now: now) == nil)
        now += 1_000_000_000
        #expect(limiter.take("a", rate, now: now) == nil)
        #expect(limiter.take("a", rate, now: now) != nil)
        limiter.forget("a")
        #expect(limiter.take("a", rate, now: now) == nil)
    }

    @Test("errors are those that clients of the Messages API know")
    func errors() throws {
        let refusal = BudgetRefusal(
            scope: .session, unit: .tokens, spent: 5, reserved: 0, bound: 10, limit: 12, atLimit: .pause)
        let body = try node(String(decoding: BillingError.body402(refusal), as: UTF8.self))
        #expect(body["type"]?.string == "error" && body.at("error", "type")?.string == "billing_error")
        let event = String(decoding: BillingError.sseError(refusal), as: UTF8.self)
        #expect(event.hasPrefix("event: error\ndata: {") && event.hasSuffix("}\n\n"))
        #expect(BillingError.headers.contains { $0 == ("x-should-retry", "false") })
        #expect(dollars(1) == "0.000000001" && dollars(5_000_000_000) == "5.00" && dollars(1_230_000_000) == "1.23")
    }
}
