import EgressPolicy

/// Reads the body of a request to the Messages API once: refuses what the rules do not grant, and notes what bounds its
/// cost and where a note can be put.
struct RequestScan: JSONSink {
    /// Where a note goes: behind the last block of the last user message.
    enum NotePlace {
        /// The content is a string, at these offsets, quotes included: it becomes a block beside the note's.
        case text(Range<Int>)
        /// The content is a list whose bracket closes at this offset.
        case list(close: Int, isEmpty: Bool)
    }

    private(set) var model: String?
    private(set) var maxTokens: UInt64?
    private(set) var isStreaming = false
    private(set) var hasTools = false
    private(set) var lastUser: NotePlace?
    private(set) var facts = CostFacts()
    /// What is remembered of the prompt, if that was asked for.
    private(set) var prefixes: PromptPrefixes?

    private let rules: MessagesBodyRules
    private var frames: [Frame] = []
    private var keys = KeySets()
    /// The text of the token being read, as far as anyone wants it.
    private var text: [UInt8] = []
    private var wantsText = false
    private var tokenStart = 0
    private var messages = 0
    /// A source in the input of a tool call, which only counts if it turns out to be no tool call.
    private var sourceInInput: String?

    init(rules: MessagesBodyRules, remembers: Bool) {
        self.rules = rules
        if remembers { prefixes = PromptPrefixes() }
    }

    private enum Place {
        case root, messages, message, content, block, source, tools, tool, fallbacks, fallback, cacheControl, other
    }

    private enum Opaque {
        case no
        /// Inside the input of a tool call: whatever a model wrote, not read by the API.
        case input
        /// Inside the schema of a tool's input, or its examples.
        case schema
    }

    private struct Frame {
        var place: Place
        var opaque = Opaque.no
        var isArray: Bool
        /// The member being read.
        var key = ""
        var elements = 0
        var type: String?
        var role: String?
        var mediaType: String?
        var dataBytes = 0
        var content: NotePlace?
        var isHour = false
    }

    /// What a version adds to the name of a tool or an edit: `_20250305`.
    private static func unversioned(_ type: String) -> String? {
        guard let underscore = type.lastIndex(of: "_") else { return nil }
        let version = type[underscore...].dropFirst()
        guard version.utf8.count == 8, version.utf8.allSatisfy({ 0x30...0x39 ~= $0 }) else { return nil }
        return String(type[..<underscore])
    }

    /// Members of the body that ask for nothing beyond a completion of what is in the body.
    private static let members: Set<String> = [
        "model", "messages", "system", "tools", "tool_choice", "max_tokens", "metadata", "stream", "thinking",
        "temperature", "top_p", "top_k", "stop_sequences", "context_management", "context_hint", "output_config",
        "output_format", "speed", "inference_geo", "service_tier", "safeguards", "cache_control", "fallbacks",
        "fallback_credit_token", "diagnostics",
    ]
    /// Tools that the client runs, described by the provider.
    private static let clientTools: Set<String> = ["bash", "text_editor", "computer", "memory"]
    /// Edits of the context.
    private static let edits: Set<String> = ["clear_tool_uses", "clear_thinking", "compact"]
    /// Members that name what lies at the provider.
    private static let stored: Set<String> = ["file_id", "file_ids", "files", "container", "container_id"]
    /// Strings that matter.
    private static let wanted: Set<String> = [
        "type", "role", "model", "speed", "inference_geo", "ttl", "media_type", "fallbacks",
    ]

    /// The API's own bound.
    private static let mostMessages = 100_000
    /// Names in the objects that are open at once; what a body of the greatest length could make of it otherwise is memory.
    private static let mostNames = 1 << 16
    private static let mostFallbacks = 1024

    // Containers.

    mutating func open(_ container: JSONContainer, at offset: Int) throws(JSONFault) {
        let isArray = container == .array
        let (place, opaque) = try child(isArray: isArray)
        if place == .message {
            messages += 1
            if messages > Self.mostMessages { throw JSONFault(.tooLarge, "more than \(Self.mostMessages) messages") }
        }
        if frames.last?.isArray == true { frames[frames.count - 1].elements += 1 }
        prefixes?.open(container)
        frames.append(Frame(place: place, opaque: opaque, isArray: isArray))
        if !isArray { keys.open() }
    }

    private func child(isArray: Bool) throws(JSONFault) -> (Place, Opaque) {
        guard let parent = frames.last else {
            if isArray { throw JSONFault("expected an object, found a list") }
            return (.root, .no)
        }
        if parent.opaque == .schema { return (.other, .schema) }
        if parent.isArray {
            switch parent.place {
            case .messages: return (.message, .no)
            case .content: return (.block, parent.opaque)
            case .tools: return (.tool, .no)
            case .fallbacks: return (.fallback, .no)
            default: return (.other, parent.opaque)
            }
        }
        switch (parent.place, parent.key, isArray) {
        case (.root, "messages", true): return (.messages, .no)
        case (.root, "tools", true): return (.tools, .no)
        case (.root, "fallbacks", true): return (.fallbacks, .no)
        case (_, "source", false): return (.source, parent.opaque)
        case (.message, "content", true): return (.content, .no)
        case (.block, "content", true), (.source, "content", true): return (.content, parent.opaque)
        case (.block, "input", false) where parent.opaque == .no: return (.other, .input)
        case (.tool, "input_schema", false), (.tool, "input_examples", true): return (.other, .schema)
        case (_, "cache_control", false) where parent.opaque == .no: return (.cacheControl, .no)
        default: return (.other, parent.opaque)
        }
    }

    mutating func close(_ container: JSONContainer, before offset: Int) throws(JSONFault) {
        let frame = frames.removeLast()
        if container == .object {
            keys.close()
            try check(frame, at: offset)
        } else if frame.place == .content, let parent = frames.last, parent.place == .message {
            frames[frames.count - 1].content = .list(close: offset - 1, isEmpty: frame.elements == 0)
        } else if frame.place == .tools {
            hasTools = frame.elements > 0
        }
        prefixes?.close(container, before: offset, facts: frame.place == .message ? facts : nil)
    }

    private mutating func check(_ frame: Frame, at offset: Int) throws(JSONFault) {
        switch frame.place {
        case .source: try checkSource(frame, at: offset)
        case .tool: try checkTool(frame.type ?? "custom", at: offset)
        case .cacheControl: facts.caches(forAnHour: frame.isHour)
        case .message where frame.role == "user": lastUser = frame.content
        case .block:
            if let found = sourceInInput, frame.opaque == .no {
                sourceInInput = nil
                if frame.type?.hasSuffix("tool_use") != true { throw JSONFault(.notGranted, found) }
            }
        default: break
        }
        if frame.place != .tool, frame.opaque == .no, let type = frame.type, let name = Self.unversioned(type) {
            if Self.edits.contains(name) {
                if name == "compact" { facts.compacts = true }
            } else {
                try checkTool(type, at: offset)
            }
        }
    }

    private mutating func checkSource(_ frame: Frame, at offset: Int) throws(JSONFault) {
        switch frame.type {
        case "url" where !rules.sources.contains("url"), "file" where !rules.sources.contains("file"):
            let message = "a source of type \(frame.type ?? "") before byte \(offset), which the rule does not grant"
            if frame.opaque == .no { throw JSONFault(.notGranted, message) }
            if frame.opaque == .input { sourceInInput = message }
        case "url", "file":
            facts.hasUnboundedInput = true
        case "base64" where frame.opaque == .no:
            // Anywhere else than in a block it is a text that only looks like an image.
            if frame.mediaType?.hasPrefix("image/") == true, frames.last?.place == .block {
                facts.images += 1
                facts.imageBytes += frame.dataBytes
            } else if frame.mediaType != "text/plain" {
                // A document of a few bytes can have any number of pages.
                facts.hasUnboundedInput = true
            }
        case nil, "text", "content", "base64": break
        default:
            if frame.opaque == .no {
                throw JSONFault(.notGranted, "a source of unknown type before byte \(offset)")
            }
        }
    }

    private mutating func checkTool(_ type: String, at offset: Int) throws(JSONFault) {
        if type == "custom" { return }
        let name = Self.unversioned(type) ?? type
        if Self.clientTools.contains(name) {
            facts.describedTools += 1
        } else if rules.serverTools.contains(where: { $0 == name || $0 == type })
            || name == "mcp_toolset" && rules.mcpServers
        {
            facts.hasServerTools = true
        } else {
            throw JSONFault(
                .notGranted, "the tool \(type.prefix(64)) before byte \(offset), which the rule does not grant")
        }
    }

    // Keys and values.

    mutating func begin(_ token: JSONToken, at offset: Int) throws(JSONFault) {
        tokenStart = offset
        guard let frame = frames.last else { throw JSONFault("expected an object, found a single value") }
        switch token {
        case .key: wantsText = true
        case .string:
            wantsText =
                frame.opaque != .schema
                && (frame.isArray ? frame.place == .fallbacks : Self.wanted.contains(frame.key))
        case .number, .word: wantsText = frame.place == .root
        }
        text.removeAll(keepingCapacity: true)
        if token != .key { prefixes?.begin(token, at: offset) }
    }

    mutating func part(_ bytes: UnsafeBufferPointer<UInt8>) throws(JSONFault) {
        if wantsText { text.append(contentsOf: bytes) }
        prefixes?.part(bytes)
    }

    mutating func end(_ token: JSONToken, before offset: Int) throws(JSONFault) {
        let index = frames.count - 1
        if token == .key {
            frames[index].key = try key(in: frames[index], at: offset)
            let skips =
                frames[index].place == .root
                ? !PromptPrefixes.members.contains(frames[index].key)
                : frames[index].key == "cache_control" && frames[index].opaque == .no
            prefixes?.key(text, isLeftOut: skips)
            return
        }
        if frames[index].isArray { frames[index].elements += 1 }
        if token == .string {
            var frame = frames[index]
            endString(&frame, offset)
            frames[index] = frame
            if facts.fallbacks.count > Self.mostFallbacks {
                throw JSONFault(.tooLarge, "more than \(Self.mostFallbacks) models, before byte \(offset)")
            }
        } else if frames[index].place == .root {
            try endScalar(frames[index].key)
        }
        prefixes?.end(token)
    }

    private mutating func key(in frame: Frame, at offset: Int) throws(JSONFault) -> String {
        let name = String(decoding: text.prefix(64), as: UTF8.self)
        if keys.count >= Self.mostNames {
            throw JSONFault(.tooLarge, "more than \(Self.mostNames) names in the objects around byte \(offset)")
        }
        guard keys.insert(text) else { throw JSONFault("the name \(name) twice in one object, before byte \(offset)") }
        let key = text.count <= 64 ? name : ""
        let isGranted =
            frame.place == .root && (rules.fields.contains(key) || key == "mcp_servers" && rules.mcpServers)
        if frame.place == .root, !Self.members.contains(key), !isGranted {
            throw JSONFault(.notGranted, "the member \(name) of the body, which the rule does not grant")
        }
        // By an older version of the API the servers alone are tools, without a toolset.
        if frame.place == .root, key == "mcp_servers" { facts.hasServerTools = true }
        if frame.opaque == .no, Self.stored.contains(key), !isGranted, !rules.sources.contains("file") {
            throw JSONFault(.notGranted, "\(name) before byte \(offset), which the rule does not grant")
        }
        return key
    }

    private mutating func endString(_ frame: inout Frame, _ offset: Int) {
        switch (frame.place, frame.key) {
        case (.message, "content"): frame.content = .text(tokenStart..<offset)
        case (.source, "data"): frame.dataBytes = offset - tokenStart - 2
        default: break
        }
        guard wantsText else { return }
        // Nothing that is known is as long as this.
        let value = text.count <= 256 ? String(decoding: text, as: UTF8.self) : "?"
        switch (frame.place, frame.key) {
        case (_, "type"): frame.type = value
        case (.message, "role"): frame.role = value
        case (.source, "media_type"): frame.mediaType = value
        case (.cacheControl, "ttl"): frame.isHour = value != "5m"
        case (.root, "model"): model = value
        case (.root, "speed"): facts.isFast = value != "standard"
        case (.root, "inference_geo"): facts.mayStayInRegion = value != "global"
        case (.root, "fallbacks"): facts.hasAnyFallback = true
        case (.fallback, "model"), (.fallbacks, _): facts.fallbacks.append(value)
        case (.tool, "model"), (.other, "model"):
            if frame.opaque == .no { facts.fallbacks.append(value) }
        default: break
        }
    }

    private mutating func endScalar(_ key: String) throws(JSONFault) {
        let value = String(decoding: text, as: UTF8.self)
        switch key {
        case "stream": isStreaming = value == "true"
        case "max_tokens":
            guard let count = UInt64(value), count < 1 << 32 else {
                throw JSONFault("max_tokens: expected a whole number")
            }
            maxTokens = count
        default: break
        }
    }
}
