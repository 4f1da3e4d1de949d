import Metering
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Syscalls
import SystemPackage

/// Writes the request log on a thread of its own: what was handed in while it wrote goes out with the next write.
///
/// Nothing is sent or answered before its record stands in the log, so the event loops would wait for the disk. A record
/// of a request's end, which nobody waits for, is written with the next of a beginning, or in a moment: a write costs
/// much more than a record in it.
///
/// Bodies are put aside on another thread, before their record's turn: nobody else waits for what takes so long.
final class RequestJournal: Sendable {
    private struct Waiting: Sendable {
        var entry: RequestEntry
        let written: EventLoopPromise<Void>?
        /// Why its bodies could not be put aside.
        var failure: SystemError?
    }

    private struct State {
        var waiting: [Waiting] = []
        /// Records of which bodies are being put aside, by their request, whose later records come after them.
        var keeping: [String: Int] = [:]
        /// How many records there are of both, and how many of them are beginnings of a tenant's requests.
        var count = 0
        var shares: [String: Int] = [:]
        /// Whether what waits is to be written now.
        var isDue = false
        var isWriting = false
        /// Whether a moment is running after which what waits is due.
        var isTimed = false
        var failure: SystemError?
        var isClosed = false

        mutating func add(_ record: Waiting) {
            waiting.append(record)
            if record.entry.phase == .request || waiting.count >= RequestJournal.many { isDue = true }
        }

        mutating func takeAll() -> [Waiting] {
            defer { (waiting, isDue) = ([], false) }
            count -= waiting.count
            for record in waiting where record.entry.phase == .request {
                shares[record.entry.tenant] = shares[record.entry.tenant].flatMap { $0 > 1 ? $0 - 1 : nil }
            }
            return waiting
        }
    }

    /// Records that wait at most; above it new ones are refused, and with them their requests.
    private static let most = 65536
    /// Beginnings of one tenant's requests that wait at most: whoever asks faster than the disk is does not keep others out.
    private static let share = 8192
    /// Ends of requests that are written without waiting for the moment.
    private static let many = 256
    private static let moment = TimeAmount.milliseconds(20)

    private let log: RequestLog
    private let secrets: @Sendable () -> [[UInt8]]
    private let state = NIOLockedValueBox(State())
    private let thread = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let keeper = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    init(_ log: RequestLog, secrets: @escaping @Sendable () -> [[UInt8]]) {
        self.log = log
        self.secrets = secrets
    }

    /// Why the last write failed; `nil` while the log can be written.
    var failure: SystemError? { state.withLockedValue { $0.failure } }

    /// Writes a record; the promise succeeds when it stands in the log.
    func append(_ entry: RequestEntry, _ written: EventLoopPromise<Void>? = nil) {
        let record = Waiting(entry: entry, written: written)
        let isKept: Bool? = state.withLockedValue { state in
            if state.isClosed || state.count >= Self.most { return nil }
            if entry.phase == .request {
                if state.shares[entry.tenant, default: 0] >= Self.share { return nil }
                state.shares[entry.tenant, default: 0] += 1
            }
            state.count += 1
            let isKept = entry.hasBodies || state.keeping[entry.id] != nil
            if isKept { state.keeping[entry.id, default: 0] += 1 } else { state.add(record) }
            return isKept
        }
        switch isKept {
        case true?: keeper.next().execute { self.keepBodies(of: record) }
        case false?: look()
        case nil: written?.fail(SystemError("write", log.path, errno: Self.isFull))
        }
    }

    private func keepBodies(of record: Waiting) {
        var record = record
        do throws(SystemError) {
            if record.entry.hasBodies { try log.keepBodies(of: &record.entry, secrets: secrets()) }
        } catch {
            record.failure = error
        }
        state.withLockedValue { [record] state in
            let id = record.entry.id
            state.keeping[id] = state.keeping[id].flatMap { $0 > 1 ? $0 - 1 : nil }
            state.add(record)
        }
        look()
    }

    /// Why a record is not taken whose tenant has too many that wait: nothing is wrong with the log.
    static let isFull = Errno.noBufferSpace

    /// Has what is due written, and what is not yet in a moment.
    private func look() {
        let writes = state.withLockedValue { state in
            if state.isWriting || state.waiting.isEmpty { return false }
            state.isWriting = state.isDue
            // Within the lock: a journal that is closed meanwhile has no thread any more.
            if !state.isDue, !state.isTimed, !state.isClosed {
                state.isTimed = true
                thread.next().scheduleTask(in: Self.moment) { self.momentIsOver() }
            }
            return state.isDue
        }
        if writes { thread.next().execute { self.write() } }
    }

    private func momentIsOver() {
        state.withLockedValue { (state) in (state.isTimed, state.isDue) = (false, true) }
        look()
    }

    private func write() {
        let all = state.withLockedValue { $0.takeAll() }
        var lost: SystemError?
        for waiting in all {
            guard let failure = waiting.failure else { continue }
            lost = failure
            waiting.written?.fail(failure)
        }
        let batch = all.filter { $0.failure == nil }
        do throws(SystemError) {
            try log.append(batch.map(\.entry))
            for waiting in batch { waiting.written?.succeed() }
            state.withLockedValue { [lost] (state) in (state.failure, state.isWriting) = (lost, false) }
        } catch {
            for waiting in batch { waiting.written?.fail(error) }
            state.withLockedValue { (state) in (state.failure, state.isWriting) = (error, false) }
        }
        look()
    }

    /// Writes what waits and takes no more.
    func close() {
        state.withLockedValue {
            $0.isClosed = true
            $0.isDue = true
        }
        look()
        while state.withLockedValue({ $0.isWriting || $0.count > 0 }) { _ = try? poll([], timeout: 1) }
        try? keeper.syncShutdownGracefully()
        try? thread.syncShutdownGracefully()
    }
}
