import CLibbrotli
import CLibz
import CLibzstd
import Synchronization

/// Undoes the encodings of a response's body (RFC 9110, section 8.4) as it comes, in constant memory.
struct ContentDecoder: Sendable {
    /// In the order in which they are undone.
    private let stages: [any ContentStage]

    /// - Parameter encoding: the value of `content-encoding`; `nil` for none.
    /// - Returns: `nil` for an encoding that is not known.
    init?(_ encoding: String?) {
        var stages: [any ContentStage] = []
        for name in (encoding ?? "").split(separator: ",") {
            switch name.trimmed.lowercased() {
            case "", "identity": break
            case "gzip", "x-gzip", "deflate": stages.append(InflateStage())
            case "br":
                guard let stage = BrotliStage() else { return nil }
                stages.append(stage)
            case "zstd":
                guard let stage = ZstdStage() else { return nil }
                stages.append(stage)
            default: return nil
            }
        }
        // Nobody encodes twice but to hide something.
        if stages.count > 2 { return nil }
        self.stages = stages.reversed()
    }

    /// Hands what the bytes stand for to `output`, in parts, for as long as it says that it wants more. What stands between
    /// two encodings, which may be much and come to nothing, is handed over too: the second argument says so.
    ///
    /// - Returns: `false` if they are not encoded as they should be, or were not wanted; nothing that follows can be
    ///   understood.
    func decode(
        _ bytes: UnsafeRawBufferPointer, _ output: (UnsafeBufferPointer<UInt8>, _ isBetween: Bool) -> Bool
    ) -> Bool {
        decode(bytes.assumingMemoryBound(to: UInt8.self), from: 0, output)
    }

    private func decode(
        _ bytes: UnsafeBufferPointer<UInt8>, from index: Int, _ output: (UnsafeBufferPointer<UInt8>, Bool) -> Bool
    ) -> Bool {
        if index == stages.count { return output(bytes, false) }
        return stages[index].decode(bytes) { part in
            (index + 1 == stages.count || output(part, true)) && decode(part, from: index + 1, output)
        }
    }
}

/// One encoding. It holds the state of a C library, so it locks itself: a copy of an exchange may not corrupt it.
private protocol ContentStage: AnyObject, Sendable {
    func decode(_ bytes: UnsafeBufferPointer<UInt8>, _ output: (UnsafeBufferPointer<UInt8>) -> Bool) -> Bool
}

/// How much is decoded at a time.
private let chunk = 16 << 10

/// gzip, zlib, and the raw deflate that some servers send as `deflate` (RFC 9110, section 8.4.1.2).
private final class InflateStage: ContentStage {
    private struct State {
        var head: [UInt8] = []
        var isOpen = false
        var hasEnded = false
    }

    private let state = Mutex(State())
    /// Used under the lock alone.
    nonisolated(unsafe) private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)

    init() { stream.initialize(to: z_stream()) }

    deinit {
        if state.withLock({ $0.isOpen }) { inflateEnd(stream) }
        stream.deallocate()
    }

    func decode(_ bytes: UnsafeBufferPointer<UInt8>, _ output: (UnsafeBufferPointer<UInt8>) -> Bool) -> Bool {
        state.withLock { state in
            if state.isOpen { return inflate(&state, bytes, output) }
            // Two bytes tell a header from raw deflate.
            state.head += bytes
            guard state.head.count >= 2 else { return true }
            let (first, second) = (state.head[0], state.head[1])
            let isGzip = first == 0x1F && second == 0x8B
            let isZlib = first & 15 == 8 && (UInt16(first) << 8 | UInt16(second)) % 31 == 0
            guard carrel_inflate_init(stream, isGzip || isZlib ? 47 : -15) == Z_OK else { return false }
            state.isOpen = true
            let head = state.head
            state.head = []
            return head.withUnsafeBufferPointer { inflate(&state, $0, output) }
        }
    }

    private func inflate(
        _ state: inout State, _ bytes: UnsafeBufferPointer<UInt8>, _ output: (UnsafeBufferPointer<UInt8>) -> Bool
    ) -> Bool {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: chunk) { buffer in
            stream.pointee.next_in = UnsafeMutablePointer(mutating: bytes.baseAddress)
            stream.pointee.avail_in = UInt32(bytes.count)
            defer { stream.pointee.next_in = nil }
            while true {
                if state.hasEnded {
                    if stream.pointee.avail_in == 0 { return true }
                    // A file of several gzip members is one text (RFC 1952, section 2.2).
                    guard inflateReset(stream) == Z_OK else { return false }
                    state.hasEnded = false
                }
                stream.pointee.next_out = buffer.baseAddress
                stream.pointee.avail_out = UInt32(chunk)
                let result = CLibz.inflate(stream, Z_NO_FLUSH)
                let count = chunk - Int(stream.pointee.avail_out)
                if count > 0, !output(UnsafeBufferPointer(rebasing: buffer[..<count])) { return false }
                switch result {
                case Z_STREAM_END: state.hasEnded = true
                case Z_OK: if stream.pointee.avail_in == 0, stream.pointee.avail_out > 0 { return true }
                case Z_BUF_ERROR: return true  // it wants more input
                default: return false
                }
            }
        }
    }
}

/// Brotli (RFC 7932).
private final class BrotliStage: ContentStage {
    private let lock = Mutex(())
    /// Used under the lock alone.
    nonisolated(unsafe) private let decoder: OpaquePointer

    init?() {
        guard let made = BrotliDecoderCreateInstance(nil, nil, nil) else { return nil }
        decoder = made
    }

    deinit { BrotliDecoderDestroyInstance(decoder) }

    func decode(_ bytes: UnsafeBufferPointer<UInt8>, _ output: (UnsafeBufferPointer<UInt8>) -> Bool) -> Bool {
        lock.withLock { _ in
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: chunk) { buffer in
                var next = bytes.baseAddress
                var rest = bytes.count
                while true {
                    var place = buffer.baseAddress
                    var space = chunk
                    let result = BrotliDecoderDecompressStream(decoder, &rest, &next, &space, &place, nil)
                    if space < chunk, !output(UnsafeBufferPointer(rebasing: buffer[..<(chunk - space)])) {
                        return false
                    }
                    switch result {
                    case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT: continue
                    case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT: return true
                    case BROTLI_DECODER_RESULT_SUCCESS: return rest == 0
                    default: return false
                    }
                }
            }
        }
    }
}

/// Zstandard (RFC 8878).
private final class ZstdStage: ContentStage {
    private let lock = Mutex(())
    /// Used under the lock alone.
    nonisolated(unsafe) private let stream: OpaquePointer

    init?() {
        guard let made = ZSTD_createDStream() else { return nil }
        // A window is at most 8 MiB in HTTP (RFC 9659).
        ZSTD_DCtx_setParameter(made, ZSTD_d_windowLogMax, 23)
        stream = made
    }

    deinit { ZSTD_freeDStream(stream) }

    func decode(_ bytes: UnsafeBufferPointer<UInt8>, _ output: (UnsafeBufferPointer<UInt8>) -> Bool) -> Bool {
        lock.withLock { _ in
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: chunk) { buffer in
                var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
                while true {
                    var place = ZSTD_outBuffer(dst: buffer.baseAddress, size: chunk, pos: 0)
                    let result = ZSTD_decompressStream(stream, &place, &input)
                    if place.pos > 0, !output(UnsafeBufferPointer(rebasing: buffer[..<place.pos])) { return false }
                    if ZSTD_isError(result) != 0 { return false }
                    if input.pos == input.size, place.pos < chunk { return true }
                }
            }
        }
    }
}

extension Substring {
    /// Without blanks at both ends.
    fileprivate var trimmed: String {
        String(drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
    }
}
