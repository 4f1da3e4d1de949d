import Synchronization

/// So many requests in so much time: `600/min`.
public struct RequestRate: Sendable, Equatable {
    /// How many requests, also the most at once.
    public var requests: UInt64
    /// In how many nanoseconds.
    public var nanoseconds: UInt64

    /// So many requests in so much time.
    public init(requests: UInt64, nanoseconds: UInt64) {
        self.requests = requests
        self.nanoseconds = nanoseconds
    }

    /// Reads `N/s`, `N/min` or `N/h`, N from 1 to a million.
    public init?(_ text: some StringProtocol) {
        let units: [Substring: UInt64] = ["s": 1, "min": 60, "h": 3600]
        let parts = String(text).split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let seconds = units[parts[1]], let requests = UInt64(parts[0]),
            parts[0].utf8.allSatisfy({ 0x30...0x39 ~= $0 }), 1...1_000_000 ~= requests
        else { return nil }
        self.init(requests: requests, nanoseconds: seconds * 1_000_000_000)
    }
}

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
    public func take(_ key: String, _ rate: RequestRate, now: UInt64) -> UInt64? {
        let step = rate.nanoseconds / rate.requests
        return fullAt.withLock { fullAt in
            let full = max(fullAt[key] ?? now, now) + step
            // A bucket that was never used since it was full needs no place.
            let latest = now + rate.nanoseconds
            if full > latest { return full - latest }
            fullAt[key] = full
            return nil
        }
    }

    /// Forgets a key, whose bucket is full again.
    public func forget(_ key: String) { fullAt.withLock { $0[key] = nil } }
}
