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
///
/// Not by Foundation's `Process`, which waits for the end of everything that has inherited a descriptor of its own: for
/// conmon, that is, and so for a detached container.
@discardableResult
func run(
    _ words: [String], input: String? = nil, environment: [String: String] = [:], in directory: String? = nil,
    limit: Int = 60
) throws -> Outcome {
    // Files and no pipes: a container that lives on would hold those open.
    let place = FileManager.default.temporaryDirectory.appendingPathComponent("carrel-oci-\(UUID().uuidString)").path
    let files = ["in", "out", "err"].map { "\(place).\($0)" }
    defer { for file in files { unlink(file) } }
    try (input ?? "").write(toFile: files[0], atomically: false, encoding: .utf8)
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (number, flags) in [O_RDONLY, O_WRONLY | O_CREAT | O_TRUNC, O_WRONLY | O_CREAT | O_TRUNC].enumerated() {
        posix_spawn_file_actions_addopen(&actions, Int32(number), files[number], flags, 0o600)
    }
    for number: Int32 in 3..<256 { _ = fcntl(number, F_SETFD, FD_CLOEXEC) }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    let limited = ["env", "-C", directory ?? ".", "timeout", "-k", "5", String(limit)] + words
    var arguments = limited.map { strdup($0) } + [nil]
    let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    var environment = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for string in arguments + environment { free(string) } }
    var pid: pid_t = 0
    let failure = posix_spawn(&pid, "/usr/bin/env", &actions, &attributes, &arguments, &environment)
    guard failure == 0 else { throw POSIXError(POSIXErrorCode(rawValue: failure) ?? .EINVAL) }
    var word: Int32 = 0
    while waitpid(pid, &word, 0) < 0 && errno == EINTR {}
    let text = files.map { (try? String(contentsOfFile: $0, encoding: .utf8)) ?? "" }
    return Outcome(
        status: word & 0x7f == 0 ? word >> 8 & 0xff : 128 + word & 0x7f, output: text[1], errors: text[2])
}

/// The runtime under test: beside the program of `CARREL_BIN`, as `make` builds both.
let runtimePath: String = {
    if let path = ProcessInfo.processInfo.environment["CARREL_OCI_BIN"] { return path }
    let carrel = ProcessInfo.processInfo.environment["CARREL_BIN"] ?? "bin/carrel"
    return URL(fileURLWithPath: carrel).deletingLastPathComponent().appendingPathComponent("carrel-oci").path
}()

/// `carrel`, beside it.
let carrelPath = URL(fileURLWithPath: runtimePath).deletingLastPathComponent().appendingPathComponent("carrel").path

/// Where the program of others is that `Fixtures/NAME/build` builds; `nil` where it cannot be built.
func fixture(_ name: String) -> String? {
    let repository = String(#filePath.dropLast("/Tests/Conformance/Bundle.swift".count))
    let place = "\(repository)/.build/\(name)"
    let built = try? run(["\(repository)/Tests/Conformance/Fixtures/\(name)/build", place], limit: 400)
    if built?.status == 0 { return place }
    print("\(name):", built?.errors ?? "its build did not start")
    return nil
}

/// Makes a directory of a test's own.
func makePlace(_ name: String) -> String {
    var template = Array("/tmp/carrel-oci-\(name).XXXXXX".utf8CString)
    return String(cString: mkdtemp(&template))
}

/// Starts a program, which the caller ends and waits for.
func spawn(_ words: [String], environment: [String: String]) throws -> pid_t {
    var arguments = words.map { strdup($0) } + [nil]
    var variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for string in arguments + variables { free(string) } }
    var pid: pid_t = 0
    let failure = posix_spawnp(&pid, words[0], nil, nil, &arguments, &variables)
    guard failure == 0 else { throw POSIXError(POSIXErrorCode(rawValue: failure) ?? .EINVAL) }
    return pid
}

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
        path = makePlace("test")
        state = path + "/state"
        for directory in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
            try FileManager.default.createDirectory(
                atPath: "\(path)/rootfs/\(directory)", withIntermediateDirectories: true)
        }
        try FileManager.default.copyItem(atPath: "/bin/busybox", toPath: "\(path)/rootfs/bin/busybox")
        for name in [
            "sh", "cat", "sleep", "true", "ls", "id", "grep", "mount", "touch", "echo", "ps", "stat", "dd", "readlink",
            "cut", "ip", "mkdir", "rm", "env", "sort", "sed",
        ] {
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

    /// Adds mounts to those that are there.
    func mount(_ more: [[String: Any]]) { spec["mounts"] = (spec["mounts"] as? [[String: Any]] ?? []) + more }

    /// Takes out what is mounted at /dev and below it.
    func unmountDevices() {
        spec["mounts"] = (spec["mounts"] as? [[String: Any]] ?? []).filter {
            !(($0["destination"] as? String) ?? "").hasPrefix("/dev")
        }
    }

    /// Gives the container a user namespace of its own.
    func mapUsers() {
        for place in [path, "\(path)/rootfs"] { chmod(place, 0o755) }
        change("linux") { linux in
            linux["namespaces"] = ["pid", "mount", "uts", "ipc", "network", "user"].map { ["type": $0] }
            linux["uidMappings"] = [["containerID": 0, "hostID": 100_000, "size": 65_536]]
            linux["gidMappings"] = [["containerID": 0, "hostID": 100_000, "size": 65_536]]
        }
        // The caller's cgroup namespace is not the container's to mount.
        spec["mounts"] = (spec["mounts"] as? [[String: Any]] ?? []).filter {
            $0["destination"] as? String != "/sys/fs/cgroup"
        }
    }

    /// Sets the payload.
    func payload(_ words: String...) { change("process") { $0["args"] = words } }
    func script(_ text: String) { payload("sh", "-c", text) }

    func write() throws {
        try JSONSerialization.data(withJSONObject: spec).write(to: URL(fileURLWithPath: "\(path)/config.json"))
    }

    /// Calls the runtime.
    @discardableResult
    func oci(_ option: String, _ value: String, _ words: [String]) throws -> Outcome {
        try run([runtimePath, "--root", state, option, value] + words)
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

    /// The number of a container's process.
    func pid(_ id: String = "c") throws -> Int64? {
        try Node.parse(Array(try oci("state", id).output.utf8), file: "state")["pid"]?.int
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

/// Waits up to ten seconds for what comes by itself.
func wait(_ what: Comment = "it did not come to that", _ condition: () throws -> Bool) throws {
    for _ in 0..<200 {
        if try condition() { return }
        usleep(50_000)
    }
    Issue.record(what)
}

/// Everything about the runtime, one test after the other: containers of one name have one cgroup.
@Suite(.enabled(if: canRun, whyNot), .serialized) enum Conformance {}
