import Glibc
import OCISpec
import Syscalls
import Testing

@testable import Privileges

/// The launch sequence's steps, in its order.
private func drop(_ capabilities: Capabilities, uid: uid_t, noNewPrivileges: Bool = true) throws {
    try capabilities.limitBounding()
    if noNewPrivileges { try setNoNewPrivileges() }
    try capabilities.holdThroughIDs()
    try Identity(User(uid: uid, gid: uid), map: nil).assume()
    try capabilities.apply()
}

private let setNames = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
private let nothing = "0000000000000000"

@Suite(.enabled(if: isRoot, "needs root"))
struct CapabilitiesTests {
    @Test(arguments: [0, 1234] as [uid_t])
    func droppingAllLeavesNothingInAnySetOverExec(uid: uid_t) async {
        await #expect(processExitsWith: .success) { [uid] in
            let outcome = try inChild(run: ["/bin/cat", "/proc/self/status"]) {
                try drop(.none, uid: uid)
                return ""
            }
            for set in setNames { #expect(outcome.field(set) == nothing, "\(set) of \(outcome)") }
            #expect(outcome.field("NoNewPrivs") == "1", "\(outcome)")
            #expect(outcome.field("Uid") == "\(uid)\t\(uid)\t\(uid)\t\(uid)", "\(outcome)")
            #expect(outcome.field("Gid") == "\(uid)\t\(uid)\t\(uid)\t\(uid)", "\(outcome)")
            #expect(outcome.field("Groups")?.allSatisfy { $0 == " " } == true, "\(outcome)")
        }
    }

    /// Each way back alone, without `no_new_privs` to help.
    @Test func whatIsDroppedCannotBeRegained() async {
        await #expect(processExitsWith: .success) {
            try withDirectory { directory in
                let probe = try makeProbe(in: directory)
                func attempt(_ words: String..., noNewPrivileges: Bool = false) throws -> Outcome {
                    try inChild(run: [probe] + words) {
                        try drop(.none, uid: 1234, noNewPrivileges: noNewPrivileges)
                        return ""
                    }
                }
                #expect(try attempt("securebits").output == "239\n", "all four locked, KEEP_CAPS off")
                #expect(try attempt("unlock").output == "EPERM\n", "securebits")
                #expect(try attempt("ambient", "0").output == "EPERM\n", "ambient")
                #expect(try attempt("setuid0").output == "EPERM\n", "setresuid")
                #expect(try attempt("ptrace", "\(getpid())").output == "EPERM\n", "ptrace of a process of root")

                chmod(probe, 0o4755)
                let setuid = try attempt("status")
                #expect(setuid.field("Uid")?.hasSuffix("0\t0\t0") == true, "the file makes it root: \(setuid)")
                for set in setNames { #expect(setuid.field(set) == nothing, "\(set) of \(setuid)") }
                let held = try attempt("status", noNewPrivileges: true)
                #expect(held.field("Uid")?.contains("\t0") == false, "no_new_privs: \(held)")

                chmod(probe, 0o755)
                let setcap = try inChild(run: ["/usr/sbin/setcap", "cap_chown=ep", probe])
                #expect(setcap.succeeded, "\(setcap)")
                // What the file must have, the bounding set does not: no execution at all (capabilities(7)).
                #expect(try attempt("status").output.contains("Operation not permitted"), "file capabilities")
                #expect(try inChild(run: ["/usr/sbin/setcap", "cap_chown=p", probe]).succeeded)
                let ignored = try attempt("status")
                for set in setNames { #expect(ignored.field(set) == nothing, "\(set) of \(ignored)") }
            }
        }
    }

    @Test func theRootUserWithoutCapabilitiesTracesNoPrivilegedProcess() async {
        await #expect(processExitsWith: .success) {
            try withDirectory { directory in
                let probe = try makeProbe(in: directory)
                let outcome = try inChild(run: [probe, "ptrace", "\(getpid())"]) {
                    try drop(.none, uid: 0)
                    return ""
                }
                #expect(outcome.output == "EPERM\n", "\(outcome)")
            }
        }
    }

    @Test func theSetsOfASpecificationAreGivenExactly() async {
        await #expect(processExitsWith: .success) {
            let sets = LinuxCapabilities(
                bounding: ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETUID"], effective: ["CAP_KILL"],
                inheritable: ["CAP_KILL", "CAP_CHOWN"], permitted: ["CAP_KILL", "CAP_NET_BIND_SERVICE"],
                ambient: ["CAP_KILL"])
            let capabilities = try Capabilities(sets)
            let before = try inChild {
                try drop(capabilities, uid: 1234)
                return try readText("/proc/self/status")
            }
            let expected = ["0000000000000021", "0000000000000420", "0000000000000020", "00000000000004a1"]
            for (set, mask) in zip(setNames, expected + ["0000000000000020"]) {
                #expect(before.field(set) == mask, "\(set) of \(before)")
            }
            let after = try inChild(run: ["/bin/cat", "/proc/self/status"]) {
                try drop(capabilities, uid: 1234)
                return ""
            }
            #expect(after.field("CapEff") == "0000000000000020", "the ambient one survives: \(after)")
            #expect(after.field("CapPrm") == "0000000000000020", "and no other: \(after)")
        }
    }

    @Test func aContainersRootGetsItsPermittedSetFromTheBoundingOne() async {
        await #expect(processExitsWith: .success) {
            let names = ["CAP_CHOWN", "CAP_KILL"]
            let capabilities = try Capabilities(LinuxCapabilities(bounding: names, effective: names, permitted: names))
            let outcome = try inChild(run: ["/bin/cat", "/proc/self/status"]) {
                try drop(capabilities, uid: 0)
                return ""
            }
            for set in ["CapPrm", "CapEff", "CapBnd"] {
                #expect(outcome.field(set) == "0000000000000021", "\(set) of \(outcome)")
            }
            for set in ["CapInh", "CapAmb"] { #expect(outcome.field(set) == nothing, "\(set) of \(outcome)") }
        }
    }

    /// CVE-2022-27650, CVE-2022-29162.
    @Test func inheritedInheritableCapabilitiesDoNotPass() async {
        await #expect(processExitsWith: .success) {
            let names = ["CAP_CHOWN", "CAP_KILL"]
            let outcome = try inChild {
                let generous = try Capabilities(
                    LinuxCapabilities(
                        bounding: names + ["CAP_SETPCAP", "CAP_SETUID", "CAP_SETGID"],
                        effective: names + ["CAP_SETPCAP", "CAP_SETUID", "CAP_SETGID"], inheritable: names,
                        permitted: names + ["CAP_SETPCAP", "CAP_SETUID", "CAP_SETGID"], ambient: names))
                try generous.apply()
                let given = try readText("/proc/self/status")
                guard given.contains("CapAmb:\t0000000000000021") else { return given }
                try drop(
                    try Capabilities(LinuxCapabilities(bounding: names, effective: names, permitted: names)), uid: 0)
                return try readText("/proc/self/status")
            }
            #expect(outcome.field("CapPrm") == "0000000000000021", "\(outcome)")
            for set in ["CapInh", "CapAmb"] { #expect(outcome.field(set) == nothing, "\(set) of \(outcome)") }
        }
    }

    @Test func eachStepFailsWhereItsPrivilegeIsGone() async {
        await #expect(processExitsWith: .success) {
            for (name, step) in [
                ("PR_CAPBSET_DROP 0", { try Capabilities.none.limitBounding() }),
                ("PR_SET_SECUREBITS", { try Capabilities.none.holdThroughIDs() }),
                (
                    "capset",
                    {
                        let one = ["CAP_CHOWN"]
                        try Capabilities(LinuxCapabilities(bounding: one, effective: one, permitted: one)).apply()
                    }
                ),
                ("setgroups", { try Identity(User(uid: 5, gid: 5), map: nil).assume() }),
            ] as [(String, () throws -> Void)] {
                let outcome = try inChild {
                    try drop(.none, uid: 1234)
                    try step()
                    return "done"
                }
                #expect(outcome.output.contains("\(name): Operation not permitted"), "\(outcome)")
            }
        }
    }
}

@Suite struct CapabilityNamesTests {
    @Test func noCapabilitiesIsTheDefault() throws {
        #expect(try Capabilities(nil) == .none)
        #expect(try Capabilities(LinuxCapabilities()) == .none)
    }

    @Test(arguments: ["CAP_FOO", "cap_chown", "CHOWN", "CAP_", "CAP_41", "41", "", "CAP_CHOWN ", "CAP_CHOWN,CAP_KILL"])
    func unknownNamesAreErrors(name: String) {
        #expect(
            throws: ControlError("process.capabilities.bounding", "\(name) is no capability of this kernel")
        ) { try Capabilities(LinuxCapabilities(bounding: [name])) }
    }

    @Test func handingSignalsOnTakesOneCapabilityAtMost() throws {
        let names = ["CAP_KILL", "CAP_SYS_ADMIN"]
        let sets = LinuxCapabilities(
            bounding: names, effective: names, inheritable: names, permitted: names, ambient: names)
        let kept = try Capabilities(sets).forSignals
        #expect(kept.permitted == 1 << 5 && kept.effective == 1 << 5)
        #expect(kept.inheritable == 0 && kept.ambient == 0)
        #expect(Capabilities.none.forSignals == .none)
    }

    @Test func setsThatNoProcessCanHaveAreErrors() {
        let one = ["CAP_SYS_CHROOT"]
        func refused(_ sets: LinuxCapabilities, _ set: String, _ outer: String) {
            #expect(
                throws: ControlError(
                    "process.capabilities.\(set)", "CAP_SYS_CHROOT is not in \(outer) too, which the kernel demands")
            ) { try Capabilities(sets) }
        }
        refused(LinuxCapabilities(bounding: one, effective: one), "effective", "permitted")
        refused(LinuxCapabilities(bounding: one, inheritable: one, ambient: one), "ambient", "permitted")
        refused(LinuxCapabilities(bounding: one, permitted: one, ambient: one), "ambient", "inheritable")
        refused(LinuxCapabilities(inheritable: one), "inheritable", "bounding")
    }
}
