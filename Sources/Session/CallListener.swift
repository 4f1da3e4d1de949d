import Cgroups
import Documents
import Seccomp
import Syscalls
import SystemPackage

/// Whoever looks on while the calls of a session pass its filter: a recording, or an explanation of what is refused.
protocol CallListener: AnyObject {
    /// Before the launch: gives the filter that the payload gets instead of its profile's own.
    func begin(_ filter: FilterProgram, _ cgroup: Cgroup?) throws(SessionError) -> FilterProgram

    /// The payload has been executed: what is seen from here on is the session's.
    func launched()

    /// Takes one call that waits, and answers it.
    func attend(_ listener: FileDescriptor)

    /// Writes down what must not be forgotten while the supervisor sleeps.
    func rest()

    /// The session is over: what its report says of refused calls.
    func finish() -> Node
}

extension CallListener {
    /// Takes and answers what waits, up to a bound: the supervisor has other duties.
    func attendAll(_ listener: FileDescriptor) {
        for _ in 0..<256 {
            attend(listener)
            guard let ready = try? poll([(listener, .readable)], timeout: 0), ready[0].contains(.readable) else {
                return
            }
        }
    }
}
