import Glibc
import Syscalls

/// The ids that the administrator lends an ordinary user for maps (subuid(5), subgid(5)).
enum SubordinateIDs {
    /// The ranges that `file` gives the user, by name or by number, in the file's order.
    ///
    /// - Throws: `ControlError` with file and line where a line, of whichever user, is not `user:first:count`: what is
    ///   meant by such a file is not guessed at. A file that does not exist gives nothing.
    static func read(_ file: String, user: String?, id: uid_t) throws(ControlError) -> [Range<UInt32>] {
        try parse(text(of: file), file: file, user: user, id: id)
    }

    static func parse(_ text: String, file: String, user: String?, id: uid_t) throws(ControlError) -> [Range<UInt32>] {
        var ranges: [Range<UInt32>] = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if line.isEmpty || line.hasPrefix("#") { continue }
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count == 3, !fields[0].isEmpty, let first = number(fields[1]), let count = number(fields[2]),
                first.addingReportingOverflow(count).overflow == false
            else {
                throw ControlError("\(file):\(index + 1)", "expected user:first:count, found \"\(line)\"")
            }
            if fields[0] == "\(id)" || user.map({ fields[0] == $0 }) == true { ranges.append(first..<first + count) }
        }
        return ranges
    }

    /// The name that /etc/passwd has for a user id. Read by hand: the C library's way there loads plug-ins, which a
    /// static executable does not have.
    static func userName(_ id: uid_t) throws(ControlError) -> String? {
        for line in try text(of: "/etc/passwd").split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            if fields.count == 7 && fields[2] == "\(id)" { return String(fields[0]) }
        }
        return nil
    }

    private static func text(of file: String) throws(ControlError) -> String {
        do throws(SystemError) {
            return try readText(file)
        } catch {
            if error.errno == .noSuchFileOrDirectory { return "" }
            throw ControlError(file, "\(error)")
        }
    }

    /// Decimal digits alone: no sign, no space.
    private static func number(_ field: Substring) -> UInt32? {
        field.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt32(field) : nil
    }
}
