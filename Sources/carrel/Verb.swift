import Options
import Session

/// The commands: each has its definition and its deed.
enum Verb: CaseIterable {
    case run, spec
    case ps, stats, logs, report, wait
    case exec, pause, resume, kill, release
    case profileCheck, profileShow, profileList
    case egressCheck, egressLog, egressVerify, egressClose, budgetShow, budgetRaise
    case measure, capacity, capacityValidate, top, pin, metrics
    case tenantCheck, tenantShow, watch
    case doctor
    case auditVerify, auditLog, auditRotate
    case seccompRecord, seccompExplain, seccompAgent
    case seccompMerge, seccompSynthesize, seccompDiff, seccompLint, seccompTest, seccompAllow, seccompShow
    case completions, man, supervise

    /// The command of this name.
    init?(_ name: String) {
        // Without a look at the others, whose definitions a start has no time for.
        if name == "run" {
            self = .run
            return
        }
        guard let verb = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = verb
    }

    var name: String { definition.name.description }

    var definition: Command {
        switch self {
        case .run: .run
        case .spec: .spec
        case .ps: .ps
        case .stats: .stats
        case .logs: .logs
        case .report: .report
        case .wait: .wait
        case .exec: .exec
        case .pause: .pause
        case .resume: .resume
        case .kill: .kill
        case .release: .release
        case .profileCheck: .profileCheck
        case .profileShow: .profileShow
        case .profileList: .profileList
        case .tenantCheck: .tenantCheck
        case .tenantShow: .tenantShow
        case .egressCheck: .egressCheck
        case .egressLog: .egressLog
        case .egressVerify: .egressVerify
        case .egressClose: .egressClose
        case .budgetShow: .budgetShow
        case .budgetRaise: .budgetRaise
        case .measure: .measure
        case .capacity: .capacity
        case .capacityValidate: .capacityValidate
        case .top: .top
        case .pin: .pin
        case .metrics: .metrics
        case .watch: .watch
        case .doctor: .doctor
        case .auditVerify: .auditVerify
        case .auditLog: .auditLog
        case .auditRotate: .auditRotate
        case .seccompRecord: .seccompRecord
        case .seccompExplain: .seccompExplain
        case .seccompAgent: .seccompAgent
        case .seccompMerge: .seccompMerge
        case .seccompSynthesize: .seccompSynthesize
        case .seccompDiff: .seccompDiff
        case .seccompLint: .seccompLint
        case .seccompTest: .seccompTest
        case .seccompAllow: .seccompAllow
        case .seccompShow: .seccompShow
        case .completions: .completions
        case .man: .man
        case .supervise: .supervise
        }
    }

    /// Does it, and gives the exit status.
    func perform(_ words: Words) throws(SessionError) -> Int32 {
        switch self {
        case .run: try Carrel().run(try request(words))
        case .spec: try printSpecification(words)
        case .ps: try listSessions(words)
        case .stats: try showStatistics(words)
        case .logs: try printLog(words)
        case .report: try showReport(words)
        case .wait: try waitForEnd(words)
        case .exec: try execute(words)
        case .pause: try pause(words)
        case .resume: try resume(words)
        case .kill: try kill(words)
        case .release: try release(words)
        case .profileCheck: try checkProfiles(words)
        case .profileShow: try showProfile(words)
        case .profileList: try listProfiles(words)
        case .tenantCheck: try checkTenants(words)
        case .tenantShow: try showTenant(words)
        case .egressCheck: try checkEgress(words)
        case .egressLog: try printRequests(words)
        case .egressVerify: try verifyRequests(words)
        case .egressClose: try closeEgress(words)
        case .budgetShow: try showBudget(words)
        case .budgetRaise: try raiseBudget(words)
        case .measure: try measure(words)
        case .capacity: try planCapacity(words)
        case .capacityValidate: try validateCapacity(words)
        case .top: try watchSessions(words)
        case .pin: try pinSessions(words)
        case .metrics: try printMetrics(words)
        case .watch: try watchLimits()
        case .doctor: try examineHost(words)
        case .auditVerify: try verifyAudit(words)
        case .auditLog: try printAudit(words)
        case .auditRotate: try rotateAudit(words)
        case .seccompRecord: try recordCalls(words)
        case .seccompExplain: try explainDenials(words)
        case .seccompAgent: try explainContainers(words)
        case .seccompMerge: try mergeRecordings(words)
        case .seccompSynthesize: try synthesize(words)
        case .seccompDiff: try compareFilters(words)
        case .seccompLint: try lintFilters(words)
        case .seccompTest: try testFilter(words)
        case .seccompAllow: try allowCalls(words)
        case .seccompShow: try showFilter(words)
        case .completions: try printCompletions(words)
        case .man: try printManual(words)
        case .supervise:
            try Carrel.resumeSupervision(
                statePath: words.operands[0], id: words.operands[1], descriptors: words.operands[2])
        }
    }
}
