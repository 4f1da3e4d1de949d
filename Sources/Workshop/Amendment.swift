import Documents
import OCISpec
import Seccomp

/// The change to a profile that allows one call: as narrow as its arguments let it be.
public struct Amendment: Sendable, Equatable {
    /// A JSON patch (RFC 6902) for the profile's document.
    public let patch: Node
    /// What is allowed.
    public let rule: LinuxSyscall
    /// What changes beside the call; empty for most.
    public let note: String
    /// Why there is none for a call without a name here.
    public static let nameless = "no rule can name it: it is younger than this carrel, or no call at all"

    /// Works out the change.
    ///
    /// Rules have no order and may not contradict each other, so a rule that refuses the call loses its name, and others
    /// keep its answer for other arguments, where rules can say that. Else these come to the default action, which refuses
    /// too, or in a bundle, whose rules may overlap, to a rule that allows them: the note says which.
    ///
    /// - Parameters:
    ///   - profile: what the session's filter was made from.
    ///   - arguments: the registers of the refused call.
    /// - Returns: `nil` for a call without a name here (`syscall_NUMBER`).
    public init?(allowing call: String, _ arguments: [UInt64], in profile: LinuxSeccomp) {
        guard CallTable.isName(call) else { return nil }
        let masks = Self.masks(of: call, in: profile)
        let args = masks.sorted { $0.key < $1.key }.map { index, mask in
            let width = CallTable.mask(of: call, argument: index)
            let value = arguments[index] & mask
            return mask == width
                ? LinuxSeccompArg(index: UInt32(index), value: value, op: .equalTo)
                : LinuxSeccompArg(index: UInt32(index), value: mask, valueTwo: value, op: .maskedEqual)
        }
        rule = LinuxSyscall(names: [call], action: .allow, args: args)
        var operations: [Node] = []
        var notes: [String] = []
        var kept: [LinuxSyscall] = []
        let overlapsAnAllowance = profile.syscalls.contains {
            $0.action == .allow && $0.names.contains(call)
                && $0.alternatives.contains { Self.holds($0, call, arguments) }
        }
        for (place, entry) in profile.syscalls.enumerated().reversed() {
            guard entry.action != .allow, let name = entry.names.firstIndex(of: call),
                entry.alternatives.contains(where: { Self.holds($0, call, arguments) })
            else { continue }
            let path = entry.names.count == 1 ? "/syscalls/\(place)" : "/syscalls/\(place)/names/\(name)"
            operations.append(["op": "remove", "path": Node(.string(path))])
            var isAll = true
            for conditions in entry.alternatives {
                let (others, isWhole) =
                    Self.holds(conditions, call, arguments)
                    ? Self.rest(of: conditions, without: args) : ([conditions], true)
                kept += others.map {
                    LinuxSyscall(names: [call], action: entry.action, errnoRet: entry.errnoRet, args: $0)
                }
                isAll = isAll && isWhole
            }
            if isAll { continue }
            notes.append(
                overlapsAnAllowance
                    ? "other arguments of \(call) that syscalls[\(place)] refuses are allowed then, by another rule"
                    : "other arguments of \(call) get the filter's default answer")
        }
        for rule in [rule] + kept {
            operations.append(["op": "add", "path": "/syscalls/-", "value": rule.node])
        }
        patch = Node(.sequence(operations))
        note = notes.first ?? ""
    }

    /// Conditions under which a rule that refuses these arguments goes on to refuse what else it does.
    ///
    /// - Returns: the conditions, of a rule each, and whether they are for all of it: a rule compares each argument once.
    private static func rest(
        of conditions: [LinuxSeccompArg], without args: [LinuxSeccompArg]
    ) -> (rules: [[LinuxSeccompArg]], isAll: Bool) {
        var rules: [[LinuxSeccompArg]] = []
        var isAll = true
        for arg in args {
            let own = conditions.filter { $0.index == arg.index }
            // It refuses no other value of this argument.
            if own == [arg] { continue }
            guard own.isEmpty, arg.op == .equalTo else {
                isAll = false
                continue
            }
            rules.append(conditions + [LinuxSeccompArg(index: arg.index, value: arg.value, op: .notEqual)])
        }
        return (rules, isAll)
    }

    /// Works out the change that allows a call with all arguments: every rule of it makes way for one.
    ///
    /// - Parameter call: the call's name.
    public init(allowingAll call: String, in profile: LinuxSeccomp) {
        rule = LinuxSyscall(names: [call], action: .allow)
        note = ""
        var operations: [Node] = []
        for (place, entry) in profile.syscalls.enumerated().reversed() {
            guard let name = entry.names.firstIndex(of: call) else { continue }
            let path = entry.names.count == 1 ? "/syscalls/\(place)" : "/syscalls/\(place)/names/\(name)"
            operations.append(["op": "remove", "path": Node(.string(path))])
        }
        patch = Node(.sequence(operations + [["op": "add", "path": "/syscalls/-", "value": rule.node]]))
    }

    /// Which bits of which arguments the new rule has to look at: those that are worth telling apart, and those that the
    /// profile's rules for the call look at, so that it meets none of them that it need not.
    private static func masks(of call: String, in profile: LinuxSeccomp) -> [Int: UInt64] {
        var masks: [Int: UInt64] = [:]
        for argument in EnumerableArguments.of(call) { masks[argument.index] = argument.mask }
        for entry in profile.syscalls where entry.names.contains(call) {
            for arg in entry.args where arg.index < 6 {
                let width = CallTable.mask(of: call, argument: Int(arg.index))
                masks[Int(arg.index), default: 0] |= (arg.op == .maskedEqual ? arg.value : .max) & width
            }
        }
        return masks
    }

    /// Whether all comparisons hold for a call.
    private static func holds(_ conditions: [LinuxSeccompArg], _ call: String, _ arguments: [UInt64]) -> Bool {
        conditions.allSatisfy { arg in
            guard arg.index < 6 else { return false }
            let value = arguments[Int(arg.index)] & CallTable.mask(of: call, argument: Int(arg.index))
            switch arg.op {
            case .equalTo: return value == arg.value
            case .notEqual: return value != arg.value
            case .lessThan: return value < arg.value
            case .lessOrEqual: return value <= arg.value
            case .greaterThan: return value > arg.value
            case .greaterOrEqual: return value >= arg.value
            case .maskedEqual: return value & arg.value == arg.valueTwo ?? 0
            }
        }
    }
}

extension LinuxSyscall {
    /// The comparisons, as alternatives of which each must hold whole: runc and crun take two of one argument for "or".
    var alternatives: [[LinuxSeccompArg]] {
        Set(args.map(\.index)).count < args.count ? args.map { [$0] } : [args]
    }
}

extension ProfileFile {
    /// The filter with these calls allowed, whatever their arguments, as OCI JSON.
    ///
    /// - Throws: names that no kernel has.
    public func allowing(_ calls: [String]) throws(Problems) -> Node {
        var changed = document
        for call in calls {
            guard CallTable.isName(call) else {
                let near = nearest(call, in: CallTable.names()).map { "; did you mean \($0)?" } ?? ""
                throw Problems([
                    Problem(file: file, mark: nil, message: "expected the name of a system call, found \(call)\(near)")
                ])
            }
            let amendment = Amendment(allowingAll: call, in: try LinuxSeccomp(changed, file: file))
            guard let next = changed.patched(by: amendment.patch) else {
                throw Problems([Problem(file: file, mark: nil, message: "the change for \(call) does not fit")])
            }
            changed = next
        }
        return changed
    }
}

extension Node {
    /// The document after a patch of the operations `remove` and `add` (RFC 6902), as ``Amendment`` writes it.
    ///
    /// - Returns: `nil` where an operation is another, or its place is not there.
    public func patched(by operations: Node) -> Node? {
        var result = self
        for operation in operations.elements ?? [] {
            guard let path = operation["path"]?.string, let name = operation["op"]?.string,
                let changed = result.patched(path.split(separator: "/")[...], name, operation["value"])
            else { return nil }
            result = changed
        }
        return result
    }

    private func patched(_ path: ArraySlice<Substring>, _ operation: String, _ value: Node?) -> Node? {
        guard let step = path.first else { return nil }
        let isLast = path.count == 1
        switch content {
        case .sequence(var elements):
            if isLast, step == "-", operation == "add", let value {
                elements.append(value)
                return Node(.sequence(elements))
            }
            guard let index = Int(step), elements.indices.contains(index) else { return nil }
            if isLast {
                guard operation == "remove" else { return nil }
                elements.remove(at: index)
            } else {
                guard let changed = elements[index].patched(path.dropFirst(), operation, value) else { return nil }
                elements[index] = changed
            }
            return Node(.sequence(elements))
        case .mapping(var entries):
            guard !isLast, let index = entries.firstIndex(where: { $0.key == step }),
                let changed = entries[index].value.patched(path.dropFirst(), operation, value)
            else { return nil }
            entries[index].value = changed
            return Node(.mapping(entries))
        default: return nil
        }
    }
}
