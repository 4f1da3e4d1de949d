import Documents

/// A value without members: text, a truth value, a number, or a name out of a closed set.
package protocol SpecScalar: Sendable {
    /// What is expected, in the words of an error message.
    static var kind: String { get }
    static func read(_ node: Node, _ log: Log) -> Self?
    var node: Node { get }
}

extension String: SpecScalar {
    package static var kind: String { "a string" }
    package static func read(_ node: Node, _ log: Log) -> String? { node.string ?? log.refuse(node, kind) }
    package var node: Node { Node(.string(self)) }
}

extension Bool: SpecScalar {
    package static var kind: String { "true or false" }
    package static func read(_ node: Node, _ log: Log) -> Bool? { node.bool ?? log.refuse(node, kind) }
    package var node: Node { Node(.bool(self)) }
}

extension SpecScalar where Self: FixedWidthInteger {
    package static var kind: String { "a whole number from \(min) to \(max)" }
    package static func read(_ node: Node, _ log: Log) -> Self? {
        switch node.content {
        case .integer(let number): Self(exactly: number) ?? refuse("\(number)", log)
        case .unsigned(let number): Self(exactly: number) ?? refuse("\(number)", log)
        default: log.refuse(node, kind)
        }
    }
    package var node: Node { Node(Int64(exactly: self).map { .integer($0) } ?? .unsigned(UInt64(self))) }

    private static func refuse(_ found: String, _ log: Log) -> Self? {
        log.note("expected \(kind), found \(found)")
        return nil
    }
}

extension Int32: SpecScalar {}
extension Int64: SpecScalar {}
extension UInt16: SpecScalar {}
extension UInt32: SpecScalar {}
extension UInt64: SpecScalar {}

extension SpecScalar where Self: CaseIterable & RawRepresentable, RawValue == String {
    package static var kind: String { "one of " + allCases.map(\.rawValue).joined(separator: ", ") }
    package static func read(_ node: Node, _ log: Log) -> Self? {
        guard let name = node.string else { return log.refuse(node, kind) }
        if let value = Self(rawValue: name) { return value }
        let hint = nearest(name, in: allCases.map(\.rawValue)).map { "; did you mean \($0)?" } ?? ""
        log.note("expected \(kind), found \(name.quoted)\(hint)")
        return nil
    }
    package var node: Node { Node(.string(rawValue)) }
}

extension LinuxSchedulerPolicy: SpecScalar {}
extension IOPriorityClass: SpecScalar {}
extension LinuxNamespaceType: SpecScalar {}
extension LinuxDeviceType: SpecScalar {}
extension LinuxPersonalityDomain: SpecScalar {}
extension LinuxSeccompAction: SpecScalar {}
extension LinuxSeccompOperator: SpecScalar {}
extension ContainerState: SpecScalar {}
