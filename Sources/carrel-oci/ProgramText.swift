import Documents
import Options

extension Program {
    /// The program, for its help and manual pages.
    static var carrelOCI: Program {
        Program(
            name: "carrel-oci", version: Release.version, summary: "Run containers by the OCI runtime specification",
            details: [
                "The runtime that podman, containerd, CRI-O and buildah drive, with the command line of runc and crun."
            ], root: .root, commands: Verb.allCases.map(\.definition),
            exitStatuses: [
                ("0", "It was done"), ("1", "It was not, as the message tells"),
                ("N", "Of `run` and `exec`: the status of the program"),
                ("127, 126, 255", "Of `exec`: not found, not executable, not started for another reason"),
            ], environment: [("XDG_RUNTIME_DIR", "Where an ordinary user's containers are kept")],
            files: [("/run/carrel-oci", "What is known of containers"), ("/run/carrel/seccomp", "Compiled filters")])
    }
}
