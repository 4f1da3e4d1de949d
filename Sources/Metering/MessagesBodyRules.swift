import Documents

/// What the body of a request to the Messages API may ask for; everything that is not granted is refused.
///
/// In a rule of an egress policy (`messages:`), every member optional:
/// ```yaml
/// messages:
///   models: [claude-opus-*, claude-haiku-4-5]   # default: every model of the price table
///   server-tools: [web_search]                  # tools that the provider runs, without their version
///   sources: [url, file]                        # sources of images and documents beside base64 and text
///   fields: [container]                         # further members of the body
///   mcp-servers: true
///   max-tokens: 32000
///   max-body: 33554432                          # bytes
/// ```
public struct MessagesBodyRules: Sendable, Equatable {
    /// Models that may be asked for: names, a `*` at the end stands for any rest; empty allows all.
    public var models: [String] = []
    /// Tools that run at the provider, named without their version: `web_search`.
    public var serverTools: Set<String> = []
    /// Types of `source` beside those whose content is in the body.
    public var sources: Set<String> = []
    /// Members of the body that are granted beside those that are known to be harmless.
    public var fields: Set<String> = []
    /// Whether the provider may connect to MCP servers.
    public var mcpServers = false
    /// The greatest `max_tokens`, if it is limited.
    public var maxTokens: UInt64?
    /// The most bytes that a body may have.
    public var maxBody = 32 << 20

    /// The strict rules.
    public init() {}

    /// Reads the rules of a policy; a missing or `null` node stands for the strict ones.
    public init(_ node: Node?, file: String) throws(Problems) {
        guard let node, !node.isNull else { return }
        let reader = DocumentReader(file: file)
        reader.check(
            node, "messages",
            members: ["models", "server-tools", "sources", "fields", "mcp-servers", "max-tokens", "max-body"])
        models = reader.names(node, "models", "messages.")
        serverTools = Set(reader.names(node, "server-tools", "messages."))
        sources = Set(reader.names(node, "sources", "messages."))
        fields = Set(reader.names(node, "fields", "messages."))
        if let found = node["mcp-servers"] {
            mcpServers = found.bool ?? false
            if found.bool == nil { reader.report(found, "messages.mcp-servers", "expected true or false") }
        }
        if node["max-tokens"] != nil { maxTokens = reader.count(node, "max-tokens", "messages.") }
        if node["max-body"] != nil { maxBody = Int(reader.count(node, "max-body", "messages.")) }
        if !reader.problems.isEmpty { throw Problems(reader.problems) }
    }
}
