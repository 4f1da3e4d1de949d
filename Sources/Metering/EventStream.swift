/// Hears the events of a stream.
protocol EventSink {
    /// A part of the event's data.
    mutating func data(_ bytes: UnsafeBufferPointer<UInt8>)
    /// The event is over.
    mutating func eventEnded()
}

/// Takes the framing of server-sent events off as the bytes come (WHATWG HTML, section 9.2.6); only `data` matters here.
struct EventStream: Sendable {
    private enum Place: UInt8 {
        /// The name of a line's field, of which so many bytes are those of `data`.
        case name
        /// Behind the colon, where one blank is left out.
        case blank
        case data
        /// A field that does not matter, or a comment.
        case rest
    }

    private var place = Place.name
    private var matched = 0
    private var lineIsEmpty = true
    private var lastWasCR = false
    /// How much of a byte order mark at the start was seen.
    private var mark: Int? = 0
    private static let name = Array("data".utf8)
    private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

    mutating func read<Sink: EventSink>(_ bytes: UnsafeBufferPointer<UInt8>, to sink: inout Sink) {
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            if place == .data, byte != 0x0A, byte != 0x0D {
                let from = index
                while index < bytes.count, bytes[index] != 0x0A, bytes[index] != 0x0D { index += 1 }
                sink.data(UnsafeBufferPointer(rebasing: bytes[from..<index]))
                continue
            }
            index += 1
            if let seen = mark {
                mark = seen < 3 && byte == Self.byteOrderMark[seen] ? seen + 1 : nil
                if mark != nil { continue }
            }
            if byte == 0x0A, lastWasCR {
                lastWasCR = false
                continue
            }
            lastWasCR = byte == 0x0D
            if byte == 0x0A || byte == 0x0D { endLine(&sink) } else { step(byte, &sink) }
        }
    }

    private mutating func step<Sink: EventSink>(_ byte: UInt8, _ sink: inout Sink) {
        lineIsEmpty = false
        switch place {
        case .name:
            if byte == UInt8(ascii: ":") {
                place = matched == Self.name.count ? .blank : .rest
            } else if matched < Self.name.count, byte == Self.name[matched] {
                matched += 1
            } else {
                place = .rest
            }
        case .blank:
            place = .data
            if byte != UInt8(ascii: " ") { withUnsafePointer(to: byte) { sink.data(.init(start: $0, count: 1)) } }
        case .data, .rest: break
        }
    }

    private mutating func endLine<Sink: EventSink>(_ sink: inout Sink) {
        if lineIsEmpty {
            sink.eventEnded()
        } else if place == .data || place == .blank {
            // Lines of data are joined by newlines, which mean nothing in JSON.
            withUnsafePointer(to: 0x0A) { sink.data(.init(start: $0, count: 1)) }
        }
        place = .name
        matched = 0
        lineIsEmpty = true
    }
}
