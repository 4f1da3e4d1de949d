import Cgroups
import Container
import Documents
import Glibc
import OCISpec
import Records
import Seccomp
import Syscalls
import SystemPackage

/// A program to run in a live session, beside its payload.
public struct ExecRequest: Sendable {
    /// The session's name.
    public var session: String
    /// The program and its arguments.
    public var command: [String]
    /// Whether it gets a terminal of its own, tied to the caller's.
    public var wantsTerminal = false
    /// Variables added to the session's environment, `NAME=value`.
    public var environment: [String] = []

    /// A request with everything else as usual.
    public init(session: String, command: [String]) {
        self.session = session
        self.command = command
    }
}

extension Carrel {
    /// Runs a program in a live session, with the ids, filter, limits and environment of its payload, and gives the
    /// program's exit status.
    public func execute(_ request: ExecRequest) throws(SessionError) -> Int32 {
        let record = try find(request.session)
        if record.isRecorded {
            throw SessionError(
                "session \(record.id) is being recorded: the launch of another program would be among its calls")
        }
        guard !request.command.isEmpty else { throw SessionError("exec: there is no program to run") }
        for variable in request.environment {
            guard let equals = variable.utf8.firstIndex(of: 0x3d), equals != variable.startIndex else {
                throw SessionError("--env \(variable): expected NAME=value")
            }
        }
        let spec: Spec
        do throws(Problems) {
            spec = try Spec(record.spec, file: live.recordPath(record.id))
        } catch { throw SessionError("session \(record.id): \(error)") }
        let filter: FilterProgram
        do throws(FilterError) {
            filter = try FilterCache(directory: state["cache/seccomp"]).program(forFile: record.filter).program
        } catch { throw SessionError("seccomp \(record.filter): \(error)") }
        let container = try telling("session \(record.id)") { () throws(SystemError) in try pidfdOpen(record.pid) }
        // The number may have gone to another process since the record was read; the descriptor cannot any more.
        guard startTime(of: record.pid) == record.pidStarted else {
            throw SessionError("session \(record.id) has just ended")
        }
        let cgroup = cgroup(of: record)
        if record.cgroup != nil && cgroup == nil { throw SessionError("session \(record.id) has lost its cgroup") }
        var inside = spec
        inside.process?.args = request.command
        for variable in request.environment {
            let name = variable.prefix { $0 != "=" } + "="
            inside.process?.env.removeAll { $0.hasPrefix(name) }
            inside.process?.env.append(variable)
        }
        inside.process?.terminal = request.wantsTerminal
        let entry = try entry(cgroup, of: record.id, record.tenant)
        try Recorder(state).decided(
            .exec,
            [
                "session": Node(.string(record.id)), "tenant": Node(.string(record.tenant)),
                "command": Node(.sequence(request.command.map { Node(.string($0)) })), "by": caller().node,
            ])
        let foreground = try telling("exec") { () throws(SystemError) in try ForegroundProcess() }
        let launch = LaunchRequest(
            spec: inside, extensions: Extensions(annotations: spec.annotations), cgroup: entry, filter: filter,
            initPath: "")
        // It can be paused, and somebody can lose patience, while the program is on its way.
        let obstacle = { self.whyPaused(record.id, record.tenant, cgroup) ?? Self.signalled("exec") }
        let entered = try starting(launch, "exec in session \(record.id)", unless: obstacle) {
            try enter($0, container)
        }
        return try telling("exec") { () throws(SystemError) in
            try foreground.attend(
                entered.process, pid: entered.helper, program: entered.program, terminal: entered.terminal)
        }
    }

    /// Why nothing starts in a session's cgroup that stands still; `nil` where it does not.
    func whyPaused(_ id: String, _ tenant: String, _ cgroup: Cgroup?) -> SessionError? {
        guard let cgroup, (try? cgroup.isFrozen()) == true else { return nil }
        if let level = pausedLevel(above: tenant) { return paused(id, with: level) }
        if let above = cgroup.frozenAbove() {
            return SessionError(
                "session \(id): its cgroup stands still, since \(above) is frozen, and not by this state directory",
                fix: "resume what another one has paused (CARREL_STATE), or: echo 0 > \(above)/cgroup.freeze")
        }
        return SessionError("session \(id) is paused", fix: "carrel resume \(id)")
    }

    /// The signal that ends this call before the program is there to have it. Others wait for that.
    static func signalled(_ verb: String) -> SessionError? {
        [SIGINT, SIGTERM, SIGHUP, SIGQUIT].first { isPending($0) && !isIgnored($0) }.map {
            SessionError("\(verb): signal \($0) came before the program had started", exitStatus: 128 + $0)
        }
    }
}
