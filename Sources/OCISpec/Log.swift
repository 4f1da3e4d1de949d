import Documents

/// The problems found so far, and the way from the top of the document to what is being looked at.
package final class Log {
    package enum Step: ExpressibleByStringLiteral {
        case name(String)
        case index(Int)

        package init(stringLiteral value: String) { self = .name(value) }
    }

    package let file: String
    /// Whether others than the kernel's own demands are passed over.
    package let isLenient: Bool
    private var problems: [Problem] = []
    /// The document, if there is one, to find the places of what is wrong.
    private let document: Node?
    private var path: [Step] = []

    package init(file: String, document: Node? = nil, isLenient: Bool = false) {
        self.file = file
        self.isLenient = isLenient
        self.document = document
    }

    package func at<Result>(_ step: Step, _ body: () -> Result) -> Result {
        path.append(step)
        defer { path.removeLast() }
        return body()
    }

    /// Looks at each element of the list `name` in turn.
    package func each<Element>(_ name: String, _ elements: [Element], _ body: (Element) -> Void) {
        guard !elements.isEmpty else { return }
        at(.name(name)) {
            for (index, element) in elements.enumerated() { at(.index(index)) { body(element) } }
        }
    }

    /// Notes what is wrong here.
    package func note(_ message: String) {
        let field = path.reduce(into: "") { field, step in
            switch step {
            case .name(let name): field += field.isEmpty ? name : ".\(name)"
            case .index(let index): field += "[\(index)]"
            }
        }
        problems.append(Problem(file: file, mark: mark, field: field, message: message))
    }

    /// Notes that `node` is not what was expected; `nil`, for the value that was not read.
    package func refuse<Value>(_ node: Node, _ expected: String) -> Value? {
        note("expected \(expected), found \(node.kind)")
        return nil
    }

    /// Notes what is wrong with the member `name` unless `holds`.
    package func expect(_ holds: Bool, _ name: String, _ expected: @autoclosure () -> String) {
        if !holds { at(.name(name)) { note("expected \(expected())") } }
    }

    /// Notes what is wrong with this unless `holds`.
    package func expect(_ holds: Bool, _ expected: @autoclosure () -> String) {
        if !holds { note("expected \(expected())") }
    }

    /// Throws what was noted, in the order of the document.
    package func finish() throws(Problems) {
        guard !problems.isEmpty else { return }
        func place(_ problem: Problem) -> (Int, Int) { (problem.mark?.line ?? 0, problem.mark?.column ?? 0) }
        throw Problems(problems.sorted { place($0) < place($1) })
    }

    /// The place of the innermost thing on the way that the document has.
    private var mark: Mark? {
        var node = document
        var mark = document?.mark
        for step in path {
            switch step {
            case .name(let name): node = node?[name]
            case .index(let index): node = node?.elements.flatMap { $0.indices.contains(index) ? $0[index] : nil }
            }
            mark = node?.mark ?? mark
        }
        return mark
    }
}

extension String {
    /// The text between quotation marks, harmless to a terminal.
    package var quoted: String { Node(.string(self)).json() }
}
