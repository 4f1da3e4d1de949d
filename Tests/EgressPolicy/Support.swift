import Documents
import EgressPolicy
import Foundation

/// A policy from YAML, with the rule sets that Carrel ships.
func policy(_ yaml: String) throws -> EgressPolicy {
    try EgressPolicy(Node.parse(Array(yaml.utf8), file: "p.yaml"), file: "p.yaml") { (name) throws(Problems) in
        let file = shippedSets + "/\(name).yaml"
        guard let bytes = FileManager.default.contents(atPath: file) else {
            throw Problems([Problem(file: "p.yaml", mark: nil, message: "no set \(name)")])
        }
        return (try Node.parse(Array(bytes), file: name), name)
    }
}

let shippedSets = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Profiles/egress")
    .standardizedFileURL.path

/// Everything that is wrong with a policy, a line each.
func problems(_ yaml: String) -> [String] {
    do {
        _ = try policy(yaml)
        return []
    } catch {
        return (error as? Problems)?.list.map(\.description) ?? ["\(error)"]
    }
}

extension EgressPolicy {
    /// The rule that allows a request, `nil` where none does.
    func rule(
        _ method: String, _ url: String, webSocket: Bool = false
    ) throws -> String? {
        guard case .allow(let allowed) = try decision(method, url, webSocket: webSocket) else { return nil }
        return allowed.rule
    }

    func decision(_ method: String, _ url: String, webSocket: Bool = false) throws -> RequestDecision {
        let scheme: EgressRule.Scheme = url.hasPrefix("http:") ? .http : .https
        let rest = url.drop { $0 != "/" }.dropFirst(2)
        let authority = rest.prefix { $0 != "/" }
        let parts = authority.split(separator: ":")
        let target = rest.dropFirst(authority.count).split(
            separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        return request(
            RequestFacts(
                host: try HostName(parts[0]),
                port: parts.count > 1 ? UInt16(parts[1])! : scheme == .http ? 80 : 443, scheme: scheme, method: method,
                path: target.first.map(String.init) ?? "", query: target.count > 1 ? String(target[1]) : nil,
                isWebSocket: webSocket))
    }
}
