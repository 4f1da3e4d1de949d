import Options
import Session

extension Program {
    /// The whole program, for everything that tells of it.
    static var carrel: Program {
        Program(
            name: "carrel", version: Carrel.version, summary: "Run agents in sandboxed sessions",
            details: [
                """
                A carrel is the small closed desk that a library lends to one reader. `carrel` gives each agent process \
                such a desk: its tenant's working tree, a root that it cannot write to, no network, no privileges, \
                bounded memory, processes and time, and a report of what it did.
                """,
                "Everything a session may do is in its profile: `carrel profile show default` prints one.",
            ],
            root: Command(
                "", operands: [Operand("COMMAND", isOptional: true)], options: [.version],
                "Run agents in sandboxed sessions"),
            commands: Verb.allCases.map(\.definition),
            exitStatuses: [
                ("0", "Done. `run`, `exec` and `wait` end with the program's own status, this or another"),
                ("1", "Of checks, of `release`, `doctor` and `measure`: done, and found wanting"),
                ("75", "The host, or the tenant, has no room for another session: try again later, or `--wait`"),
                ("124", "A limit of time, idleness or processor time, a spent budget, or too long beyond the ceiling"),
                ("125", "carrel itself failed, or was called wrongly: nothing ran"),
                ("126", "The program cannot be executed"),
                ("127", "The program was not found"),
                ("128+N", "Signal N ended the program; 137 also where memory ran out, and the report says `oom`"),
            ],
            environment: [
                (
                    "CARREL_STATE",
                    "Where state is kept, instead of `/var/lib/carrel` (root) or `$XDG_STATE_HOME/carrel`"
                ),
                ("CARREL_PROFILES", "Directories of profiles, separated by colons, looked through before all others"),
                ("CARREL_GATEWAY_CONFIG", "The gateway's configuration, instead of `/etc/carrel/gateway.yaml`"),
                ("NO_COLOR", "Where it is set and not empty, nothing is coloured"),
            ],
            files: [
                ("/etc/carrel/session/NAME.yaml", "The host's own profiles, before those that come with carrel"),
                ("/etc/carrel/seccomp/NAME.json", "The host's own filters"),
                ("/etc/carrel/egress/NAME.yaml", "The host's own rule sets"),
                ("/etc/carrel/images/NAME", "The host's prepared roots, or links to them"),
                ("/etc/carrel/gateway.yaml", "The gateway: credentials, prices, budgets (Docs/Gateway.md)"),
                ("/etc/carrel/host.yaml, tenants/NAME.yaml", "Bounds of the host and of tenants (Docs/Cgroups.md)"),
                ("/var/lib/carrel", "State: tenants, live sessions, the ledger of reports, the audit log"),
            ])
    }
}
