/// One thing that is wrong with a document: where, in which field, and what was expected.
public struct Problem: Sendable, Equatable, CustomStringConvertible {
    /// The file, as the caller named it.
    public let file: String
    /// The place in the file; `nil` when the whole file is meant.
    public let mark: Mark?
    /// The field, as a path from the top (`limits.memory`, `mounts[2].source`); empty for the document itself.
    public let field: String
    /// What is wrong: for example `expected a size such as 2GiB, found a list`.
    public let message: String

    /// Describes one thing that is wrong.
    public init(file: String, mark: Mark?, field: String = "", message: String) {
        self.file = file
        self.mark = mark
        self.field = field
        self.message = message
    }

    /// For example `agent.yaml:3:7: limits.memory: expected a size such as 2GiB, found a list`.
    public var description: String {
        let place = mark.map { "\(file):\($0.line):\($0.column)" } ?? file
        return field.isEmpty ? "\(place): \(message)" : "\(place): \(field): \(message)"
    }
}

/// Everything that is wrong with a document, so that its author can mend it in one go.
public struct Problems: Error, Sendable, Equatable, CustomStringConvertible {
    /// The problems, in the order of the document.
    public var list: [Problem]

    /// Gathers problems into one error.
    public init(_ list: [Problem]) { self.list = list }

    /// Gathers the problems of one document, in the order of their places in it.
    public init(inOrder list: [Problem]) {
        func place(_ problem: Problem) -> (Int, Int) { (problem.mark?.line ?? 0, problem.mark?.column ?? 0) }
        self.list = list.sorted { place($0) < place($1) }
    }

    /// One problem a line.
    public var description: String { list.map(\.description).joined(separator: "\n") }
}

/// The name out of `names` that `name` was most likely meant to be, for "did you mean ...?".
///
/// Distance is the least number of letters added, dropped, replaced or swapped with their neighbour, whatever their
/// case; a name further away than a third of its length (at least one letter) is no suggestion.
public func nearest(_ name: String, in names: some Collection<String>) -> String? {
    let wanted = Array(name.lowercased().utf8)
    var best: (name: String, distance: Int)?
    for candidate in names {
        let limit = max(1, max(wanted.count, candidate.utf8.count) / 3)
        // A difference in length is a distance already; a name can be as long as its file.
        if abs(wanted.count - candidate.utf8.count) > limit { continue }
        let distance = distance(wanted, Array(candidate.lowercased().utf8))
        if distance <= limit && distance < best?.distance ?? .max { best = (candidate, distance) }
    }
    return best?.name
}

/// Edit distance with swaps of neighbours (optimal string alignment).
private func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var beforeLast: [Int] = []
    var last = Array(0...right.count)
    for i in left.indices {
        var row = [i + 1]
        for j in right.indices {
            var least = min(last[j + 1] + 1, row[j] + 1, last[j] + (left[i] == right[j] ? 0 : 1))
            if i > 0, j > 0, left[i] == right[j - 1], left[i - 1] == right[j] {
                least = min(least, beforeLast[j - 1] + 1)
            }
            row.append(least)
        }
        (beforeLast, last) = (last, row)
    }
    return last[right.count]
}
