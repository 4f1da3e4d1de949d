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
        var words = ["\(target)"]
        for extent in extents.list { words += ["\(extent.inside)", "\(extent.outside)", "\(extent.count)"] }
        do throws(SystemError) {
            (pid, messages) = try spawn(path, words, environment: [], withErrors: true)
        } catch {
            throw ControlError("user namespace", "\(error)")
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
