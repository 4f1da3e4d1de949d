import Glibc
import Syscalls
import SystemPackage
import Testing

@testable import Privileges

let loader = "/lib64/ld-linux-x86-64.so.2"

private func mountTmpfs(at path: String, _ flags: Int) throws {
    try checking("mount", "/") { mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) }
    try checking("mount", path) { mount("none", path, "tmpfs", UInt(flags), nil) }
}

private func listen(toAbstract name: String) throws -> FileDescriptor {
    let listener = try checking("socket") { socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0[1...].copyBytes(from: name.utf8) }
    let size = socklen_t(MemoryLayout<sa_family_t>.size + 1 + name.utf8.count)
    try checking("bind", name) {
        withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, size) }
        }
    }
    try checking("listen", name) { Glibc.listen(listener, 4) }
    return FileDescriptor(rawValue: listener)
}

@Suite(.enabled(if: hasLandlock, "needs a kernel with Landlock ABI 6"))
struct LandlockTests {
    @Test func aListedProgramRunsWithItsLoaderAndLibraries() async {
        await #expect(processExitsWith: .success) {
            try withDirectory { directory in
                let probe = try makeProbe(in: directory)
                let outcome = try confined(to: [probe], run: [probe, "hello"])
                #expect(outcome.output == "ok\n")
                let unlisted = try confined(to: ["/usr/bin/true"], run: [probe, "hello"])
                #expect(unlisted.output.contains("execve \(probe): Permission denied"), "\(unlisted)")
            }
        }
    }

    @Test func aScriptListsItsInterpretersAndWhatEnvFinds() async {
        await #expect(processExitsWith: .success) {
            try withDirectory { directory in
                try script("#!/bin/sh\necho plain\n", at: directory + "/plain")
                try script("#!\(directory)/plain\n", at: directory + "/nested")
                try script("#! /usr/bin/env  -S bash -e\necho found\n", at: directory + "/env")
                for (name, said) in [("plain", "plain\n"), ("nested", "plain\n"), ("env", "found\n")] {
                    let path = "\(directory)/\(name)"
                    #expect(try confined(to: [path], run: [path]).output == said, "\(name)")
                }
                let other = try confined(to: [directory + "/plain"], run: ["/bin/bash", "-c", "echo no"])
                #expect(other.output.contains("Permission denied"), "\(other)")
            }
        }
    }

    @Test func nothingElseRunsByAnyName() async {
        await #expect(processExitsWith: .success) {
            try withDirectory { directory in
                let probe = try makeProbe(in: directory)
                let hostile = directory + "/hostile"
                try copy("/usr/bin/id", to: hostile)
                symlink("/usr/bin/id", directory + "/link")
                for target in [
                    "/usr/bin/id", hostile, directory + "/link", "/proc/self/root/usr/bin/id",
                    "/usr/bin/../bin/id",
                ] {
                    #expect(try confined(to: [probe], run: [probe, "exec", target]).output == "EACCES\n", "\(target)")
                }
                let file = try Syscalls.open("/usr/bin/id", O_RDONLY)
                try setCloseOnExec(file, false)
                let byDescriptor = try confined(to: [probe], run: [probe, "execfd", "\(file.rawValue)"])
                #expect(byDescriptor.output == "EACCES\n", "a descriptor opened before")
            }
        }
    }

    /// The kernel opens the loader as it opens a program, so listing one program lists the loader.
    @Test(.enabled(if: isRoot, "needs root to mount"))
    func theLoaderRunsNeitherUnlistedProgramsNorFilesOfNoexecMounts() async {
        await #expect(processExitsWith: .success) {
            try withDirectory { directory in
                let probe = try makeProbe(in: directory)
                let direct = try confined(to: [probe], run: [probe, "exec", loader, probe, "hello"])
                #expect(direct.output == "ok\n", "the loader is executable: \(direct)")
                let image = try confined(to: [probe], run: [probe, "exec", loader, "/usr/bin/id"])
                #expect(image.output.contains("/usr/bin/id: cannot open shared object file: Permission denied"))
                for (flags, runs) in [(0, true), (MS_NOEXEC, false)] {
                    let written = try confined(
                        to: [probe], namespaces: [.mount], run: [probe, "exec", loader, "/mnt/probe", "hello"]
                    ) {
                        try mountTmpfs(at: "/mnt", flags)
                        try copy(probe, to: "/mnt/probe")
                    }
                    #expect((written.output == "ok\n") == runs, "the mount decides, not Landlock: \(written)")
                    #expect(runs || written.output.contains("failed to map segment"), "\(written)")
                }
            }
        }
    }

    /// What the policy's documentation leaves to the system call filter: here nothing but the filter helps.
    @Test func memfdsAreBeyondLandlock() async {
        await #expect(processExitsWith: .success) {
            try withDirectory { directory in
                let probe = try makeProbe(in: directory)
                #expect(try confined(to: [probe], run: [probe, "memfd", probe]).output == "ok\n")
                #expect(try confined(to: [probe], run: [probe, "memfd-loader", probe]).output == "ok\n")
            }
        }
    }

    @Test func aShellCannotWriteIntoItsOwnMemory() async {
        await #expect(processExitsWith: .success) {
            for file in ["/proc/self/mem", "/proc/self/task/self/mem", "/proc/thread-self/mem"] {
                let text = "exec 3<>\(file)"
                let outcome = try confined(to: ["/bin/sh"], run: ["/bin/sh", "-c", text])
                #expect(!outcome.succeeded, "\(file)")
            }
            let free = try inChild(run: ["/bin/sh", "-c", "exec 3<>/proc/self/mem"])
            #expect(free.succeeded, "\(free)")
        }
    }

    @Test func filesAreReadWrittenLinkedAndRenamedAsBefore() async {
        await #expect(processExitsWith: .success) {
            try withDirectory { directory in
                let text = """
                    cd \(directory) && mkdir a b && echo 1 >a/x && mv a/x b/y && ln b/y a/z && cat a/z /etc/passwd >b/w
                    echo 2 >/dev/null && mv b c && cat c/y && ls /usr/bin >/dev/null && echo done
                    """
                let shell = ["/bin/sh", "/bin/mkdir", "/bin/mv", "/bin/ln", "/bin/cat", "/bin/ls"]
                let outcome = try confined(to: shell, run: ["/bin/sh", "-c", text])
                #expect(outcome.output == "1\ndone\n", "\(outcome)")
                let unread = try confined(to: shell, run: ["/bin/sh", "-c", "cat /usr/bin/id >\(directory)/copy"])
                #expect(unread.output.contains("/usr/bin/id: Permission denied"), "\(unread)")
            }
        }
    }

    @Test func aDirectoryStandsForAllBeneathItAndLaterFilesToo() async {
        await #expect(processExitsWith: .success) {
            try withDirectory { directory in
                let probe = try makeProbe(in: directory)
                try makeDirectory(directory + "/tools")
                let text = "cp \(probe) \(directory)/tools/new && \(directory)/tools/new hello; \(directory)/new hello"
                let outcome = try confined(
                    to: ["/bin/sh", "/bin/cp", directory + "/tools"], run: ["/bin/sh", "-c", text])
                #expect(outcome.output.hasPrefix("ok\n") && !outcome.succeeded, "\(outcome)")
            }
        }
    }

    @Test func standardStreamsFromOutsideCanBeOpenedAgain() async {
        await #expect(processExitsWith: .success) {
            try withDirectory { directory in
                try script("given", at: directory + "/given")
                try script("other", at: directory + "/other")
                func read(_ path: String) throws -> Outcome {
                    try confined(to: ["/bin/cat"], closing: [directory], run: ["/bin/cat", path]) {
                        try duplicate(try Syscalls.open(directory + "/given", O_RDONLY), as: 0)
                    }
                }
                #expect(try read("/dev/stdin").output == "given")
                #expect(try read(directory + "/other").output.contains("Permission denied"))
            }
        }
    }

    @Test func abstractSocketsOfOthersAreOutOfReach() async {
        await #expect(processExitsWith: .success) {
            try withDirectory { directory in
                let probe = try makeProbe(in: directory)
                let name = "carrel-test-\(getpid())"
                let listener = try listen(toAbstract: name)
                defer { Syscalls.close(listener) }
                let command = [probe, "abstract", name]
                #expect(try confined(to: [probe], run: command).output == "ok\n")
                #expect(try confined(to: [probe], scopes: .abstractSockets, run: command).output == "EPERM\n")
                let own = try confined(to: [probe], scopes: .abstractSockets, run: ["/bin/true"])
                #expect(own.output.contains("Permission denied"), "the allowlist holds beside the scopes")
            }
        }
    }

    @Test func processesOutsideCanBeNeitherSignalledNorTraced() async {
        await #expect(processExitsWith: .success) {
            try withDirectory { directory in
                let probe = try makeProbe(in: directory)
                let signal = [probe, "signal", "\(getpid())"]
                #expect(try confined(to: [probe], run: signal).output == "ok\n")
                #expect(try confined(to: [probe], scopes: .signals, run: signal).output == "EPERM\n")
                let trace = [probe, "ptrace", "\(getpid())"]
                #expect(try confined(to: [probe], scopes: .signals, run: trace).output == "EPERM\n")
                let own = try confined(
                    to: ["/bin/sh", "/bin/sleep"], scopes: .signals,
                    run: ["/bin/sh", "-c", "sleep 60 & kill $! && wait $!; echo $?"])
                #expect(own.output.hasSuffix("143\n"), "\(own)")
            }
        }
    }

    @Test func scopesAloneLeaveFilesAlone() async {
        await #expect(processExitsWith: .success) {
            let outcome = try inChild(run: ["/bin/sh", "-c", "kill -0 \(getpid()) || id -u"]) {
                try setNoNewPrivileges()
                try LandlockPolicy(executables: nil).restrict()
                return ""
            }
            #expect(outcome.output.hasSuffix("\(getuid())\n"), "\(outcome)")
        }
    }

    /// CVE-2019-5736: what lies outside of the root, as the launcher's own program does, is not executed without a list
    /// either.
    @Test(.enabled(if: isRoot, "needs root for chroot"))
    func withoutAListTheProgramsOfTheRootAloneRun() async {
        await #expect(processExitsWith: .success) {
            try withDirectory { directory in
                let probe = try makeProbe(in: directory, static: true)
                try makeDirectory(directory + "/root")
                try copy(probe, to: directory + "/root/probe")
                let outside = try Syscalls.open(probe, O_RDONLY)
                func run(_ program: (CStringVector) throws -> Void) throws -> Outcome {
                    try inChild {
                        try checking("chroot", directory) { chroot(directory + "/root") }
                        try setNoNewPrivileges()
                        try LandlockPolicy(executables: nil).restrict()
                        try program(CStringVector(["probe", "hello"]))
                        return ""
                    }
                }
                let inner = try run { try execute("/probe", $0, environment: CStringVector([])) }
                #expect(inner.output == "ok\n", "\(inner)")
                let outer = try run { try execute(outside, $0, environment: CStringVector([])) }
                #expect(outer.output == "execveat probe: Permission denied (13)\n", "\(outer)")
            }
        }
    }

    @Test(.enabled(if: isRoot, "needs root"))
    func aConfinedProcessChangesNoMounts() async {
        await #expect(processExitsWith: .success) {
            let outcome = try confined(
                to: ["/bin/mount"], namespaces: [.mount], run: ["/bin/mount", "-t", "tmpfs", "none", "/mnt"])
            #expect(!outcome.succeeded && outcome.output.contains("permission denied"), "\(outcome)")
        }
    }

    @Test(.enabled(if: isRoot, "needs root to become another user"))
    func withoutNoNewPrivilegesTheLaunchFails() async {
        await #expect(processExitsWith: .success) {
            let outcome = try inChild {
                try Capabilities.none.limitBounding()
                try Identity(.init(uid: 1234, gid: 1234), map: nil).assume()
                try LandlockPolicy(executables: nil).restrict()
                return "restricted"
            }
            #expect(outcome.output == "landlock_restrict_self: Operation not permitted (1)\n", "\(outcome)")
        }
    }
}

@Suite struct LandlockPolicyTests {
    @Test func aKernelThatCannotHoldThePolicyIsRefused() throws {
        let listed = LandlockPolicy(executables: ["/bin/sh"], scopes: [])
        let scoped = LandlockPolicy(executables: nil, scopes: .signals)
        try listed.check(abi: 2)
        try scoped.check(abi: 6)
        try LandlockPolicy(executables: nil, scopes: []).check(abi: 0)
        #expect(
            throws: ControlError(
                "exec", "Landlock is not active in this kernel",
                fix: "boot with landlock among the modules of lsm=, on a kernel with CONFIG_SECURITY_LANDLOCK")
        ) { try listed.check(abi: 0) }
        #expect(
            throws: ControlError(
                "exec", "needs Landlock ABI 2, this kernel has 1", fix: "use Linux 5.19 or later")
        ) { try listed.check(abi: 1) }
        #expect(
            throws: ControlError(
                "landlock scopes", "needs Landlock ABI 6, this kernel has 5", fix: "use Linux 6.12 or later")
        ) { try scoped.check(abi: 5) }
    }

    @Test func pathsAreAbsolute() {
        #expect(throws: ControlError("exec", "expected an absolute path, found \"git\"")) {
            try LandlockPolicy(executables: ["git"]).check(abi: 7)
        }
    }
}
