import Documents
import Foundation

@testable import Session

/// A catalog of its own in a temporary directory, removed with it.
final class ProfileFixture {
    let root: String

    /// The profiles that Carrel ships.
    static let shipped = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Profiles/session")
        .standardizedFileURL.path

    init(_ profiles: [String: String] = [:]) throws {
        root = NSTemporaryDirectory() + "carrel-profiles-" + UUID().uuidString
        for name in ["session", "seccomp", "egress"] {
            try FileManager.default.createDirectory(atPath: "\(root)/\(name)", withIntermediateDirectories: true)
            chmod("\(root)/\(name)", 0o755)
        }
        try write("{}", to: "seccomp/agent-default.json")
        let sets = Self.shipped + "/../egress"
        for name in try FileManager.default.contentsOfDirectory(atPath: sets) {
            try write(String(contentsOfFile: "\(sets)/\(name)", encoding: .utf8), to: "egress/\(name)")
        }
        for (name, text) in profiles { try write(text, to: "session/\(name).yaml") }
    }

    /// A catalog that has the shipped profiles.
    static func shippedCatalog() throws -> ProfileFixture {
        let fixture = try ProfileFixture()
        for name in try FileManager.default.contentsOfDirectory(atPath: shipped) {
            try fixture.write(String(contentsOfFile: "\(shipped)/\(name)", encoding: .utf8), to: "session/\(name)")
        }
        return fixture
    }

    deinit { try? FileManager.default.removeItem(atPath: root) }

    var catalog: ProfileCatalog { ProfileCatalog(directories: [root]) }

    func write(_ text: String, to file: String) throws {
        try Data(text.utf8).write(to: URL(filePath: "\(root)/\(file)"))
        chmod("\(root)/\(file)", 0o644)
    }

    func load(_ name: String, _ overrides: ProfileOverrides = ProfileOverrides()) throws -> Profile {
        // The directory goes with the last reference to it.
        try withExtendedLifetime(self) { try Profile.load(name, from: catalog, overrides: overrides) }
    }

    /// What is wrong with a profile, a line each; paths are relative to the fixture.
    func problems(_ name: String, _ overrides: ProfileOverrides = ProfileOverrides()) -> [String] {
        do throws(Problems) {
            _ = try Profile.load(name, from: catalog, overrides: overrides)
            return withExtendedLifetime(self) { [] }
        } catch {
            return error.list.map { $0.description.replacingOccurrences(of: root + "/", with: "") }
        }
    }
}
