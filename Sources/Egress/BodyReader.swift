import NIOCore

/// How long a body is, by the head before it.
enum BodyFraming: Sendable, Equatable {
    case none
    case length(Int)
    case chunked
    /// A response without a length: until the connection ends.
    case untilClose
}

/// Takes a body's bytes out of a stream by its framing.
///
/// Chunk extensions and trailers are refused in requests: nothing needs them, and readers disagree about them. In
/// responses, which are framed anew, extensions are skipped and trailers dropped.
struct BodyReader {
    private enum State {
        case size
        case data(Int)
        case afterData
        case trailer
        case fixed(Int)
        case rest
        case done
    }

    enum Part {
        case bytes(ByteBuffer)
        case end
    }

    private var state: State
    private let isStrict: Bool
    private var trailerBytes = 0

    init(_ framing: BodyFraming, strict: Bool) {
        isStrict = strict
        switch framing {
        case .none, .length(0): state = .done
        case .length(let count): state = .fixed(count)
        case .chunked: state = .size
        case .untilClose: state = .rest
        }
    }

    /// Whether the body's end has been seen.
    var isDone: Bool { if case .done = state { true } else { false } }

    /// Whether the end of the connection is the end of the body.
    var endsAtClose: Bool { if case .rest = state { true } else { false } }

    /// The next part from the front of `buffer`; `nil` when more bytes are needed. `.end` comes once, last.
    mutating func next(_ buffer: inout ByteBuffer) throws(HTTPRefusal) -> Part? {
        while true {
            switch state {
            case .done: return .end
            case .rest: return buffer.readSlice(length: buffer.readableBytes).flatMap(nonEmpty)
            case .fixed(let left):
                guard let part = take(left, &buffer) else { return nil }
                state = left == part.readableBytes ? .done : .fixed(left - part.readableBytes)
                return .bytes(part)
            case .size:
                guard let line = try line(&buffer, limit: isStrict ? 16 : 4096) else { return nil }
                let count = try size(line)
                state = count == 0 ? .trailer : .data(count)
            case .data(let left):
                guard let part = take(left, &buffer) else { return nil }
                state = left == part.readableBytes ? .afterData : .data(left - part.readableBytes)
                return .bytes(part)
            case .afterData:
                guard buffer.readableBytes >= 2 else { return nil }
                guard buffer.readInteger(as: UInt16.self) == 0x0D0A else {
                    throw .bad("a chunk that is longer than its size")
                }
                state = .size
            case .trailer:
                guard let line = try line(&buffer, limit: 8192) else { return nil }
                if line.isEmpty {
                    state = .done
                } else {
                    if isStrict { throw .bad("a trailer behind the last chunk") }
                    trailerBytes += line.count
                    if trailerBytes > 16384 { throw .bad("more than 16384 bytes of trailers") }
                }
            }
        }
    }

    private func nonEmpty(_ buffer: ByteBuffer) -> Part? { buffer.readableBytes == 0 ? nil : .bytes(buffer) }

    private func take(_ left: Int, _ buffer: inout ByteBuffer) -> ByteBuffer? {
        let count = min(left, buffer.readableBytes)
        return count == 0 ? nil : buffer.readSlice(length: count)
    }

    /// A line that ends in CR LF, without it; `nil` when it is not whole yet.
    private func line(_ buffer: inout ByteBuffer, limit: Int) throws(HTTPRefusal) -> [UInt8]? {
        let bytes = buffer.readableBytesView
        guard let end = bytes.firstIndex(of: 0x0A) else {
            if bytes.count > limit { throw .bad("a chunk's first line of more than \(limit) bytes") }
            return nil
        }
        guard end > bytes.startIndex, bytes[end - 1] == 0x0D else { throw .bad("a line that ends in LF without CR") }
        let line = Array(bytes[bytes.startIndex..<end - 1])
        if line.contains(0x0D) { throw .bad("a CR inside a line") }
        buffer.moveReaderIndex(to: end + 1)
        return line
    }

    private func size(_ line: [UInt8]) throws(HTTPRefusal) -> Int {
        var digits = line[...]
        if let semicolon = line.firstIndex(of: 0x3B) {
            if isStrict { throw .bad("a chunk extension") }
            digits = line[..<semicolon]
            while let last = digits.last, last == 0x20 || last == 0x09 { digits.removeLast() }
        }
        guard !digits.isEmpty, digits.count <= 8 else { throw .bad("a chunk size that is no number of 8 hex digits") }
        var value = 0
        for digit in digits {
            guard let nibble = hexValue(digit) else { throw .bad("a chunk size with other than hex digits") }
            value = value << 4 | Int(nibble)
        }
        return value
    }
}
