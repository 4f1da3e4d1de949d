import Documents
import Foundation
import Glibc
import Testing

/// Runs a test with a place of its own, and checks afterwards that its sessions left nothing on the host.
///
/// - Parameter ordinary: run carrel as a user who is not root; only root can.
func withDesk(ordinary: Bool = false, _ body: (Desk) throws -> Void) throws {
    let desk = try Desk(ordinary: ordinary)
    defer { desk.clear() }
    try body(desk)
    desk.checkNothingIsLeft()
}

/// One test's place: a state directory, working trees, and carrel run with them.
final class Desk {
    let path: String
    let state: String
    /// Added to carrel's environment.
    var environment: [String: String] = [:]
    /// The prefix that makes a command one of the ordinary user's.
    private let prefix: [String]
    private let delegated: [String]
    private let ordinary: Bool

    init(ordinary: Bool = false) throws {
        self.ordinary = ordinary
        // In a kernel of our own /tmp is an overlay, which has no id-mapped mounts.
        var template = Array("\(Host.isOwnKernel ? "/run" : "/tmp")/carrel-test.XXXXXX".utf8CString)
        path = String(cString: mkdtemp(&template))
        state = path + "/state"
        let owner = ordinary ? Host.ordinaryID : geteuid()
        try FileManager.default.createDirectory(atPath: state, withIntermediateDirectories: false)
        for place in [path, state] {
            chmod(place, 0o755)
            chown(place, owner, owner)
        }
        delegated = ordinary ? Self.delegate(to: owner, named: String(path.suffix(6))) : []
        let join = delegated.map { "echo $$ > '\($0)/launcher/cgroup.procs'" }.joined(separator: "; ")
        prefix =
            ordinary
            ? [
                "/bin/sh", "-c",
                "\(join); exec setpriv --reuid \(owner) --regid \(owner) --clear-groups -- \"$@\"", "sh",
            ] : []
    }

    /// A cgroup of the user's own in every hierarchy, as systemd's `user@.service` has one, with a child for the launcher.
    private static func delegate(to owner: UInt32, named name: String) -> [String] {
        let mounts = Host.outside("awk '$3 ~ /^cgroup/ {print $2}' /proc/mounts").lines
        return mounts.compactMap { mount in
            let place = "\(mount)/carrel/carrel-test-\(name)"
            let script = """
                set -e
                mkdir -p '\(place)'
                for level in '\(mount)' '\(mount)/carrel' '\(place)'; do
                    for controller in memory pids cpu cpuset; do
                        echo +$controller > "$level/cgroup.subtree_control" 2>/dev/null || true
                    done
                done
                mkdir '\(place)/launcher'
                for file in cpuset.cpus cpuset.mems; do
                    for level in '\(mount)/carrel' '\(place)' '\(place)/launcher'; do
                        if [ -e "$(dirname "$level")/$file" ]; then cat "$(dirname "$level")/$file" > "$level/$file"; fi
                    done
                done
                chown -R \(owner):\(owner) '\(place)'
                """
            return Host.outside(script).status == 0 ? place : nil
        }
    }

    /// Ends what still runs and removes everything.
    func clear() {
        let left = Self.list(state + "/sessions")
        if !left.isEmpty { _ = carrel(["kill", "--all", "--signal", "KILL"]) }
        stopGateway()
        for place in delegated { Host.outside("find '\(place)' -depth -type d -exec rmdir {} + 2>/dev/null") }
        Host.outside("chmod -R u+rwX '\(path)' 2>/dev/null; rm -rf '\(path)'")
    }

    // MARK: running

    private var caller: [String: String] {
        let base = ["PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"]
        return base.merging(["CARREL_STATE": state, "HOME": path]) { $1 }.merging(environment) { $1 }
    }

    /// Starts `carrel` with these arguments.
    func start(carrel arguments: [String], stdin: String = "", directory: String? = nil) -> Command {
        Command(prefix + [Host.carrel] + arguments, stdin: stdin, environment: caller, directory: directory)
    }

    /// Runs `carrel` with these arguments.
    @discardableResult
    func carrel(_ arguments: [String], stdin: String = "", directory: String? = nil, timeout: Double = 180) -> Outcome {
        start(carrel: arguments, stdin: stdin, directory: directory).finish(within: timeout)
    }

    /// Runs a command in a session.
    @discardableResult
    func run(_ options: [String] = [], _ command: [String], stdin: String = "", timeout: Double = 180) -> Outcome {
        carrel(["run"] + options + ["--"] + command, stdin: stdin, timeout: timeout)
    }

    /// Runs a shell script in a session.
    @discardableResult
    func sh(_ options: [String] = [], _ script: String, timeout: Double = 180) -> Outcome {
        run(options, ["/bin/sh", "-c", script], timeout: timeout)
    }

    /// Runs a Python program in a session, with what Fixtures/prelude.py defines.
    @discardableResult
    func python(_ options: [String] = [], _ program: String, timeout: Double = 180) -> Outcome {
        run(options, [Host.python, "-c", Self.prelude + program], timeout: timeout)
    }

    /// The same program outside.
    func pythonOutside(_ program: String) -> Outcome { Host.outside([Host.python, "-c", Self.prelude + program]) }

    static let prelude = Host.fixture("prelude.py") + "\n"

    /// A shell script as a shell command that runs carrel: for redirections, pipes and descriptors of the caller's.
    func around(_ script: String, adding: [String: String] = [:], timeout: Double = 180) -> Outcome {
        let variables = caller.merging(["CARREL": Host.carrel]) { $1 }.merging(adding) { $1 }
        return Command(prefix + ["/bin/bash", "-c", script], environment: variables).finish(within: timeout)
    }

    /// Starts a detached session that sleeps, and says its name.
    func detached(_ options: [String] = [], _ script: String = "sleep 600", session: String) throws -> String {
        let started = sh(["--detach", "--session", session] + options, script)
        try #require(started.status == 0, "\(started)")
        return session
    }

    // MARK: files

    /// Makes a directory that belongs to the caller of carrel.
    func directory(_ name: String) throws -> String {
        let made = path + "/" + name
        try FileManager.default.createDirectory(atPath: made, withIntermediateDirectories: true)
        own(made)
        return made
    }

    /// Writes a file of the caller's, with its directories.
    @discardableResult
    func write(_ text: String, to name: String, mode: mode_t = 0o644) throws -> String {
        let file = path + "/" + name
        let parent = (file as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        try text.write(toFile: file, atomically: false, encoding: .utf8)
        chmod(file, mode)
        own(parent)
        own(file)
        return file
    }

    private func own(_ path: String) {
        if ordinary { chown(path, Host.ordinaryID, Host.ordinaryID) }
    }

    /// A profile made of another and these lines.
    func profile(_ name: String, extends parent: String = "default", _ lines: String) throws -> String {
        try write("version: 1\nextends: \(parent)\n\(lines)\n", to: "profiles/\(name).yaml")
    }

    func read(_ name: String) -> String { (try? String(contentsOfFile: path + "/" + name, encoding: .utf8)) ?? "" }

    /// A JSON file as a document.
    func json(_ name: String) throws -> Node { try Node.parse(Array(read(name).utf8), file: name) }

    /// The last report in the ledger.
    func lastReport() throws -> Node {
        let line = try #require(read("state/ledger.jsonl").split(separator: "\n").last)
        return try Node.parse(Array(line.utf8), file: "ledger.jsonl")
    }

    /// The events of the audit log, oldest first.
    func auditEvents() throws -> [Node] {
        try read("state/audit.jsonl").split(separator: "\n").map { try Node.parse(Array($0.utf8), file: "audit.jsonl") }
    }

    /// What is in a directory; names with a dot are no sessions but files to be used again.
    static func list(_ path: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).filter { !$0.hasPrefix(".") }.sorted()
    }

    // MARK: what is left

    /// Ends the gateway of this desk, which would otherwise wait a while for further sessions.
    func stopGateway() {
        for pid in Host.processes(with: "carrel-gateway\0serve\0--state\0" + state) {
            kill(pid, SIGTERM)
            _ = eventually(within: 5) { kill(pid, 0) == -1 }
        }
    }

    /// Nothing of a session may outlive it: no record of a live one, no cgroup, no mount, no process.
    func checkNothingIsLeft(_ location: SourceLocation = #_sourceLocation) {
        stopGateway()
        for name in ["sessions", "live", "workdirs"] {
            let left = Self.list("\(state)/\(name)")
            #expect(left.isEmpty, "state/\(name) still has something", sourceLocation: location)
        }
        let mounts = (try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)) ?? ""
        #expect(!mounts.contains(path), "a mount is left", sourceLocation: location)
        #expect(Host.processes(with: path) == [], "a process is left", sourceLocation: location)
        // Others may run sessions of tenants with the same names: only those of this state directory count.
        let sessions = Set(((try? auditEvents()) ?? []).compactMap { $0["session"]?.string })
        for tenant in (try? FileManager.default.contentsOfDirectory(atPath: state + "/tenants")) ?? [] {
            let left = Host.cgroups(of: tenant).filter { sessions.contains(($0 as NSString).lastPathComponent) }
            #expect(left == [], "a cgroup is left", sourceLocation: location)
        }
    }
}

extension Node {
    /// A member reached by names with dots between them.
    func at(_ path: String) -> Node? {
        path.split(separator: ".").reduce(Optional(self)) { node, name in node?[String(name)] }
    }
}

extension Desk {
    /// Output of carrel as a document.
    func parse(_ text: String) throws -> Node { try Node.parse(Array(text.utf8), file: "output") }
}
