import EgressPolicy
import Glibc
import NIOCore
import NIOPosix

/// Why a name leads nowhere.
enum ResolveError: Error, Equatable {
    /// The host's resolver has no address.
    case unknown(String)
    /// One of the addresses may not be dialled; then none is.
    case refused(String)
    /// The session has too much of this under way.
    case busy(String)

    var refusal: Refusal {
        switch self {
        case .unknown(let why): Refusal(502, why)
        case .refused(let why): Refusal(403, why)
        case .busy(let why): Refusal(503, why)
        }
    }
}

/// Asks the host's resolver for allowed names, and looks at every address before any is dialled.
struct Resolver: Sendable {
    /// Where a name leads whatever the resolver says (gateway.yaml, `resolve`): addresses that are not looked at.
    let overrides: [HostName: SocketAddress]
    /// The host's resolver, on a thread of its own: getaddrinfo(3) waits.
    let lookUp: @Sendable (HostName, EventLoop) -> EventLoopFuture<[IPAddress]>
    /// A name whose servers do not answer has a thread for many seconds: no tenant has more than a few of them.
    private let turns = Turns(atOnce: 4)
    private static let threads: NIOThreadPool = {
        let threads = NIOThreadPool(numberOfThreads: 32)
        threads.start()
        return threads
    }()

    init(
        overrides: [HostName: SocketAddress],
        lookUp: (@Sendable (HostName, EventLoop) -> EventLoopFuture<[IPAddress]>)? = nil
    ) {
        self.overrides = overrides
        self.lookUp =
            lookUp ?? { name, loop in
                Self.threads.runIfActive(eventLoop: loop) { try Self.addresses(of: name) }
            }
    }

    /// The addresses of a name, each of them checked.
    ///
    /// - Parameter tenant: for whom; one tenant's names wait for each other, not for another's.
    func resolve(
        _ name: HostName, port: UInt16, on loop: EventLoop, for tenant: String
    ) -> EventLoopFuture<[SocketAddress]> {
        if let fixed = overrides[name] { return loop.makeSucceededFuture([fixed]) }
        let lookUp = lookUp
        return turns.take(tenant, on: loop) { lookUp(name, loop) }.flatMapThrowing { found in
            if found.isEmpty { throw ResolveError.unknown("\(name) has no address") }
            for address in found {
                if case .refused(let what) = checkAddress(address) {
                    throw ResolveError.refused("\(name) leads to \(address), \(what)")
                }
            }
            return try found.map {
                var bytes = ByteBufferAllocator().buffer(capacity: 16)
                bytes.writeBytes($0.bytes)
                return try SocketAddress(packedIPAddress: bytes, port: Int(port))
            }
        }
    }

    private static func addresses(of name: HostName) throws -> [IPAddress] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        // The dot at the end: no search domain of the host's is put behind the name.
        let failure = getaddrinfo(name.text + ".", nil, &hints, &list)
        defer { if list != nil { freeaddrinfo(list) } }
        guard failure == 0 else {
            throw ResolveError.unknown("\(name): \(String(cString: gai_strerror(failure)))")
        }
        var found: [IPAddress] = []
        var next = list
        while let entry = next?.pointee {
            if let address = entry.ai_addr, let made = IPAddress(address), !found.contains(made) { found.append(made) }
            next = entry.ai_next
        }
        return found
    }
}

extension IPAddress {
    init?(_ address: UnsafeMutablePointer<sockaddr>) {
        switch Int32(address.pointee.sa_family) {
        case AF_INET:
            self = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                .v4(UInt32(bigEndian: $0.pointee.sin_addr.s_addr))
            }
        case AF_INET6:
            self = address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
                withUnsafeBytes(of: $0.pointee.sin6_addr) { bytes in
                    .v6(
                        UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
                        UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
                }
            }
        default: return nil
        }
    }
}
