import Documents

/// Reads the values of one document after the other into a profile, and notes where each came from.
///
/// Field names are written out where they are read, so that reading a profile costs no more than its text.
final class ProfileReader: DocumentReader {
    var trace = ProfileTrace()
    /// Whether the document is a command line, which has options for fields.
    private var isCommandLine = false

    /// Turns to the next document.
    func open(file: String) { (self.file, isCommandLine) = (file, false) }

    /// Turns to the command line.
    func openCommandLine() { (file, isCommandLine) = ("command line", true) }

    /// A path that is relative to the document's directory, or on the command line to the working directory.
    func beside(_ path: String) -> String {
        let steps = path.hasPrefix("./") ? String(path.dropFirst(2)) : path
        if isCommandLine || steps.hasPrefix("/") || !file.utf8.contains(UInt8(ascii: "/")) { return steps }
        return "\(directory(of: file))/\(steps)"
    }

    override func note(_ mark: Mark?, _ field: String, _ message: String) {
        super.note(mark, isCommandLine ? ProfileOverrides.option(for: field) : field, message)
    }

    func set(_ field: String, _ element: String = "", at mark: Mark?) {
        let origin = isCommandLine ? ProfileOrigin.option(ProfileOverrides.option(for: field)) : .file(file, mark)
        trace.set(field, element, origin)
    }
}

// Lists.
extension ProfileReader {
    /// The elements of a list, each read by `element`.
    func list<Value>(_ entry: Node.Entry, _ field: String, _ element: (Node, String) -> Value?) -> [Value]? {
        guard let list = elements(entry.value, field, element) else { return nil }
        set(field, at: entry.keyMark)
        return list
    }

    /// A list that stands in place of what was there before.
    func list<Value>(
        _ entry: Node.Entry, _ field: String, _ values: inout [Value], _ element: (Node, String) -> Value?
    ) {
        if let read = list(entry, field, element) { values = read }
    }
}

// Scalars. Each takes the entry, the field's whole path and the value to replace.
extension ProfileReader {
    func value<Value>(_ entry: Node.Entry, _ field: String, _ value: inout Value, _ read: (Node, String) -> Value?) {
        guard let found = read(entry.value, field) else { return }
        value = found
        set(field, at: entry.keyMark)
    }

    /// - Parameter or: what else the field accepts, in the words of the error: `, or none`.
    func whole<Value: FixedWidthInteger>(
        _ entry: Node.Entry, _ field: String, _ value: inout Value, _ range: ClosedRange<Value>, or: String = ""
    ) {
        self.value(entry, field, &value) { node, field in whole(node, field, range, or: or) }
    }

    /// A size; a whole number is one in bytes.
    func size(_ entry: Node.Entry, _ field: String, _ value: inout Int, atLeast least: Int, or: String = "") {
        self.value(entry, field, &value) { node, field in
            let bytes = node.int.flatMap { ByteSize.parse("\($0)") } ?? node.string.flatMap(ByteSize.parse)
            guard let bytes else {
                let hint = node.string.flatMap(Self.binary).map { "; did you mean \($0)?" } ?? ""
                refuse(node, field, "a size such as 2GiB\(or)", hint: hint)
                return nil
            }
            return bytes >= least ? bytes : refuse(node, field, "at least \(ByteSize.text(least))")
        }
    }

    /// A size, or `none`.
    func size(_ entry: Node.Entry, _ field: String, _ value: inout Int?, atLeast least: Int) {
        if entry.value.string == "none" {
            value = nil
            return set(field, at: entry.keyMark)
        }
        var found = -1
        size(entry, field, &found, atLeast: least, or: ", or none")
        if found >= 0 { value = found }
    }

    /// `2GiB` for `2G`, `2GB` or `2gib`.
    private static func binary(_ text: String) -> String? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let letter = text.dropFirst(digits.count).first?.uppercased(), "KMGT".contains(letter) else { return nil }
        let size = "\(digits)\(letter)iB"
        return ByteSize.parse(size) == nil ? nil : size
    }

    func duration(_ entry: Node.Entry, _ field: String, _ value: inout Int64, atLeast least: Int64) {
        self.value(entry, field, &value) { node, field in duration(node, field, least, "") }
    }

    /// A duration, or `none`.
    func duration(_ entry: Node.Entry, _ field: String, _ value: inout Int64?, atLeast least: Int64) {
        self.value(entry, field, &value) { node, field in
            node.string == "none" ? .some(nil) : duration(node, field, least, ", or none").map(Optional.some)
        }
    }

    private func duration(_ node: Node, _ field: String, _ least: Int64, _ or: String) -> Int64? {
        guard let span = node.string.flatMap(TimeSpan.parse) else {
            return refuse(node, field, "a duration such as 1h30m, 10s or 500ms, at most 3650d\(or)")
        }
        return span >= least ? span : refuse(node, field, "at least \(TimeSpan.text(least))")
    }
}
