import Documents

// A policy as YAML and JSON. The policy that the launcher has put together and sends to the gateway is written in the same
// form: rules alone, each with its id, and no sets.

extension EgressPolicy {
    /// The fields of `egress:`, in the order in which they are written.
    public static let fields = ["rules", "allow", "ports", "budget", "rate", "logBodies", "environment"]

    /// Reads a profile's `egress:` with the rule sets that it names.
    ///
    /// - Parameters:
    ///   - node: the member.
    ///   - file: the file that it stands in, for the problems.
    ///   - sets: finds the document of a rule set, and the file that it is from.
    /// - Throws: everything that is wrong with it and with the sets.
    public init(
        _ node: Node, file: String, sets: (String) throws(Problems) -> (document: Node, file: String)
    ) throws(Problems) {
        self.init()
        let reader = PolicyReader(file: file)
        var named: [(name: String, mark: Mark?)] = []
        read(node, reader, "egress") { node, field in
            named = reader.list(node, field) { node, field in reader.name(node, field).map { ($0, node.mark) } }
        }
        for (name, mark) in named {
            do throws(Problems) {
                let found = try sets(name)
                let inside = PolicyReader(file: found.file)
                readSet(found.document, name, inside)
                reader.note(inside.problems)
            } catch {
                // A set that is not there is a problem of the line that names it.
                reader.note(
                    error.list.map {
                        $0.mark == nil
                            ? Problem(
                                file: file, mark: mark, field: "egress.rules", message: $0.message) : $0
                    })
            }
        }
        check(reader)
        guard reader.problems.isEmpty else { throw Problems(reader.problems) }
    }

    /// Reads a policy that the launcher has put together.
    public init(_ node: Node) throws(Problems) {
        self.init()
        let reader = PolicyReader(file: "policy")
        read(node, reader, "") { node, field in reader.refuse(node, field, "no sets: they have been put in") }
        check(reader)
        guard reader.problems.isEmpty else { throw Problems(reader.problems) }
    }

    private mutating func read(_ node: Node, _ reader: PolicyReader, _ field: String, sets: (Node, String) -> Void) {
        reader.members(node, field, Self.fields) { entry, field in
            let value = entry.value
            switch entry.key {
            case "rules": sets(value, field)
            case "allow": rules = Self.rules(value, field, "", reader)
            case "ports": ports = reader.list(value, field) { reader.whole($0, $1, 1...65535) }
            case "budget": budget = value.isNull ? nil : EgressBudget(value, field, reader)
            case "rate": rate = value.isNull ? nil : Self.rate(value, field, reader)
            case "logBodies": logBodies = reader.flag(value, field) ?? logBodies
            case "environment": environment += Self.variables(value, field, reader)
            default: return false
            }
            return true
        }
    }

    /// A file of `Profiles/egress`: what it is for, its rules, and what clients find in their environment.
    private mutating func readSet(_ document: Node, _ name: String, _ reader: PolicyReader) {
        reader.members(document, "", ["version", "description", "rules", "environment"]) { entry, field in
            switch entry.key {
            case "version":
                if entry.value.int != 1 { reader.refuse(entry.value, field, "1") }
            case "description": _ = reader.text(entry.value, field)
            case "rules": rules += Self.rules(entry.value, field, name + "/", reader)
            case "environment": environment += Self.variables(entry.value, field, reader)
            default: return false
            }
            return true
        }
    }

    private static func rules(_ node: Node, _ field: String, _ prefix: String, _ reader: PolicyReader) -> [EgressRule] {
        reader.list(node, field) { EgressRule($0, $1, prefix, reader) }
    }

    private static func rate(_ node: Node, _ field: String, _ reader: PolicyReader) -> EgressRate? {
        var rate: EgressRate?
        reader.members(node, field, ["requests"]) { entry, field in
            guard entry.key == "requests" else { return false }
            rate = reader.rate(entry.value, field)
            return true
        }
        return rate
    }

    private static func variables(_ node: Node, _ field: String, _ reader: PolicyReader) -> [EgressVariable] {
        var variables: [EgressVariable] = []
        reader.members(node, field, []) { entry, field in
            guard !entry.key.isEmpty, entry.key.utf8.allSatisfy({ PolicyReader.isAlphanumeric($0) || $0 == 0x5f })
            else {
                reader.note(entry.keyMark, field, "expected the name of a variable")
                return true
            }
            if let name = entry.value["credential"]?.string, entry.value.entries?.count == 1 {
                variables.append(EgressVariable(name: entry.key, value: .credential(name)))
            } else if entry.value["relay"]?.bool == true, entry.value.entries?.count == 1 {
                variables.append(EgressVariable(name: entry.key, value: .relay))
            } else if let text = entry.value.string {
                variables.append(EgressVariable(name: entry.key, value: .text(text)))
            } else {
                reader.refuse(entry.value, field, "a string, {credential: NAME} or {relay: true}")
            }
            return true
        }
        return variables
    }

    /// What only the whole policy shows.
    private func check(_ reader: PolicyReader) {
        for port in ports where port == 53 || port == 3128 || port == 8787 {
            reader.note(nil, "egress.ports", "port \(port) is the gateway's own")
        }
        if ports.count > 32 { reader.note(nil, "egress.ports", "expected at most 32 ports, found \(ports.count)") }
        for variable in environment {
            guard case .credential(let name) = variable.value, !credentials.contains(name) else { continue }
            reader.note(
                nil, "egress.environment.\(variable.name)", "credential \(name): no rule gives it to any request")
        }
    }
}

extension EgressRule {
    static let fields = [
        "id", "host", "ports", "scheme", "tls", "methods", "paths", "query", "credential", "credentialIsOptional",
        "websocket", "api", "messages", "push", "maxRequest", "maxResponse",
    ]

    init?(_ node: Node, _ field: String, _ prefix: String, _ reader: PolicyReader) {
        var host: HostPattern?
        var ports: [UInt16]?
        var paths: [RequestPathPattern]?
        var methods: [String]?
        self.init(id: prefix + field, host: HostPattern(placeholder: ()), ports: [], paths: [])
        reader.members(node, field, Self.fields) { entry, field in
            let value = entry.value
            switch entry.key {
            case "id": id = reader.name(value, field).map { prefix + $0 } ?? id
            case "host":
                host = reader.made(value, field) { (text) throws(EgressPolicyError) in try HostPattern(text) }
            case "ports": ports = reader.list(value, field) { reader.whole($0, $1, 1...65535) }
            case "scheme": scheme = reader.choice(value, field) ?? scheme
            case "tls": tls = reader.choice(value, field) ?? tls
            case "methods": methods = reader.list(value, field) { Self.method($0, $1, reader) }
            case "paths":
                paths = reader.list(value, field) { node, field in
                    reader.made(node, field) { (text) throws(EgressPolicyError) in try RequestPathPattern(text) }
                }
            case "query": query = value.isNull ? nil : reader.text(value, field)
            case "credential": credential = value.isNull ? nil : reader.name(value, field)
            case "credentialIsOptional": credentialIsOptional = reader.flag(value, field) ?? credentialIsOptional
            case "websocket": websocket = reader.flag(value, field) ?? websocket
            case "api": api = value.isNull ? nil : reader.choice(value, field)
            case "messages": messages = value.isNull ? nil : MessagesBodyRules(value, field, reader)
            case "push": push = value.isNull ? nil : PushPolicy(value, field, reader)
            case "maxRequest": maxRequestBytes = value.isNull ? nil : reader.size(value, field)
            case "maxResponse": maxResponseBytes = value.isNull ? nil : reader.size(value, field)
            default: return false
            }
            return true
        }
        guard let entries = node.entries else { return nil }
        guard let host else {
            if !entries.contains(where: { $0.key == "host" }) {
                reader.note(node.mark, field + ".host", "expected a host such as example.com or *.example.com")
            }
            return nil
        }
        self.host = host
        self.ports = ports ?? [scheme == .http ? 80 : 443]
        if let methods { self.methods = methods }
        if tls == .splice {
            if methods != nil || paths != nil || query != nil || credential != nil || api != nil || push != nil {
                reader.note(
                    node.mark, field,
                    "tls: splice passes a connection on unseen: methods, paths, query, credential, api and push need inspect"
                )
            }
            self.paths = []
            self.methods = []
        } else if let paths {
            self.paths = paths
        } else {
            // Said in full, so that "everything" is a decision.
            reader.note(node.mark, field + ".paths", "expected paths such as [/v1/*], or [/**] for all")
        }
        if scheme == .http, credential != nil || tls == .splice {
            reader.note(node.mark, field, "scheme: http goes in the clear: no credential with it, and no tls: splice")
        }
    }

    /// The name of a method that a rule or a credential can be for.
    package static func method(_ node: Node, _ field: String, _ reader: PolicyReader) -> String? {
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        if let method = node.string, known.contains(method) { return method }
        reader.refuse(node, field, known.joined(separator: " or "))
        return nil
    }
}

extension HostPattern {
    /// Stands in a rule that is still being read.
    fileprivate init(placeholder: ()) {
        isWildcard = false
        name = HostName(canonical: "invalid.invalid")
    }
}

extension MessagesBodyRules {
    static let names = ["models", "serverTools", "sources", "fields", "mcpServers", "maxTokens"]

    init(_ node: Node, _ field: String, _ reader: PolicyReader) {
        self.init()
        reader.members(node, field, Self.names) { entry, field in
            switch entry.key {
            case "models": models = reader.some(entry.value, field, reader.text)
            case "serverTools": serverTools = reader.list(entry.value, field, reader.name)
            case "sources": sources = reader.list(entry.value, field, reader.name)
            case "fields": fields = reader.list(entry.value, field, reader.name)
            case "mcpServers": mcpServers = reader.flag(entry.value, field) ?? mcpServers
            case "maxTokens": maxTokens = entry.value.isNull ? nil : reader.whole(entry.value, field, 1...(1 << 40))
            default: return false
            }
            return true
        }
    }
}

extension PushPolicy {
    init(_ node: Node, _ field: String, _ reader: PolicyReader) {
        self.init(branches: [])
        reader.members(node, field, ["branches", "force", "delete"]) { entry, field in
            switch entry.key {
            case "branches": branches = reader.list(entry.value, field, reader.text)
            case "force": force = reader.flag(entry.value, field) ?? force
            case "delete": delete = reader.flag(entry.value, field) ?? delete
            default: return false
            }
            return true
        }
        if branches.isEmpty, node.entries != nil {
            reader.note(node.mark, field + ".branches", "expected branches such as [carrel/*]")
        }
    }
}

extension EgressBudget {
    init(_ node: Node, _ field: String, _ reader: PolicyReader) {
        self.init()
        reader.members(node, field, ["dollars", "tokens", "soft", "atLimit"]) { entry, field in
            switch entry.key {
            case "dollars": microdollars = entry.value.isNull ? nil : reader.dollars(entry.value, field)
            case "tokens": tokens = entry.value.isNull ? nil : reader.whole(entry.value, field, 0...(1 << 53))
            case "soft": softPercent = reader.percent(entry.value, field) ?? softPercent
            case "atLimit": atLimit = reader.choice(entry.value, field) ?? atLimit
            default: return false
            }
            return true
        }
    }
}
