import EgressPolicy

/// A request's body, read as it comes: whoever sends a long one keeps nobody else waiting for longer than one part takes.
public struct MessagesBody: Sendable {
    private var scan: RequestScan
    private var tokenizer = JSONTokenizer(deepest: 128, isStrict: true)
    private var fault: JSONFault?

    /// Nothing is read yet.
    ///
    /// - Parameter remembers: whether the prompt is to be known again (`PromptMemory`).
    public init(rules: MessagesBodyRules, remembers: Bool = true) {
        scan = RequestScan(rules: rules, remembers: remembers)
    }

    /// Takes the next bytes in; what is wrong with them is told at the end.
    public mutating func read(_ bytes: UnsafeRawBufferPointer) {
        guard fault == nil else { return }
        do throws(JSONFault) {
            try tokenizer.read(bytes.assumingMemoryBound(to: UInt8.self), to: &scan)
        } catch {
            fault = error
        }
    }

    /// What was found.
    ///
    /// - Parameter body: all that was read.
    mutating func finish(_ body: [UInt8]) throws(MeteringRefusal) -> RequestScan {
        let invalid = body.withUnsafeBufferPointer { bytes -> Int? in
            do throws(UTF8.ValidationError) {
                _ = try UTF8Span(validating: bytes.span)
                return nil
            } catch {
                return error.byteOffsets.lowerBound
            }
        }
        if let invalid { throw MeteringRefusal(.malformed, "the body is not UTF-8, at byte \(invalid)") }
        do throws(JSONFault) {
            if let fault { throw fault }
            try tokenizer.finish(to: &scan)
        } catch {
            throw MeteringRefusal(error.kind, error.message)
        }
        return scan
    }
}
