import CSyscalls
import Glibc
import SystemPackage

/// A connection to the routes, links and addresses of the network namespace that the caller was in when it was made
/// (rtnetlink(7)).
public struct RouteNetlink: ~Copyable {
    private let socket: FileDescriptor

    /// Opens one.
    public init() throws(SystemError) {
        socket = FileDescriptor(
            rawValue: try checking("socket", "netlink") {
                Glibc.socket(Int32(AF_NETLINK), Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), 0)  // NETLINK_ROUTE
            })
    }

    deinit { close(socket) }

    /// The bytes of a request or an answer: numbers in host order, attributes at multiples of four.
    struct Payload {
        private(set) var bytes: [UInt8] = []

        mutating func put(_ number: some FixedWidthInteger) { withUnsafeBytes(of: number) { bytes += $0 } }

        /// `struct rtattr` and its value.
        mutating func put(attribute type: UInt16, _ value: [UInt8]) {
            put(UInt16(4 + value.count))
            put(type)
            bytes += value
            while bytes.count % 4 != 0 { bytes.append(0) }
        }

        mutating func put(attribute type: UInt16, _ value: some FixedWidthInteger) {
            put(attribute: type, withUnsafeBytes(of: value) { Array($0) })
        }
    }

    /// Sends one request, and waits until it is done.
    ///
    /// - Parameters:
    ///   - type: `RTM_*`.
    ///   - flags: beside `NLM_F_REQUEST` and `NLM_F_ACK`.
    ///   - name: what it is about, for the error.
    func request(_ type: UInt16, flags: UInt16 = 0, _ payload: Payload, named name: String) throws(SystemError) {
        try send(type, flags | 0x1 | 0x4, payload, name)
        let answer = try receive(name)
        // NLMSG_ERROR: a header of 16 bytes, then a negative errno, 0 for done.
        guard answer.count >= 20 else { throw SystemError("recv netlink", name, errno: .badMessage) }
        let code = answer.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 16, as: Int32.self) }
        if code != 0 { throw SystemError("rtnetlink", name, errno: Errno(rawValue: -code)) }
    }

    /// Asks for all objects of a kind (`NLM_F_DUMP`), and gives the bytes of each behind its header.
    func all(_ type: UInt16, _ payload: Payload, named name: String) throws(SystemError) -> [[UInt8]] {
        try send(type, 0x1 | 0x300, payload, name)
        var found: [[UInt8]] = []
        while true {
            let bytes = try receive(name)
            var start = 0
            while start + 16 <= bytes.count {
                let (length, kind) = bytes.withUnsafeBytes {
                    (
                        Int($0.loadUnaligned(fromByteOffset: start, as: UInt32.self)),
                        $0.loadUnaligned(fromByteOffset: start + 4, as: UInt16.self)
                    )
                }
                guard length >= 16, start + length <= bytes.count else { break }
                // NLMSG_DONE, NLMSG_ERROR
                if kind == 3 { return found }
                if kind == 2 { throw SystemError("rtnetlink", name, errno: .notSupported) }
                found.append(Array(bytes[start + 16..<start + length]))
                start += (length + 3) / 4 * 4
            }
            if bytes.isEmpty { return found }
        }
    }

    private func send(_ type: UInt16, _ flags: UInt16, _ payload: Payload, _ name: String) throws(SystemError) {
        var message = Payload()
        message.put(UInt32(16 + payload.bytes.count))
        message.put(type)
        message.put(flags)
        message.put(UInt32(1))
        message.put(UInt32(0))
        let bytes = message.bytes + payload.bytes
        try retrying("send netlink", name) { Glibc.send(socket.rawValue, bytes, bytes.count, 0) }
    }

    private func receive(_ name: String) throws(SystemError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        let count = try retrying("recv netlink", name) { recv(socket.rawValue, &bytes, bytes.count, 0) }
        return Array(bytes.prefix(count))
    }
}
