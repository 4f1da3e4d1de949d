import CLibseccomp
import Documents
import Glibc
import OCISpec
import Syscalls

/// Reads the rules out of a profile, and gathers all that is wrong with it.
struct ProfileChecker {
    let file: String
    /// The document that the profile was read from, where there is one: it knows the lines.
    let source: Node?
    private(set) var problems: [Problem] = []

    init(file: String, source: Node?) {
        self.file = file
        self.source = source
    }

    /// The rules, one for each call that a rule of the profile names.
    mutating func rules(of profile: LinuxSeccomp) -> [FilterRule] {
        checkArchitectures(profile)
        var rules: [FilterRule] = []
        var places: [UInt32: [(rule: FilterRule, place: String)]] = [:]
        for (i, entry) in profile.syscalls.enumerated() {
            let place = "syscalls[\(i)]"
            let action = action(entry.action, entry.errnoRet, at: "\(place).errnoRet")
            if entry.names.isEmpty { report("\(place).names", "expected at least one system call") }
            for (j, name) in entry.names.enumerated() {
                let here = "\(place).names[\(j)]"
                switch CallTable.meaning(of: name) {
                case .elsewhere: continue
                case .unknown:
                    let near = nearest(name, in: CallTable.names).map { "; did you mean \($0)?" } ?? ""
                    report(here, "no system call is named \(name)\(near)")
                case .call(let number):
                    let tests = tests(entry.args, of: name, at: place, reporting: j == 0)
                    let rule = FilterRule(call: number, action: action, tests: tests)
                    for earlier in places[number, default: []] {
                        check(rule, named: name, at: here, against: earlier.rule, at: earlier.place)
                    }
                    places[number, default: []].append((rule, here))
                    rules.append(rule)
                }
            }
        }
        return rules
    }

    /// The installation flags, with the one that `SCMP_ACT_NOTIFY` needs.
    mutating func flags(of profile: LinuxSeccomp) -> FilterFlags {
        let known: KeyValuePairs<String, FilterFlags> = [
            "SECCOMP_FILTER_FLAG_TSYNC": .allThreads, "SECCOMP_FILTER_FLAG_LOG": .log,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW": .allowSpeculation,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": .waitKillable,
        ]
        var flags: FilterFlags = []
        for (i, name) in profile.flags.enumerated() {
            if let flag = known.first(where: { $0.key == name }) {
                flags.insert(flag.value)
            } else {
                report("flags[\(i)]", "expected one of \(known.map(\.key).joined(separator: ", ")), found \(name)")
            }
        }
        let asks = profile.defaultAction == .notify || profile.syscalls.contains { $0.action == .notify }
        return asks ? flags.union(.listener) : flags
    }

    /// What the filter returns for an action of the profile (linux/seccomp.h).
    mutating func action(_ action: LinuxSeccompAction, _ data: UInt32?, at field: String) -> UInt32 {
        let code: UInt32
        var limit: UInt32 = 0
        switch action {
        case .kill, .killThread: code = 0x0000_0000
        case .killProcess: code = 0x8000_0000
        case .trap: code = 0x0003_0000
        case .notify: code = 0x7fc0_0000
        case .log: code = 0x7ffc_0000
        case .allow: code = 0x7fff_0000
        // The kernel caps an errno at MAX_ERRNO; 0 would report success without doing anything.
        case .errno: (code, limit) = (0x0005_0000, 4095)
        case .trace: (code, limit) = (0x7ff0_0000, 0xffff)
        }
        guard limit > 0 else {
            if data != nil { report(field, "expected no errno beside \(action.rawValue)") }
            return code
        }
        let data = data ?? UInt32(EPERM)
        if !(1...limit).contains(data) { report(field, "expected 1 to \(limit), found \(data)") }
        return code | data & 0xffff
    }

    private mutating func tests(
        _ args: [LinuxSeccompArg], of name: String, at place: String, reporting: Bool
    ) -> [ArgumentTest] {
        var tests: [ArgumentTest] = []
        for (k, arg) in args.enumerated() {
            let field = "\(place).args[\(k)]"
            guard arg.index < 6 else {
                if reporting { report("\(field).index", "expected 0 to 5, found \(arg.index)") }
                continue
            }
            let index = Int(arg.index)
            // libseccomp refuses this, runc and crun read it as "or", and an author is likely to mean "and".
            if tests.contains(where: { $0.index == index }) && reporting {
                report("\(field).index", "argument \(index) is compared twice; write a rule for each comparison")
            }
            let width = CallTable.mask(of: name, argument: index)
            let masked = arg.op == .maskedEqual
            let value = masked ? arg.valueTwo ?? 0 : arg.value
            for (member, number) in [("value", arg.value), ("valueTwo", value)] where number & ~width != 0 {
                report(
                    "\(field).\(member)",
                    "argument \(index) of \(name) has \(width.nonzeroBitCount) bits, "
                        + "\(number) does not fit")
            }
            let mask = masked ? arg.value : width
            if masked && value & ~mask != 0 {
                report("\(field).valueTwo", "has bits that are not in the mask, so that no argument can be equal")
            }
            tests.append(
                ArgumentTest(index: index, mask: mask, comparison: Self.comparison(arg.op), value: value))
        }
        return tests
    }

    private static func comparison(_ op: LinuxSeccompOperator) -> ArgumentTest.Comparison {
        switch op {
        case .equalTo, .maskedEqual: .equal
        case .notEqual: .notEqual
        case .lessThan: .less
        case .lessOrEqual: .lessOrEqual
        case .greaterThan: .greater
        case .greaterOrEqual: .greaterOrEqual
        }
    }

    /// Rules have no order in the runtime specification, so two that could both hold must say the same.
    private mutating func check(
        _ rule: FilterRule, named name: String, at field: String, against earlier: FilterRule, at place: String
    ) {
        if rule == earlier || rule.action == earlier.action && (rule.tests.isEmpty || earlier.tests.isEmpty) {
            report(field, "\(name) has this action already, by \(place)")
        } else if rule.action != earlier.action && rule.overlaps(earlier) {
            report(field, "\(name) has another action by \(place), for arguments that meet both rules")
        }
    }

    private mutating func checkArchitectures(_ profile: LinuxSeccomp) {
        var native = profile.architectures.isEmpty
        for (i, name) in profile.architectures.enumerated() {
            let token = name.hasPrefix("SCMP_ARCH_") ? seccomp_arch_resolve_name(name.dropFirst(10).lowercased()) : 0
            if token == 0 { report("architectures[\(i)]", "no architecture is named \(name)") }
            native = native || token == seccomp_arch_native()
        }
        if !native { report("architectures", "this machine's architecture is not among them") }
    }

    private mutating func report(_ field: String, _ message: String) {
        let mark = source.flatMap { Self.mark(of: field, in: $0) }
        problems.append(Problem(file: file, mark: mark, field: field, message: message))
    }

    /// The place of a field such as `syscalls[3].names[0]`, or of the nearest thing around it.
    private static func mark(of field: String, in source: Node) -> Mark? {
        var node = source
        for part in field.split(whereSeparator: { $0 == "." || $0 == "[" || $0 == "]" }) {
            if let member = node[String(part)] {
                node = member
            } else if let elements = node.elements, let index = Int(part), elements.indices.contains(index) {
                node = elements[index]
            }
        }
        return node.mark
    }
}
