import Documents
import OCISpec
import Seccomp

/// A profile made from recordings: what was seen, what stands in for it, and nothing else.
public struct Synthesis: Sendable {
    /// The profile as OCI JSON, with a comment on every entry.
    public let document: Node
    /// The same, as values.
    public let profile: LinuxSeccomp
    /// The calls that are allowed on all the profile's architectures together, sorted.
    public let allowed: [String]
    /// Calls that no recording has, and why they are allowed.
    public let added: [(name: String, reason: String)]
    /// Calls that were seen and are not allowed, and why.
    public let refused: [(name: String, reason: String)]
    /// What it costs and what is doubtful: a line each.
    public let notes: [String]

    /// How a profile is made.
    public struct Options: Sendable {
        /// The architectures that the profile is for.
        public var architectures: [Architecture]
        /// Whether enumerable arguments are narrowed to what was seen.
        public var narrowsArguments: Bool
        /// The share of all calls from which a call counts as hot.
        public var hotShare: Double

        /// The usual way.
        public init(
            architectures: [Architecture] = [.x86_64, .aarch64], narrowsArguments: Bool = true, hotShare: Double = 0.05
        ) {
            self.architectures = architectures
            self.narrowsArguments = narrowsArguments
            self.hotShare = hotShare
        }
    }

    /// Makes a profile.
    ///
    /// - Parameters:
    ///   - recording: what was seen.
    ///   - base: the most that may be allowed: a call that it refuses stays refused with its answer, and of one whose
    ///     arguments it looks at no others are allowed. `nil`: what `ForbiddenCalls` knows is refused.
    /// - Throws: what is wrong with the base.
    public init(
        of recording: Recording, base: ProfileFile? = nil, options: Options = Options()
    ) throws(Problems) {
        var maker = Synthesizer(recording: recording, options: options, base: try base.map(BaseProfile.init))
        maker.choose()
        document = maker.document
        profile = try LinuxSeccomp(maker.document, file: "synthesis")
        allowed = maker.allowed
        added = maker.added.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        refused = maker.refused.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        notes = maker.notes
        // A profile that carrel would not take is a fault of this code: it is told here, not at the next start.
        for machine in options.architectures {
            _ = try FilterCompiler.compile(profile, file: "synthesis", source: document, for: machine)
        }
    }

    /// The compiled profile, to be asked outside of the kernel.
    public func interpreter(for machine: Architecture = .native) throws(Problems) -> FilterInterpreter {
        try ProfileFile(reading: [UInt8](text.utf8), file: "synthesis").interpreter(for: machine)
    }

    /// The file's text.
    public var text: String { document.json(pretty: true) + "\n" }
}

/// What the base says of each name.
struct BaseProfile {
    let profile: LinuxSeccomp
    /// The entries that name a call, by the call.
    private var entries: [String: [LinuxSyscall]] = [:]
    private var diagram = DecisionDiagram()
    /// What it does with this machine's own calls.
    private let calls: DecisionDiagram.Reference

    init(_ file: ProfileFile) throws(Problems) {
        profile = file.profile
        let meaning = diagram.meaning(of: try file.interpreter())
        calls = diagram.fixing(
            meaning, first: DecisionDiagram.firstBit(of: 4), value: FilteredCall(number: 0).arch)
        for entry in profile.syscalls { for name in entry.names { entries[name, default: []].append(entry) } }
    }

    /// The entries that name a call.
    func entries(of name: String) -> [LinuxSyscall] { entries[name] ?? [] }

    /// What it answers a call of whose arguments these are known; `nil` for a call of other machines.
    private func answers(_ name: String, knowing scalars: [RecordedScalar] = []) -> [UInt32]? {
        CallTable.number(of: name).map { number in
            let call = diagram.fixing(calls, first: DecisionDiagram.firstBit(of: 0), value: number)
            return diagram.answers(call, knowing: scalars)
        }
    }
    private static func lets(_ answer: UInt32) -> Bool { answer == 0x7fff_0000 || answer == 0x7ffc_0000 }

    /// Whether it lets the call through, with some arguments at least. Of rules that overlap the strictest decides.
    func allows(_ name: String) -> Bool {
        if let answers = answers(name) { return answers.contains(where: Self.lets) }
        let list = entries(of: name)
        return list.contains { Self.lets($0.action) } || list.isEmpty && Self.lets(profile.defaultAction)
    }

    /// Whether what it says depends on the call's arguments.
    func looks(at name: String) -> Bool {
        answers(name).map { $0.count > 1 } ?? entries(of: name).contains { !$0.args.isEmpty }
    }

    /// Whether it lets a call with these arguments through, whatever is in the bits that they do not tell.
    func lets(_ name: String, _ scalars: [RecordedScalar]) -> Bool {
        answers(name, knowing: scalars)?.allSatisfy(Self.lets) ?? false
    }

    /// What it answers a call that it does not let through.
    func refusal(of name: String) -> (LinuxSeccompAction, UInt32?) {
        entries(of: name).first { !Self.lets($0.action) }.map { ($0.action, $0.errnoRet) }
            ?? (profile.defaultAction, profile.defaultErrnoRet)
    }

    static func lets(_ action: LinuxSeccompAction) -> Bool { action == .allow || action == .log }
}

private struct Synthesizer {
    let recording: Recording
    let options: Synthesis.Options
    let base: BaseProfile?
    var added: [String: String] = [:]
    var refused: [String: String] = [:]
    var notes: [String] = []
    private var seen: [String: RecordedCall] = [:]
    private var whole: Set<String> = []
    private var siblings: Set<String> = []
    private var forced: Set<String> = []
    private var byArguments: [(names: [String], comment: String, entries: [LinuxSyscall])] = []

    init(recording: Recording, options: Synthesis.Options, base: BaseProfile?) {
        self.recording = recording
        self.options = options
        self.base = base
        for call in recording.calls where call.allowed > 0 { seen[call.name] = call }
    }

    /// All names that are allowed, with whatever arguments.
    var allowed: [String] {
        Set(byArguments.flatMap(\.names)).union(whole).union(siblings).union(forced).sorted()
    }

    mutating func choose() {
        for call in recording.calls where call.allowed == 0 {
            refused[call.name] = "the filter refused it while it was recorded, every time"
        }
        for name in seen.keys.sorted() { take(name, from: name) }
        for (name, reason) in SiblingCalls.always where exists(name) && !isTaken(name) { force(name, reason) }
        narrow()
        if recording.lost > 0 {
            notes.append("\(recording.lost) calls were lost: the recording is no evidence of absence")
        }
        if recording.foreign > 0 {
            notes.append("\(recording.foreign) calls came through another entry (int 0x80, x32) and stay refused")
        }
        if recording.runs == 1 {
            notes.append("one run says nothing of the next: record more (carrel seccomp merge tells)")
        }
    }

    private func isTaken(_ name: String) -> Bool {
        whole.contains(name) || siblings.contains(name) || forced.contains(name)
    }

    private func exists(_ name: String) -> Bool {
        options.architectures.contains { CallTable.number(of: name, on: $0) != nil }
    }

    /// Takes a call that was seen, and those that stand in for it.
    private mutating func take(_ name: String, from origin: String) {
        if name == "clone3" {
            // Its flags are in memory. glibc, musl and Go make clone of it when they are answered ENOSYS.
            refused[name] = "its flags are in memory, where no filter sees them: answered ENOSYS, and clone allowed"
            for sibling in SiblingCalls.siblings(of: "clone") { takeSibling(sibling, of: "clone3") }
            return
        }
        if let call = seen[name], call.hasNoName {
            refused[name] = "a number without a name here: too young for this carrel"
            return
        }
        if let reason = refusal(of: name) {
            refused[name] = reason
            return
        }
        if exists(name) { whole.insert(name) }
        for sibling in SiblingCalls.siblings(of: name) where sibling != name { takeSibling(sibling, of: name) }
    }

    private mutating func takeSibling(_ name: String, of origin: String) {
        guard seen[name] == nil, !isTaken(name), exists(name), refusal(of: name) == nil else { return }
        siblings.insert(name)
        let reason = SiblingCalls.reason(of: name).map { ": \($0)" } ?? ""
        added[name] = "stands in for \(origin)\(reason)"
    }

    private mutating func force(_ name: String, _ reason: String) {
        guard refusal(of: name) == nil else {
            notes.append("\(name) is refused by the base, and every session needs it: \(reason)")
            return
        }
        forced.insert(name)
        added[name] = reason
    }

    /// Why a call must not be allowed.
    private func refusal(of name: String) -> String? {
        if let base { return base.allows(name) ? nil : "the base does not allow it" }
        return ForbiddenCalls.reason(of: name)
    }

    // MARK: Arguments

    private mutating func narrow() {
        let total = max(1, recording.calls.reduce(0) { $0 + $1.count })
        for name in allowed {
            if let base, base.looks(at: name) {
                guard let (comment, entries) = bounded(name, by: base) else {
                    drop(name)
                    refused[name] = "the base's rules for it are none that all runtimes understand alike"
                    continue
                }
                add(name, comment, entries)
            } else if options.narrowsArguments, let combinations = observed(name) {
                add(name, "arguments that were seen, and their siblings", rules(name, combinations))
            } else {
                continue
            }
            guard let count = seen[name]?.count, Double(count) >= options.hotShare * Double(total) else { continue }
            notes.append(
                "\(name) is hot (\(count) of \(total) calls) and its arguments are looked at: the kernel's bitmap of "
                    + "calls that are always allowed does not help, and each runs the filter")
        }
    }

    private mutating func drop(_ name: String) {
        whole.remove(name)
        siblings.remove(name)
        forced.remove(name)
    }

    /// Of a call whose arguments the base looks at: what was seen and the base allows, else the base's own conditions if
    /// they are of the kinds that all runtimes understand alike.
    private mutating func bounded(_ name: String, by base: BaseProfile) -> (String, [LinuxSyscall])? {
        if options.narrowsArguments, let combinations = observed(name) {
            let inside = combinations.filter { base.lets(name, $0) }
            if !inside.isEmpty { return ("arguments that were seen, as far as the base allows", rules(name, inside)) }
        }
        let own = base.entries(of: name).map {
            LinuxSyscall(names: [name], action: $0.action, errnoRet: $0.errnoRet, args: $0.args)
        }
        func isPlain(_ entries: [LinuxSyscall]) -> Bool {
            entries.allSatisfy { $0.args.allSatisfy { $0.op == .equalTo || $0.op == .maskedEqual } }
        }
        // Of rules that overlap the strictest decides: taken over, they would be refused, and a part of them says more.
        let alone = LinuxSeccomp(defaultAction: .errno, syscalls: own)
        if (try? FilterCompiler.rules(of: alone)) == nil { return nil }
        let allowing = own.filter { BaseProfile.lets($0.action) && !$0.args.isEmpty }
        let isWhole = own.contains { BaseProfile.lets($0.action) && $0.args.isEmpty }
        if isPlain(own) { return ("as in the base", own) }
        return !isWhole && !allowing.isEmpty && isPlain(allowing) ? ("as in the base", allowing) : nil
    }

    private func rules(_ name: String, _ combinations: [[RecordedScalar]]) -> [LinuxSyscall] {
        combinations.map { scalars in
            LinuxSyscall(names: [name], action: .allow, args: scalars.map { Self.condition($0, name) })
        }
    }

    private mutating func add(_ name: String, _ comment: String, _ entries: [LinuxSyscall]) {
        drop(name)
        byArguments.append((names: [name], comment: comment, entries: entries))
    }

    /// The combinations of arguments that were seen, and their siblings. `nil`: nothing is known of them.
    private mutating func observed(_ name: String) -> [[RecordedScalar]]? {
        let wanted = EnumerableArguments.of(name)
        if wanted.isEmpty { return nil }
        var combinations: [[RecordedScalar]] = []
        if let call = seen[name] {
            if call.unlisted > 0 {
                notes.append("\(name): \(call.unlisted) calls have no values in the recording; any are allowed")
                return nil
            }
            combinations = call.arguments.filter { $0.allowed > 0 }.map(\.scalars)
        } else if name == "clone" {
            // In place of clone3 or fork: threads and processes, no namespaces.
            combinations = [[RecordedScalar(index: 0, mask: wanted[0].mask, value: 0)]]
        } else if name == "arch_prctl" {
            combinations = [[RecordedScalar(index: 0, mask: wanted[0].mask, value: 0x1002)]]
        } else {
            return nil
        }
        if combinations.isEmpty {
            notes.append("\(name): the recording has no values; any are allowed")
            return nil
        }
        // A call whose values were recorded with other masks than now is older than this table: taken as it is.
        var all: [[RecordedScalar]] = []
        for combination in combinations {
            let isOurs = combination.map { EnumerableArguments.Argument(Int($0.index), $0.mask) } == wanted
            let siblings = isOurs ? SiblingArguments.siblings(of: combination, in: name) : [combination]
            for sibling in siblings where !all.contains(sibling) {
                all.append(sibling)
            }
        }
        return all.sorted { $0.map(\.value).lexicographicallyPrecedes($1.map(\.value)) }
    }

    /// Equal, at the width that the kernel takes; where fewer bits were looked at, equal in those.
    private static func condition(_ scalar: RecordedScalar, _ name: String) -> LinuxSeccompArg {
        let width = CallTable.mask(of: name, argument: Int(scalar.index))
        if scalar.mask == width { return LinuxSeccompArg(index: scalar.index, value: scalar.value, op: .equalTo) }
        return LinuxSeccompArg(
            index: scalar.index, value: scalar.mask & width, valueTwo: scalar.value & width, op: .maskedEqual)
    }

    // MARK: The file

    var document: Node {
        var entries: [Node] = []
        func add(
            _ comment: String, _ names: some Sequence<String>, _ action: LinuxSeccompAction, _ errno: UInt32? = nil
        ) {
            let names = names.sorted()
            if names.isEmpty { return }
            entries.append(Self.node(LinuxSyscall(names: names, action: action, errnoRet: errno), comment))
        }
        add("Seen in \(recording.runs) recorded runs", whole, .allow)
        add("Stand in for what was seen", siblings, .allow)
        add("Needed by every program, or by the launcher", forced, .allow)
        for group in byArguments.sorted(by: { $0.names[0] < $1.names[0] }) {
            let comment = "\(group.names[0]): \(group.comment)"
            for entry in group.entries { entries.append(Self.node(entry, comment)) }
        }
        let taken = Set(allowed)
        if let base {
            var groups: [String: (LinuxSeccompAction, UInt32?, [String])] = [:]
            for name in Set(options.architectures.flatMap { CallTable.names(on: $0) }) where !taken.contains(name) {
                var (action, errno) = base.refusal(of: name)
                if BaseProfile.lets(action) || base.allows(name) {
                    (action, errno) = (.errno, ForbiddenCalls.answer(name))
                }
                groups["\(action.rawValue) \(errno ?? 0)", default: (action, errno, [])].2.append(name)
            }
            let byDefault = "\(LinuxSeccompAction.errno.rawValue) \(ForbiddenCalls.unknown)"
            for (key, group) in groups.sorted(by: { $0.key < $1.key }) where key != byDefault {
                add("Refused as in the base, or known and not seen", group.2, group.0, group.1)
            }
        } else {
            let known = Set(options.architectures.flatMap { CallTable.names(on: $0) }).subtracting(taken)
            add(
                "Known and not seen: programs know this answer from containers",
                known.filter { ForbiddenCalls.answer($0) == ForbiddenCalls.forbidden }, .errno, ForbiddenCalls.forbidden
            )
        }
        return [
            "comment": Node(.string("Made by carrel seccomp synthesize; its provenance is in the file beside it")),
            "defaultAction": Node(.string(LinuxSeccompAction.errno.rawValue)),
            "defaultErrnoRet": Node(.integer(Int64(ForbiddenCalls.unknown))),
            "architectures": Node(.sequence(options.architectures.map { Node(.string($0.specName)) })),
            "syscalls": Node(.sequence(entries)),
        ]
    }

    private static func node(_ entry: LinuxSyscall, _ comment: String) -> Node {
        guard case .mapping(let members) = entry.node.content else { return entry.node }
        return Node(.mapping([Node.Entry(key: "comment", value: Node(.string(comment)))] + members))
    }
}
