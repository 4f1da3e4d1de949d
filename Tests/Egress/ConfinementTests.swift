import Glibc
import Syscalls
import SystemPackage
import Testing

@testable import Egress

@Suite struct ConfinementTests {
    /// What somebody can do who has taken the gateway over, tried from inside.
    @Test(.enabled(if: geteuid() == 0 && Landlock.abi >= 6, "needs root, and a kernel with Landlock ABI 6"))
    func itChangesNothingButItsDirectory() async {
        let place = "/tmp/carrel-confined.\(getpid())"
        defer { try? removeTree(place) }
        await #expect(processExitsWith: .success) {
            let place = "/tmp/carrel-confined.\(getppid())"
            let (own, others) = (place + "/gateway", place + "/others")
            for directory in [own + "/bodies", others] { try makeDirectories(directory) }
            try replaceFile(others + "/file", with: [1], mode: 0o600)
            try confine(to: own, metricsPort: nil)

            try replaceFile(own + "/file", with: [1], mode: 0o600)
            try rename(own + "/file", to: own + "/bodies/file", replacing: true)
            try makeDirectory(own + "/budgets")
            close(try listenLocal(at: own + "/control.sock", mode: 0o600))
            #expect(try readFile(others + "/file", limit: 10) == [1])

            /// The failure of a call, as a number; 0 where there is none.
            func failure(_ call: () -> Int32) -> Int32 { call() == -1 ? errno : 0 }
            for flags in [O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC] {
                #expect(failure { Glibc.open(others + "/file", flags) } == EACCES)
            }
            #expect(failure { Glibc.open(others + "/new", O_WRONLY | O_CREAT, 0o600) } == EACCES)
            #expect(failure { truncate(others + "/file", 0) } == EACCES)
            #expect(failure { unlink(others + "/file") } == EACCES)
            #expect(failure { mkdir(others + "/new", 0o700) } == EACCES)
            #expect(failure { symlink("/", others + "/new") } == EACCES)
            #expect(failure { link(others + "/file", own + "/linked") } != 0)
            #expect(failure { Glibc.rename(others + "/file", own + "/moved") } != 0)
            #expect(failure { mknod(own + "/disk", S_IFBLK | 0o600, 0x0800) } == EPERM)
            #expect(failure { mount("none", own, "tmpfs", 0, nil) } == EPERM)
            #expect(failure { chroot(own) } == EPERM)
            #expect(throws: SystemError.self) { try unshareNamespaces(.mount) }
            #expect(failure { chown(own, 4242, 4242) } == EPERM)
            #expect(failure { Glibc.open("/proc/1/mem", O_RDWR) } == EACCES)
            var pid: pid_t = 0
            #expect(posix_spawn(&pid, "/bin/true", nil, nil, [nil], [nil]) == EACCES)
        }
    }
}
