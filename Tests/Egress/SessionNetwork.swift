import Foundation
import Glibc
import Syscalls
import SystemPackage

/// A network namespace as a session has one, held by a thread: every address is local, nothing leads out.
final class SessionNetwork: @unchecked Sendable {
    private let condition = NSCondition()
    private var work: [() -> Void] = []
    private var isOver = false
    private var failure: (any Error)?
    private var isReady = false

    init() throws {
        let thread = Thread { [self] in serve() }
        thread.start()
        condition.lock()
        while !isReady { condition.wait() }
        condition.unlock()
        if let failure { throw failure }
    }

    func end() {
        condition.lock()
        isOver = true
        condition.broadcast()
        condition.unlock()
    }

    private func serve() {
        do {
            // The namespace is this thread's alone (unshare(2)).
            try unshareNamespaces([.network])
            try bringLoopbackUp()
            try makeEveryAddressLocal()
        } catch {
            failure = error
        }
        condition.lock()
        isReady = true
        condition.broadcast()
        while true {
            while work.isEmpty, !isOver { condition.wait() }
            if isOver { break }
            let next = work.removeFirst()
            condition.unlock()
            next()
            condition.lock()
        }
        condition.unlock()
    }

    /// Runs `body` in the namespace.
    func run<Result>(_ body: @escaping () throws -> Result) throws -> Result {
        var result: Swift.Result<Result, any Error>?
        let done = DispatchSemaphore(value: 0)
        condition.lock()
        work.append {
            result = Swift.Result { try body() }
            done.signal()
        }
        condition.broadcast()
        condition.unlock()
        done.wait()
        return try result!.get()
    }

    /// A connection to an address and a port, as a program in the session makes one.
    func connect(_ address: String, _ port: UInt16) throws -> Int32 {
        try run {
            let made = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            var target = sockaddr_in()
            target.sin_family = sa_family_t(AF_INET)
            target.sin_port = port.bigEndian
            inet_pton(AF_INET, address, &target.sin_addr)
            let status = withUnsafePointer(to: &target) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(made, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            if status != 0 {
                let error = SystemError.last("connect", "\(address):\(port)")
                Glibc.close(made)
                throw error
            }
            return made
        }
    }

    /// Sends a query to the session's DNS and gives the answer.
    func ask(_ message: [UInt8], at address: String = "127.0.0.1") throws -> [UInt8] {
        try run {
            let made = socket(AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            defer { Glibc.close(made) }
            var target = sockaddr_in()
            target.sin_family = sa_family_t(AF_INET)
            target.sin_port = UInt16(53).bigEndian
            inet_pton(AF_INET, address, &target.sin_addr)
            let status = withUnsafePointer(to: &target) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(made, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            if status != 0 { throw SystemError.last("connect", address) }
            Glibc.send(made, message, message.count, 0)
            guard try poll([(FileDescriptor(rawValue: made), .readable)], timeout: 3000)[0] != [] else { return [] }
            var buffer = [UInt8](repeating: 0, count: 2048)
            let count = recv(made, &buffer, buffer.count, 0)
            return Array(buffer.prefix(max(0, count)))
        }
    }
}

/// A query for one name.
func query(_ name: String, type: UInt16 = 1, id: UInt16 = 7) -> [UInt8] {
    var message: [UInt8] = [UInt8(id >> 8), UInt8(id & 255), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    for label in name.split(separator: ".") { message += [UInt8(label.utf8.count)] + Array(label.utf8) }
    return message + [0, UInt8(type >> 8), UInt8(type & 255), 0, 1]
}

/// The code of an answer, and the address in it.
func answer(_ message: [UInt8]) -> (code: Int, address: String?) {
    guard message.count >= 12 else { return (-1, nil) }
    let code = Int(message[3] & 15)
    guard message[7] == 1, message.count > 16 else { return (code, nil) }
    return (code, message.suffix(4).map(String.init).joined(separator: "."))
}
