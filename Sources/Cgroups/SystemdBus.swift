import Glibc
import Syscalls
import SystemPackage

/// A value of a D-Bus message, of the types that systemd's units are described with (D-Bus Specification, "Type System").
enum BusValue: Equatable {
    case boolean(Bool)
    case number(UInt64)
    case text(String)
    case numbers([UInt32])
    case bytes([UInt8])

    /// Its type as D-Bus writes it.
    var signature: String {
        switch self {
        case .boolean: "b"
        case .number: "t"
        case .text: "s"
        case .numbers: "au"
        case .bytes: "ay"
        }
    }
}

/// The bytes of a message, little-endian, each value at a multiple of its size.
struct BusWriter {
    private(set) var bytes: [UInt8] = []

    mutating func align(_ size: Int) {
        while bytes.count % size != 0 { bytes.append(0) }
    }

    mutating func put(_ number: some FixedWidthInteger) {
        align(number.bitWidth / 8)
        withUnsafeBytes(of: number.littleEndian) { bytes += $0 }
    }

    mutating func put(_ text: String) {
        put(UInt32(text.utf8.count))
        bytes += text.utf8
        bytes.append(0)
    }

    mutating func put(signature: String) {
        bytes.append(UInt8(signature.utf8.count))
        bytes += signature.utf8
        bytes.append(0)
    }

    mutating func put(variant value: BusValue) {
        put(signature: value.signature)
        switch value {
        case .boolean(let value): put(UInt32(value ? 1 : 0))
        case .number(let value): put(value)
        case .text(let value): put(value)
        case .numbers(let values): array(of: 4) { writer in for value in values { writer.put(value) } }
        case .bytes(let values): array(of: 1) { $0.bytes += values }
        }
    }

    /// An array of `a(sv)`, as systemd takes properties.
    mutating func put(properties: [(String, BusValue)]) {
        array(of: 8) { writer in
            for (name, value) in properties {
                writer.align(8)
                writer.put(name)
                writer.put(variant: value)
            }
        }
    }

    /// An array whose members are at multiples of `size`.
    mutating func array(of size: Int, _ members: (inout BusWriter) -> Void) {
        put(UInt32(0))
        let place = bytes.count - 4
        align(size)
        let start = bytes.count
        members(&self)
        let length = UInt32(bytes.count - start)
        withUnsafeBytes(of: length.littleEndian) { bytes.replaceSubrange(place..<place + 4, with: $0) }
    }
}

/// What is read of a message: `nil` where it ends too early.
struct BusReader {
    private let bytes: [UInt8]
    private(set) var place = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { place >= bytes.count }

    mutating func align(_ size: Int) { place = (place + size - 1) / size * size }

    mutating func byte() -> UInt8? {
        guard place < bytes.count else { return nil }
        place += 1
        return bytes[place - 1]
    }

    mutating func number() -> UInt32? {
        align(4)
        guard place + 4 <= bytes.count else { return nil }
        defer { place += 4 }
        return bytes.withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: place, as: UInt32.self)) }
    }

    mutating func text() -> String? { number().flatMap { text(length: Int($0)) } }

    mutating func signature() -> String? { byte().flatMap { text(length: Int($0)) } }

    private mutating func text(length: Int) -> String? {
        guard place + length + 1 <= bytes.count else { return nil }
        defer { place += length + 1 }
        return String(decoding: bytes[place..<place + length], as: UTF8.self)
    }
}

/// A message that has arrived.
struct BusMessage {
    enum Kind: UInt8 { case call = 1, answer, error, signal }

    let kind: Kind?
    /// Of an answer: the number of the call.
    let answers: UInt32
    let member: String
    let errorName: String
    let body: [UInt8]

    /// - Parameters:
    ///   - fixed: the first 16 bytes.
    ///   - fields: the header's fields.
    init(fixed: [UInt8], fields: [UInt8], body: [UInt8]) {
        kind = Kind(rawValue: fixed[1])
        self.body = body
        var answers: UInt32 = 0
        var (member, errorName) = ("", "")
        var reader = BusReader(fields)
        while !reader.isAtEnd {
            reader.align(8)
            guard let code = reader.byte(), let signature = reader.signature() else { break }
            switch signature {
            case "u":
                guard let value = reader.number() else { break }
                if code == 5 { answers = value }
            case "s", "o":
                guard let value = reader.text() else { break }
                if code == 3 { member = value }
                if code == 4 { errorName = value }
            case "g": _ = reader.signature()
            default: reader.align(8)
            }
        }
        (self.answers, self.member, self.errorName) = (answers, member, errorName)
    }
}

/// A connection to a service manager by its own socket (`/run/systemd/private`), which is D-Bus without a bus between: a
/// static program cannot load libsystemd, and two calls are all that a scope takes.
struct SystemdConnection {
    private let socket: FileDescriptor
    private var serial: UInt32 = 0

    /// Connects and says who it is (D-Bus Specification, "Authentication Protocol", EXTERNAL).
    init(_ path: String) throws(CgroupError) {
        do throws(SystemError) {
            socket = try connectLocal(to: path)
        } catch {
            throw .controlAbsent(
                control: "systemd", reason: "no systemd answers at \(path) (\(error))",
                fix: "use the cgroup manager cgroupfs where systemd is not the first process")
        }
        do throws(CgroupError) {
            var patience = timeval(tv_sec: 25, tv_usec: 0)
            _ = try kernel { () throws(SystemError) in
                try checking("setsockopt", path) {
                    setsockopt(
                        socket.rawValue, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
                }
            }
            let digits = String(geteuid()).utf8.map { "3" + String($0 - 0x30) }.joined()
            try write(Array("\0AUTH EXTERNAL \(digits)\r\n".utf8))
            var line: [UInt8] = []
            while line.last != UInt8(ascii: "\n"), line.count < 512 { line += try read(1) }
            guard line.starts(with: "OK ".utf8) else {
                throw Self.refused("authentication", String(decoding: line, as: UTF8.self))
            }
            try write(Array("BEGIN\r\n".utf8))
        } catch {
            Syscalls.close(socket)
            throw error
        }
    }

    func close() { Syscalls.close(socket) }

    /// Calls a method of the manager that starts a job, and waits until that is done.
    mutating func runJob(_ method: String, _ signature: String, _ body: BusWriter) throws(CgroupError) {
        let answer = try call(method, signature, body)
        var reader = BusReader(answer.body)
        guard let job = reader.text() else { throw Self.refused(method, "an answer without a job") }
        while true {
            let message = try receive()
            guard message.kind == .signal, message.member == "JobRemoved" else { continue }
            // The number of the job, its path, its unit and how it went.
            var reader = BusReader(message.body)
            guard reader.number() != nil, let path = reader.text(), path == job, let unit = reader.text(),
                let result = reader.text()
            else { continue }
            if result != "done" { throw Self.refused(method, "the job of \(unit) ended as \(result)") }
            return
        }
    }

    /// Calls a method of the manager, and gives its answer.
    @discardableResult
    mutating func call(
        _ method: String, _ signature: String, _ body: BusWriter
    ) throws(CgroupError) -> BusMessage {
        serial += 1
        var message = BusWriter()
        for byte: UInt8 in [UInt8(ascii: "l"), BusMessage.Kind.call.rawValue, 0, 1] { message.put(byte) }
        message.put(UInt32(body.bytes.count))
        message.put(serial)
        message.array(of: 8) { writer in
            func field(_ code: UInt8, _ type: String, _ value: String) {
                writer.align(8)
                writer.put(code)
                writer.put(signature: type)
                if type == "g" { writer.put(signature: value) } else { writer.put(value) }
            }
            field(1, "o", "/org/freedesktop/systemd1")
            field(2, "s", "org.freedesktop.systemd1.Manager")
            field(3, "s", method)
            field(6, "s", "org.freedesktop.systemd1")
            field(8, "g", signature)
        }
        message.align(8)
        try write(message.bytes + body.bytes)
        while true {
            let answer = try receive()
            guard answer.answers == serial else { continue }
            if answer.kind == .answer { return answer }
            var reader = BusReader(answer.body)
            throw Self.refused(method, "\(answer.errorName): \(reader.text() ?? "")")
        }
    }

    private func receive() throws(CgroupError) -> BusMessage {
        let fixed = try read(16)
        guard fixed[0] == UInt8(ascii: "l"), fixed[3] == 1 else {
            throw Self.refused("message", "it is not of D-Bus 1, little-endian")
        }
        var reader = BusReader(fixed)
        _ = reader.number()
        let bodyLength = Int(reader.number() ?? 0)
        _ = reader.number()
        let fieldsLength = Int(reader.number() ?? 0)
        // The specification's own bounds are 64 MiB and 128 MiB; the manager's answers here are short.
        guard bodyLength <= 1 << 20, fieldsLength <= 1 << 16 else { throw Self.refused("message", "too long") }
        let fields = try read((fieldsLength + 7) / 8 * 8)
        return BusMessage(fixed: fixed, fields: Array(fields.prefix(fieldsLength)), body: try read(bodyLength))
    }

    private func write(_ bytes: [UInt8]) throws(CgroupError) {
        try kernel { () throws(SystemError) in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = try retrying("send", "systemd") {
                    rest.withUnsafeBytes { send(socket.rawValue, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                }
                rest = rest.dropFirst(count)
            }
        }
    }

    private func read(_ count: Int) throws(CgroupError) -> [UInt8] {
        try kernel { () throws(SystemError) in
            var bytes = [UInt8](repeating: 0, count: count)
            var done = 0
            while done < count {
                let got = try retrying("recv", "systemd") {
                    bytes.withUnsafeMutableBytes { recv(socket.rawValue, $0.baseAddress! + done, count - done, 0) }
                }
                if got == 0 { throw SystemError("recv", "systemd", errno: .connectionReset) }
                done += got
            }
            return bytes
        }
    }

    private static func refused(_ what: String, _ reason: String) -> CgroupError {
        .controlAbsent(
            control: "systemd", reason: "\(what): \(reason)",
            fix: "see systemctl status, or use the cgroup manager cgroupfs")
    }
}
