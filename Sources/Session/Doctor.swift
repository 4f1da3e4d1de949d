import Cgroups
import Container
import Documents
import Glibc
import Privileges
import Syscalls

extension Carrel {
    /// What this host gives to sessions of this caller, what Carrel does with it, and how to get what is missing.
    ///
    /// Where one of them is `missing`, sessions of the shipped profiles do not start.
    public static func doctor() -> [Fact] {
        let use = "tenants, records of sessions, reports and the audit log"
        do throws(SessionError) {
            let carrel = try Carrel()
            let state = carrel.state
            return HostFacts.all(directories: [state.path]) + cgroupFacts() + installationFacts()
                + [Fact("state directory", state.path, use: use), boundsFact(state), credentialsFact(state)]
                + carrel.holdFacts()
        } catch {
            return HostFacts.all(directories: []) + cgroupFacts() + installationFacts()
                + [Fact("state directory", error.message, .missing, use: use, fix: error.fix)]
        }
    }

    private static func cgroupFacts() -> [Fact] {
        let host = CgroupHost.detect()
        var facts: [Fact] = []
        switch host.mode {
        case .unified:
            facts.append(
                Fact("cgroups", "unified (v2)", .ok, use: "limits, freezing, killing and usage"))
        case .hybrid:
            facts.append(
                Fact(
                    "cgroups", "hybrid: controllers in v1, a v2 tree at \(host.tree)", .ok,
                    use: "limits and usage in v1, freezing, killing and pressure in v2; no memory.high"))
        case .none:
            facts.append(
                Fact(
                    "cgroups", "none", .missing, use: "limits, freezing, killing and usage",
                    fix: "mount -t cgroup2 none /sys/fs/cgroup"))
            return facts
        }
        do throws(CgroupError) {
            let place = try host.directory()
            facts.append(
                Fact("place for cgroups", place + "/carrel", .ok, use: "a cgroup a session"))
        } catch {
            var (value, fix): (String, String?) = (error.description, nil)
            if case .noPlace(let reason, let advice) = error { (value, fix) = (reason, advice) }
            facts.append(Fact("place for cgroups", value, .missing, use: "a cgroup a session", fix: fix))
        }
        let controllers = host.controllers()
        let absent = ["memory", "pids", "cpu"].filter { !controllers.contains($0) }
        facts.append(
            Fact(
                "controllers", controllers.joined(separator: " "), absent.isEmpty ? .ok : .missing,
                use: "limits.memory, limits.pids, limits.cpus",
                fix: absent.isEmpty
                    ? nil : "enable \(absent.joined(separator: ", ")) for the cgroup that carrel is started in"))
        return facts
    }

    /// What `host.yaml` says: with a file that is wrong nothing starts.
    private static func boundsFact(_ state: StateDirectory) -> Fact {
        let use = "memory for all sessions together, and how they are admitted"
        do throws(Problems) {
            let bounds = try HostBounds.load(in: state)
            return Fact("host.yaml", bounds.file ?? "none: usual bounds", use: use)
        } catch {
            return Fact(
                "host.yaml", error.list.map(\.description).joined(separator: "; "), .missing, use: use,
                fix: "mend the file: while it is wrong nothing starts")
        }
    }

    /// Whether the operator has configured a gateway: without one no session gets a credential.
    private static func credentialsFact(_ state: StateDirectory) -> Fact {
        let use = "credentials that the gateway adds, prices and budgets"
        do throws(SessionError) {
            if let file = try Gateway(state).configuration() { return Fact("gateway.yaml", file, use: use) }
        } catch {
            return Fact("gateway.yaml", error.message, .missing, use: use, fix: "name the file from / on")
        }
        return Fact(
            "gateway.yaml", "none: profiles whose rules give a credential are refused, as claude-code", .degraded,
            use: use,
            fix: "write /etc/carrel/gateway.yaml (Docs/Gateway.md); --network none starts such sessions with no way out"
        )
    }

    /// Levels at which starts are held, or that are paused; no fact where there is none, as a rule.
    private func holdFacts() -> [Fact] {
        let levels = heldLevels()
        if levels.isEmpty { return [] }
        let told = levels.map { "\($0.level.name) is \($0.isPaused ? "paused" : "held")" }
        let fixes = levels.map { "carrel \($0.isPaused ? "resume" : "release") \($0.level.words)" }
        return [
            Fact(
                "holds", told.joined(separator: "; "), .degraded, use: "new sessions there are refused",
                fix: fixes.joined(separator: "; "))
        ]
    }

    private static func gatewayFact() -> Fact {
        let program = (try? programDirectory()).map { $0 + "/carrel-gateway" } ?? "carrel-gateway"
        let use = "what leaves sessions of profiles with rules under egress; without rules nothing does"
        return access(program, X_OK) == 0
            ? Fact("carrel-gateway", program, .ok, use: use)
            : Fact(
                "carrel-gateway", "\(program) is not there, or not executable", .degraded, use: use,
                fix: "install it beside carrel: make install")
    }

    private static func installationFacts() -> [Fact] {
        let program = (try? carrelInitPath()) ?? "carrel-init"
        let catalog = profileCatalog()
        let names = catalog.names
        return [
            access(program, X_OK) == 0
                ? Fact("carrel-init", program, .ok, use: "PID 1 of every session")
                : Fact(
                    "carrel-init", "\(program) is not there, or not executable", .missing,
                    use: "PID 1 of every session", fix: "install it beside carrel: make install"),
            gatewayFact(),
            names.contains("default")
                ? Fact("profiles", names.joined(separator: " "), .ok, use: "--profile")
                : Fact(
                    "profiles", "none in \(catalog.directories.joined(separator: ", "))", .missing,
                    use: "--profile", fix: "make install, or name a directory with CARREL_PROFILES"),
        ]
    }
}
