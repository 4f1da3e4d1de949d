import Cgroups
import Documents
import Glibc
import Seccomp
import Syscalls
import SystemPackage
import Workshop

/// A session whose system calls are recorded.
public struct RecordRequest: Sendable {
    /// The session: not a detached one.
    public var session: SessionRequest
    /// The file of the recording.
    public var output: String
    /// What sees the calls; `nil`: eBPF where it is to be had, else a listener.
    public var source: RecordingSource?

    /// A session whose system calls are recorded.
    public init(_ session: SessionRequest, output: String, source: RecordingSource? = nil) {
        self.session = session
        self.output = output
        self.source = source
    }
}

extension Carrel {
    /// Runs a session to its end and writes down which calls it made.
    ///
    /// - Returns: the session's own status, but never 0 where calls were lost.
    /// - Throws: ``SessionError`` where the session was not started, or the file cannot be written.
    public func record(_ request: RecordRequest) throws(SessionError) -> Int32 {
        if request.session.isDetached {
            throw SessionError("--detach: a session is recorded by the command that started it")
        }
        let output = try OutputFile(at: request.output)
        if let found = try? Syscalls.status(output.path) { try requireFile(found, "--output", at: output.path) }
        // A file that cannot be written is told before the run, not after it.
        try telling("recording") { () throws(SystemError) in
            close(try open(output.path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK))
        }
        let recorder = SessionRecorder(request.source)
        let status: Int32
        do throws(SessionError) {
            status = try runHere(request.session, log: nil, recorder: recorder) { _ in }
        } catch {
            if (try? Syscalls.status(output.path).st_size) == 0 { try? Syscalls.remove(output.path) }
            throw error
        }
        let recording = try recorder.finish(command: request.session.command)
        try telling("recording") { () throws(SystemError) in try output.write(recording.text) }
        let warn = Recorder(state).warn
        let unlisted = recording.calls.reduce(0) { $0 + $1.unlisted }
        if unlisted > 0 {
            warn("recording \(request.output): the arguments of \(unlisted) calls were too many different ones to keep")
        }
        if recording.lost > 0 {
            warn("recording \(request.output) is incomplete: \(recording.lost) calls were lost")
        }
        if status == 128 + SIGSYS {
            warn("the filter killed the program: the call that it was killed for is not in the recording")
        }
        return status == 0 && recording.lost + unlisted > 0 ? 125 : status
    }
}

/// Records the calls of one session.
final class SessionRecorder: CallListener {
    private let wanted: RecordingSource?
    private var probe: CallProbe?
    private var notified: NotifiedCalls?
    private var place: RecordedPlace?
    private var environment = RecordedEnvironment.blank

    init(_ source: RecordingSource?) { wanted = source }

    func begin(_ filter: FilterProgram, _ cgroup: Cgroup?) throws(SessionError) -> FilterProgram {
        if wanted != .notify {
            do throws(SystemError) {
                guard let cgroup else {
                    throw SystemError("bpf", "a session without a cgroup", errno: .notSupported)
                }
                guard let rules = try? FilterInterpreter(filter), CallProbe.tellsCalls(behind: rules) else {
                    throw SystemError(
                        "bpf", "a filter that lets in the calls of 32-bit programs, whose numbers mean others",
                        errno: .notSupported)
                }
                probe = try CallProbe(cgroup: UInt64(status(cgroup.directory).st_ino))
                return filter
            } catch {
                if wanted == .ebpf {
                    throw SessionError(
                        "recording by eBPF: \(error)",
                        fix: "run as root, or with CAP_BPF and CAP_PERFMON; or record with --by notify")
                }
            }
        }
        do throws(FilterInterpreter.BadProgram) {
            notified = try NotifiedCalls(filter)
        } catch { throw SessionError("recording by a listener: \(error)") }
        return filter.asking(.everything)
    }

    func launched() {
        notified?.arm()
        // Now, while the session runs: it does not wait for this.
        if let place { environment = place.environment }
    }

    func attend(_ listener: FileDescriptor) {
        guard let call = try? receiveNotification(listener), let verdict = notified?.take(call, listener) else {
            return
        }
        try? answer(call.id, verdict, on: listener)
    }

    func rest() {}
    func finish() -> Node { nil }

    /// Where the session runs.
    func describe(_ parts: SessionParts) { place = RecordedPlace(parts) }

    /// The recording, when the session is over.
    func finish(command: [String]) throws(SessionError) -> Recording {
        var recording = Recording(source: probe == nil ? .notify : .ebpf, environment: environment, command: command)
        if let probe {
            try telling("recording") { () throws(SystemError) in try probe.finish(into: &recording) }
        }
        recording.runIDs = [Carrel.randomLetters() + Carrel.randomLetters()]
        notified?.finish(into: &recording)
        place?.identify(&recording.executables)
        return recording
    }
}
