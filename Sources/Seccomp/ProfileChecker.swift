import CLibseccomp
import Documents
import Glibc
import OCISpec
import Syscalls

/// Reads the rules out of a profile, and gathers all that is wrong with it.
package struct ProfileChecker {
    private let profile: LinuxSeccomp
    private let file: String
    /// The document that the profile was read from, where there is one: it knows the lines.
    private let source: Node?
    private let reading: FilterReading
    private let machine: Architecture
    private var problems: [Problem] = []
    private var gathered: FilterRules
    /// The rules so far, with the fields that they stand in.
    private var earlier: [Architecture: [UInt32: [(rule: FilterRule, field: String)]]] = [:]

    init(_ profile: LinuxSeccomp, file: String, source: Node?, reading: FilterReading, machine: Architecture) {
        self.profile = profile
        self.file = file
        self.source = source
        self.reading = reading
        self.machine = machine
        gathered = FilterRules(
            defaultAction: Self.action(profile.defaultAction, profile.defaultErrnoRet), machine: machine,
            entries: machine.entries.filter { $0 == machine || profile.architectures.contains($0.specName) })
    }

    /// What the profile means: a rule for each call that it names, on each entry that it lets be used.
    mutating func rules() throws(Problems) -> FilterRules {
        if reading == .authored, let entry = source.flatMap(Self.dockersMember) {
            let message =
                "expected OCI's form of a filter, found Docker's: make one within it by carrel seccomp synthesize --base"
            throw Problems([Problem(file: file, mark: entry.keyMark, field: entry.key, message: message)])
        }
        do throws(Problems) {
            try profile.validate(file: file, document: source)
        } catch { problems = error.list }
        if reading == .authored {
            let isNative = profile.architectures.isEmpty || profile.architectures.contains(machine.specName)
            if !isNative { report("architectures", "expected \(machine.specName), this machine's own, among them") }
            if let source { checkMembers(of: source) }
        }
        for (i, entry) in profile.syscalls.enumerated() {
            for (j, name) in entry.names.enumerated() {
                let field = "syscalls[\(i)].names[\(j)]"
                for architecture in gathered.entries { add(entry, name, field, i, on: architecture) }
            }
        }
        if !problems.isEmpty { throw Problems(problems) }
        if reading == .runtime { gathered.order() }
        return gathered
    }

    /// Adds the rules of one name of an entry of the profile.
    private mutating func add(
        _ entry: LinuxSyscall, _ name: String, _ field: String, _ index: Int, on architecture: Architecture
    ) {
        let action = Self.action(entry.action, entry.errnoRet)
        switch CallTable.meaning(of: name, on: architecture) {
        case .elsewhere: return
        case .unknown:
            if reading == .runtime { return }
            let near = nearest(name, in: CallTable.names()).map { "; did you mean \($0)?" } ?? ""
            report(field, "expected the name of a system call, found \(name)\(near)")
        case .call(let number):
            let conditions = tests(entry.args, of: name, in: index, on: architecture)
            for tests in conditions {
                let rule = FilterRule(call: number, action: action, tests: tests)
                if reading == .authored {
                    for other in earlier[architecture]?[number] ?? [] { check(rule, name, field, against: other) }
                    earlier[architecture, default: [:]][number, default: []].append((rule, field))
                }
                gathered.add(rule, to: architecture)
            }
        case .multiplexed(let call, let argument, let mask, let direct):
            if let direct {
                for tests in tests(entry.args, of: name, in: index, on: architecture) {
                    gathered.add(FilterRule(call: direct, action: action, tests: tests), to: architecture)
                }
            }
            // The multiplexer's other arguments are in memory, where no filter sees them. Forbidding some of them is
            // forbidding them all; allowing some is allowing none.
            guard entry.args.isEmpty || FilterRules.isStricter(action, gathered.defaultAction) else { return }
            let test = ArgumentTest(index: 0, mask: UInt64(mask), comparison: .equal, value: UInt64(argument))
            gathered.add(FilterRule(call: call, action: action, tests: [test]), to: architecture)
        }
    }

    /// The installation flags, with the one that `SCMP_ACT_NOTIFY` needs.
    static func flags(of profile: LinuxSeccomp) -> FilterFlags {
        var flags: FilterFlags = profile.syscalls.contains { $0.action == .notify } ? .listener : []
        for name in profile.flags {
            switch name {
            case "SECCOMP_FILTER_FLAG_TSYNC": flags.insert(.allThreads)
            case "SECCOMP_FILTER_FLAG_LOG": flags.insert(.log)
            case "SECCOMP_FILTER_FLAG_SPEC_ALLOW": flags.insert(.allowSpeculation)
            case "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": flags.insert(.waitKillable)
            default: continue
            }
        }
        return flags
    }

    /// What the filter returns for an action of the profile (linux/seccomp.h).
    package static func action(_ action: LinuxSeccompAction, _ data: UInt32?) -> UInt32 {
        switch action {
        case .kill, .killThread: 0x0000_0000
        case .killProcess: 0x8000_0000
        case .trap: 0x0003_0000
        case .errno: 0x0005_0000 | (data ?? UInt32(EPERM)) & 0xffff
        case .notify: 0x7fc0_0000
        case .trace: 0x7ff0_0000 | (data ?? UInt32(EPERM)) & 0xffff
        case .log: 0x7ffc_0000
        case .allow: 0x7fff_0000
        }
    }

    /// The tests of an entry, as alternatives of which each must hold whole.
    private mutating func tests(
        _ args: [LinuxSeccompArg], of name: String, in rule: Int, on architecture: Architecture
    ) -> [[ArgumentTest]] {
        var tests: [ArgumentTest] = []
        var isRepeated = false
        for (k, arg) in args.enumerated() where arg.index < 6 {
            let field = "syscalls[\(rule)].args[\(k)]"
            let index = Int(arg.index)
            // libseccomp refuses this, runc and crun read it as "or", and its author is likely to mean "and".
            if tests.contains(where: { $0.index == index }) {
                isRepeated = true
                if reading == .authored {
                    report(
                        "\(field).index",
                        "expected each argument once, found \(index) again: write a rule for each test")
                }
            }
            var width = CallTable.mask(of: name, argument: index, on: architecture)
            let masked = arg.op == .maskedEqual
            let value = masked ? arg.valueTwo ?? 0 : arg.value
            if (arg.value | value) & ~width != 0 {
                let bits = width.nonzeroBitCount
                if reading == .authored && architecture == machine {
                    report(field, "expected values of \(bits) bits, all that \(name) takes of this argument")
                }
                // What other runtimes compare: the whole register.
                width = .max
            }
            let mask = masked ? arg.value : width
            tests.append(ArgumentTest(index: index, mask: mask, comparison: Self.comparison(arg.op), value: value))
        }
        return isRepeated && reading == .runtime ? tests.map { [$0] } : [tests]
    }

    package static func comparison(_ op: LinuxSeccompOperator) -> ArgumentTest.Comparison {
        switch op {
        case .equalTo, .maskedEqual: .equal
        case .notEqual: .notEqual
        case .lessThan: .less
        case .lessOrEqual: .lessOrEqual
        case .greaterThan: .greater
        case .greaterOrEqual: .greaterOrEqual
        }
    }

    /// Rules have no order in the runtime specification, so two that can both hold must say the same, and one of two
    /// that say the same is likely a slip.
    private mutating func check(
        _ rule: FilterRule, _ name: String, _ field: String, against other: (rule: FilterRule, field: String)
    ) {
        if rule.action != other.rule.action {
            if rule.overlaps(other.rule) {
                report(field, "\(name) has another action at \(other.field), and some arguments meet both rules")
            }
        } else if rule.tests == other.rule.tests || rule.tests.isEmpty || other.rule.tests.isEmpty {
            report(field, "\(name) has this action at \(other.field) already")
        }
    }

    /// A rule whose `args` are misspelt would hold always. The runtime specification has its readers ignore what they
    /// do not know, so this is for documents that are a profile and nothing else.
    private mutating func checkMembers(of source: Node) {
        let top = [
            "defaultAction", "defaultErrnoRet", "architectures", "flags", "listenerPath", "listenerMetadata",
            "syscalls",
        ]
        checkMembers(of: source, "", top)
        for (i, rule) in (source["syscalls"]?.elements ?? []).enumerated() {
            checkMembers(of: rule, "syscalls[\(i)].", ["names", "action", "errnoRet", "args"])
            for (k, arg) in (rule["args"]?.elements ?? []).enumerated() {
                checkMembers(of: arg, "syscalls[\(i)].args[\(k)].", ["index", "value", "valueTwo", "op"])
            }
        }
    }
    private mutating func checkMembers(of node: Node, _ place: String, _ known: [String]) {
        for entry in node.entries ?? [] where entry.key != "comment" && !known.contains(entry.key) {
            let near = nearest(entry.key, in: known).map { "; did you mean \($0)?" } ?? ""
            let message = "expected one of \(known.joined(separator: ", ")) or comment\(near)"
            problems.append(Problem(file: file, mark: entry.keyMark, field: place + entry.key, message: message))
        }
    }

    /// A member that only Docker's form has: rules that hold for some capabilities, architectures and kernels.
    package static func dockersMember(of source: Node) -> Node.Entry? {
        (source.entries ?? []).first { $0.key == "archMap" }
            ?? (source["syscalls"]?.elements ?? []).lazy.flatMap { $0.entries ?? [] }
            .first { ["includes", "excludes"].contains($0.key) }
    }

    private mutating func report(_ field: String, _ message: String) {
        let mark = source.flatMap { Self.mark(of: field, in: $0) }
        let problem = Problem(file: file, mark: mark, field: field, message: message)
        // A rule with several names is looked at once for each of them.
        if !problems.contains(problem) { problems.append(problem) }
    }

    /// The place of a field such as `syscalls[3].names[0]`, or of what is nearest around it.
    package static func mark(of field: String, in source: Node) -> Mark? {
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
