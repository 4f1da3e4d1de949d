import EgressPolicy

/// One question to a resolver (RFC 1035, section 4), read strictly, and the answers that the gateway gives.
struct DNSQuestion: Equatable {
    let identifier: UInt16
    let recursionDesired: Bool
    /// The name in text, `nil` where its labels are no host name.
    let name: HostName?
    let type: UInt16
    /// The question as it came, to be repeated in the answer.
    let section: [UInt8]

    enum Kind {
        static let a: UInt16 = 1
        static let aaaa: UInt16 = 28
    }

    enum Reading {
        /// Nothing to answer to: not a query.
        case none
        /// A query of a form that is not served; the answer to give.
        case refused([UInt8])
        case question(DNSQuestion)
    }

    static func read(_ message: [UInt8]) -> Reading {
        var cursor = Cursor(message)
        guard let identifier = cursor.uint16(), let flags = cursor.uint16(), let questions = cursor.uint16(),
            cursor.skip(6), flags & 0x8000 == 0
        else { return .none }
        let id = UInt16(identifier)
        guard flags & 0x7800 == 0, questions == 1 else { return .refused(header(id, flags: 0x8084)) }
        var labels: [String] = []
        var length = 0
        while true {
            guard let size = cursor.byte(), size < 64 else { return .refused(header(id, flags: 0x8081)) }
            if size == 0 { break }
            length += Int(size) + 1
            guard length < 255, let label = cursor.part(Int(size)) else { return .refused(header(id, flags: 0x8081)) }
            // A dot inside a label would read as two.
            labels.append(label.bytes.contains(0x2E) ? "\u{0}" : String(decoding: label.bytes, as: UTF8.self))
        }
        guard let type = cursor.uint16(), let zone = cursor.uint16() else { return .refused(header(id, flags: 0x8081)) }
        let end = message.count - cursor.count
        let name = zone == 1 ? try? HostName(labels.joined(separator: ".")) : nil
        return .question(
            DNSQuestion(
                identifier: id, recursionDesired: flags & 0x100 != 0, name: name, type: UInt16(type),
                section: Array(message[12..<end])))
    }

    /// What is answered: an address; that there is none of this type; that there is no such name; not now.
    enum Answer: Equatable {
        case address([UInt8])
        case empty
        case noSuchName
        case failure
    }

    /// Seconds for which an answer may be kept. Synthetic addresses stay the same for as long as the session lives.
    static let timeToLive: UInt32 = 60

    func response(_ answer: Answer) -> [UInt8] {
        let code =
            switch answer {
            case .address, .empty: 0
            case .noSuchName: 3
            case .failure: 2
            }
        var answers = 0
        var record: [UInt8] = []
        if case .address(let bytes) = answer {
            answers = 1
            // The name of the question, type, class IN, time to live, data.
            record = [0xC0, 12, UInt8(type >> 8), UInt8(type & 0xFF), 0, 1]
            record += (0..<4).map { UInt8(truncatingIfNeeded: Self.timeToLive >> (24 - 8 * $0)) }
            record += [0, UInt8(bytes.count)] + bytes
        }
        // A response, authoritative, recursion available.
        let flags = 0x8480 | (recursionDesired ? 0x100 : 0) | code
        return Self.header(identifier, flags: flags, questions: 1, answers: answers) + section + record
    }

    private static func header(_ identifier: UInt16, flags: Int, questions: Int = 0, answers: Int = 0) -> [UInt8] {
        [
            UInt8(identifier >> 8), UInt8(identifier & 0xFF), UInt8(flags >> 8), UInt8(flags & 0xFF), 0,
            UInt8(questions), 0, UInt8(answers), 0, 0, 0, 0,
        ]
    }
}
