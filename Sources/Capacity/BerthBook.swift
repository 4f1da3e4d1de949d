import Glibc
import Syscalls
import SystemPackage

/// Which berths of a host are taken: one file of slots of one size, changed under a lock (flock(2)).
///
/// To take a berth is five system calls: open, lock, one read of all slots, one write of one, close. There is no sum to be
/// wrong: what is used is added up from the slots. A holder that is killed leaves its slot behind; whoever finds the host
/// full looks which holders are dead (``take(_:_:isGone:)``), and so does the sweep.
public struct BerthBook: Sendable {
    /// Where the book is.
    public let path: String

    /// The book at `path`; the first berth makes the file.
    public init(_ path: String) { self.path = path }

    /// Before the slots: a word that says what the file is, and the next ticket.
    private static let headerSize = 64
    private static let magic: UInt64 = 0x3148_5452_4542_4c43  // "CLBERTH1", as bytes

    /// Takes a berth, unless there is no room for it.
    ///
    /// - Parameters:
    ///   - isGone: asked, of the holders, only when there is no room: whether that one is dead. Its berth is free then.
    ///   - ticket: the place in the queue of who has waited: its slot becomes the berth.
    /// - Returns: why there is none; `nil` when it is taken.
    public func take(
        _ berth: Berth, _ bounds: BerthBounds, ticket: UInt64? = nil, isGone: (Berth) -> Bool
    ) throws(SystemError) -> BerthRefusal? {
        try withPages { pages throws(SystemError) in
            var refusal = bounds.refusal(of: berth, beside: pages.berths, ticket: ticket)
            if refusal != nil, try pages.remove(where: isGone) {
                refusal = bounds.refusal(of: berth, beside: pages.berths, ticket: ticket)
            }
            if let refusal {
                if let ticket { try pages.note(berth, refusal, ticket) }
                return refusal
            }
            if ticket != nil { try pages.remove { $0.holder == berth.holder && $0.kind != .taken } }
            try pages.add(berth)
            return nil
        }
    }

    /// Takes the next place in the queue for `berth`.
    ///
    /// - Returns: the ticket.
    public func queue(_ berth: Berth) throws(SystemError) -> UInt64 {
        try withPages { pages throws(SystemError) in
            var waiting = berth
            waiting.kind = .waiting
            waiting.ticket = try pages.nextTicket()
            try pages.add(waiting)
            return waiting.ticket
        }
    }

    /// Gives back what a process holds. Of its own this takes no lock: a slot's holder alone gives it back while it lives. That of
    /// a dead one may have been given to another meanwhile.
    public func release(holder: Int32) throws(SystemError) {
        let file: FileDescriptor
        do throws(SystemError) { file = try open(path, O_RDWR | O_NOFOLLOW) } catch {
            if error.errno == .noSuchFileOrDirectory { return }
            throw error
        }
        defer { close(file) }
        if holder != getpid() { try lock(file, LOCK_EX, named: path) }
        var pages = try Pages(file, path)
        try pages.remove { $0.holder == holder }
    }

    /// Everything in the book, the dead included.
    public func berths() throws(SystemError) -> [Berth] {
        guard exists(path) else { return [] }
        return try withOpen(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK) { file throws(SystemError) in
            try Pages(file, path).berths
        }
    }

    private func withPages<Result>(
        _ body: (inout Pages) throws(SystemError) -> Result
    ) throws(SystemError) -> Result {
        let file = try open(path, O_RDWR | O_CREAT | O_NOFOLLOW)
        defer { close(file) }
        try lock(file, LOCK_EX, named: path)
        var pages = try Pages(file, path)
        return try body(&pages)
    }

    /// The open book.
    private struct Pages {
        private let file: FileDescriptor
        private let path: String
        private var bytes: [UInt8]

        init(_ file: FileDescriptor, _ path: String) throws(SystemError) {
            self.file = file
            self.path = path
            // As many as most hosts ever have: one read.
            bytes = try readAt(file, offset: 0, count: 16 << 10, named: path)
            while bytes.count >= 16 << 10 && bytes.count % (16 << 10) == 0 {
                let more = try readAt(file, offset: bytes.count, count: 16 << 10, named: path)
                if more.isEmpty { break }
                bytes += more
            }
            if bytes.isEmpty { return }
            let magic = bytes.withUnsafeBytes { $0.count < 8 ? 0 : $0.loadUnaligned(as: UInt64.self) }
            guard magic == BerthBook.magic else { throw SystemError("read", path, errno: .badMessage) }
        }

        private var slotCount: Int { max(0, bytes.count - BerthBook.headerSize) / Berth.size }

        private func berth(_ index: Int) -> Berth? {
            bytes.withUnsafeBytes {
                let start = BerthBook.headerSize + index * Berth.size
                return Berth(UnsafeRawBufferPointer(rebasing: $0[start..<start + Berth.size]))
            }
        }

        var berths: [Berth] { (0..<slotCount).compactMap { berth($0) } }

        private mutating func put(_ slot: [UInt8], at offset: Int) throws(SystemError) {
            try writeAt(file, offset: offset, slot, named: path)
            if bytes.count < offset { bytes += repeatElement(0, count: offset - bytes.count) }
            bytes.replaceSubrange(offset..<min(offset + slot.count, bytes.count), with: slot)
        }

        private mutating func writeHeader(ticket: UInt64) throws(SystemError) {
            var header = [UInt8](repeating: 0, count: BerthBook.headerSize)
            header.withUnsafeMutableBytes {
                $0.storeBytes(of: BerthBook.magic, as: UInt64.self)
                $0.storeBytes(of: ticket, toByteOffset: 8, as: UInt64.self)
            }
            try put(header, at: 0)
        }

        mutating func add(_ berth: Berth) throws(SystemError) {
            if bytes.isEmpty { try writeHeader(ticket: 1) }
            let free = (0..<slotCount).first { self.berth($0) == nil } ?? slotCount
            try put(berth.slot, at: BerthBook.headerSize + free * Berth.size)
        }

        mutating func nextTicket() throws(SystemError) -> UInt64 {
            let next =
                bytes.count < 16 ? 1 : bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self) }
            try writeHeader(ticket: next &+ 1)
            return next
        }

        /// Frees slots; whether there were any.
        @discardableResult
        mutating func remove(where isUnwanted: (Berth) -> Bool) throws(SystemError) -> Bool {
            var found = false
            for index in 0..<slotCount {
                guard let berth = berth(index), isUnwanted(berth) else { continue }
                try put([UInt8](repeating: 0, count: Berth.size), at: BerthBook.headerSize + index * Berth.size)
                found = true
            }
            return found
        }

        /// Says of someone who waits what for.
        mutating func note(_ berth: Berth, _ refusal: BerthRefusal, _ ticket: UInt64) throws(SystemError) {
            let kind: Berth.Kind =
                refusal.reason == .tenantMemory || refusal.reason == .tenantSessions ? .waitingForTenant : .waiting
            for index in 0..<slotCount {
                guard var waiting = self.berth(index), waiting.ticket == ticket, waiting.holder == berth.holder,
                    waiting.kind != kind, waiting.kind != .taken
                else { continue }
                waiting.kind = kind
                try put(waiting.slot, at: BerthBook.headerSize + index * Berth.size)
            }
        }
    }
}
