import Documents

extension EgressPolicy {
    /// The policy as a document: the same bytes for the same policy, and what ``init(_:)`` reads.
    public var node: Node {
        [
            "allow": Node(.sequence(rules.map(\.node))),
            "ports": Node(.sequence(ports.map { Node(.integer(Int64($0))) })),
            "budget": budget?.node ?? nil,
            "rate": rate.map { ["requests": Node(.string(PolicyReader.text($0)))] } ?? nil,
            "logBodies": Node(.bool(logBodies)),
            "environment": Node(.mapping(environment.map { Node.Entry(key: $0.name, value: $0.value.node) })),
        ]
    }
}

private func strings(_ values: [String]) -> Node { Node(.sequence(values.map { Node(.string($0)) })) }

extension EgressRule {
    /// The rule as a document, without what it leaves open.
    var node: Node {
        var entries: [Node.Entry] = []
        func add(_ key: String, _ value: Node?) {
            if let value { entries.append(Node.Entry(key: key, value: value)) }
        }
        add("id", Node(.string(id)))
        add("host", Node(.string(host.description)))
        add("ports", Node(.sequence(ports.map { Node(.integer(Int64($0))) })))
        add("scheme", Node(.string(scheme.rawValue)))
        add("tls", Node(.string(tls.rawValue)))
        if tls == .inspect {
            add("methods", strings(methods))
            add("paths", strings(paths.map(\.description)))
        }
        add("query", query.map { Node(.string($0)) })
        add("credential", credential.map { Node(.string($0)) })
        if credentialIsOptional { add("credentialIsOptional", true) }
        if websocket { add("websocket", true) }
        add("api", api.map { Node(.string($0.rawValue)) })
        add("messages", messages?.node)
        add("push", push?.node)
        add("maxRequest", maxRequestBytes.map { Node(.integer(Int64($0))) })
        add("maxResponse", maxResponseBytes.map { Node(.integer(Int64($0))) })
        return Node(.mapping(entries))
    }
}

extension MessagesBodyRules {
    var node: Node {
        let rules: Node = [
            "serverTools": strings(serverTools), "sources": strings(sources), "fields": strings(fields),
            "mcpServers": Node(.bool(mcpServers)),
            "maxTokens": maxTokens.map { Node(.integer(Int64(clamping: $0))) } ?? nil,
        ]
        // An empty list is not one of none.
        let some = models.isEmpty ? [] : [Node.Entry(key: "models", value: strings(models))]
        return Node(.mapping(some + (rules.entries ?? [])))
    }
}

extension PushPolicy {
    var node: Node {
        ["branches": strings(branches), "force": Node(.bool(force)), "delete": Node(.bool(delete))]
    }
}

extension EgressBudget {
    /// The budget as a document; dollars as their authors write them.
    public var node: Node {
        [
            "dollars": microdollars.map { Node(.number(Double($0) / 1_000_000)) } ?? nil,
            "tokens": tokens.map { Node(.integer(Int64(clamping: $0))) } ?? nil,
            "soft": Node(.string("\(softPercent)%")), "atLimit": Node(.string(atLimit.rawValue)),
        ]
    }
}

extension EgressVariable.Value {
    var node: Node {
        switch self {
        case .credential(let name): ["credential": Node(.string(name))]
        case .relay: ["relay": true]
        case .text(let text): Node(.string(text))
        }
    }
}
