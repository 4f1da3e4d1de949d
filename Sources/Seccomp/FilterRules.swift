import CSyscalls

/// What a profile means on a machine: the rules of each entry of its kernel that the profile lets be used.
///
/// This is the meaning that a compiled program is held against: of the rules that a call meets, the strictest decides
/// (as the kernel decides between filters, seccomp(2)); a call that meets none gets the default action; one through an
/// entry that the profile does not name kills the process.
package struct FilterRules: Sendable {
    package let defaultAction: UInt32
    /// The machine that the filter is for.
    package let machine: Architecture
    /// The entries, the machine's own first.
    package let entries: [Architecture]
    /// The rules by entry and call, the strictest first where two can meet.
    package private(set) var rules: [Architecture: [UInt32: [FilterRule]]] = [:]

    init(defaultAction: UInt32, machine: Architecture, entries: [Architecture]) {
        self.defaultAction = defaultAction
        self.machine = machine
        self.entries = entries
    }

    mutating func add(_ rule: FilterRule, to entry: Architecture) {
        rules[entry, default: [:]][rule.call, default: []].append(rule)
    }

    /// Puts the strictest rules first, and leaves out those that say what another does.
    mutating func order() {
        for entry in rules.keys {
            for (call, list) in rules[entry, default: [:]] where list.count > 1 {
                var kept: [FilterRule] = []
                let always = list.filter(\.tests.isEmpty).map(\.action).min(by: Self.isStricter)
                for rule in list.sorted(by: { Self.isStricter($0.action, $1.action) }) where !kept.contains(rule) {
                    // Behind one that always holds, only stricter ones are ever asked.
                    if let always, !rule.tests.isEmpty, !Self.isStricter(rule.action, always) { continue }
                    kept.append(rule)
                }
                rules[entry, default: [:]][call] = kept
            }
        }
    }

    /// The kernel's order of answers: as signed numbers, the lower one wins.
    package static func isStricter(_ left: UInt32, _ right: UInt32) -> Bool {
        Int32(bitPattern: left) < Int32(bitPattern: right)
    }

    /// Which entry a call comes through; `nil`: one that the filter refuses.
    package func entry(of call: FilteredCall) -> Architecture? {
        guard call.arch == Architecture.x86_64.audit else { return entries.first { $0.audit == call.arch } }
        // -1 has the bit of x32, too, but is what a tracer skips a call with (seccomp(2)).
        let isX32 = call.number >= Architecture.x32Bit && call.number != .max
        return entries.first { $0 == (isX32 ? .x32 : .x86_64) }
    }

    /// What the filter must return.
    package func action(of call: FilteredCall) -> UInt32 {
        guard let entry = entry(of: call) else { return UInt32(SECCOMP_RET_KILL_PROCESS) }
        var action: UInt32?
        for rule in rules[entry]?[call.number] ?? [] where rule.tests.allSatisfy({ $0.holds(call) }) {
            action = action.map { Self.isStricter(rule.action, $0) ? rule.action : $0 } ?? rule.action
        }
        return action ?? defaultAction
    }
}
