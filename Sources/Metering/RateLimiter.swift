import EgressPolicy
import Synchronization

/// A token bucket for each session, tenant, or whatever a key stands for. Time is handed in: a monotonic clock's
/// nanoseconds.
public final class RateLimiter: Sendable {
    /// How far a bucket is emptied: the instant at which it is full again (the generic cell rate algorithm).
    private let fullAt = Mutex<[String: UInt64]>([:])

    /// A limiter whose buckets are all full.
    public init() {}

    /// Takes a request out of the bucket of `key`.
    ///
    /// - Returns: `nil` if there was one, else after how many nanoseconds there will be.
    public func take(_ key: String, _ rate: EgressRate, now: UInt64) -> UInt64? {
        let interval = UInt64(clamping: rate.interval)
        let step = interval / UInt64(clamping: max(rate.requests, 1))
        return fullAt.withLock { fullAt in
            let full = max(fullAt[key] ?? now, now) + step
            // A bucket that was never used since it was full needs no place.
            let latest = now + interval
            if full > latest { return full - latest }
            fullAt[key] = full
            return nil
        }
    }

    /// Forgets a key, whose bucket is full again.
    public func forget(_ key: String) { fullAt.withLock { $0[key] = nil } }
}
