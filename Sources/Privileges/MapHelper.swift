import Glibc
import Syscalls
import SystemPackage

/// A run of newuidmap(1) or newgidmap(1), which are privileged to write maps that /etc/subuid and /etc/subgid allow.
struct MapHelper {
    private let path: String
    private let pid: pid_t
    private let messages: FileDescriptor

    /// Starts the helper at `path` on the user namespace of `target`, with an empty environment.
    init(_ path: String, pid target: pid_t, _ extents: IDExtents) throws(ControlError) {
        self.path = path
        var words = [path, "\(target)"]
        for extent in extents.list { words += ["\(extent.inside)", "\(extent.outside)", "\(extent.count)"] }
        let arguments = CStringVector(words)
        let environment = CStringVector([])
        defer {
            arguments.free()
            environment.free()
        }
        let output: (reading: FileDescriptor, writing: FileDescriptor)
        do throws(SystemError) {
            output = try makePipe()
        } catch {
            throw ControlError("user namespace", "\(error)")
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, output.writing.rawValue, 1)
        posix_spawn_file_actions_adddup2(&actions, output.writing.rawValue, 2)
        var pid: pid_t = 0
        let error = posix_spawn(&pid, path, &actions, nil, arguments.pointer, environment.pointer)
        messages = output.reading
        self.pid = pid
        close(output.writing)
        if error != 0 {
            close(messages)
            throw ControlError("user namespace", "\(SystemError("posix_spawn", path, errno: Errno(rawValue: error)))")
        }
    }

    /// Waits for the helper.
    ///
    /// - Throws: `ControlError` with what it said, where it did not succeed.
    func finish() throws(ControlError) {
        defer { close(messages) }
        let said: [UInt8]
        do throws(SystemError) {
            said = try readAll(messages, named: path)
            if try wait(for: pid) == .exited(0) { return }
        } catch {
            throw ControlError("user namespace", "\(error)")
        }
        let text = String(decoding: said, as: UTF8.self).split(separator: "\n").joined(separator: ", ")
        throw ControlError(
            "user namespace", "\(path) failed: \(text)", fix: "see /etc/subuid, /etc/subgid and `carrel doctor`")
    }
}
