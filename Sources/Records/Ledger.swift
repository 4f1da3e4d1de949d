import Documents
import Syscalls

/// All reports of a host, one JSON line each (JSON Lines), in the order in which sessions ended.
///
/// Any number of processes append at the same time. A line is whole or not there: one that a killed writer or a full
/// disk left unfinished is cut off by the next writer, and readers tell of it until then. Nothing earlier is touched.
/// A report survives the death of any process; it survives the loss of power only when written with `synchronise`.
public struct Ledger: Sendable {
    /// Where the ledger is.
    public let path: String

    /// The ledger at `path`; the first report makes the file, for its owner alone.
    public init(_ path: String) { self.path = path }

    /// What a reader finds.
    public enum Entry: Sendable, Equatable {
        /// A report.
        case report(Report)
        /// A line that is no report, and why.
        case unreadable(line: Int, Problems)
        /// The unfinished line at the end, which the next writer removes: its number and its bytes.
        case torn(line: Int, bytes: Int)
    }

    /// Appends a report.
    ///
    /// - Parameter synchronise: wait until it is on the disk (fdatasync(2): milliseconds).
    /// - Returns: how many bytes of an unfinished line were removed first; 0 when all was well.
    /// - Throws: the call that failed; the ledger is then as it was.
    @discardableResult
    public func append(_ report: Report, synchronise: Bool = false) throws(SystemError) -> Int {
        let line = Array((report.node.json() + "\n").utf8)
        return try LineFile.with(path, for: .appending) { file throws(SystemError) in
            let torn = file.torn
            try file.append(line)
            if synchronise { try file.synchronise() }
            return torn
        }
    }

    /// Hands over what the ledger holds, without holding up writers; a ledger that nobody has written to yet is empty.
    ///
    /// What is appended after the call began is not seen.
    public func forEach(_ body: (Entry) -> Void) throws(SystemError) {
        try reading { file throws(SystemError) in
            var last = 0
            try file.forEachLine { number, line throws(SystemError) in
                last = number
                body(entry(number, line))
            }
            if file.torn > 0 { body(.torn(line: last + 1, bytes: file.torn)) }
        }
    }

    /// Hands over the reports alone.
    ///
    /// - Returns: what to know of the lines that are none, in one line; `nil` where all are.
    public func forEachReport(_ body: (Report) -> Void) throws(SystemError) -> String? {
        var (others, first) = (0, "")
        try forEach { entry in
            switch entry {
            case .report(let report): return body(report)
            case .unreadable(let line, let problems):
                if others == 0 { first = problems.list.first?.description ?? "\(path):\(line)" }
            case .torn(let line, _):
                if others == 0 { first = "\(path):\(line): it was never finished" }
            }
            others += 1
        }
        if others == 0 { return nil }
        return (others == 1 ? "a line of the ledger is no report" : "\(others) lines of the ledger are no reports")
            + ", and left out: \(first)"
    }

    /// How often sessions ended in which way, and how many lines do not tell. A line is not read whole for it: metrics are
    /// asked for again and again.
    public func ends() throws(SystemError) -> (how: [Report.Exit.How: Int], unreadable: Int) {
        var (how, unreadable): ([Report.Exit.How: Int], Int) = ([:], 0)
        // No text of a session's looks like this: within JSON's strings quotes are escaped.
        let before = Array(#""exit":{"how":""#.utf8)
        try reading { file throws(SystemError) in
            try file.forEachLine { _, line throws(SystemError) in
                let start = line.firstIndex(of: before).map { $0 + before.count } ?? line.endIndex
                let word = line[start...].prefix { $0 != UInt8(ascii: "\"") }
                if let end = Report.Exit.How(rawValue: String(decoding: word, as: UTF8.self)) {
                    how[end, default: 0] += 1
                } else {
                    unreadable += 1
                }
            }
            if file.torn > 0 { unreadable += 1 }
        }
        return (how, unreadable)
    }

    /// The newest report of a session; `nil` where there is none. What names no such session is not looked into.
    public func newest(of session: String) throws(SystemError) -> Report? {
        let name = Array("\"session\":\"\(session)\"".utf8)
        var found: Report?
        try reading { file throws(SystemError) in
            try file.forEachLine { number, line throws(SystemError) in
                if line.firstIndex(of: name) != nil, case .report(let report) = entry(number, line),
                    report.session == session
                {
                    found = report
                }
            }
        }
        return found
    }

    /// Opens the ledger, where there is one, without holding up writers.
    private func reading(_ body: (inout LineFile) throws(SystemError) -> Void) throws(SystemError) {
        do throws(SystemError) {
            try LineFile.with(path, for: .reading) { file throws(SystemError) in
                try file.unlock()
                try body(&file)
            }
        } catch {
            if error.errno != .noSuchFileOrDirectory { throw error }
        }
    }

    /// All that the ledger holds.
    public func read() throws(SystemError) -> [Entry] {
        var entries: [Entry] = []
        try forEach { entries.append($0) }
        return entries
    }

    private func entry(_ number: Int, _ line: ArraySlice<UInt8>) -> Entry {
        do throws(Problems) {
            return .report(try Report(try Node.parse(Array(line), file: path), file: path))
        } catch {
            // Each line was read as a document of its own, so its marks all say line 1.
            let problems = error.list.map { problem in
                Problem(
                    file: problem.file, mark: Mark(line: number, column: problem.mark?.column ?? 1),
                    field: problem.field, message: problem.message)
            }
            return .unreadable(line: number, Problems(problems))
        }
    }
}

extension ArraySlice<UInt8> {
    /// Where these bytes are in it for the first time.
    fileprivate func firstIndex(of bytes: [UInt8]) -> Int? {
        withUnsafeBytes { text in
            text.indices.dropLast(Swift.max(0, bytes.count - 1)).first { start in
                text[start] == bytes[0] && text[start...].starts(with: bytes)
            }
        }.map { startIndex + $0 }
    }
}
