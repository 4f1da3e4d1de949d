import Documents
import Glibc
import Syscalls
import SystemPackage

/// Every decision about every session of a host, one JSON line each, chained by hashes.
///
/// Each record holds its number, the hash of the record before it (`prev`) and its own (`hash`: SHA-256 of the line up
/// to `,"hash"`, so `printf %s "${line%,\"hash\":*}" | sha256sum` gives it). The file `<log>.head` holds the number
/// and hash of the last record.
///
/// What this proves: a record that was changed, removed, put elsewhere, doubled or slipped in is found, and where.
/// Records removed from the end are found by the head file, and by the next append, which goes on from the head and
/// so leaves the gap to be seen for ever. A head noted down elsewhere (`carrel audit verify` prints it) proves that
/// all before it is as it was, whoever had the files in hand.
/// What it cannot prove: someone who may write both files can end the log earlier and put the head back to match, or
/// write all of it anew. Against root of the same host only a head noted elsewhere helps. A record whose writer was
/// killed in the instant between the two files is in the chain, but not in the head until the next is appended.
///
/// Any number of processes append at the same time. What a killed writer or a full disk left unfinished is cut off by
/// the next writer and told of by a record, `repair`. An append reads the end of the log alone, however long it is.
/// A record survives the death of any process, not the loss of power, unless it is written with `synchronise`.
///
/// A log that has become long is put aside by ``rotate(keeping:)``: it becomes the archive `<log>.N`, N the number of its
/// last record, and the chain goes on in a new file, whose first record, `rotate`, names the archive. Archives and log are
/// one chain.
public struct AuditLog: Sendable {
    /// Where the log is; its head is at the same path with `.head` behind.
    public let path: String

    /// The log at `path`; the first event makes the files, for their owner alone.
    public init(_ path: String) { self.path = path }

    /// What happened.
    public enum Event: String, Sendable, CaseIterable {
        /// A session started.
        case start
        /// A session was not started.
        case refusal
        /// A limit ended a session or refused it something.
        case limit
        /// A session's dummy credential was seen where it does not belong.
        case tripwire
        /// Someone ended a session.
        case kill
        /// What someone ended is gone: how many processes, and how long it took.
        case killed
        /// Someone allows starts again.
        case release
        /// A session is over.
        case exit
        /// Someone started another program in a session.
        case exec
        /// Someone froze a session.
        case pause
        /// Someone let a frozen session go on.
        case resume
        /// Someone gave a session more to spend.
        case budget
        /// A session's spending came to its budget's soft mark.
        case softMark = "soft-mark"
        /// Someone closed what sessions had open on the network.
        case close
        /// Carrel removed what a dead supervisor had left.
        case sweep
        /// A session's filter refused a call of a kind that it had not refused before.
        case denial
        /// A session's request was decided on: let out, or refused. In the gateway's log of requests.
        case request
        /// A request that was let out is over. In the gateway's log of requests.
        case response
        /// The records before this one are in the archive that it names.
        case rotate
        /// The log itself was not as its last writer should have left it.
        case repair
    }

    /// Appends an event.
    ///
    /// - Parameters:
    ///   - fields: what to say of it, a mapping: cut to about 16 KiB; a name that the record has already gets a `_`.
    ///   - synchronise: wait until it is on the disk (fdatasync(2): milliseconds).
    /// - Returns: where the chain now is.
    /// - Throws: the call that failed; the log is then as it was.
    @discardableResult
    public func append(
        _ event: Event, _ fields: Node = [:], at time: Timestamp = .now, synchronise: Bool = false
    ) throws(SystemError) -> AuditHead {
        try append([(event, fields)], at: time, synchronise: synchronise)
    }

    /// Appends several events in one write, all or none; otherwise as one event.
    @discardableResult
    public func append(
        _ events: [(Event, Node)], at time: Timestamp = .now, synchronise: Bool = false
    ) throws(SystemError) -> AuditHead {
        try LineFile.with(path, for: .appending) { log throws(SystemError) in
            try withOpen(path + ".head", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK) { head throws(SystemError) in
                let known = try HeadFile.read(head, named: path)
                // From the first record on there is a head, so that a log without one is a log someone took it from.
                if known == nil && log.end == 0 { try HeadFile.write(.start, head, named: path) }
                var (place, repairs) = try self.place(log, known)
                var lines: [UInt8] = []
                if log.end == 0, let known, let archive = try archive(endingWith: known) {
                    repairs.removeAll { $0 == Self.missing(1...known.sequence) }
                    let fields: Node = ["archive": Node(.string(archive))]
                    place = AuditRecord.write(Event.rotate.rawValue, fields, at: time, after: place, to: &lines)
                }
                if !repairs.isEmpty {
                    let fields: Node = ["found": Node(.sequence(repairs.map { Node(.string($0)) }))]
                    place = AuditRecord.write(Event.repair.rawValue, fields, at: time, after: place, to: &lines)
                }
                for (event, fields) in events {
                    place = AuditRecord.write(event.rawValue, fields, at: time, after: place, to: &lines)
                }
                let before = log.end
                try log.append(lines)
                do throws(SystemError) {
                    if synchronise { try log.synchronise() }
                    try HeadFile.write(place, head, named: path)
                    if synchronise { try Syscalls.synchronise(head, named: path) }
                } catch {
                    try? log.takeBack(to: before)
                    throw error
                }
                return place
            }
        }
    }

    /// Where the chain goes on, and what is wrong with the end of the log.
    private func place(_ log: LineFile, _ head: AuditHead?) throws(SystemError) -> (AuditHead, repairs: [String]) {
        var repairs: [String] = []
        if log.torn > 0 { repairs.append("an unfinished record of \(log.torn) bytes, removed") }
        let line = try log.lastLine()
        let last = line.flatMap { AuditRecord($0[...]) }
        if line != nil && last?.isGenuine != true { repairs.append("a last record that is not what was written") }
        if line != nil && head == nil { repairs.append("no head file") }
        let place = last?.place ?? .start
        guard let head, head.sequence >= place.sequence else { return (place, repairs) }
        // The head is ahead: the chain goes on from it, so that what is missing stays missing for every verification.
        if head.sequence > place.sequence && (line == nil || last != nil) {
            repairs.append(Self.missing(place.sequence + 1...head.sequence))
        } else if head.sequence == place.sequence && head.hash != place.hash {
            repairs.append("another record \(head.sequence) than the head tells of")
        }
        return (head, repairs)
    }

    private static func missing(_ numbers: ClosedRange<Int64>) -> String {
        "records \(numbers.lowerBound) to \(numbers.upperBound) missing"
    }

    /// Hands over each line's number and record as a document (or what is wrong with it), without holding up writers: those
    /// of the archives first. Lines are counted over all of them.
    ///
    /// Whether the chain holds is for `verify(noted:)` to say.
    public func forEach(_ body: (Int, Result<Node, Problems>) -> Void) throws(SystemError) {
        try whole { () throws(SystemError) in
        } each: { number, line throws(SystemError) in
            do throws(Problems) {
                let record = try Node.parse(Array(line), file: path)
                if record.entries == nil { throw Problems([Problem(file: path, mark: nil, message: "expected a map")]) }
                body(number, .success(record))
            } catch {
                body(number, .failure(error))
            }
        }
    }

    // MARK: Archives

    /// The archives, the oldest first.
    public func archives() throws(SystemError) -> [String] {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        let directory = parts.count > 1 ? parts.dropLast().joined(separator: "/") + "/" : ""
        let prefix = "\(parts.last ?? "")."
        let numbers = try list(directory.isEmpty ? "." : directory).compactMap { name in
            name.hasPrefix(prefix) ? Int64(name.dropFirst(prefix.utf8.count)) : nil
        }
        return numbers.filter { $0 > 0 }.sorted().map { "\(directory)\(prefix)\($0)" }
    }

    /// Puts the log aside as an archive; the next append begins another.
    ///
    /// - Parameter most: how many archives are kept, the oldest being removed; `nil` for all.
    /// - Returns: the archive; `nil` for a log whose end is not what its head says: the next append mends that first.
    @discardableResult
    public func rotate(keeping most: Int? = nil) throws(SystemError) -> String? {
        try LineFile.with(path, for: .appending) { log throws(SystemError) in
            guard log.torn == 0, let head = try headNow(), head.sequence > 0,
                let line = try log.lastLine(), let last = AuditRecord(line[...]), last.isGenuine, last.place == head
            else { return nil }
            let archive = "\(path).\(head.sequence)"
            // An archive is never written over.
            try rename(path, to: archive, replacing: false)
            close(try open(path, O_WRONLY | O_CREAT | O_NOFOLLOW))
            if let most {
                for old in try archives().dropLast(most) { try remove(old) }
            }
            return archive
        }
    }

    /// The name of the archive whose last record is this one.
    private func archive(endingWith head: AuditHead) throws(SystemError) -> String? {
        let archive = "\(path).\(head.sequence)"
        guard head.sequence > 0, exists(archive) else { return nil }
        return try LineFile.with(archive, for: .reading) { file throws(SystemError) in
            guard let line = try file.lastLine(), AuditRecord(line[...])?.place == head else { return nil }
            return archive.split(separator: "/").last.map(String.init)
        }
    }

    /// Reads the archives and the log, line by line, numbered over all of them.
    ///
    /// - Parameter begin: what is done while no writer can be between the log and its head.
    /// - Returns: the size of the unfinished record at the log's end.
    @discardableResult
    func whole(
        _ begin: () throws(SystemError) -> Void, each body: (Int, ArraySlice<UInt8>) throws(SystemError) -> Void
    ) throws(SystemError) -> Int {
        try LineFile.with(path, for: .reading) { log throws(SystemError) in
            let archives = try archives()
            try begin()
            try log.unlock()
            var lines = 0
            func read(_ file: LineFile) throws(SystemError) {
                let before = lines
                try file.forEachLine { number, line throws(SystemError) in
                    lines = before + number
                    try body(before + number, line)
                }
            }
            for archive in archives {
                try LineFile.with(archive, for: .reading) { file throws(SystemError) in
                    try file.unlock()
                    try read(file)
                }
            }
            try read(log)
            return log.torn
        }
    }
}

/// The file beside the log that says where its end is: one line, the `AuditHead` as text, filled up with spaces.
///
/// It always has one size and is written over by one pwrite(2) within one page, which no signal can interrupt: after
/// a kill it holds the old place or the new one. The log's lock guards it.
enum HeadFile {
    private static let size = 96

    static func read(_ descriptor: FileDescriptor, named path: String) throws(SystemError) -> AuditHead? {
        let bytes = try readAt(descriptor, offset: 0, count: size, named: path + ".head")
        return AuditHead(bytes.prefix { $0 > UInt8(ascii: " ") })
    }

    static func write(_ place: AuditHead, _ descriptor: FileDescriptor, named path: String) throws(SystemError) {
        var bytes = Array(place.description.utf8)
        bytes += [UInt8](repeating: UInt8(ascii: " "), count: size - 1 - bytes.count) + [UInt8(ascii: "\n")]
        try writeAt(descriptor, offset: 0, bytes, named: path + ".head")
    }
}
