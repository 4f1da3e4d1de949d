import NIOConcurrencyHelpers
import NIOCore

/// Lets a few things of each key be under way at once; further ones wait behind those of the same key.
final class Turns: Sendable {
    private struct Queue {
        var running = 0
        var waiting: [@Sendable () -> Void] = []
    }

    private let most: Int
    private let queues = NIOLockedValueBox<[String: Queue]>([:])

    init(atOnce most: Int) { self.most = most }

    /// Does something when it is its turn.
    func take<Value: Sendable>(
        _ key: String, on loop: any EventLoop, _ body: @escaping @Sendable () -> EventLoopFuture<Value>
    ) -> EventLoopFuture<Value> {
        let promise = loop.makePromise(of: Value.self)
        let start: @Sendable () -> Void = {
            body().whenComplete { result in
                promise.completeWith(result)
                self.end(key)
            }
        }
        let isNow = queues.withLockedValue { queues in
            var queue = queues[key] ?? Queue()
            let isNow = queue.running < most
            if isNow { queue.running += 1 } else { queue.waiting.append(start) }
            queues[key] = queue
            return isNow
        }
        if isNow { start() }
        return promise.futureResult
    }

    private func end(_ key: String) {
        let next = queues.withLockedValue { queues -> (@Sendable () -> Void)? in
            guard var queue = queues[key] else { return nil }
            let next = queue.waiting.isEmpty ? nil : queue.waiting.removeFirst()
            if next == nil { queue.running -= 1 }
            queues[key] = queue.running == 0 ? nil : queue
            return next
        }
        next?()
    }
}
