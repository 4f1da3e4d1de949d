import NIOConcurrencyHelpers

/// The connections that all sessions have open, to their clients and to upstreams: descriptors are the whole gateway's.
///
/// A tenant opens another one as long as it has fewer than are free. So one alone comes to half of them, and whatever it holds,
/// whoever comes next finds room.
final class ConnectionShares: Sendable {
    private struct Open {
        var all = 0
        var tenants: [String: Int] = [:]
    }

    private let most: Int
    private let open = NIOLockedValueBox(Open())

    /// - Parameter most: how many there can be.
    init(most: Int) { self.most = most }

    /// Takes one; `false` where the tenant has its share.
    func take(_ tenant: String) -> Bool {
        open.withLockedValue { open in
            let own = open.tenants[tenant, default: 0]
            guard own < most - open.all else { return false }
            open.all += 1
            open.tenants[tenant] = own + 1
            return true
        }
    }

    /// Gives one back.
    func give(_ tenant: String) {
        open.withLockedValue { open in
            open.all -= 1
            open.tenants[tenant] = open.tenants[tenant].flatMap { $0 > 1 ? $0 - 1 : nil }
        }
    }
}
