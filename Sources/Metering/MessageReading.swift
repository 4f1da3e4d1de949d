import Documents

/// Reads what metering needs out of a response of the Messages API, a whole message or a stream of events, and keeps
/// nothing of the rest.
struct MessageReading: JSONSink, EventSink, Sendable {
    private(set) var report = UsageReport()
    private(set) var model: String?
    private(set) var stopReason: String?
    private(set) var errorType: String?
    private(set) var tools = ToolCallReading()
    /// Whether the counts were told without which there is no sum.
    var hasUsage: Bool { report.isWhole }
    /// Whether the answer began: from then on it is charged.
    private(set) var hasBegun = false
    /// Whether the last of it was seen.
    private(set) var isComplete = false
    /// Whether there was something that could not be understood.
    private(set) var isDamaged = false
    /// Rises whenever usage is told.
    private(set) var reports = 0

    private enum Place: UInt8, Sendable {
        case top, message, usage, cacheCreation, serverTools, iterations, iteration, iterationCache, error, delta
        case content, block, input, other
    }

    /// What one event, or the whole message, says; put together when it is over.
    private struct Event: Sendable {
        var type: String?
        var index: UInt64?
        var usage: UsageReport?
        var iteration = UsageReport.Iteration()
        var stopReason: String?
        var model: String?
        var errorType: String?
        var blockType: String?
        var blockName: String?
        var blockInput: String?
        /// The block that a part of an input was given to before the event told its number.
        var guessed: UInt64?
    }

    private var tokenizer = JSONTokenizer()
    private var places: [(Place, isArray: Bool)] = []
    private var keys: [String] = []
    private var event = Event()
    private var text: [UInt8] = []
    private var wantsText = false
    private var isPartialJSON = false
    private var input: JSONDigest?
    private var blocks: UInt64 = 0
    private var lastStarted: UInt64 = 0
    private let isStream: Bool
    private static let mostIterations = 1024

    init(isStream: Bool) { self.isStream = isStream }

    // A whole message.

    mutating func read(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard !isDamaged else { return }
        var tokenizer = tokenizer
        do throws(JSONFault) {
            try tokenizer.read(bytes, to: &self)
        } catch {
            isDamaged = true
        }
        self.tokenizer = tokenizer
        if !isStream, tokenizer.isComplete, !isComplete, !isDamaged {
            apply()
            isComplete = true
        }
    }

    // Events.

    mutating func data(_ bytes: UnsafeBufferPointer<UInt8>) { read(bytes) }

    mutating func eventEnded() {
        if tokenizer.isUntouched { return }
        if tokenizer.isComplete, !isDamaged { apply() } else { isDamaged = true }
        tokenizer.reset()
        places.removeAll(keepingCapacity: true)
        keys.removeAll(keepingCapacity: true)
        input = nil
        event = Event()
    }

    /// The end of the stream. An event that is whole counts without the blank line behind it; one that is not was cut
    /// off, and is not there.
    mutating func streamEnded() {
        if tokenizer.isComplete { eventEnded() }
    }

    private mutating func apply() {
        switch event.type {
        case "message", "message_start":
            hasBegun = true
            model = event.model
            take(event.usage)
            stopReason = event.stopReason ?? stopReason
        case "message_delta":
            take(event.usage)
            // Later deltas may follow, but the counts of one that tells why the model stopped are the last.
            if let reason = event.stopReason {
                stopReason = reason
                isComplete = true
            }
        case "message_stop": isComplete = true
        case "error": errorType = event.errorType ?? "unknown"
        case "content_block_start":
            lastStarted = event.index ?? lastStarted &+ 1
            if event.blockType?.hasSuffix("tool_use") == true {
                tools.start(index: lastStarted, name: event.blockName ?? "", input: event.blockInput)
            }
        case "content_block_delta":
            // The parts went to another block than they were meant for: neither input is known.
            if let guessed = event.guessed, let index = event.index, guessed != index { isDamaged = true }
        case "content_block_stop": tools.stop(index: event.index ?? lastStarted)
        default: break
        }
    }

    private mutating func take(_ usage: UsageReport?) {
        guard let usage else { return }
        guard usage.isPossible else {
            isDamaged = true
            return
        }
        report.merge(usage)
        reports += 1
    }

    // The places of a message that matter.

    mutating func open(_ container: JSONContainer, at offset: Int) {
        let isArray = container == .array
        checkCount()
        let place = child(isArray: isArray)
        switch place {
        case .usage: event.usage = UsageReport()
        case .iterations: event.usage?.iterations = []
        case .iteration: event.iteration = UsageReport.Iteration()
        case .block:
            event.blockType = nil
            event.blockName = nil
            event.blockInput = nil
        case .input where places.last?.0 != .input: input = JSONDigest()
        default: break
        }
        input?.open(container, at: offset)
        places.append((place, isArray))
        keys.append("")
    }

    private func child(isArray: Bool) -> Place {
        guard let (parent, parentIsArray) = places.last else { return isArray ? .other : .top }
        switch (parent, parentIsArray ? "" : keys[keys.count - 1], isArray) {
        case (.input, _, _): return .input
        case (.top, "message", false): return .message
        case (.top, "usage", false), (.message, "usage", false): return .usage
        case (.top, "content", true): return isStream ? .other : .content
        case (.top, "error", false): return .error
        case (.top, "delta", false): return .delta
        case (.top, "content_block", false), (.content, "", false): return .block
        case (.block, "input", _): return .input
        case (.usage, "cache_creation", false): return .cacheCreation
        case (.usage, "server_tool_use", false): return .serverTools
        case (.usage, "iterations", true): return .iterations
        case (.iterations, "", false): return .iteration
        case (.iteration, "cache_creation", false): return .iterationCache
        default: return .other
        }
    }

    mutating func close(_ container: JSONContainer, before offset: Int) {
        input?.close(container, before: offset)
        guard let (place, _) = places.popLast() else { return }
        keys.removeLast()
        switch place {
        case .input where places.last?.0 != .input:
            event.blockInput = (input?.digest()).map(hexadecimal)
            input = nil
        case .iteration:
            // More than any answer has; what an upstream could make of it otherwise is memory.
            if event.usage?.iterations?.count ?? 0 >= Self.mostIterations { isDamaged = true }
            if !isDamaged { event.usage?.iterations?.append(event.iteration) }
        case .block where places.last?.0 == .content:
            if event.blockType?.hasSuffix("tool_use") == true {
                tools.start(index: blocks, name: event.blockName ?? "", input: event.blockInput)
                tools.stop(index: blocks)
            }
            blocks += 1
        default: break
        }
    }

    mutating func begin(_ token: JSONToken, at offset: Int) {
        input?.begin(token, at: offset)
        let place = places.last?.0 ?? .other
        isPartialJSON = place == .delta && token == .string && keys.last == "partial_json"
        wantsText = !isPartialJSON && place != .other && place != .input && place != .content && place != .iterations
        text.removeAll(keepingCapacity: true)
    }

    mutating func part(_ bytes: UnsafeBufferPointer<UInt8>) {
        input?.part(bytes)
        if isPartialJSON {
            if event.index == nil { event.guessed = lastStarted }
            tools.part(index: event.index ?? lastStarted, bytes)
        } else if wantsText, text.count < 256 {
            text.append(contentsOf: bytes.prefix(256))
        }
    }

    mutating func end(_ token: JSONToken, before offset: Int) {
        input?.end(token, before: offset)
        guard wantsText, let (place, isArray) = places.last, !isArray else { return }
        let last = keys.count - 1
        switch token {
        case .key: keys[last] = String(decoding: text, as: UTF8.self)
        case .string:
            checkCount()
            string(keys[last], String(decoding: text, as: UTF8.self), in: place)
        case .number: number(keys[last], in: place)
        case .word: if !text.elementsEqual("null".utf8) { checkCount() }
        }
    }

    /// Called where something stands that is no number: in the place of a count it is not made up for.
    private mutating func checkCount() {
        guard let (place, isArray) = places.last, !isArray, let key = keys.last else { return }
        switch place {
        case .usage, .cacheCreation, .serverTools, .iteration, .iterationCache:
            if Self.counts.contains(key) { isDamaged = true }
        default: break
        }
    }
    private static let counts: Set<String> = [
        "input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens",
        "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens", "web_search_requests",
    ]

    private mutating func string(_ key: String, _ value: String, in place: Place) {
        switch (place, key) {
        case (.top, "type"): event.type = value
        case (.top, "model"), (.message, "model"): event.model = value
        case (.top, "stop_reason"), (.message, "stop_reason"), (.delta, "stop_reason"): event.stopReason = value
        case (.error, "type"): event.errorType = value
        case (.block, "type"): event.blockType = value
        case (.block, "name"): event.blockName = value
        case (.usage, "inference_geo"): event.usage?.isUS = value == "us"
        case (.usage, "speed"): event.usage?.isFast = value == "fast"
        case (.usage, "service_tier"): event.usage?.isBatch = value == "batch"
        case (.iteration, "type"): event.iteration.type = value
        case (.iteration, "model"): event.iteration.model = value
        default: break
        }
    }

    private mutating func number(_ key: String, in place: Place) {
        // A count that is none, such as -1 or 1.5, is not made up for: it is as if nothing had been told.
        guard let value = UInt64(String(decoding: text, as: UTF8.self)) else {
            if place != .top, place != .other, place != .block { isDamaged = true }
            return
        }
        switch (place, key) {
        case (.top, "index"): event.index = value
        case (.usage, _): Self.count(key, value, &event.usage)
        case (.cacheCreation, "ephemeral_5m_input_tokens"): event.usage?.counts.cacheWrite5m = value
        case (.cacheCreation, "ephemeral_1h_input_tokens"): event.usage?.counts.cacheWrite1h = value
        case (.serverTools, "web_search_requests"): event.usage?.webSearches = value
        case (.iteration, _): Self.count(key, value, &event.iteration.counts)
        case (.iterationCache, "ephemeral_5m_input_tokens"): event.iteration.counts.cacheWrite5m = value
        case (.iterationCache, "ephemeral_1h_input_tokens"): event.iteration.counts.cacheWrite1h = value
        default: break
        }
    }

    private static func count(_ key: String, _ value: UInt64, _ usage: inout UsageReport?) {
        guard var counts = usage?.counts else { return }
        count(key, value, &counts)
        usage?.counts = counts
    }

    private static func count(_ key: String, _ value: UInt64, _ counts: inout UsageReport.Counts) {
        switch key {
        case "input_tokens": counts.input = value
        case "output_tokens": counts.output = value
        case "cache_creation_input_tokens": counts.cacheWrite = value
        case "cache_read_input_tokens": counts.cacheRead = value
        default: break
        }
    }
}
