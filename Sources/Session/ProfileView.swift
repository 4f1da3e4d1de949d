import Documents

extension Profile {
    /// Every field with its value, in a fixed order: a profile by itself that boxes sessions in the same way. Sizes are
    /// bytes. What it is digested from, and what JSON shows.
    public var node: Node { node { Node(.integer(Int64($0))) } }

    /// One field of the profile as it is in force.
    public struct EffectiveField: Sendable, Equatable {
        /// The field's path, for example `limits.memory`.
        public let field: String
        /// Its value.
        public let value: Node
        /// Where the value came from.
        public let origin: ProfileOrigin
    }

    /// Every field, with where its value came from. Variables, and the patterns of the workdir, are fields of their own.
    public var effective: [EffectiveField] {
        var fields: [EffectiveField] = []
        walk(node, "") { field, value, origin in
            fields.append(EffectiveField(field: field, value: value, origin: origin))
        }
        return fields
    }

    /// The profile as `carrel profile show` prints it: YAML, each value with a comment that tells where it came from.
    public func text() -> String {
        var rows: [(text: String, origin: ProfileOrigin?)] = []
        write(node { Node(.string(ByteSize.text($0))) }, "", "", &rows)
        let ambiguous = Set(files.map(Self.base)).count < files.count
        let column = rows.lazy.filter { $0.origin != nil }.map(\.text.count).filter { $0 < 60 }.max() ?? 0
        return rows.reduce(into: "# \(name): \(files.joined(separator: " extends "))\n") { text, row in
            text += row.text
            if let origin = row.origin {
                let padding = String(repeating: " ", count: max(0, column - row.text.count))
                text += padding + "  # " + (ambiguous ? origin.description : Self.base(origin.description))
            }
            text += "\n"
        }
    }

    private static func base(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    /// The profile as `carrel profile show --json` prints it: its name, its files, its fields, and the origin of each.
    public func json() -> String {
        let origins = effective.map { Node.Entry(key: $0.field, value: Node(.string($0.origin.description))) }
        let view: Node = [
            "name": Node(.string(name)), "files": Self.list(files), "profile": node,
            "policy": door?.node ?? nil,
            "origins": Node(.mapping(origins)),
        ]
        return view.json(pretty: true)
    }
}

// As a document.
extension Profile {
    private func node(size: (Int) -> Node) -> Node {
        let variables = environment.set.map { Node.Entry(key: $0.name, value: Node(.string($0.value))) }
        return [
            "version": 1,
            "description": Node(.string(description)),
            "image": Node(.string(image.description)),
            "user": [
                "uid": Node(.integer(Int64(user.uid))), "gid": Node(.integer(Int64(user.gid))),
                "name": Node(.string(user.name)), "home": Node(.string(user.home)),
            ],
            "environment": ["set": Node(.mapping(variables)), "pass": Self.list(environment.pass)],
            "mounts": Node(.sequence(mounts.map(\.node))),
            "workdir": [
                "target": Node(.string(workdir.target)), "access": Node(.string(workdir.access.rawValue)),
                "protect": Self.list(workdir.protect), "deny": Self.list(workdir.deny),
            ],
            "config": config?.node ?? "none",
            "limits": limits.node(size: size),
            "seccomp": seccomp.explain
                ? ["file": Node(.string(seccomp.name)), "explain": true] : Node(.string(seccomp.name)),
            "exec": [
                "allow": exec.allow.map(Self.list) ?? "none", "from": Self.list(exec.from.map(\.rawValue)),
            ],
            "scopes": Self.list(scopes.map(\.rawValue)),
            "network": Node(.string(network.rawValue)),
            "egress": egress.node,
            "controls": ["optional": Self.list(optionalControls.map(\.rawValue))],
            "umask": Node(.string(umask == 0 ? "000" : "0" + String(umask, radix: 8))),
        ]
    }

    private static func list(_ names: [String]) -> Node { Node(.sequence(names.map { Node(.string($0)) })) }
}

extension Profile.Image: CustomStringConvertible {
    /// As a profile writes it.
    public var description: String {
        switch self {
        case .host: "host"
        case .named(let name, _): name
        case .directory(let path): path
        }
    }
}

extension Profile.Mount {
    fileprivate var node: Node {
        [
            "source": Node(.string(source)), "target": Node(.string(target)),
            "access": Node(.string(access.rawValue)), "optional": Node(.bool(optional)),
            "executable": Node(.bool(executable)),
        ]
    }
}

extension Profile.Config {
    fileprivate var node: Node {
        var entries = [Node.Entry(key: "target", value: Node(.string(target)))]
        if let variable { entries.append(Node.Entry(key: "variable", value: Node(.string(variable)))) }
        return Node(.mapping(entries))
    }
}

extension Profile.Limits {
    fileprivate func node(size: (Int) -> Node) -> Node {
        func duration(_ nanoseconds: Int64?) -> Node { Node(.string(nanoseconds.map(TimeSpan.text) ?? "none")) }
        let cpus = cpus.map { $0 % 1000 == 0 ? Node(.integer(Int64($0 / 1000))) : Node(.number(Double($0) / 1000)) }
        return [
            "memory": size(memory), "memoryHigh": memoryHigh.map(size) ?? "none", "swap": size(swap),
            "pids": Node(.integer(Int64(pids))), "cpus": cpus ?? "none",
            "openFiles": Node(.integer(Int64(openFiles))), "tmp": size(tmp), "home": size(home), "shm": size(shm),
            "wallClock": duration(wallClock), "idle": duration(idle), "cpuTime": duration(cpuTime),
            "ceiling": ceiling.map(size) ?? "none", "recycle": duration(recycle), "grace": duration(grace),
            "log": size(log),
            "oomScoreAdj": Node(.integer(Int64(oomScoreAdj))),
        ]
    }
}

// As text with origins.
extension Profile {
    /// The origin of a field; of one whose parts are set together, that of the whole.
    private func origin(_ field: String) -> ProfileOrigin {
        switch field {
        case "version": .builtIn
        case "seccomp.file": trace.origin("seccomp")
        case "config.target", "config.variable":
            trace.age(field) >= 0 ? trace.origin(field) : trace.origin("config")
        // Each field of it is set whole.
        case _ where field.hasPrefix("egress."):
            trace.origin(field.split(separator: ".").prefix(2).joined(separator: "."))
        default: trace.origin(field)
        }
    }

    /// Whether each element of the list has an origin of its own.
    private static func isGathered(_ field: String) -> Bool { field == "workdir.protect" || field == "workdir.deny" }

    private func walk(_ node: Node, _ field: String, _ body: (String, Node, ProfileOrigin) -> Void) {
        if Self.isGathered(field) {
            for (index, element) in (node.elements ?? []).enumerated() {
                body("\(field)[\(index)]", element, trace.origin(field, element.string ?? ""))
            }
        } else if let entries = node.entries {
            for entry in entries {
                let name = field.isEmpty ? entry.key : "\(field).\(entry.key)"
                if field == "environment.set" {
                    body(name, entry.value, trace.origin(field, entry.key))
                } else {
                    walk(entry.value, name, body)
                }
            }
        } else {
            body(field, node, origin(field))
        }
    }

    private func write(
        _ node: Node, _ field: String, _ indent: String, _ rows: inout [(text: String, origin: ProfileOrigin?)]
    ) {
        for entry in node.entries ?? [] {
            let name = field.isEmpty ? entry.key : "\(field).\(entry.key)"
            let key = "\(indent)\(Self.plain(.string(entry.key))):"
            switch entry.value.content {
            case .mapping(let entries) where entries.isEmpty: rows.append(("\(key) {}", nil))
            case .mapping:
                rows.append((key, nil))
                write(entry.value, name, indent + "  ", &rows)
            case .sequence(let elements):
                let own = Self.isGathered(name)
                rows.append(("\(key)\(elements.isEmpty ? " []" : "")", own ? nil : origin(name)))
                for element in elements {
                    let text = element.entries == nil ? Self.plain(element.content) : element.json()
                    let origin = own ? trace.origin(name, element.string ?? "") : nil
                    rows.append(("\(indent)  - \(text)", origin))
                }
            default:
                let origin = field == "environment.set" ? trace.origin(field, entry.key) : origin(name)
                rows.append(("\(key) \(Self.plain(entry.value.content))", entry.key == "version" ? nil : origin))
            }
        }
    }

    /// A scalar as YAML: without quotes where nothing else could be read from it.
    private static func plain(_ content: Node.Content) -> String {
        let json = Node(content).json()
        guard case .string(let text) = content, let first = text.utf8.first else { return json }
        let safe = text.utf8.allSatisfy { ProfileReader.isWord($0) || "/.-".utf8.contains($0) }
        let number = [first, text.utf8.dropFirst().first ?? first].contains(where: ProfileReader.isDigit)
        let word =
            first == UInt8(ascii: "-") || ["null", "true", "false", ".inf", ".nan", "."].contains(text.lowercased())
        let isSize = ByteSize.parse(text) != nil && text.hasSuffix("iB") || TimeSpan.parse(text) != nil
        return safe && !word && (!number || isSize) ? text : json
    }
}
