import Documents
import OCISpec
import Seccomp
import Syscalls

/// A system call filter as a file has it: OCI's `linux.seccomp`, a bundle's whole `config.json`, or Docker's and podman's
/// form, in which entries hold for some capabilities, architectures and kernels only.
public struct ProfileFile: Sendable {
    /// What the file is called.
    public let file: String
    /// The filter, with what does not hold here left out.
    public let profile: LinuxSeccomp
    /// The document of `profile`: each value has the place that it was read from.
    public let document: Node
    /// Whether the file has Docker's form.
    public let isDockers: Bool

    /// For whom Docker's form is read.
    public struct Circumstances: Sendable, Equatable {
        /// The container's capabilities, `CAP_*`.
        public var capabilities: Set<String>
        /// The kernel's version.
        public var kernel: (major: Int, minor: Int)
        /// The machine.
        public var machine: Architecture

        /// A container on this machine.
        public init(
            capabilities: Set<String> = [], kernel: (major: Int, minor: Int) = (6, 0), machine: Architecture = .native
        ) {
            self.capabilities = capabilities
            self.kernel = kernel
            self.machine = machine
        }

        /// Whether both are the same.
        public static func == (left: Self, right: Self) -> Bool {
            left.capabilities == right.capabilities && left.kernel == right.kernel && left.machine == right.machine
        }

        /// What Docker gives a container that asks for nothing (moby, oci/caps/defaults.go).
        public static let dockerCapabilities: Set<String> = [
            "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
            "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
            "CAP_AUDIT_WRITE",
        ]
    }

    /// Reads a filter.
    ///
    /// - Parameters:
    ///   - file: the document's name, for the problems.
    ///   - circumstances: for whom the entries of Docker's form are chosen.
    /// - Throws: everything that is wrong with it as a document. `FilterLint` says what is wrong with its meaning.
    public init(
        reading bytes: [UInt8], file: String, for circumstances: Circumstances = Circumstances()
    ) throws(Problems) {
        let top = try Node.parse(bytes, file: file)
        let node = top["linux"]?["seccomp"] ?? top["seccomp"] ?? top
        if top["ociVersion"] != nil, node == top || node.isNull {
            let message = "expected a filter, found none: the bundle's container has all system calls"
            throw Problems([Problem(file: file, mark: top["linux"]?.mark, field: "linux.seccomp", message: message)])
        }
        self.file = file
        isDockers = ProfileChecker.dockersMember(of: node) != nil
        document = isDockers ? try DockerForm(file: file, circumstances: circumstances).resolved(node) : node
        profile = try LinuxSeccomp(document, file: file)
    }

    /// What the filter means on a machine, read as container runtimes read it.
    func rules(for machine: Architecture = .native) throws(Problems) -> FilterRules {
        try FilterCompiler.rules(of: profile, file: file, source: document, reading: .runtime, for: machine)
    }

    /// The compiled filter for a machine.
    public func program(for machine: Architecture = .native) throws(Problems) -> FilterProgram {
        try FilterCompiler.compile(profile, file: file, source: document, reading: .runtime, for: machine)
    }

    /// The compiled filter, to be asked outside of the kernel.
    public func interpreter(for machine: Architecture = .native) throws(Problems) -> FilterInterpreter {
        let program = try program(for: machine)
        do throws(FilterInterpreter.BadProgram) {
            return try FilterInterpreter(program)
        } catch { throw Problems([Problem(file: file, mark: nil, message: "\(error)")]) }
    }
}

/// Docker's form of a profile (moby, profiles/seccomp; podman's is the same with names of errnos beside their numbers).
private struct DockerForm {
    let file: String
    let circumstances: ProfileFile.Circumstances

    /// The same filter in OCI's form. Values keep their places.
    func resolved(_ node: Node) throws(Problems) -> Node {
        var problems: [Problem] = []
        var entries: [Node.Entry] = []
        var hasArchitectures = false
        var architectures = [Node(.string(circumstances.machine.specName))]
        for entry in node.entries ?? [] {
            switch entry.key {
            case "archMap":
                architectures += subArchitectures(entry, &problems)
                continue
            case "defaultErrno":
                requireNumber(beside: entry, "defaultErrnoRet", of: node, "", &problems)
                continue
            case "architectures": hasArchitectures = !(entry.value.elements ?? []).isEmpty
            case "syscalls":
                var rules: [Node] = []
                for (index, rule) in elements(of: entry, "", &problems).enumerated()
                where holds(rule, "syscalls[\(index)].", &problems) {
                    rules.append(Node(.mapping(members(of: rule)), mark: rule.mark))
                }
                entries.append(
                    Node.Entry(
                        key: "syscalls", keyMark: entry.keyMark, value: Node(.sequence(rules), mark: entry.value.mark)))
                continue
            default: break
            }
            entries.append(entry)
        }
        if !problems.isEmpty { throw Problems(problems) }
        if !hasArchitectures {
            entries.append(Node.Entry(key: "architectures", value: Node(.sequence(architectures))))
        }
        return Node(.mapping(entries), mark: node.mark)
    }

    /// Those that `archMap` puts below the machine's own.
    private func subArchitectures(_ map: Node.Entry, _ problems: inout [Problem]) -> [Node] {
        var found: [Node] = []
        for (index, part) in elements(of: map, "", &problems).enumerated() {
            let field = "archMap[\(index)]."
            for entry in part.entries ?? [] {
                switch entry.key {
                case "architecture": continue
                case "subArchitectures":
                    let names = elements(of: entry, field, &problems)
                    if part["architecture"]?.string == circumstances.machine.specName { found += names }
                default: report(entry, field, "expected one of architecture, subArchitectures", &problems)
                }
            }
            if part["architecture"]?.string == nil {
                let message = "expected an architecture, found none"
                problems.append(Problem(file: file, mark: part.mark, field: field + "architecture", message: message))
            }
        }
        return found
    }

    private func members(of rule: Node) -> [Node.Entry] {
        (rule.entries ?? []).compactMap { entry in
            switch entry.key {
            case "includes", "excludes", "errno": return nil
            // Older files have a rule for each call.
            case "name": return Node.Entry(key: "names", keyMark: entry.keyMark, value: Node(.sequence([entry.value])))
            default: return entry
            }
        }
    }

    private func holds(_ rule: Node, _ field: String, _ problems: inout [Problem]) -> Bool {
        var (isIncluded, isExcluded) = (true, false)
        for entry in rule.entries ?? [] {
            switch entry.key {
            case "name" where rule["names"] != nil: report(entry, field, "expected name or names, not both", &problems)
            case "errno": requireNumber(beside: entry, "errnoRet", of: rule, field, &problems)
            case "includes": isIncluded = conditions(entry, field, &problems).allSatisfy { $0 }
            case "excludes": isExcluded = conditions(entry, field, &problems).contains(true)
            default: break
            }
        }
        return isIncluded && !isExcluded
    }

    /// Whether each condition of a mapping holds. Of several capabilities, `includes` wants all; as in Docker, any one of
    /// those in `excludes` leaves the rule out.
    private func conditions(_ member: Node.Entry, _ field: String, _ problems: inout [Problem]) -> [Bool] {
        if member.value.entries == nil && !member.value.isNull {
            report(member, field, "expected a mapping, found \(member.value.kind)", &problems)
        }
        let field = "\(field)\(member.key)."
        var held: [Bool] = []
        for entry in member.value.entries ?? [] {
            switch entry.key {
            case "caps":
                for name in strings(of: entry, field, &problems) {
                    held.append(circumstances.capabilities.contains(name))
                    if Known.capabilities.contains(name) { continue }
                    let near = nearest(name, in: Known.capabilities).map { "; did you mean \($0)?" } ?? ""
                    report(entry, field, "expected the name of a capability, found \(name)\(near)", &problems)
                }
            case "arches":
                let names = strings(of: entry, field, &problems)
                if !names.isEmpty { held.append(names.contains(name)) }
            case "minKernel":
                let parts = (entry.value.string ?? "").split(separator: ".", omittingEmptySubsequences: false)
                if parts.count == 2, let major = UInt16(parts[0]), let minor = UInt16(parts[1]) {
                    held.append((Int(major), Int(minor)) <= circumstances.kernel)
                } else {
                    report(entry, field, "expected a kernel such as 4.8, found \(entry.value.json())", &problems)
                }
            default: report(entry, field, "expected one of caps, arches, minKernel", &problems)
            }
        }
        return held
    }

    private func elements(of entry: Node.Entry, _ field: String, _ problems: inout [Problem]) -> [Node] {
        if entry.value.elements == nil && !entry.value.isNull {
            report(entry, field, "expected a list, found \(entry.value.kind)", &problems)
        }
        return entry.value.elements ?? []
    }

    private func strings(of entry: Node.Entry, _ field: String, _ problems: inout [Problem]) -> [String] {
        let elements = elements(of: entry, field, &problems)
        let found = elements.compactMap(\.string)
        if found.count < elements.count { report(entry, field, "expected strings alone", &problems) }
        return found
    }

    /// Names of errnos are not read: podman writes each beside its number.
    private func requireNumber(
        beside entry: Node.Entry, _ number: String, of node: Node, _ field: String, _ problems: inout [Problem]
    ) {
        if node[number] == nil { report(entry, field, "expected \(number) beside it, which is what counts", &problems) }
    }

    /// What Docker calls the machine. The smaller siblings do not count (moby, profiles/seccomp/seccomp_linux.go).
    private var name: String {
        switch circumstances.machine {
        case .x86_64: "amd64"
        case .aarch64: "arm64"
        case .x86, .x32, .arm: circumstances.machine.rawValue
        }
    }

    private func report(_ entry: Node.Entry, _ field: String, _ message: String, _ problems: inout [Problem]) {
        problems.append(
            Problem(file: file, mark: entry.keyMark, field: field + entry.key, message: message))
    }
}
