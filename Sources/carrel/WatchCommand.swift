import Options
import Session

extension Command {
    static let watch = Command(
        "watch", in: host, "Watch over the limits of all sessions, as a service of the host",
        details: [
            """
            Each session's supervisor holds its limits. This is the second line: where a supervisor is stopped, or is gone, \
            the watch ends what is over its wall clock, idle, processor time or recycle limit, and sweeps up. Every other \
            call of carrel that looks at sessions does so too; the watch does it at the right moment. It sleeps until \
            something happens, and ends at SIGTERM. Docs/Cgroups.md has a systemd unit.
            """
        ])
}

extension Verb {
    func watchLimits() throws(SessionError) -> Int32 {
        try Carrel().watch()
        return 0
    }
}
