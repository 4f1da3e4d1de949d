import Documents
import Glibc
import Syscalls
import SystemPackage

/// What a verification of an audit log came to.
public struct AuditVerification: Sendable, Equatable {
    /// How many whole records the log and its archives have.
    public var records: Int
    /// How many records stand in archives that are not there any more: all before the first that is.
    public var archivedElsewhere: Int64 = 0
    /// The end of the chain: worth noting down elsewhere, to be given to a later verification.
    public var head: AuditHead
    /// All that is wrong; empty for a log that holds.
    public var findings: [Finding]

    /// Something wrong with an audit log.
    public struct Finding: Sendable, Equatable, CustomStringConvertible {
        /// The kinds of what can be wrong.
        public enum Kind: String, Sendable, CaseIterable {
            /// A record's bytes are not those that were hashed, or the line is no record.
            case changed
            /// A record was changed and hashed anew: the next, or a head, knows it otherwise.
            case replaced
            /// Records are missing between two others.
            case dropped
            /// Records are missing at the end.
            case truncated
            /// A record stands behind a later one.
            case reordered
            /// A number occurs twice.
            case repeated
            /// The end of the log is an unfinished record, as a killed writer leaves it.
            case torn
            /// The head file is missing or not to be understood.
            case headless
        }

        /// What kind of thing is wrong.
        public let kind: Kind
        /// The line of the log, from 1.
        public let line: Int
        /// What is wrong, in words.
        public let message: String

        /// For example `line 12: dropped: records 11 to 14 are missing before this one`.
        public var description: String { "line \(line): \(kind.rawValue): \(message)" }
    }
}

extension AuditLog {
    /// Reads the whole log, its archives first, and finds every record that is not what and where it was when it was
    /// written. That the oldest archives were taken away is no finding, and told.
    ///
    /// - Parameter noted: a head from an earlier verification, kept where nobody who can write the log could change it.
    /// - Throws: the call that failed; a log that is not there is an error too.
    public func verify(noted: AuditHead? = nil) throws(SystemError) -> AuditVerification {
        var head: AuditHead?
        var verifier = Verifier()
        // Head and end of the log belong together only while no writer is between them.
        let torn = try whole { () throws(SystemError) in
            head = try headNow()
            verifier.marks = [head, noted == head ? nil : noted].compactMap { $0 }
        } each: { number, line throws(SystemError) in
            verifier.take(number, line)
        }
        return verifier.finish(head: head, torn: torn)
    }

    func headNow() throws(SystemError) -> AuditHead? {
        do throws(SystemError) {
            return try withOpen(path + ".head", O_RDONLY | O_NOFOLLOW | O_NONBLOCK) { head throws(SystemError) in
                try HeadFile.read(head, named: path)
            }
        } catch {
            if error.errno == .noSuchFileOrDirectory { return nil }
            throw error
        }
    }
}

/// Follows a chain line by line.
private struct Verifier {
    private var result = AuditVerification(records: 0, head: .start, findings: [])
    private var lines = 0
    /// Places in the chain that are known from elsewhere.
    var marks: [AuditHead] = []
    /// Numbers that were passed over, with the line before which they belong; they may still turn up out of order.
    private var gaps: [(numbers: ClosedRange<Int64>, line: Int)] = []

    private mutating func report(_ kind: AuditVerification.Finding.Kind, _ line: Int, _ message: String) {
        result.findings.append(.init(kind: kind, line: line, message: message))
    }

    mutating func take(_ line: Int, _ bytes: ArraySlice<UInt8>) {
        lines = line
        guard let record = AuditRecord(bytes) else {
            report(.changed, line, "this is not a record")
            return
        }
        result.records += 1
        if result.records == 1 { begin(record, bytes, line) }
        let expected = result.head.sequence + 1
        // A record that was changed may lie about its number too.
        let number = record.isGenuine ? record.place.sequence : expected
        if !record.isGenuine { report(.changed, line, "record \(number) is not what was written") }
        for mark in marks where mark.sequence == number && mark.hash != record.place.hash {
            report(.replaced, line, "record \(number) is not the one that was noted")
        }
        if number < expected {
            late(number, line)
            return
        }
        if number > expected {
            gaps.append((expected...number - 1, line))
        } else if record.previous != result.head.hash {
            report(.replaced, line, "record \(number) was not written after the record before it")
        }
        result.head = AuditHead(sequence: number, hash: record.place.hash)
    }

    /// The chain begins with its first record, or with one that says which archive holds the records before it.
    private mutating func begin(_ record: AuditRecord, _ bytes: ArraySlice<UInt8>, _ line: Int) {
        guard record.isGenuine, record.place.sequence > 1,
            let node = try? Node.parse(Array(bytes), file: ""), node["event"]?.string == AuditLog.Event.rotate.rawValue
        else { return }
        result.head = AuditHead(sequence: record.place.sequence - 1, hash: record.previous)
        result.archivedElsewhere = result.head.sequence
        for mark in marks where mark.sequence <= result.head.sequence && mark != result.head {
            if mark.sequence == result.head.sequence {
                report(.replaced, line, "record \(mark.sequence) is not the one that was noted")
            } else {
                report(.dropped, line, "record \(mark.sequence), which was noted, is in an archive that is not there")
            }
        }
    }

    /// A number that should have come before: it fills a gap, or it is there twice.
    private mutating func late(_ number: Int64, _ line: Int) {
        guard let index = gaps.firstIndex(where: { $0.numbers.contains(number) }) else {
            report(.repeated, line, "record \(number) was there before")
            return
        }
        report(.reordered, line, "record \(number) stands after record \(result.head.sequence)")
        let gap = gaps.remove(at: index)
        if number < gap.numbers.upperBound { gaps.insert((number + 1...gap.numbers.upperBound, gap.line), at: index) }
        if gap.numbers.lowerBound < number { gaps.insert((gap.numbers.lowerBound...number - 1, gap.line), at: index) }
    }

    mutating func finish(head: AuditHead?, torn: Int) -> AuditVerification {
        for gap in gaps {
            report(.dropped, gap.line, "\(Self.names(gap.numbers)) missing before this line")
        }
        let last = result.head.sequence
        for mark in marks where mark.sequence > last {
            report(.truncated, lines + 1, "\(Self.names(last + 1...mark.sequence)) missing at the end")
        }
        if head == nil { report(.headless, lines + 1, "no head file tells where the log should end") }
        if torn > 0 {
            report(.torn, lines + 1, "an unfinished record of \(torn) bytes, which the next writer removes")
        }
        result.findings.sort { $0.line < $1.line }
        return result
    }

    private static func names(_ numbers: ClosedRange<Int64>) -> String {
        numbers.count == 1
            ? "record \(numbers.lowerBound) is" : "records \(numbers.lowerBound) to \(numbers.upperBound) are"
    }
}
