import Documents

/// The state of a container, as `state` prints it and hooks read it (runtime.md, "State").
public struct State: SpecObject {
    /// The version of the specification that the state follows.
    public var ociVersion: String
    /// The container's id, unique on the host.
    public var id: String
    /// Where it is in its life.
    public var status: ContainerState
    /// Its process, as the host numbers it; needed when created or running.
    public var pid: Int32?
    /// The absolute path of its bundle.
    public var bundle: String
    /// The configuration's annotations.
    public var annotations: [String: String]

    /// Makes one from its members.
    public init(
        ociVersion: String = Spec.version, id: String, status: ContainerState, pid: Int32? = nil, bundle: String,
        annotations: [String: String] = [:]
    ) {
        self.ociVersion = ociVersion
        self.id = id
        self.status = status
        self.pid = pid
        self.bundle = bundle
        self.annotations = annotations
    }

    /// A value to read into.
    public static var blank: Self { Self(id: "", status: .stopped, bundle: "") }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("ociVersion", &ociVersion)
        members("id", &id)
        members("status", &status)
        members("pid", &pid)
        members("bundle", &bundle)
        members("annotations", &annotations)
    }
}

/// Where a container is in its life.
public enum ContainerState: String, Sendable, CaseIterable {
    /// Being made.
    case creating
    /// Made; its program has not started.
    case created
    /// Its program runs.
    case running
    /// Its program has ended.
    case stopped
}
