import Documents

/// The configuration of a container: `config.json` of an OCI bundle, version 1.2 (config.md of the OCI runtime
/// specification). Of the platforms only Linux is read.
public struct Spec: SpecObject {
    /// The version of the specification that the document follows, SemVer.
    public var ociVersion: String
    /// The container's process; needed by `start`.
    public var process: Process?
    /// The container's root file system.
    public var root: Root?
    /// The host name inside; needs a UTS namespace of the container's own.
    public var hostname: String?
    /// The NIS domain name inside; needs a UTS namespace of the container's own.
    public var domainname: String?
    /// The mounts beyond the root, in the order in which they are made.
    public var mounts: [Mount]
    /// Programs run at points of the container's life.
    public var hooks: Hooks?
    /// Free metadata. Keys in reverse-domain notation; Carrel's own begin with `dev.carrel.`.
    public var annotations: [String: String]
    /// What is particular to Linux.
    public var linux: Linux?

    /// The version of the specification that Carrel writes, and the newest that it reads.
    public static let version = "1.2.0"

    /// Makes one from its members.
    public init(
        ociVersion: String = Spec.version, process: Process? = nil, root: Root? = nil, hostname: String? = nil,
        domainname: String? = nil, mounts: [Mount] = [], hooks: Hooks? = nil, annotations: [String: String] = [:],
        linux: Linux? = nil
    ) {
        self.ociVersion = ociVersion
        self.process = process
        self.root = root
        self.hostname = hostname
        self.domainname = domainname
        self.mounts = mounts
        self.hooks = hooks
        self.annotations = annotations
        self.linux = linux
    }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("ociVersion", &ociVersion)
        members("process", &process)
        members("root", &root)
        members("hostname", &hostname)
        members("domainname", &domainname)
        members("mounts", &mounts)
        members("hooks", &hooks)
        members("annotations", &annotations)
        members("linux", &linux)
    }
}

/// The container's root file system.
public struct Root: SpecObject {
    /// The directory, absolute or relative to the bundle.
    public var path: String
    /// Whether the root is read-only inside.
    public var readonly: Bool

    /// Makes one from its members.
    public init(path: String, readonly: Bool = false) {
        self.path = path
        self.readonly = readonly
    }

    /// A value to read into.
    public static var blank: Self { Self(path: "") }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("path", &path)
        members.flag("readonly", &readonly)
    }
}

/// The programs run at points of a container's life (config.md, "POSIX-platform Hooks").
public struct Hooks: SpecObject {
    /// Deprecated: run with `createRuntime`, before it.
    public var prestart: [Hook]
    /// Run in the runtime's namespaces once the container's namespaces exist, before `pivot_root`.
    public var createRuntime: [Hook]
    /// Run in the container's namespaces before `pivot_root`.
    public var createContainer: [Hook]
    /// Run in the container's namespaces just before its program starts; paths resolve inside.
    public var startContainer: [Hook]
    /// Run in the runtime's namespaces after the program started.
    public var poststart: [Hook]
    /// Run in the runtime's namespaces after the container was deleted.
    public var poststop: [Hook]

    /// Makes one from its members.
    public init(
        prestart: [Hook] = [], createRuntime: [Hook] = [], createContainer: [Hook] = [], startContainer: [Hook] = [],
        poststart: [Hook] = [], poststop: [Hook] = []
    ) {
        self.prestart = prestart
        self.createRuntime = createRuntime
        self.createContainer = createContainer
        self.startContainer = startContainer
        self.poststart = poststart
        self.poststop = poststop
    }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("prestart", &prestart)
        members("createRuntime", &createRuntime)
        members("createContainer", &createContainer)
        members("startContainer", &startContainer)
        members("poststart", &poststart)
        members("poststop", &poststop)
    }
}

/// One program of `Hooks`; the container's state is its standard input.
public struct Hook: SpecObject {
    /// The program, an absolute path.
    public var path: String
    /// The argument vector, its first element the name of the program as in execv(3).
    public var args: [String]
    /// The environment, as `NAME=value`.
    public var env: [String]
    /// Seconds after which the hook is aborted; above zero.
    public var timeout: Int64?

    /// Makes one from its members.
    public init(path: String, args: [String] = [], env: [String] = [], timeout: Int64? = nil) {
        self.path = path
        self.args = args
        self.env = env
        self.timeout = timeout
    }

    /// A value to read into.
    public static var blank: Self { Self(path: "") }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("path", &path)
        members("args", &args)
        members("env", &env)
        members("timeout", &timeout)
    }
}
