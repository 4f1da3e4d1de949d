import OCISpec
import SystemPackage

/// How a container of the OCI runtime differs from a session: it has what its specification says and no more, its payload
/// is PID 1, and nothing of ours stays beside it.
public struct RuntimeOptions: Sendable {
    /// The socket at which the finished container waits for `start`; `nil`: its payload starts at once.
    public var gate: FileDescriptor?
    /// What hooks are told of the container; its process is filled in when there is one.
    public var state: State
    /// Whether the root is changed by pivot_root(2); otherwise it is stacked on the old one, which an initramfs needs.
    public var pivots = true
    /// Whether the container has a session keyring of its own.
    public var makesKeyring = true
    /// Where the notification descriptor of the filter goes: a connection to `linux.seccomp.listenerPath`.
    public var listener: FileDescriptor?

    /// The usual container, waiting at `gate`.
    public init(gate: FileDescriptor?, state: State) {
        self.gate = gate
        self.state = state
    }
}
