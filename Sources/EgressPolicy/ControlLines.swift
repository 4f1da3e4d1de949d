import Documents

/// A message that is not one of the protocol.
public struct ControlProtocolError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What was expected.
    public let description: String

    /// Describes what is wrong.
    public init(_ description: String) { self.description = description }
}

private func text(_ value: String?) -> Node { value.map { Node(.string($0)) } ?? nil }
private func number(_ value: UInt64) -> Node { Node(.integer(Int64(clamping: value))) }

/// A message as one line, its newline included.
private func message(_ node: Node) -> [UInt8] { Array(node.json().utf8) + [UInt8(ascii: "\n")] }

private func parse(_ line: some Sequence<UInt8>) throws(ControlProtocolError) -> (type: String, node: Node) {
    let node: Node
    do throws(Problems) {
        node = try Node.parse(Array(line), file: "message")
    } catch { throw ControlProtocolError("expected JSON: \(error)") }
    guard let type = node["type"]?.string else { throw ControlProtocolError("expected a member \"type\"") }
    return (type, node)
}

private func need<Value>(_ value: Value?, _ name: String) throws(ControlProtocolError) -> Value {
    guard let value else { throw ControlProtocolError("expected a member \"\(name)\"") }
    return value
}

extension ControlRequest {
    /// The request as one line, its newline included.
    public var line: [UInt8] { message(node) }

    fileprivate var node: Node {
        switch self {
        case .hello(let session, let policy):
            [
                "type": "hello", "version": Node(.integer(Self.version)), "session": text(session),
                "policy": policy ?? nil,
            ]
        case .open(let open):
            [
                "type": "open", "version": Node(.integer(Self.version)), "session": text(open.session),
                "tenant": text(open.tenant), "profile": text(open.profile), "policy": open.policy,
                "listeners": Node(.sequence(open.listeners.map(\.node))),
                "endsWithProcess": Node(.bool(open.endsWithProcess)),
            ]
        case .close: ["type": "close"]
        case .budget(let session): ["type": "budget", "session": text(session)]
        case .raise(let session, let microdollars, let tokens):
            [
                "type": "raise", "session": text(session), "microdollars": number(microdollars),
                "tokens": number(tokens),
            ]
        case .closeMatching(let session, let tenant):
            ["type": "close-matching", "session": text(session), "tenant": text(tenant)]
        case .status: ["type": "status"]
        }
    }

    /// Reads a line.
    public init(line: some Sequence<UInt8>) throws(ControlProtocolError) {
        let (type, node) = try parse(line)
        switch type {
        case "hello", "open":
            guard node["version"]?.int == Self.version else { throw Self.otherBuild(node) }
            if type == "hello" {
                self = .hello(
                    session: node["session"]?.string, policy: node["policy"].flatMap { $0.isNull ? Node?.none : $0 })
            } else {
                self = .open(try OpenSession(node))
            }
        case "close": self = .close
        case "budget": self = .budget(session: try need(node["session"]?.string, "session"))
        case "raise":
            self = .raise(
                session: try need(node["session"]?.string, "session"), microdollars: node["microdollars"]?.uint ?? 0,
                tokens: node["tokens"]?.uint ?? 0)
        case "close-matching":
            self = .closeMatching(session: node["session"]?.string, tenant: node["tenant"]?.string)
        case "status": self = .status
        default: throw ControlProtocolError("expected a request, found \"\(type)\"")
        }
    }
}

extension ControlRequest {
    fileprivate static func otherBuild(_ node: Node) -> ControlProtocolError {
        ControlProtocolError(
            "carrel and the gateway that runs are of different builds: one speaks version \(node["version"]?.json() ?? "0") of "
                + "their protocol, the other version \(version)")
    }
}

extension OpenSession {
    /// The request as a document.
    public var node: Node { ControlRequest.open(self).node }

    fileprivate init(_ node: Node) throws(ControlProtocolError) {
        var listeners: [Listener] = []
        for listener in try need(node["listeners"]?.elements, "listeners") {
            listeners.append(try Listener(listener))
        }
        self.init(
            session: try need(node["session"]?.string, "session"), tenant: try need(node["tenant"]?.string, "tenant"),
            profile: try need(node["profile"]?.string, "profile"), policy: try need(node["policy"], "policy"),
            listeners: listeners)
        endsWithProcess = node["endsWithProcess"]?.bool ?? false
    }
}

extension Listener {
    fileprivate var node: Node {
        ["kind": text(kind.rawValue), "port": Node(.integer(Int64(port))), "v6": Node(.bool(isV6))]
    }

    fileprivate init(_ node: Node) throws(ControlProtocolError) {
        let kind = try need(node["kind"]?.string.flatMap(ListenerKind.init(rawValue:)), "kind")
        self.init(
            kind, port: try need(node["port"]?.uint.flatMap { UInt16(exactly: $0) }, "port"),
            isV6: node["v6"]?.bool ?? false)
    }
}

extension ControlEvent {
    /// The event as one line, its newline included.
    public var line: [UInt8] { message(node) }

    private var node: Node {
        switch self {
        case .hello(let hello):
            [
                "type": "hello", "version": Node(.integer(ControlRequest.version)), "ca": text(hello.ca),
                "bundle": text(hello.bundle), "dummies": Self.node(hello.dummies),
            ]
        case .ready(let dummies): ["type": "ready", "dummies": Self.node(dummies)]
        case .refused(let why, let fix): ["type": "refused", "why": text(why), "fix": text(fix)]
        case .activity: ["type": "activity"]
        case .decision(let decision):
            [
                "type": "decision", "action": text(decision.action.rawValue),
                "reason": text(decision.reason.rawValue), "detail": text(decision.detail),
            ]
        case .resume: ["type": "resume"]
        case .softMark(let detail): ["type": "soft-mark", "detail": text(detail)]
        case .usage(let usage): Node(.mapping([Node.Entry(key: "type", value: "usage")] + (usage.node.entries ?? [])))
        case .answer(let node): ["type": "answer", "answer": node]
        }
    }

    private static func node(_ dummies: [String: String]) -> Node {
        Node(.mapping(dummies.sorted { $0.key < $1.key }.map { Node.Entry(key: $0.key, value: text($0.value)) }))
    }

    private static func dummies(_ node: Node) -> [String: String] {
        var dummies: [String: String] = [:]
        for entry in node["dummies"]?.entries ?? [] { dummies[entry.key] = entry.value.string }
        return dummies
    }

    /// Reads a line.
    public init(line: some Sequence<UInt8>) throws(ControlProtocolError) {
        let (type, node) = try parse(line)
        switch type {
        case "hello":
            guard node["version"]?.int == ControlRequest.version else { throw ControlRequest.otherBuild(node) }
            self = .hello(
                GatewayHello(
                    ca: try need(node["ca"]?.string, "ca"), bundle: try need(node["bundle"]?.string, "bundle"),
                    dummies: Self.dummies(node)))
        case "ready": self = .ready(dummies: Self.dummies(node))
        case "refused": self = .refused(why: try need(node["why"]?.string, "why"), fix: node["fix"]?.string)
        case "activity": self = .activity
        case "decision":
            self = .decision(
                GatewayDecision(
                    try need(node["action"]?.string.flatMap(GatewayDecision.Action.init(rawValue:)), "action"),
                    try need(node["reason"]?.string.flatMap(GatewayDecision.Reason.init(rawValue:)), "reason"),
                    detail: node["detail"]?.string ?? ""))
        case "resume": self = .resume
        case "soft-mark": self = .softMark(detail: node["detail"]?.string ?? "")
        case "usage": self = .usage(EgressUsage(node))
        case "answer": self = .answer(try need(node["answer"], "answer"))
        default: throw ControlProtocolError("expected an event, found \"\(type)\"")
        }
    }
}

extension EgressUsage {
    /// Reads it; a figure that is missing is 0, and none is so great that a few of them could not be added up.
    public init(_ node: Node) {
        func figure(_ name: String) -> Int64 { min(max(node[name]?.int ?? 0, 0), 1 << 53) }
        self.init(
            requests: figure("requests"), denied: figure("denied"), bytesUp: figure("bytesUp"),
            bytesDown: figure("bytesDown"), microdollars: figure("microdollars"), tokens: figure("tokens"),
            softMarks: figure("softMarks"))
    }
}
