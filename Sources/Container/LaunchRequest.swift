import Cgroups
import Glibc
import OCISpec
import Privileges
import Seccomp
import Syscalls
import SystemPackage

/// Everything a launch needs, checked and opened before the child exists.
public struct LaunchRequest {
    /// What to run and how it is boxed. The seccomp part is taken from ``filter``, the cgroup part from ``cgroup``.
    public var spec: Spec
    /// What OCI has no field for.
    public var extensions: Extensions
    /// The way into the container's cgroup, whose limits are set; `nil` leaves the container in the caller's.
    public var cgroup: CgroupEntry?
    /// The payload's filter; `nil` runs it without one.
    public var filter: FilterProgram?
    /// The program that becomes PID 1 of a session: `carrel-init`, a static executable.
    public var initPath: String
    /// What the payload gets as 0, 1 and 2; the caller's own where it is `nil`. Not used with a terminal.
    public var standardDescriptors: [FileDescriptor]?
    /// Further descriptors of the caller that the payload keeps, at their numbers.
    public var passedDescriptors: [FileDescriptor]
    /// Where ``filter`` asks a listener: takes and answers one call that the launcher makes behind the filter, which is
    /// execve(2). After the launch the listener is the caller's to attend.
    public var answer: (FileDescriptor) -> Void = { _ in }
    /// Asked every 20 ms while nothing comes of the launch: in a cgroup that stands still nothing does. Where it says no, the program
    /// is given up, and does not start later either.
    public var goesOn: (() -> Bool)?
    /// What makes it a container of the OCI runtime, whose payload is PID 1; `nil` for a session.
    public var runtime: RuntimeOptions?

    /// What the container's process needs of the caller's descriptors while it is made, with `more`.
    func descriptors(and more: [FileDescriptor]) -> [FileDescriptor] {
        more + passedDescriptors + (standardDescriptors ?? []) + [runtime?.gate, runtime?.listener].compactMap { $0 }
    }

    /// Whether it is a container whose network leads to a gateway alone.
    var hasContainerDoor: Bool { runtime != nil && !extensions.listeners.isEmpty }

    /// Collects the parts.
    public init(
        spec: Spec, extensions: Extensions = Extensions(), cgroup: CgroupEntry?, filter: FilterProgram?,
        initPath: String, standardDescriptors: [FileDescriptor]? = nil,
        passedDescriptors: [FileDescriptor] = []
    ) {
        self.spec = spec
        self.extensions = extensions
        self.cgroup = cgroup
        self.filter = filter
        self.initPath = initPath
        self.standardDescriptors = standardDescriptors
        self.passedDescriptors = passedDescriptors
    }
}

/// What Carrel adds to the OCI specification, as it travels in `annotations`.
public struct Extensions: Sendable, Equatable {
    /// Paths that are bound onto themselves, so that they cannot be renamed or removed (`dev.carrel.pinnedPaths`).
    public var pinnedPaths: [String]
    /// The only programs that may be executed, by Landlock (`dev.carrel.exec`); `nil` for no such list.
    public var executables: [String]?
    /// Landlock scopes: `abstract-socket`, `signal` (`dev.carrel.scopes`).
    public var scopes: [String]

    /// Sockets that are opened in the container's network namespace and handed to the caller of ``launch(_:serving:meanwhile:)``
    /// (`dev.carrel.listeners`). Where there is one, every address is local to the namespace.
    public var listeners: [ContainerListener]
    /// `true` where PID 1 of a container of the OCI runtime shall be carrel-init, `false` as without (`dev.carrel.init`);
    /// looked at when the container is planned. A session's always is.
    public var initProcess: String?

    /// An option of a bind mount: its source is reached without any symbolic link. By its prefix it is a comment to others
    /// (mount(8)).
    public static let mountWithoutLinks = "x-carrel.nolinks"

    /// Nothing beyond OCI.
    public init(
        pinnedPaths: [String] = [], executables: [String]? = nil, scopes: [String] = [],
        listeners: [ContainerListener] = [], initProcess: String? = nil
    ) {
        self.pinnedPaths = pinnedPaths
        self.executables = executables
        self.scopes = scopes
        self.listeners = listeners
        self.initProcess = initProcess
    }

    /// The extensions as annotations; lists are one item a line.
    public var annotations: [String: String] {
        var result: [String: String] = [:]
        if !pinnedPaths.isEmpty { result["dev.carrel.pinnedPaths"] = pinnedPaths.joined(separator: "\n") }
        if let executables { result["dev.carrel.exec"] = executables.joined(separator: "\n") }
        if !scopes.isEmpty { result["dev.carrel.scopes"] = scopes.joined(separator: "\n") }
        if !listeners.isEmpty {
            result["dev.carrel.listeners"] = listeners.map(\.description).joined(separator: "\n")
        }
        if let initProcess { result["dev.carrel.init"] = initProcess }
        return result
    }

    /// The annotations that a container of the OCI runtime takes as controls; a session's has more.
    static let runtimeControls = [
        "dev.carrel.egress", "dev.carrel.exec", "dev.carrel.explain", "dev.carrel.init", "dev.carrel.pinnedPaths",
        "dev.carrel.scopes",
    ]
    /// Those that only name something.
    static let labels = ["dev.carrel.profile", "dev.carrel.session", "dev.carrel.tenant"]

    /// Reads what ``annotations`` wrote.
    public init(annotations: [String: String]) {
        func lines(_ key: String) -> [String]? {
            annotations["dev.carrel." + key]?.split(separator: "\n").map(String.init)
        }
        self.init(
            pinnedPaths: lines("pinnedPaths") ?? [], executables: lines("exec"), scopes: lines("scopes") ?? [],
            listeners: (lines("listeners") ?? []).compactMap { ContainerListener($0) },
            initProcess: annotations["dev.carrel.init"])
    }
}

extension Extensions {
    /// The Landlock policy that they ask for; `nil` for none.
    ///
    /// - Parameter environment: the payload's: its `PATH` is where interpreters are looked for.
    /// - Throws: `ControlError` for a scope that there is not.
    func landlockPolicy(environment: [String]) throws(ControlError) -> LandlockPolicy? {
        if executables == nil && scopes.isEmpty { return nil }
        var scopes: Landlock.Scopes = []
        for name in self.scopes {
            switch name {
            case "abstract-socket": scopes.insert(.abstractSockets)
            case "signal": scopes.insert(.signals)
            default: throw ControlError("dev.carrel.scopes", "expected abstract-socket or signal, found \(name)")
            }
        }
        return LandlockPolicy(
            executables: executables, searchPath: searchPath(environment), scopes: scopes)
    }
}

/// What an annotation that is `true` or `false` says; `false` where there is none.
///
/// - Throws: `ControlError` for anything else.
func isSet(_ text: String?, _ annotation: String) throws(ControlError) -> Bool {
    switch text {
    case "true": return true
    case "false", nil: return false
    case .some(let text): throw ControlError(annotation, "expected true or false, found \(text)")
    }
}

/// The directories of the `PATH` in an environment, or the usual three.
func searchPath(_ environment: [String]) -> [String] {
    let path = environment.first { $0.hasPrefix("PATH=") }?.dropFirst(5) ?? "/usr/local/bin:/usr/bin:/bin"
    return path.split(separator: ":").map(String.init)
}

/// A container that runs: its payload has been executed.
public struct RunningContainer: Sendable {
    /// PID 1 of the container, as the host numbers it.
    public let pid: pid_t
    /// A descriptor of PID 1 (pidfd_open(2)): readable when the container is gone.
    public let process: FileDescriptor
    /// Where PID 1 writes the payload's status word (wait(2)) before it ends, and the largest resident set in KiB: two
    /// numbers of 64 bits.
    public let status: FileDescriptor
    /// The controlling side of the payload's terminal, where the specification asked for one.
    public let terminal: FileDescriptor?
    /// The listener of the payload's filter, where that asks one.
    public let listener: FileDescriptor?
    /// When each step was done, on the monotonic clock, in nanoseconds.
    public let timeline: [(step: LaunchStep, end: UInt64)]

    /// Describes a container that is running already.
    public init(
        pid: pid_t, process: FileDescriptor, status: FileDescriptor, terminal: FileDescriptor?,
        listener: FileDescriptor? = nil, timeline: [(step: LaunchStep, end: UInt64)]
    ) {
        self.pid = pid
        self.process = process
        self.status = status
        self.terminal = terminal
        self.listener = listener
        self.timeline = timeline
    }
}
