import Metering
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Syscalls

/// Writes the request log on a thread of its own: what was handed in while it wrote goes out with the next write.
///
/// Nothing is sent or answered before its record stands in the log, so the event loops would wait for the disk.
final class RequestJournal: Sendable {
    private struct Waiting: Sendable {
        let entry: RequestEntry
        let written: EventLoopPromise<Void>?
    }

    private struct State {
        var waiting: [Waiting] = []
        var isWriting = false
        var failure: SystemError?
        var isClosed = false
    }

    /// Records that wait at most; above it new ones are refused, and with them their requests.
    private static let most = 65536

    private let log: RequestLog
    private let secrets: @Sendable () -> [[UInt8]]
    private let state = NIOLockedValueBox(State())
    private let thread = NIOThreadPool(numberOfThreads: 1)

    init(_ log: RequestLog, secrets: @escaping @Sendable () -> [[UInt8]]) {
        self.log = log
        self.secrets = secrets
        thread.start()
    }

    /// Why the last write failed; `nil` while the log can be written.
    var failure: SystemError? { state.withLockedValue { $0.failure } }

    /// Writes a record; the promise succeeds when it stands in the log.
    func append(_ entry: RequestEntry, _ written: EventLoopPromise<Void>? = nil) {
        let start = state.withLockedValue { state -> Bool? in
            if state.isClosed || state.waiting.count >= Self.most { return nil }
            state.waiting.append(Waiting(entry: entry, written: written))
            defer { state.isWriting = true }
            return !state.isWriting
        }
        switch start {
        case nil: written?.fail(SystemError("write", log.path, errno: .noBufferSpace))
        case true?: thread.submit { _ in self.drain() }
        case false?: break
        }
    }

    private func drain() {
        while true {
            let batch = state.withLockedValue { state -> [Waiting] in
                defer { state.waiting = [] }
                if state.waiting.isEmpty { state.isWriting = false }
                return state.waiting
            }
            if batch.isEmpty { return }
            do throws(SystemError) {
                try log.append(batch.map(\.entry), secrets: secrets())
                state.withLockedValue { $0.failure = nil }
                for waiting in batch { waiting.written?.succeed() }
            } catch {
                state.withLockedValue { $0.failure = error }
                for waiting in batch { waiting.written?.fail(error) }
            }
        }
    }

    /// Writes what waits and takes no more.
    func close() {
        state.withLockedValue { $0.isClosed = true }
        while state.withLockedValue({ $0.isWriting }) { _ = try? poll([], timeout: 1) }
        try? thread.syncShutdownGracefully()
    }
}
