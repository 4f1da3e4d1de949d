import Documents
import EgressPolicy
import Metering
import NIOCore
import Syscalls

/// The operator's gateway.yaml, read whole: every error at once, each with its line.
///
/// ```yaml
/// credentials:
///   anthropic:
///     file: /etc/carrel/anthropic.key      # or environment: NAME, command: [PROGRAM, ...], systemd: NAME
///     scheme: header                       # bearer, header, basic, query
///     header: x-api-key                    # of header; user: of basic; parameter: of query
///     hosts: [api.anthropic.com]
///     tenants: [acme]                      # default: all; so methods and paths
///     prefix: sk-ant-carrel-               # how its dummies begin
/// prices: /etc/carrel/prices.json
/// unknownModels: refuse                    # or ceiling
/// budgets:
///   host: {dollars: 500, per: day}
///   tenants: {acme: {dollars: 50, tokens: 20000000, per: month}, "*": {dollars: 5, per: day}}
/// rates: {acme: 600/min, "*": 60/s}         # requests of a tenant
/// limits: {connections: 512, tunnels: 256, tunnelIdle: 300, tunnelLifetime: 14400}
/// log: {rotate: 256MiB, keep: 8}
/// metrics: 9464                            # a port on 127.0.0.1, beside the Unix socket
/// resolve: {api.anthropic.com: "127.0.0.1:8443"}
/// trust: /etc/carrel/upstreams.pem
/// ```
struct GatewayConfig: Sendable {
    var credentials: [CredentialDefinition] = []
    var prices: String?
    var unknownModels = UnknownModelPolicy.refuse
    var hostBudget = BudgetLimits()
    var tenantBudgets: [String: BudgetLimits] = [:]
    /// Of tenants; `*` stands for all others.
    var rates: [String: EgressRate] = [:]
    var limits = GatewayLimits()
    /// Addresses of names whatever the resolver says: the only ones that may be of this host.
    var resolve: [HostName: SocketAddress] = [:]
    /// Further authorities of upstreams, a PEM file.
    var trust: String?
    /// The port on 127.0.0.1 of the metrics.
    var metricsPort: UInt16?
    /// When the request log is put aside.
    var log = LogRotation()

    /// Whether a credential is what a command says.
    var runsCommands: Bool {
        credentials.contains { if case .command = $0.source { true } else { false } }
    }

    init() {}

    /// Reads the file at `path`; without one, nothing is configured.
    init(path: String?) throws {
        guard let path else { return }
        self = try GatewayConfig(Node.parse(try readFile(path), file: path), file: path)
    }

    private static let members = [
        "credentials", "prices", "unknownModels", "budgets", "rates", "limits", "log", "metrics", "resolve",
        "trust",
    ]

    init(_ node: Node, file: String) throws(Problems) {
        let reader = PolicyReader(file: file)
        if node.isNull { return }
        reader.members(node, "", Self.members) { entry, field in
            let value = entry.value
            switch entry.key {
            case "credentials":
                reader.members(value, field, []) { entry, field in
                    if let credential = CredentialDefinition(entry, field, reader) { credentials.append(credential) }
                    return true
                }
            case "prices": prices = reader.text(value, field)
            case "unknownModels": unknownModels = reader.choice(value, field) ?? .refuse
            case "budgets": readBudgets(value, field, reader)
            case "rates":
                reader.members(value, field, []) { entry, field in
                    rates[entry.key] = reader.rate(entry.value, field)
                    return true
                }
            case "limits": readLimits(value, field, reader)
            case "log": log = LogRotation(value, field, reader)
            case "metrics": metricsPort = reader.whole(value, field, 1...65535)
            case "resolve":
                reader.members(value, field, []) { entry, field in
                    readResolve(entry, field, reader)
                    return true
                }
            case "trust": trust = reader.text(value, field)
            default: return false
            }
            return true
        }
        if !reader.problems.isEmpty { throw Problems(reader.problems) }
    }

    private mutating func readBudgets(_ node: Node, _ field: String, _ reader: PolicyReader) {
        reader.members(node, field, ["host", "tenants"]) { entry, field in
            switch entry.key {
            case "host": hostBudget = BudgetLimits(entry.value, field, reader)
            case "tenants":
                reader.members(entry.value, field, []) { tenant, field in
                    tenantBudgets[tenant.key] = BudgetLimits(tenant.value, field, reader)
                    return true
                }
            default: return false
            }
            return true
        }
    }

    private mutating func readLimits(_ node: Node, _ field: String, _ reader: PolicyReader) {
        let counts: [(String, WritableKeyPath<GatewayLimits, Int>)] = [
            ("connections", \.connections), ("requests", \.requests), ("handshakes", \.handshakes),
            ("tunnels", \.tunnels), ("names", \.names),
        ]
        let sizes: [(String, WritableKeyPath<GatewayLimits, Int>)] = [
            ("bufferedBytes", \.bufferedBytes), ("requestBytes", \.requestBytes), ("responseBytes", \.responseBytes),
            ("tunnelBytes", \.tunnelBytes),
        ]
        let seconds: [(String, WritableKeyPath<GatewayLimits, TimeAmount>)] = [
            ("headTimeout", \.headTimeout), ("keepAlive", \.keepAlive), ("bodyTimeout", \.bodyTimeout),
            ("responseTimeout", \.responseTimeout), ("connectTimeout", \.connectTimeout),
            ("tunnelIdle", \.tunnelIdle), ("tunnelLifetime", \.tunnelLifetime),
        ]
        reader.members(node, field, counts.map(\.0) + sizes.map(\.0) + seconds.map(\.0)) { entry, field in
            if let path = counts.first(where: { $0.0 == entry.key })?.1 {
                // There are twice as many addresses for names.
                let most = path == \.names ? 65_536 : 1_000_000
                if let value = reader.whole(entry.value, field, 1...most) { limits[keyPath: path] = value }
            } else if let path = sizes.first(where: { $0.0 == entry.key })?.1 {
                if let value = reader.size(entry.value, field) { limits[keyPath: path] = value }
            } else if let path = seconds.first(where: { $0.0 == entry.key })?.1 {
                if let value = reader.whole(entry.value, field, Int64(1)...(86400 * 30)) {
                    limits[keyPath: path] = .seconds(value)
                }
            } else {
                return false
            }
            return true
        }
    }

    private mutating func readResolve(_ entry: Node.Entry, _ field: String, _ reader: PolicyReader) {
        guard let name = try? HostName(entry.key) else {
            return reader.note(entry.keyMark, field, "expected a host name")
        }
        let text = entry.value.string ?? ""
        let colon = text.lastIndex(of: ":") ?? text.startIndex
        var host = text[..<colon]
        // The brackets tell an IPv6 address's colons from the port's.
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if isBracketed { host = host.dropFirst().dropLast() }
        guard let address = IPAddress(String(host)), isBracketed == (address.bytes.count == 16),
            let port = UInt16(text[colon...].dropFirst()), port > 0,
            let made = try? SocketAddress(ipAddress: String(host), port: Int(port))
        else { return reader.refuse(entry.value, field, "\"127.0.0.1:8443\" or \"[::1]:8443\"") }
        resolve[name] = made
    }
}

extension CredentialDefinition {
    fileprivate init?(_ entry: Node.Entry, _ field: String, _ reader: PolicyReader) {
        var source: Source?
        var sources = 0
        var scheme = "bearer"
        var words: [String: String] = [:]
        var made = CredentialDefinition(name: entry.key, source: .file(""))
        let names = [
            "file", "environment", "command", "systemd", "scheme", "header", "user", "parameter", "hosts", "tenants",
            "methods", "paths", "prefix",
        ]
        reader.members(entry.value, field, names) { member, field in
            let value = member.value
            switch member.key {
            case "file": source = reader.text(value, field).map { .file($0) }
            case "environment": source = reader.text(value, field).map { .environment($0) }
            case "command":
                let arguments = reader.list(value, field) { reader.text($0, $1) }
                if arguments.isEmpty { reader.refuse(value, field, "a program and its arguments") }
                source = .command(arguments)
            case "systemd": source = reader.text(value, field).map { .systemd($0) }
            case "scheme": scheme = reader.text(value, field) ?? "bearer"
            case "header", "user", "parameter": words[member.key] = reader.text(value, field)
            case "hosts":
                made.hosts = reader.list(value, field) {
                    reader.made($0, $1) { text throws(EgressPolicyError) in try HostPattern(text) }
                }
            case "tenants": made.tenants = reader.some(value, field) { reader.text($0, $1) }
            case "methods": made.methods = reader.some(value, field) { EgressRule.method($0, $1, reader) }
            case "paths":
                made.paths = reader.some(value, field) {
                    reader.made($0, $1) { text throws(EgressPolicyError) in try RequestPathPattern(text) }
                }
            case "prefix": made.prefix = reader.text(value, field) ?? ""
            default: return false
            }
            if ["file", "environment", "command", "systemd"].contains(member.key) { sources += 1 }
            return true
        }
        if sources != 1 {
            reader.note(
                entry.keyMark, field, "expected one of file, environment, command and systemd, found \(sources)")
        }
        if made.hosts.isEmpty { reader.note(entry.keyMark, field, "expected hosts: a credential is bound to some") }
        switch scheme {
        case "bearer": made.scheme = .bearer
        case "header":
            let name = (words["header"] ?? "").lowercased()
            if !name.utf8.allSatisfy(isToken) || RequestHead.isOfTheMessage(name) {
                reader.note(
                    entry.keyMark, field,
                    "expected a header such as x-api-key, found \(name): no name, or one that frames requests")
            }
            made.scheme = .header(name)
        case "basic":
            let user = words["user"] ?? ""
            if !user.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F && $0 != UInt8(ascii: ":") }) {
                reader.note(entry.keyMark, field, "expected a user without colons and control characters")
            }
            made.scheme = .basic(user: user)
        case "query": made.scheme = .query(words["parameter"] ?? "")
        default: reader.note(entry.keyMark, field, "expected a scheme: bearer, header, basic or query")
        }
        let needed = ["header": "header", "basic": "user", "query": "parameter"][scheme]
        for word in ["header", "user", "parameter"] where (word == needed) != (words[word] != nil) {
            let what =
                word == needed ? "expected \(word) beside scheme: \(scheme)" : "\(word) means nothing to \(scheme)"
            reader.note(entry.keyMark, field, what)
        }
        guard let source else { return nil }
        made.source = source
        self = made
    }
}
