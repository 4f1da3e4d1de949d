import Documents
import Options
import Session

// Commands on what leaves sessions.

private let doors: StaticString = "Network"
private let aSession = Operand("SESSION", completing: sessionNames)

extension Command {
    static let egressCheck = Command(
        "egress check", in: doors, operands: [Operand("PROFILE", completing: profileNames), Operand("URL")],
        options: [.method, .network, .json], "Tell which rule decides about a request, and why",
        details: [
            """
            Nothing is sent and no name resolved. Ends with 0 where the request would go out, with 1 where it would not. \
            A URL that cannot be read is an error (125). The answer is for a session that `carrel run` starts with this \
            profile, and this `--network` where one is given. Docs/Egress.md describes the rules.
            """
        ],
        examples: [
            Example("A package", "carrel egress check node --network gateway https://registry.npmjs.org/left-pad"),
            Example(
                "A publication, which no rule allows",
                "carrel egress check node --network gateway --method PUT https://registry.npmjs.org/x"),
        ])

    static let egressLog = Command(
        "egress log", in: doors, operands: [Operand("SESSION", completing: sessionNames, isOptional: true)],
        options: [.follow, .json], "Print what left sessions, and what was refused",
        details: [
            """
            The gateway's request log, the oldest first: of one session, or of all. A request has two lines: one when it \
            was decided, one when it is over. With `--follow` it goes on until it is interrupted.
            """
        ])

    static let egressVerify = Command(
        "egress verify", in: doors, options: [.noted, .json], "Check the request log's chain of hashes",
        details: ["As `carrel audit verify` does for the audit log: the log and its archives are one chain."])

    static let egressClose = Command(
        "egress close", in: doors, operands: [Operand("SESSION", completing: sessionNames, isOptional: true)],
        options: [.allTenant, .all], synopsis: "SESSION | --tenant TENANT | --all",
        "Close what live sessions have open on the network",
        details: [
            """
            Requests under way, connections and tunnels end at once; what the sessions ask for next is decided as ever. \
            After a change of rules or credentials nothing lives on from before it. Who did it is in the audit log. \
            Ends with 1 where there was no such session.
            """
        ],
        examples: [Example("Every tunnel of a tenant", "carrel egress close --tenant acme")])

    static let budgetShow = Command(
        "budget show", in: doors, operands: [aSession], options: [.json],
        "Show what a live session may spend, and what it has spent")

    static let budgetRaise = Command(
        "budget raise", in: doors, operands: [aSession], options: [.dollars, .tokens, .json],
        "Give a live session more to spend",
        details: ["A session that was paused because its budget was spent goes on. Who did it is in the audit log."],
        examples: [Example("Two dollars more", "carrel budget raise s-42 --dollars 2.00")])
}

extension Option {
    static let method = Option(
        "method", takes: "METHOD", completing: .words("GET HEAD POST PUT PATCH DELETE OPTIONS"),
        "The request's method. Without it: `GET`")
    static let dollars = Option("dollars", takes: "DOLLARS", "How much more, in US dollars: `2.50`")
    static let tokens = Option("tokens", takes: "NUMBER", "How many tokens more")
}

extension Verb {
    func checkEgress(_ words: Words) throws(SessionError) -> Int32 {
        let verdict = try Carrel.checkEgress(
            words.operands[0], method: words[.method] ?? "GET", url: words.operands[1], network: words[.network])
        if words.has(.json) {
            try put(verdict.node)
        } else {
            let style = Style(for: 1)
            var text = verdict.isAllowed ? style.green("allowed") : style.red("refused")
            if let rule = verdict.rule { text += " by " + style.bold(printable(rule)) }
            text += ": " + printable(verdict.reason)
            if let credential = verdict.credential { text += ", with credential \(printable(credential))" }
            text += "\n"
            for rule in verdict.rules where rule.id != verdict.rule {
                text += style.dim("  \(printable(rule.id)): \(printable(rule.says))") + "\n"
            }
            try put(text)
        }
        return verdict.isAllowed ? 0 : 1
    }

    func printRequests(_ words: Words) throws(SessionError) -> Int32 {
        let isJSON = words.has(.json)
        let style = Style(for: 1)
        try Carrel().requestLog(session: words.operands.first, following: words.has(.follow)) { line, record in
            try put(isJSON ? line + "\n" : requestLine(record, style))
        }
        return 0
    }

    func verifyRequests(_ words: Words) throws(SessionError) -> Int32 {
        try printVerification(try Carrel().verifyRequests(noted: noted(words)), words)
    }

    func closeEgress(_ words: Words) throws(SessionError) -> Int32 {
        let tenant = words[.allTenant]
        guard [words.operands.first != nil, tenant != nil, words.has(.all)].count(where: { $0 }) == 1 else {
            throw SessionError(
                "egress close: expected one of SESSION, --tenant and --all",
                fix: "write it: carrel \(definition.usage)")
        }
        let count = try Carrel().closeEgress(session: words.operands.first, tenant: tenant)
        try put("closed what \(count) session\(count == 1 ? "" : "s") had open\n")
        return count == 0 ? 1 : 0
    }

    func showBudget(_ words: Words) throws(SessionError) -> Int32 {
        try printBudget(try Carrel().budget(of: words.operands[0]), words)
    }

    func raiseBudget(_ words: Words) throws(SessionError) -> Int32 {
        let microdollars = try words[.dollars].map { (text) throws(SessionError) in
            guard let amount = Self.microdollars(text) else {
                throw SessionError("--dollars \(text): expected US dollars such as 2.50, at most six decimals")
            }
            return amount
        }
        let tokens = try words[.tokens].map { (text) throws(SessionError) in
            guard let number = UInt64(text) else { throw SessionError("--tokens \(text): expected a whole number") }
            return number
        }
        guard microdollars != nil || tokens != nil else {
            throw SessionError("how much more?", fix: "give --dollars, --tokens or both")
        }
        let state = try Carrel().raiseBudget(
            of: words.operands[0], microdollars: microdollars ?? 0, tokens: tokens ?? 0)
        return try printBudget(state, words)
    }

    private func printBudget(_ state: Node, _ words: Words) throws(SessionError) -> Int32 {
        if words.has(.json) {
            try put(state)
        } else {
            try put(budgetText(state, Style(for: 1)))
        }
        return 0
    }

    /// `2.50` in millionths.
    static func microdollars(_ text: String) -> UInt64? {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let decimals = parts.count > 1 ? String(parts[1]) : ""
        guard decimals.utf8.count <= 6, !parts[0].isEmpty, parts[0].utf8.count <= 9,
            (parts[0] + decimals).utf8.allSatisfy({ (0x30...0x39).contains($0) })
        else { return nil }
        return UInt64(parts[0] + decimals + String(repeating: "0", count: 6 - decimals.utf8.count))
    }
}

/// One record of the request log, for people.
func requestLine(_ record: Node, _ style: Style) -> String {
    func text(_ name: String) -> String? { record[name]?.string.map(printable) }
    let time = text("time").map { Timestamp($0).map(Quantity.time) ?? $0 } ?? ""
    guard let event = text("event"), ["request", "response"].contains(event) else {
        // Of the log itself: it was put aside, or mended.
        let what = ["archive", "found"].compactMap { record[$0] }.map { printable($0.string ?? $0.json()) }
        return style.dim(([time, text("event") ?? "no record"] + what).joined(separator: "  ")) + "\n"
    }
    let refusal = text("decision") == "refuse" ? text("why") ?? "" : nil
    let port = record["port"]?.int.map { $0 == 443 ? "" : ":\($0)" } ?? ""
    var line = style.dim(time) + "  \(text("session") ?? "-")  "
    line += refusal != nil ? style.red("refused") : event == "response" ? "done   " : style.green("allowed")
    line += "  \(text("method") ?? "-") \(text("host") ?? "-")\(port)\(text("path") ?? "")"
    if let status = record["status"]?.int { line += "  \(status)" }
    if let rule = text("rule") { line += "  " + style.dim(rule) }
    // A charge is rounded up, as on a bill.
    if let cost = record["messages"]?["nanodollars"]?.int { line += "  \(dollars((cost + 999) / 1000))" }
    if let refusal { line += "  " + refusal }
    return line + "\n"
}

/// `$0.412300`, or `$2.50`.
func dollars(_ microdollars: Int64) -> String {
    let fraction = String(microdollars.magnitude % 1_000_000)
    var digits = String(repeating: "0", count: 6 - fraction.utf8.count) + fraction
    while digits.utf8.count > 2, digits.utf8.last == UInt8(ascii: "0") { digits.removeLast() }
    return "$\(microdollars / 1_000_000).\(digits)"
}

/// A budget for people: `tokens: 1200 of 4000, 300 reserved`, money in dollars.
func budgetText(_ state: Node, _ style: Style) -> String {
    var text = ""
    for entry in state.entries ?? [] {
        let isMoney = entry.key == "nanodollars"
        func figure(_ name: String) -> String? {
            // A charge is rounded up, as on a bill.
            entry.value[name]?.int.map { isMoney ? dollars(($0 + 999) / 1000) : "\($0)" }
        }
        var value = entry.value.string ?? entry.value.json()
        if let spent = figure("spent") {
            value = "\(spent) of \(figure("limit") ?? "any number")"
            if let reserved = figure("reserved"), entry.value["reserved"]?.int != 0 {
                value += ", \(reserved) reserved"
            }
        } else if let flag = entry.value.bool {
            value = flag ? "passed" : "not passed"
        }
        let names = ["nanodollars": "dollars", "softMark": "soft mark"]
        text += "\(style.bold(printable(names[entry.key] ?? entry.key))): \(printable(value))\n"
    }
    return text
}
