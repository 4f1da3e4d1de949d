import Glibc
import Syscalls
import SystemPackage

/// A connection to the gateway's control socket, for one thread that waits (poll(2), epoll(7)).
public struct GatewayConnection: Sendable {
    /// The socket.
    public let descriptor: FileDescriptor
    private var pending: [UInt8] = []
    /// The longest line that is read.
    private static let longest = 1 << 20

    /// Connects to the control socket at `path`.
    ///
    /// - Throws: the call that failed: `ENOENT` or `ECONNREFUSED` where no gateway is there; `EPERM` where the one that
    ///   listens is neither the caller's nor root's (`SO_PEERCRED`, unix(7)).
    public init(to path: String) throws(SystemError) {
        descriptor = try connectLocal(to: path)
        do throws(SystemError) {
            let peer = try peerCredentials(of: descriptor)
            guard peer.uid == 0 || peer.uid == geteuid() else {
                throw SystemError("verify peer", path, errno: .notPermitted)
            }
        } catch {
            Syscalls.close(descriptor)
            throw error
        }
    }

    /// Goes on with a connection that is open already.
    public init(descriptor: FileDescriptor) { self.descriptor = descriptor }

    /// Closes the connection, and with it the session's egress.
    public func close() { Syscalls.close(descriptor) }

    /// Sends a request, and with its first byte the descriptors that it names.
    public func send(_ request: ControlRequest, descriptors: [FileDescriptor] = []) throws(SystemError) {
        let line = request.line
        guard !descriptors.isEmpty else { return try writeAll(line, to: descriptor, named: "gateway") }
        try Syscalls.send([line[0]], descriptors: descriptors, over: descriptor)
        try writeAll(line.dropFirst(), to: descriptor, named: "gateway")
    }

    /// Waits for the next event.
    ///
    /// - Parameter timeout: milliseconds; `ETIMEDOUT` is thrown when they are over.
    /// - Returns: `nil` where the gateway has closed the connection.
    public mutating func next(timeout: Int) throws -> ControlEvent? {
        let end = monotonicNanoseconds() + UInt64(timeout) * 1_000_000
        while true {
            if let event = try takeEvent() { return event }
            let now = monotonicNanoseconds()
            guard now < end,
                try poll([(descriptor, .readable)], timeout: Int((end - now) / 1_000_000) + 1)[0] != []
            else { throw SystemError("read", "gateway", errno: .timedOut) }
            if try !fill() { return nil }
        }
    }

    /// What has arrived, without waiting.
    ///
    /// - Returns: the events, and whether the gateway is still there.
    public mutating func events() throws -> (events: [ControlEvent], isOpen: Bool) {
        var events: [ControlEvent] = []
        var isOpen = true
        while isOpen, try poll([(descriptor, .readable)], timeout: 0)[0] != [] { isOpen = try fill() }
        while let event = try takeEvent() { events.append(event) }
        return (events, isOpen)
    }

    private mutating func fill() throws(SystemError) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        let count: Int
        do throws(SystemError) {
            count = try retrying("read", "gateway") { read(descriptor.rawValue, &buffer, buffer.count) }
        } catch {
            if error.errno == .connectionReset { return false }
            throw error
        }
        pending += buffer[..<count]
        if pending.count > Self.longest { throw SystemError("read", "gateway", errno: .messageTooLong) }
        return count > 0
    }

    private mutating func takeEvent() throws(ControlProtocolError) -> ControlEvent? {
        guard let end = pending.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        let line = Array(pending[..<end])
        pending.removeFirst(end + 1)
        return try ControlEvent(line: line)
    }
}
