import Glibc
import Privileges
import Syscalls
import SystemPackage

/// How a child ended, and all that it wrote to its standard output and error.
struct Outcome: CustomStringConvertible {
    let status: WaitStatus
    let output: String

    var succeeded: Bool { status == .exited(0) }
    var description: String { "\(status), \"\(output)\"" }

    /// The value of a line `name:\tvalue` of /proc/self/status.
    func field(_ name: String) -> String? {
        output.split(separator: "\n").first { $0.hasPrefix(name + ":") }
            .map { String($0.drop { $0 != "\t" }.dropFirst()) }
    }
}

/// Runs `body` in a child of one thread, as the launch sequence does, and `command` after it where there is one.
/// For the process of an exit test: in a process with busy threads a bare clone can stop at a lock that nobody holds.
///
/// - Parameters:
///   - map: the child starts in a new user namespace and waits until the map is written.
///   - body: gives text that is written to the output; a thrown error is written too, and the status is 99.
func inChild(
    namespaces: Namespaces = [], map: IDMap? = nil, run command: [String] = [], _ body: () throws -> String = { "" }
) throws -> Outcome {
    let output = try makePipe()
    let go = try makePipe()
    switch try cloneProcess(namespaces: map == nil ? namespaces : namespaces.union(.user)) {
    case .child:
        do {
            Syscalls.close(go.writing)
            _ = try readAll(go.reading)
            _ = try changeSignalMask(SIG_SETMASK, signalSet([]))  // the test library blocks SIGCHLD
            try duplicate(output.writing, as: 1)
            try duplicate(output.writing, as: 2)
            try writeAll(try body().utf8, to: .standardOutput)
            if command.isEmpty { _exit(0) }
            try execute(command[0], CStringVector(command), environment: CStringVector(["PATH=/usr/bin:/bin"]))
        } catch {
            try? writeAll("\(error)\n".utf8, to: .standardOutput)
            _exit(99)
        }
    case .parent(let pid, let descriptor):
        Syscalls.close(descriptor)
        Syscalls.close(output.writing)
        Syscalls.close(go.reading)
        if let map {
            do {
                try map.write(pid: pid)
            } catch {
                kill(pid, SIGKILL)
                _ = try wait(for: pid)
                throw error
            }
        }
        Syscalls.close(go.writing)
        let text = String(decoding: try readAll(output.reading), as: UTF8.self)
        Syscalls.close(output.reading)
        return Outcome(status: try wait(for: pid), output: text)
    }
}

/// A new directory that `body` gets the path of, removed afterwards.
func withDirectory<Result>(mode: mode_t = 0o755, _ body: (String) throws -> Result) throws -> Result {
    var template = Array("/tmp/carrel-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp") }
    let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    defer { try? removeTree(path) }
    chmod(path, mode)
    return try body(path)
}

let isRoot = getuid() == 0
let hasLandlock = Landlock.abi >= 6
