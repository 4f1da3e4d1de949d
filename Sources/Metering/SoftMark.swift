/// What an agent is asked at its budget's soft mark.
enum SoftMark {
    static func note(_ state: BudgetState) -> String {
        var used: [String] = []
        if let limit = state.nanodollars.limit {
            used.append("$\(dollars(cents(state.nanodollars.spent))) of $\(dollars(cents(limit)))")
        }
        if let limit = state.tokens.limit { used.append("\(state.tokens.spent) of \(limit) tokens") }
        return """
            [Carrel, the sandbox this session runs in] This session has used \(used.joined(separator: ", ")) of its \
            budget. When it is used up, requests are refused and the session stops where it is. Please bring the work to \
            a point where it can be left: finish the step you are in, commit what works, write down in a few sentences \
            what is done and what remains, and end your turn.
            """
    }

    /// Whole cents, rounded up: nobody needs more digits here.
    private static func cents(_ nanodollars: UInt64) -> UInt64 {
        nanodollars.saturatingAdd(9_999_999) / 10_000_000 * 10_000_000
    }
}
