import Glibc
import OCISpec
import Syscalls
import Testing

@testable import Privileges

/// The facts as the process of `setUp` finds them, a line each: name, status, value, fix.
private func facts(namespaces: Namespaces = [], _ setUp: @escaping () throws -> Void = {}) throws -> [String: [String]]
{
    let outcome = try inChild(namespaces: namespaces) {
        try setUp()
        return HostFacts.all(directories: ["/tmp"]).map { fact in
            [fact.name, fact.status.rawValue, fact.value, fact.fix ?? ""].joined(separator: "\t")
        }.joined(separator: "\n")
    }
    guard outcome.succeeded else { throw SystemError("facts", outcome.output, errno: .invalidArgument) }
    let rows = outcome.output.split(separator: "\n").map {
        $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
    }
    return Dictionary(uniqueKeysWithValues: rows.map { ($0[0], Array($0[1...])) })
}

/// Covers a kernel file by another text.
private func cover(_ path: String, with text: String, in directory: String) throws {
    let source = directory + "/cover"
    try withOpen(source, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644) { file throws(SystemError) in
        try writeAll(text.utf8, to: file)
    }
    try checking("mount", "/") { mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) }
    try checking("mount", path) { mount(source, path, nil, UInt(MS_BIND), nil) }
}

@Suite struct HostFactsTests {
    @Test func everyFactIsToldAndEveryLackHasAFix() async {
        await #expect(processExitsWith: .success) {
            let all = try facts()
            #expect(all.count == 15, "\(all.keys.sorted())")
            for (name, fact) in all {
                #expect(!fact[1].isEmpty, "\(name) has a value")
                #expect((fact[0] == "ok") == fact[2].isEmpty, "\(name): \(fact)")
            }
            #expect(all["kernel"]?[1] == (try readText("/proc/sys/kernel/osrelease")).dropLast().description)
            #expect(all["landlock"]?[1] == (Landlock.abi == 0 ? "not active" : "ABI \(Landlock.abi)"))
        }
    }

    /// The probes say that it works where the tests of the same thing in this folder pass.
    @Test(.enabled(if: isRoot, "needs root"))
    func whatWorksIsFoundToWork() async {
        await #expect(processExitsWith: .success) {
            let all = try facts(namespaces: .mount) {
                try checking("mount", "/") { mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) }
                // A tmpfs maps ids from Linux 6.3 on, wherever this runs.
                try checking("mount", "/tmp") { mount("none", "/tmp", "tmpfs", 0, nil) }
            }
            #expect(all["user namespaces"] == ["ok", "work", ""], "\(all)")
            #expect(all["id-mapped mounts /tmp"] == ["ok", "work", ""], "\(all)")
            #expect(all["overlay in user namespaces"] == ["ok", "works", ""], "\(all)")
        }
    }

    @Test(.enabled(if: isRoot, "needs root to become an ordinary user"))
    func anOrdinaryUserIsToldOfAnOrdinaryUsersHost() async {
        await #expect(processExitsWith: .success) {
            let all = try facts {
                try Identity(User(uid: 65534, gid: 65534), map: nil).assume()
                try setDumpable(true)
            }
            #expect(all["user namespaces"] == ["ok", "work", ""], "\(all)")
            #expect(all["subordinate ids"]?[0] == "degraded", "\(all)")
            #expect(all["subordinate ids"]?[2].hasSuffix("--add-subgids FIRST-LAST nobody") == true, "\(all)")
            #expect(all["id-mapped mounts /tmp"]?[1] == "not needed by an ordinary user", "\(all)")
            #expect(all["session keyrings"]?[1].hasSuffix("(kernel.keys.maxkeys)") == true, "\(all)")
        }
    }

    /// Every shipped profile asks for scopes, so that without them nothing starts.
    @Test(arguments: [0, 1, 5]) func aKernelWithoutScopesIsMissingThem(abi: Int) {
        let fact = HostFacts.landlock(abi: abi)
        #expect(fact.status == .missing && fact.use.contains("`scopes:` are refused"), "\(fact)")
        #expect(fact.use.contains("`exec:`") == (abi < 2) && fact.fix?.contains("landlock.scope") == true, "\(fact)")
    }

    /// Taken away for real: in a user namespace whose own limit is 0.
    @Test(.enabled(if: isRoot, "needs root"))
    func userNamespacesThatAreUsedUpAreMissingWithTheSysctl() async {
        await #expect(processExitsWith: .success) {
            let extents = try IDExtents([IDExtent(inside: 0, outside: 0, count: 65536)], "test")
            let outcome = try inChild(map: try IDMap(users: extents, groups: extents)) {
                try writeControl("0", to: "/proc/sys/user/max_user_namespaces")
                let fact = HostFacts.userNamespaces()
                return "\(fact.status) \(fact.value); \(fact.fix ?? ""); \(HostFacts.namespaceLimits().status)"
            }
            #expect(
                outcome.output
                    == "missing clone3: No space left on device (28); sysctl user.max_user_namespaces=65536; missing",
                "\(outcome)")
        }
    }

    @Test(.enabled(if: isRoot, "needs root"))
    func aHostThatHandsDumpsToAProgramOrHasAnOldKernelIsToldSo() async {
        await #expect(processExitsWith: .success) {
            try withDirectory { directory in
                let dumps = try facts(namespaces: .mount) {
                    try cover("/proc/sys/kernel/core_pattern", with: "|/usr/share/apport/apport %p\n", in: directory)
                }
                // The shipped filters keep the limit of core dumps, which holds that program off.
                #expect(dumps["kernel.core_pattern"] == ["ok", "|/usr/share/apport/apport %p", ""], "\(dumps)")
                let old = try facts(namespaces: .mount) {
                    try cover("/proc/sys/kernel/osrelease", with: "5.10.0-23-amd64\n", in: directory)
                }
                #expect(old["kernel"]?[0...1] == ["missing", "5.10.0-23-amd64"], "\(old)")
                let actions = try facts(namespaces: .mount) {
                    try cover("/proc/sys/kernel/seccomp/actions_avail", with: "kill trap errno allow\n", in: directory)
                }
                #expect(actions["seccomp"]?[0] == "degraded", "\(actions)")
            }
        }
    }

    @Test(.enabled(if: isRoot, "needs root"))
    func aFilesystemThatMapsNoIDsIsMissing() async {
        await #expect(processExitsWith: .success) {
            let outcome = try inChild { HostProbe.idMappedMount("/proc")?.description ?? "works" }
            #expect(outcome.output == "mount_setattr /proc: Invalid argument (22)", "\(outcome)")
        }
    }
}
