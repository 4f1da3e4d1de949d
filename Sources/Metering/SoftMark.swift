/// What an agent is asked at its budget's soft mark.
enum SoftMark {
    static func note(_ state: BudgetState) -> String {
        """
        [Carrel, the sandbox this session runs in] This session has used \(state) of its \
        budget. When it is used up, requests are refused and the session stops where it is. Please bring the work to \
        a point where it can be left: finish the step you are in, commit what works, write down in a few sentences \
        what is done and what remains, and end your turn.
        """
    }
}
