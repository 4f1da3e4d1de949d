import Documents

/// What a command line sets of a profile, as it was written there. Each text is read as the profile's field is, so that
/// what is wrong with it is told in the same words.
public struct ProfileOverrides: Sendable, Equatable {
    /// `--image`: `image`.
    public var image: String?
    /// `--mount`: `SOURCE:TARGET`, `SOURCE:TARGET:ro` or `SOURCE:TARGET:rw`, mounts beside those that the profile has.
    public var mounts: [String] = []
    /// `--memory`: `limits.memory`.
    public var memory: String?
    /// `--swap`: `limits.swap`.
    public var swap: String?
    /// `--pids`: `limits.pids`.
    public var pids: String?
    /// `--cpus`: `limits.cpus`.
    public var cpus: String?
    /// `--open-files`: `limits.openFiles`.
    public var openFiles: String?
    /// `--tmp`: `limits.tmp`.
    public var tmp: String?
    /// `--timeout`: `limits.wallClock`.
    public var timeout: String?
    /// `--idle`: `limits.idle`.
    public var idle: String?
    /// `--cpu-time`: `limits.cpuTime`.
    public var cpuTime: String?
    /// `--memory-high`: `limits.memoryHigh`.
    public var memoryHigh: String?
    /// `--grace`: `limits.grace`.
    public var grace: String?
    /// `--seccomp`: `seccomp`.
    public var seccomp: String?
    /// `--explain`: `seccomp.explain`.
    public var explain = false
    /// `--network`: `network`.
    public var network: String?
    /// `--env`: `NAME=value` for `environment.set`, `NAME` for `environment.pass`, beside what the profile has.
    public var environment: [String] = []

    /// No override.
    public init() {}

    /// The option that sets a field.
    static func option(for field: String) -> String {
        switch field {
        case "limits.openFiles": "--open-files"
        case "limits.wallClock": "--timeout"
        case "seccomp.file": "--seccomp"
        case "limits.cpuTime": "--cpu-time"
        case "limits.memoryHigh": "--memory-high"
        case _ where field.utf8.starts(with: "environment".utf8): "--env"
        case _ where field.utf8.starts(with: "mounts".utf8): "--mount"
        default: "--" + (field.utf8.split(separator: UInt8(ascii: ".")).last.map { String(Substring($0)) } ?? "")
        }
    }

    /// The overrides as a profile of their own, merged last; `pass` is what the profile hands on already.
    func document(passing pass: [String]) -> Node {
        var members: [Node.Entry] = []
        var limits: [Node.Entry] = []
        add("memory", memory.map(Self.text), to: &limits)
        add("swap", swap.map(Self.text), to: &limits)
        add("pids", pids.map(Self.number), to: &limits)
        add("cpus", cpus.map(Self.number), to: &limits)
        add("openFiles", openFiles.map(Self.number), to: &limits)
        add("tmp", tmp.map(Self.text), to: &limits)
        add("wallClock", timeout.map(Self.text), to: &limits)
        add("idle", idle.map(Self.text), to: &limits)
        add("cpuTime", cpuTime.map(Self.text), to: &limits)
        add("memoryHigh", memoryHigh.map(Self.text), to: &limits)
        add("grace", grace.map(Self.text), to: &limits)
        add("image", image.map(Self.text), to: &members)
        add("seccomp", filter, to: &members)
        add("network", network.map(Self.text), to: &members)
        if !limits.isEmpty { add("limits", Node(.mapping(limits)), to: &members) }
        if !environment.isEmpty { add("environment", variables(passing: pass), to: &members) }
        return Node(.mapping(members))
    }

    private var filter: Node? {
        guard explain else { return seccomp.map(Self.text) }
        var entries = [Node.Entry(key: "explain", value: true)]
        add("file", seccomp.map(Self.text), to: &entries)
        return Node(.mapping(entries))
    }

    private func add(_ name: String, _ value: Node?, to list: inout [Node.Entry]) {
        if let value { list.append(Node.Entry(key: name, value: value)) }
    }

    private func variables(passing pass: [String]) -> Node {
        var set: [Node.Entry] = []
        var names = pass
        for text in environment {
            if let equals = text.utf8.firstIndex(of: UInt8(ascii: "=")) {
                let value = Self.text(String(text[equals...].dropFirst()))
                set.append(Node.Entry(key: String(text[..<equals]), value: value))
                // Said here, it stands before what the caller happens to have.
                names.removeAll { $0 == text[..<equals] }
            } else if !names.contains(text) {
                names.append(text)
            }
        }
        return ["set": Node(.mapping(set)), "pass": Node(.sequence(names.map(Self.text)))]
    }

    private static func text(_ text: String) -> Node { Node(.string(text)) }

    private static func number(_ text: String) -> Node {
        Node(Int64(text).map { .integer($0) } ?? Double(text).map { .number($0) } ?? .string(text))
    }
}
