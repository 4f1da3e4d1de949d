import Documents
import Seccomp

/// Where a synthesised profile comes from: what is in the file `NAME.meta.json` beside it.
///
/// The profile itself stays plain OCI JSON. The same recordings give the same bytes: there is no time in it.
public struct Provenance: Sendable {
    /// The document.
    public let document: Node

    /// A file that something was made of.
    public struct Source: Sendable {
        let name: String
        let digest: String

        /// A file by its name and content.
        public init(name: String, bytes: [UInt8]) {
            self.name = name
            digest = sha256(bytes)
        }

        var node: Node { ["file": Node(.string(name)), "sha256": Node(.string(digest))] }
    }

    /// The provenance of `synthesis`, which was made of `recording`.
    ///
    /// - Parameters:
    ///   - files: the recordings' files.
    ///   - base: the base's file.
    ///   - version: carrel's version.
    public init(of synthesis: Synthesis, from recording: Recording, files: [Source], base: Source?, version: String) {
        func pairs(_ list: [(name: String, reason: String)]) -> Node {
            Node(.sequence(list.map { ["call": Node(.string($0.name)), "reason": Node(.string($0.reason))] }))
        }
        let unseen = Unseen(recording)
        document = [
            "madeBy": Node(.string("carrel \(version)")),
            "profile": ["sha256": Node(.string(sha256([UInt8](synthesis.text.utf8))))],
            "recordings": Node(.sequence(files.map(\.node))),
            "base": base?.node ?? nil,
            "runs": Node(.integer(Int64(clamping: recording.runs))),
            "lost": Node(.integer(Int64(clamping: recording.lost))),
            "environments": Node(.sequence(recording.environments.map(\.node))),
            "commands": Node(.sequence(recording.commands.map(\.node))),
            "executables": Node(.sequence(recording.executables.map(\.node))),
            "callsAllowed": Node(.integer(Int64(synthesis.allowed.count))),
            "callsSeen": Node(.integer(Int64(recording.calls.count { $0.allowed > 0 }))),
            "unseen": unseen.document,
            "added": pairs(synthesis.added),
            "refused": pairs(synthesis.refused),
            "notes": Node(.sequence(synthesis.notes.map { Node(.string($0)) })),
        ]
    }

    /// The name of the file beside a profile's: `tight.meta.json` for `tight.json`.
    public static func path(beside profile: String) -> String {
        (profile.hasSuffix(".json") ? String(profile.dropLast(5)) : profile) + ".meta.json"
    }
}

extension Unseen {
    /// The estimate as a document.
    public var document: Node {
        [
            "runs": Node(.integer(Int64(clamping: runs))), "families": Node(.integer(Int64(seen))),
            "seenOnce": Node(.integer(Int64(once))), "seenTwice": Node(.integer(Int64(twice))),
            "estimatedUnseen": missing.isFinite ? Node(.number(missing)) : nil,
            "nextRunBreaks": Node(.number(breakProbability())),
            "upperBound95": upperBound.map { Node(.number($0)) } ?? nil,
        ]
    }
}
