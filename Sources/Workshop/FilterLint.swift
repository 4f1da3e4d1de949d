import Documents
import OCISpec
import Seccomp

/// What is wrong or dangerous in a filter's file, with the line and the reason.
///
/// It looks at what the filter does, not at how it is written, wherever both can be told apart: calls are put to the
/// compiled program, and conditions are compared as sets of arguments.
public struct FilterLint: Sendable {
    /// How bad a finding is.
    public enum Level: String, Sendable, CaseIterable {
        /// Carrel does not take the file.
        case error
        /// Dangerous, or sure to break programs.
        case warning
        /// Worth knowing.
        case note
    }

    /// One thing that was found.
    public struct Finding: Sendable, Equatable {
        /// How bad it is.
        public let level: Level
        /// What and where.
        public let problem: Problem
    }

    /// All findings, in the order of the file.
    public let findings: [Finding]

    /// Whether there is nothing but notes.
    public var passes: Bool { !findings.contains { $0.level != .note } }

    /// What is wrong with a file that cannot be looked at.
    public init(errors: [Problem]) { findings = errors.map { Finding(level: .error, problem: $0) } }

    /// Looks at a file.
    public init(_ file: ProfileFile) {
        var linter = Linter(file: file)
        linter.lookAtAll()
        func place(_ finding: Finding) -> (Int, Int) {
            (finding.problem.mark?.line ?? 0, finding.problem.mark?.column ?? 0)
        }
        findings = linter.findings.sorted { place($0) < place($1) }
    }
}

private struct Linter {
    let file: ProfileFile
    private(set) var findings: [FilterLint.Finding] = []

    init(file: ProfileFile) { self.file = file }

    private var profile: LinuxSeccomp { file.profile }

    /// The machines that the file is for: those it names, or both.
    private var machines: [Architecture] {
        let named = [Architecture.x86_64, .aarch64].filter { profile.architectures.contains($0.specName) }
        return named.isEmpty ? [.x86_64, .aarch64] : named
    }

    mutating func lookAtAll() {
        readAsAuthored()
        lookAtTop()
        for (index, entry) in profile.syscalls.enumerated() { lookAt(entry, "syscalls[\(index)]") }
        lookAtWidths()
        lookAtNames()
        for machine in machines {
            guard let rules = try? file.rules(for: machine), let program = try? file.program(for: machine),
                let filter = try? FilterInterpreter(program)
            else { continue }
            probe(filter, rules, machine)
            if machine == machines[0] { lookAtEntries(rules) }
        }
    }

    private mutating func report(_ level: FilterLint.Level, _ field: String, _ message: String) {
        let mark = ProfileChecker.mark(of: field, in: file.document)
        let problem = Problem(file: file.file, mark: mark, field: field, message: message)
        if !findings.contains(where: { $0.problem == problem }) {
            findings.append(FilterLint.Finding(level: level, problem: problem))
        }
    }

    /// What the compiler refuses. In Docker's form rules overlap by design, so there it is no error.
    private mutating func readAsAuthored() {
        do throws(Problems) {
            _ = try FilterCompiler.compile(profile, file: file.file, source: file.document, for: machines[0])
        } catch {
            for problem in error.list {
                findings.append(FilterLint.Finding(level: file.isDockers ? .warning : .error, problem: problem))
            }
        }
    }

    private mutating func lookAtTop() {
        if BaseProfile.lets(profile.defaultAction) {
            report(.warning, "defaultAction", "allows every call that is not named, and all that kernels will ever get")
        }
        for (index, name) in profile.architectures.enumerated() {
            switch name {
            case "SCMP_ARCH_X32":
                report(
                    .warning, "architectures[\(index)]",
                    "x32 is a second set of numbers into the same kernel that nobody uses and few test (CVE-2014-0038)")
            case "SCMP_ARCH_X86", "SCMP_ARCH_ARM":
                report(
                    .note, "architectures[\(index)]", "32-bit programs: calls of their own, such as socketcall and ipc")
            default: break
            }
        }
    }

    private mutating func lookAt(_ entry: LinuxSyscall, _ field: String) {
        let isDefault =
            ProfileChecker.action(entry.action, entry.errnoRet)
            == ProfileChecker.action(profile.defaultAction, profile.defaultErrnoRet)
        if isDefault {
            let isTold =
                ProfileChecker.mark(of: "\(field).comment", in: file.document)
                != ProfileChecker.mark(of: field, in: file.document)
            report(
                isTold ? .note : .warning, "\(field).action",
                "says what the default says: it does nothing, and libseccomp refuses such a rule")
        }
        if entry.action == .notify {
            report(
                .warning, "\(field).action",
                "a task has one listener at most: in a container inside, under carrel's explain or recording, this filter "
                    + "cannot be installed (EBUSY)")
        }
        for (index, condition) in entry.args.enumerated() {
            for name in entry.names {
                guard let parameters = CallSignatures.of(name), Int(condition.index) < parameters.count else {
                    continue
                }
                let parameter = parameters[Int(condition.index)]
                // A null pointer leads to nothing that could be changed.
                if ["p", "s", "a"].contains(parameter.kind), condition.value != 0 {
                    report(
                        .warning, "\(field).args[\(index)]",
                        "compares an address (\(parameter.name) of \(name)): what it leads to can be changed after the look"
                    )
                }
            }
        }
    }

    // MARK: Widths

    /// Other runtimes compare whole registers, the kernel takes the lower half of an `int`: what do they let through that
    /// was not meant?
    private mutating func lookAtWidths() {
        var names: [String: [Int]] = [:]
        for (index, entry) in profile.syscalls.enumerated() {
            for name in entry.names { names[name, default: []].append(index) }
        }
        lookAtOrderings(names)
        for (name, entries) in names.sorted(by: { $0.key < $1.key }) {
            let isNarrow = entries.contains { index in
                profile.syscalls[index].args.contains {
                    $0.op != .maskedEqual && $0.index < 6
                        && CallTable.mask(of: name, argument: Int($0.index), on: machines[0]) != .max
                }
            }
            guard isNarrow else { continue }
            var diagram = DecisionDiagram()
            let byDefault = diagram.end(ProfileChecker.action(profile.defaultAction, profile.defaultErrnoRet))
            let meant = diagram.ending(rules(name, entries, isWhole: false), byDefault)
            let theirs = diagram.ending(rules(name, entries, isWhole: true), byDefault)
            let opened = diagram.joining(meant, theirs) { !letsThrough($0) && letsThrough($1) ? 1 : 0 }
            if diagram.answer(opened) == 0 { continue }
            let example = ArgumentRegion(diagram, of: name, on: machines[0]).example(opened)
            let shown = example.prefix(CallSignatures.of(name)?.count ?? 6).map { ArgumentNames.hexadecimal($0) }
            let place = entries.first { !profile.syscalls[$0].args.isEmpty } ?? entries[0]
            report(
                .warning, "syscalls[\(place)]",
                "runc, crun and podman compare 64 bits where \(name) takes an int: they let "
                    + "\(name)(\(shown.joined(separator: ", "))) through, and the kernel looks at the lower half; use "
                    + "SCMP_CMP_MASKED_EQ with the mask 0xffffffff")
        }
    }

    /// Comparisons that libseccomp gets wrong where a call has several rules (Docs/Seccomp.md, "libseccomp").
    private mutating func lookAtOrderings(_ names: [String: [Int]]) {
        for (name, entries) in names.sorted(by: { $0.key < $1.key }) where entries.count > 1 {
            let place = entries.first { index in
                profile.syscalls[index].args.contains { $0.op != .equalTo && $0.op != .maskedEqual }
            }
            guard let place else { continue }
            report(
                .note, "syscalls[\(place)]",
                "\(name) has several rules, and not all compare for equality: libseccomp 2.5.4 gets some such sets wrong, in "
                    + "both directions, and with it runc, crun and podman")
        }
    }

    private func rules(_ name: String, _ entries: [Int], isWhole: Bool) -> [FilterRule] {
        entries.flatMap { index -> [FilterRule] in
            let entry = profile.syscalls[index]
            let action = ProfileChecker.action(entry.action, entry.errnoRet)
            return entry.alternatives.map { conditions in
                let tests = conditions.filter { $0.index < 6 }.map { condition in
                    let width =
                        isWhole ? .max : CallTable.mask(of: name, argument: Int(condition.index), on: machines[0])
                    let isMasked = condition.op == .maskedEqual
                    return ArgumentTest(
                        index: Int(condition.index), mask: isMasked ? condition.value : width,
                        comparison: ProfileChecker.comparison(condition.op),
                        value: isMasked ? condition.valueTwo ?? 0 : condition.value)
                }
                return FilterRule(call: 0, action: action, tests: tests)
            }
        }
    }

    // MARK: Names

    /// A call that is allowed on one machine and has no counterpart on the other.
    private mutating func lookAtNames() {
        let allowed = Set(profile.syscalls.filter { BaseProfile.lets($0.action) }.flatMap(\.names))
        guard machines.count > 1, !BaseProfile.lets(profile.defaultAction) else { return }
        for (index, entry) in profile.syscalls.enumerated() where BaseProfile.lets(entry.action) {
            for (place, name) in entry.names.enumerated() {
                for (here, there) in [(Architecture.x86_64, Architecture.aarch64), (.aarch64, .x86_64)] {
                    guard CallTable.number(of: name, on: here) != nil, CallTable.number(of: name, on: there) == nil
                    else { continue }
                    let twins = SiblingCalls.siblings(of: name).filter { CallTable.number(of: $0, on: there) != nil }
                    if twins.isEmpty || twins.contains(where: { allowed.contains($0) }) { continue }
                    report(
                        .warning, "syscalls[\(index)].names[\(place)]",
                        "\(there.rawValue) has no \(name), and none of what it has instead is allowed: "
                            + twins.joined(separator: ", "))
                }
            }
        }
    }

    // MARK: What the program does

    private mutating func probe(_ filter: FilterInterpreter, _ rules: FilterRules, _ machine: Architecture) {
        func answer(_ name: String, _ arguments: [UInt64] = []) -> UInt32? {
            CallTable.number(of: name, on: machine).map {
                filter.run(FilteredCall(number: $0, on: machine, arguments: arguments)).action
            }
        }
        func lets(_ action: UInt32?) -> Bool { action == 0x7fff_0000 || action == 0x7ffc_0000 }
        for name in ["clone3", "openat2", "faccessat2", "close_range", "statx"] {
            guard let found = answer(name), !lets(found), found != 0x0005_0026, found & 0xffff_0000 != 0x7fc0_0000
            else {
                continue
            }
            report(
                .warning, field(of: name),
                "\(name) is answered with \(actionName(found)): C libraries fall back to the older call at ENOSYS alone, and "
                    + "break at this (errnoRet 38)")
        }
        for (name, use) in [
            ("execve", "start"), ("exit_group", "end"), ("rt_sigreturn", "come back from a signal"),
        ] where !lets(answer(name)) { report(.warning, field(of: name), "\(name) is refused: no program can \(use)") }
        for probe in Self.dangers where lets(answer(probe.call, probe.arguments)) {
            report(.warning, field(of: probe.call), "\(probe.call)\(probe.shown) is allowed: \(probe.reason)")
        }
        for name in CallTable.names(on: machine) {
            guard let reason = ForbiddenCalls.reason(of: name), name != "unshare", lets(answer(name)) else { continue }
            report(.warning, field(of: name), "\(name) is allowed: it \(Self.joined(reason))")
        }
    }

    private static func joined(_ reason: String) -> String {
        let verbs = ["changes", "makes", "reaches", "works", "watches", "places"]
        return verbs.contains { reason.hasPrefix($0) } ? reason : "is of this kind: \(reason)"
    }

    private struct Danger {
        let call: String
        let arguments: [UInt64]
        let shown: String
        var reason: String { CallRisk.of(call, arguments).reason }
    }
    private static let dangers = [
        Danger(call: "clone", arguments: [0x1000_0011], shown: "(CLONE_NEWUSER)"),
        Danger(call: "clone", arguments: [0x2_0011], shown: "(CLONE_NEWNS)"),
        Danger(call: "unshare", arguments: [0x1000_0000], shown: "(CLONE_NEWUSER)"),
        Danger(call: "socket", arguments: [40, 1], shown: "(AF_VSOCK)"),
        Danger(call: "socket", arguments: [38, 5], shown: "(AF_ALG)"),
        Danger(call: "socket", arguments: [17, 3], shown: "(AF_PACKET)"),
        Danger(call: "socket", arguments: [16, 3, 12], shown: "(AF_NETLINK, NETLINK_NETFILTER)"),
        Danger(call: "ioctl", arguments: [0, 0x5412], shown: "(TIOCSTI)"),
        Danger(call: "ioctl", arguments: [0, 0x541c], shown: "(TIOCLINUX)"),
        Danger(call: "seccomp", arguments: [1, 8], shown: "(SECCOMP_FILTER_FLAG_NEW_LISTENER)"),
    ]

    /// Rules by arguments on `socket` that i386's multiplexer walks past.
    private mutating func lookAtEntries(_ rules: FilterRules) {
        guard rules.entries.contains(.x86) else { return }
        let narrowed = profile.syscalls.filter { !$0.args.isEmpty }.flatMap(\.names)
        for (index, entry) in profile.syscalls.enumerated() where BaseProfile.lets(entry.action) {
            for (place, name) in entry.names.enumerated() where name == "socketcall" && narrowed.contains("socket") {
                report(
                    .warning, "syscalls[\(index)].names[\(place)]",
                    "socketcall makes any socket on i386, with arguments in memory: the conditions on socket do not hold there"
                )
            }
        }
    }

    /// The first place that names a call, or the list.
    private func field(of name: String) -> String {
        for (index, entry) in profile.syscalls.enumerated() {
            if let place = entry.names.firstIndex(of: name) { return "syscalls[\(index)].names[\(place)]" }
        }
        return "defaultAction"
    }
}

extension FilterLint {
    /// The findings as a document.
    public var document: Node {
        Node(
            .sequence(
                findings.map { finding in
                    [
                        "level": Node(.string(finding.level.rawValue)), "file": Node(.string(finding.problem.file)),
                        "line": finding.problem.mark.map { Node(.integer(Int64($0.line))) } ?? nil,
                        "column": finding.problem.mark.map { Node(.integer(Int64($0.column))) } ?? nil,
                        "field": Node(.string(finding.problem.field)),
                        "message": Node(.string(finding.problem.message)),
                    ]
                }))
    }
}

extension FilterLint.Finding {
    /// For example `p.json:3:7: warning: syscalls[0]: ...`.
    public var description: String {
        let place = problem.mark.map { "\(problem.file):\($0.line):\($0.column)" } ?? problem.file
        return "\(place): \(level.rawValue): \(problem.field.isEmpty ? "" : "\(problem.field): ")\(problem.message)"
    }
}
