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
final class RequestJournal: Sendable {
    private struct Waiting: Sendable {
        let entry: RequestEntry
        let written: EventLoopPromise<Void>?
    }

    private struct State {
        var waiting: [Waiting] = []
        /// How many of them are beginnings of a tenant's requests.
        var shares: [String: Int] = [:]
        /// Whether what waits is to be written now.
        var isDue = false
        var isWriting = false
        /// Whether a moment is running after which what waits is due.
        var isTimed = false
        var failure: SystemError?
        var isClosed = false
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

    init(_ log: RequestLog, secrets: @escaping @Sendable () -> [[UInt8]]) {
        self.log = log
        self.secrets = secrets
    }

    /// Why the last write failed; `nil` while the log can be written.
    var failure: SystemError? { state.withLockedValue { $0.failure } }

    /// Writes a record; the promise succeeds when it stands in the log.
    func append(_ entry: RequestEntry, _ written: EventLoopPromise<Void>? = nil) {
        let isTaken = state.withLockedValue { state in
            if state.isClosed || state.waiting.count >= Self.most { return false }
            if entry.phase == .request {
                if state.shares[entry.tenant, default: 0] >= Self.share { return false }
                state.shares[entry.tenant, default: 0] += 1
            }
            state.waiting.append(Waiting(entry: entry, written: written))
            if entry.phase == .request || state.waiting.count >= Self.many { state.isDue = true }
            return true
        }
        if isTaken { look() } else { written?.fail(SystemError("write", log.path, errno: Self.isFull)) }
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
        let batch = state.withLockedValue { state in
            defer { (state.waiting, state.shares, state.isDue) = ([], [:], false) }
            return state.waiting
        }
        do throws(SystemError) {
            try log.append(batch.map(\.entry), secrets: secrets())
            for waiting in batch { waiting.written?.succeed() }
            state.withLockedValue { (state) in (state.failure, state.isWriting) = (nil, false) }
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
        while state.withLockedValue({ $0.isWriting || !$0.waiting.isEmpty }) { _ = try? poll([], timeout: 1) }
        try? thread.syncShutdownGracefully()
    }
}
