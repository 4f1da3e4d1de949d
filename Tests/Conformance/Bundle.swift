import Documents
import Foundation
import Glibc
import Testing

/// What a command gave.
struct Outcome {
    let status: Int32
    let output: String
    let errors: String
}

/// Runs a command to its end, or kills it after `limit` seconds.
@discardableResult
func run(
    _ words: [String], input: String? = nil, environment: [String: String] = [:], in directory: String? = nil,
    limit: Int = 60
) throws -> Outcome {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/timeout")
    process.arguments = ["-k", "5", String(limit)] + words
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
    // Files and no pipes: a container that lives on would hold those open.
    let place = FileManager.default.temporaryDirectory.appendingPathComponent("carrel-oci-\(UUID().uuidString)")
    let (out, err) = (place.appendingPathExtension("out"), place.appendingPathExtension("err"))
    defer { for file in [out, err] { try? FileManager.default.removeItem(at: file) } }
    for file in [out, err] { _ = FileManager.default.createFile(atPath: file.path, contents: nil) }
    process.standardOutput = try FileHandle(forWritingTo: out)
    process.standardError = try FileHandle(forWritingTo: err)
    let pipe = Pipe()
    process.standardInput = pipe
    try process.run()
    if let input { try? pipe.fileHandleForWriting.write(contentsOf: Data(input.utf8)) }
    try? pipe.fileHandleForWriting.close()
    process.waitUntilExit()
    return Outcome(
        status: process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus,
        output: try String(contentsOf: out, encoding: .utf8), errors: try String(contentsOf: err, encoding: .utf8))
}

/// The runtime under test: beside the program of `CARREL_BIN`, as `make` builds both.
let runtimePath: String = {
    if let path = ProcessInfo.processInfo.environment["CARREL_OCI_BIN"] { return path }
    let carrel = ProcessInfo.processInfo.environment["CARREL_BIN"] ?? "bin/carrel"
    return URL(fileURLWithPath: carrel).deletingLastPathComponent().appendingPathComponent("carrel-oci").path
}()

/// Whether the tests of this folder can run at all.
let canRun = geteuid() == 0 && access(runtimePath, X_OK) == 0 && access("/bin/busybox", X_OK) == 0
let whyNot: Comment = "needs root, \(runtimePath) and busybox-static"

/// A bundle with a busybox root, and a state directory of its own.
final class Bundle {
    let path: String
    let state: String
    /// `config.json`, to be changed before a container is made.
    var spec: [String: Any]

    init() throws {
        var template = Array("/tmp/carrel-oci-test.XXXXXX".utf8CString)
        path = String(cString: mkdtemp(&template))
        state = path + "/state"
        for directory in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
            try FileManager.default.createDirectory(
                atPath: "\(path)/rootfs/\(directory)", withIntermediateDirectories: true)
        }
        try FileManager.default.copyItem(atPath: "/bin/busybox", toPath: "\(path)/rootfs/bin/busybox")
        for name in ["sh", "cat", "sleep", "true", "ls", "id", "grep", "mount", "touch", "echo", "ps", "stat", "dd"] {
            symlink("busybox", "\(path)/rootfs/bin/\(name)")
        }
        try run([runtimePath, "spec", "--bundle", path])
        let data = try Data(contentsOf: URL(fileURLWithPath: "\(path)/config.json"))
        spec = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
        change("process") { process in
            process["terminal"] = false
            process["args"] = ["sleep", "1000"]
            process["rlimits"] = nil
        }
    }

    deinit {
        for id in (try? FileManager.default.contentsOfDirectory(atPath: state)) ?? [] {
            _ = try? run([runtimePath, "--root", state, "delete", "--force", id])
        }
        try? FileManager.default.removeItem(atPath: path)
    }

    /// Changes an object of the configuration.
    func change(_ name: String, _ body: (inout [String: Any]) -> Void) {
        var object = spec[name] as? [String: Any] ?? [:]
        body(&object)
        spec[name] = object
    }

    /// Sets the payload.
    func payload(_ words: String...) { change("process") { $0["args"] = words } }
    func script(_ text: String) { payload("sh", "-c", text) }

    func write() throws {
        try JSONSerialization.data(withJSONObject: spec).write(to: URL(fileURLWithPath: "\(path)/config.json"))
    }

    /// Calls the runtime.
    @discardableResult
    func oci(_ words: String..., input: String? = nil, limit: Int = 60) throws -> Outcome {
        try run([runtimePath, "--root", state] + words, input: input, limit: limit)
    }

    /// Writes the configuration and runs its payload.
    func runToEnd(_ id: String = "c", limit: Int = 60) throws -> Outcome {
        try write()
        return try oci("run", "--bundle", path, id, limit: limit)
    }

    /// Writes the configuration, creates and starts a container.
    func start(_ id: String = "c") throws {
        try write()
        let created = try oci("create", "--bundle", path, id)
        #expect(created.status == 0, "\(created.errors)")
        let started = try oci("start", id)
        #expect(started.status == 0, "\(started.errors)")
    }

    func status(_ id: String = "c") throws -> String? {
        let outcome = try oci("state", id)
        guard outcome.status == 0 else { return nil }
        return try Node.parse(Array(outcome.output.utf8), file: "state")["status"]?.string
    }

    /// What is left of this bundle's containers on the host: directories of cgroups, records.
    func leftovers(_ ids: [String]) -> [String] {
        var left = ((try? FileManager.default.contentsOfDirectory(atPath: state)) ?? []).map { "\(state)/\($0)" }
        for hierarchy in (try? FileManager.default.contentsOfDirectory(atPath: "/sys/fs/cgroup")) ?? [] {
            for id in ids {
                let place = "/sys/fs/cgroup/\(hierarchy)/carrel/oci/\(id)"
                if FileManager.default.fileExists(atPath: place) { left.append(place) }
            }
        }
        return left
    }
}

/// Everything about the runtime, one test after the other: containers of one name have one cgroup.
@Suite(.enabled(if: canRun, whyNot), .serialized) enum Conformance {}
