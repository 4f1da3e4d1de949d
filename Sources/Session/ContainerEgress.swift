import Container
import Documents
import EgressPolicy
import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// The way out of a container of the OCI runtime: its network has the gateway's listeners, and nothing else.
///
/// The gateway serves it until the container's first process ends, and kills that process where a session would be ended:
/// beside a container nothing of ours stays that could. Should the gateway die, nothing leaves the container any more.
public struct ContainerEgress: ContainerDoor {
    /// The proxy, the resolver and the ports of the profile's rules.
    public let listeners: [ContainerListener]
    /// The certificates of the gateway's authority, and an `/etc/resolv.conf` that names the resolver.
    public let mounts: [Mount]
    /// The proxy, the certificates, and what the rule sets ask for, dummies of credentials among them.
    public let environment: [String: String]
    private let session: OpenSession
    private let state: StateDirectory

    /// Makes ready what the annotations ask for.
    ///
    /// - Parameters:
    ///   - id: the container's name.
    ///   - annotations: `dev.carrel.egress` names a profile of the catalog, whose rules, credentials and budget are the
    ///     container's; `dev.carrel.tenant`, whose budgets it spends from beside its own.
    public static func open(_ id: String, _ annotations: [String: String]) throws(RuntimeError) -> ContainerEgress {
        do throws(SessionError) {
            return try ContainerEgress(id, annotations)
        } catch {
            let fix = error.fix.map { "; \($0)" } ?? ""
            throw RuntimeError("annotations: dev.carrel.egress: \(error.message)\(fix)")
        }
    }

    private init(_ id: String, _ annotations: [String: String]) throws(SessionError) {
        let carrel = try Carrel()
        let tenant = annotations["dev.carrel.tenant"] ?? "default"
        try checkName(tenant, of: "tenant")
        let name = annotations["dev.carrel.egress"] ?? ""
        // Whoever may annotate a container has no say in what is in the host's files: a path is none of the names.
        guard isPlainName(name) else {
            throw SessionError("expected the name of a profile, one of \(carrel.catalog.names.joined(separator: ", "))")
        }
        var profile = try carrel.load(name, ProfileOverrides())
        profile.network = .gateway
        guard let policy = profile.door else {
            throw SessionError("profile \(name) lets nothing out: no rule under egress")
        }
        // No session has such a name, and no other start of a container of this name.
        let session = "oci:\(id):\(Carrel.randomLetters())"
        let door = try Door.open(policy, session: session, in: carrel.state, withSocket: false)
        let resolver = GatewayPlaces(state: carrel.state.path).directory + "/resolv.conf"
        try telling("resolv.conf") { () throws(SystemError) in
            // Whatever the engine's umask is, the payload's user reads it.
            let mode = (try? status(resolver).st_mode).map { $0 & 0o777 }
            if (try? readText(resolver)) != Skeleton.resolver || mode != 0o644 {
                try replaceFile(resolver, with: Skeleton.resolver.utf8, mode: 0o644)
                try checking("chmod", resolver) { chmod(resolver, 0o644) }
            }
        }
        state = carrel.state
        listeners = door.listeners.map(\.1)
        environment = door.environment
        mounts =
            door.mounts + [
                Mount(
                    destination: "/etc/resolv.conf", type: "bind", source: resolver,
                    options: ["bind", "ro", "nosuid", "nodev", "noexec"])
            ]
        var open = door.request(session: session, tenant: tenant, profile: name)
        open.endsWithProcess = true
        self.session = open
    }

    /// Hands the listeners and the process over to the gateway.
    public func serve(_ opened: [FileDescriptor], process: FileDescriptor) throws {
        do throws(SessionError) {
            try Gateway(state).serve(session, opened + [process]).close()
        } catch {
            throw RuntimeError("annotations: dev.carrel.egress: \(error.message)")
        }
    }
}
