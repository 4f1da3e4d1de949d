import Documents
import EgressPolicy

/// The prices of a provider's models at a date, from a file such as `Profiles/prices/anthropic.json`.
///
/// ```json
/// {
///   "provider": "anthropic", "date": "2026-11-21", "source": "where the prices were read",
///   "models": {
///     "claude-haiku-5-5": {
///       "input": 0.1, "output": 0.5, "cache-write-5m": 0.125, "cache-write-1h": 0.2, "cache-read": 0.01, "fast": 2,
///       "tiers": [{"above": 100000, "input": 0.5, …}]
///     }
///   },
///   "modifiers": {"geo-us": 1.1, "batch": 0.5, "web-search": 0.01},
///   "bounds": {"image-tokens": 5000, "context-tokens": 1000000, "overhead-tokens": 2048},
///   "digest": "sha256 of all the rest"
/// }
/// ```
/// Prices are in dollars per million tokens with up to six decimals, a web search in dollars. `bounds` are what a
/// reservation reckons with where a request's bytes do not tell.
public struct PriceTable: Sendable, Equatable {
    /// When the prices were read: `2026-11-21`.
    public let date: String
    /// Where they were read.
    public let source: String
    /// SHA-256 of the table's compact JSON without its member `digest`: what a charge names its prices by.
    public let digest: String
    /// The models that it has, sorted.
    public var models: [String] { table.keys.sorted() }

    private let table: [String: Rates]
    /// The highest of everything, for a model that is not in the table.
    let ceiling: Rates
    /// The greatest factor for fast output, for a model of which the table does not tell it.
    let ceilingFast: Factor
    let geo: Factor
    let batch: Factor
    /// Picodollars a search.
    let webSearch: UInt64
    /// The most tokens that an image can count for.
    let imageTokens: UInt64
    /// The most tokens that any model takes as a prompt.
    let contextTokens: UInt64
    /// The most tokens that the provider puts before a prompt by itself, and for each tool that it describes itself.
    let overheadTokens: UInt64

    /// Reads a table.
    ///
    /// - Throws: everything that is wrong with it; a `digest` that is not that of the rest is wrong too.
    public init(_ node: Node, file: String) throws(Problems) {
        let reader = PolicyReader(file: file)
        date = reader.text(node.member("date"), "date") ?? ""
        source = reader.text(node.member("source"), "source") ?? ""
        var table: [String: Rates] = [:]
        reader.members(node.member("models"), "models", []) { entry, field in
            table[entry.key] = reader.rates(entry.value, field)
            return true
        }
        func member(_ group: String, _ name: String) -> (Node, String) {
            (node.member(group).member(name), "\(group).\(name)")
        }
        func millionths(_ name: String) -> UInt64 {
            let (node, field) = member("modifiers", name)
            return reader.dollars(node, field) ?? 0
        }
        func bound(_ name: String) -> UInt64 {
            let (node, field) = member("bounds", name)
            return reader.whole(node, field, 1...(1 << 32)) ?? 0
        }
        geo = Factor(millionths: millionths("geo-us"))
        batch = Factor(millionths: millionths("batch"))
        webSearch = millionths("web-search") * 1_000_000
        imageTokens = bound("image-tokens")
        contextTokens = bound("context-tokens")
        overheadTokens = bound("overhead-tokens")
        let rest = (node.entries ?? []).filter { $0.key != "digest" }
        digest = sha256(Array(Node(.mapping(rest)).json().utf8))
        if let told = node["digest"], told.string != digest {
            reader.note(told.mark, "digest", "expected \(digest), the SHA-256 of the rest, for these prices")
        }
        if node.entries != nil, table.isEmpty { reader.note(node.mark, "models", "expected at least one model") }
        guard reader.problems.isEmpty, let first = table.values.first else { throw Problems(reader.problems) }
        self.table = table
        let tier = table.values.flatMap(\.tiers).reduce(first.tiers[0]) { $0.ceiling($1) }
        ceilingFast = table.values.compactMap(\.fast).max() ?? .one
        ceiling = Rates(tiers: [tier], fast: ceilingFast)
    }

    /// What a model costs: under its own name, or under its name without a date (`-20251101`) or `-latest`.
    public func rates(for model: String) -> Rates? {
        if let rates = table[model] { return rates }
        guard let dash = model.lastIndex(of: "-") else { return nil }
        let suffix = model[dash...].dropFirst()
        let isDate = suffix.utf8.count == 8 && suffix.utf8.allSatisfy { 0x30...0x39 ~= $0 }
        return isDate || suffix == "latest" ? table[String(model[..<dash])] : nil
    }
}

extension PolicyReader {
    fileprivate func rates(_ node: Node, _ field: String) -> Rates {
        var tiers = [tier(node, field, above: 0)]
        for (index, element) in (node["tiers"]?.elements ?? []).enumerated() {
            let field = "\(field).tiers[\(index)]"
            let above = whole(element.member("above"), field + ".above", 1...UInt64(1 << 32)) ?? 0
            if above <= tiers[index].above { refuse(element, field + ".above", "more than the tier before") }
            tiers.append(tier(element, field, above: above))
        }
        return Rates(tiers: tiers, fast: node["fast"].flatMap { dollars($0, field + ".fast") }.map(Factor.init))
    }

    /// Dollars per million tokens are picodollars a token when they are counted in millionths.
    private func tier(_ node: Node, _ field: String, above: UInt64) -> Rates.Tier {
        func price(_ name: String) -> UInt64 { dollars(node.member(name), "\(field).\(name)") ?? 0 }
        return Rates.Tier(
            above: above, input: price("input"), output: price("output"), cacheWrite5m: price("cache-write-5m"),
            cacheWrite1h: price("cache-write-1h"), cacheRead: price("cache-read"))
    }
}
