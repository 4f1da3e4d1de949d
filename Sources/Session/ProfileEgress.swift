import Documents
import EgressPolicy
import Syscalls

extension Profile {
    /// What of the network a session reaches through the gateway (`network: gateway`).
    public struct Egress: Sendable, Equatable {
        /// The fields as they were written, merged.
        var members: [Node.Entry] = []
        /// What they come to, with the rule sets that they name.
        public internal(set) var policy = EgressPolicy()

        /// The fields as a document.
        var node: Node { Node(.mapping(members)) }
    }

    /// The policy that the gateway serves a session by; `nil` where there is no door at all: another `network`, or no rule
    /// that would let anything through.
    public var door: EgressPolicy? { network == .gateway && !egress.policy.isEmpty ? egress.policy : nil }

    /// What a profile's digest is taken of: its fields, and what its rule sets say today.
    var digested: Node { egress.members.isEmpty ? node : ["profile": node, "policy": egress.policy.node] }
}

extension Profile.Egress {
    /// Fields of a child stand in the place of its parent's, each whole.
    mutating func read(_ entry: Node.Entry, _ reader: ProfileReader) {
        if entry.value.string == "none" {
            members = []
            return
        }
        reader.members(entry.value, "egress", EgressPolicy.fields) { entry in
            guard EgressPolicy.fields.contains(entry.key) else { return false }
            members.removeAll { $0.key == entry.key }
            members.append(entry)
            reader.set("egress.\(entry.key)", at: entry.keyMark)
            return true
        }
        members.sort {
            EgressPolicy.fields.firstIndex(of: $0.key) ?? 0 < EgressPolicy.fields.firstIndex(of: $1.key) ?? 0
        }
    }

    private static func content(_ file: String) throws(Problems) -> [UInt8] {
        do throws(Distrust) {
            return try trustedContent(file)
        } catch {
            throw Problems([Problem(file: file, mark: nil, message: error.message)])
        }
    }

    /// Puts the policy together from the fields and from `egress/NAME.yaml` of the catalog.
    mutating func settle(_ catalog: ProfileCatalog) throws(Problems) {
        guard !members.isEmpty else { return }
        let places = catalog.directories.map { $0 + "/egress" }
        policy = try EgressPolicy(node, file: "") { (name) throws(Problems) in
            if isPlainName(name) {
                for place in places where exists("\(place)/\(name).yaml") {
                    let file = "\(place)/\(name).yaml"
                    return (try Node.parse(try Self.content(file), file: file), file)
                }
            }
            let hint = nearest(name, in: catalog.names(in: places, ending: ".yaml")).map { "; did you mean \($0)?" }
            throw Problems([
                Problem(
                    file: "", mark: nil,
                    message: "expected the name of a rule set in \(places.joined(separator: ", ")), found "
                        + Node(.string(name)).json() + (hint ?? ""))
            ])
        }
    }
}
