import CSyscalls
import Glibc
import Seccomp
import SystemPackage
import Testing

@testable import Syscalls
@testable import Workshop

@Suite("what a listener counts") struct NotifiedTests {
    /// The counts of calls that a listener takes; what comes after `armed` of them comes after word that the payload runs.
    private func counts(_ calls: [Int], armed: Int) throws -> [String: UInt64] {
        var notified = try NotifiedCalls(.refusing([Int32(SYS_mount)]))
        let none = FileDescriptor(rawValue: -1)
        for (place, call) in calls.enumerated() {
            if place == armed { notified.arm() }
            let call = CallNotification(
                id: 1, thread: getpid(), number: Int32(call), architecture: Architecture.native.audit,
                instructionPointer: 0, arguments: [0, 0, 0, 0, 0, 0])
            let refused = notified.take(call, none) != .goOn
            #expect(refused == (call.number == SYS_mount))
        }
        if armed == calls.count { notified.arm() }
        var recording = recording()
        notified.finish(into: &recording)
        return Dictionary(uniqueKeysWithValues: recording.calls.map { ($0.name, $0.count) })
    }

    @Test("the payload's first calls count, whether or not they are seen before word that it runs", arguments: 1...5)
    func early(armed: Int) throws {
        let calls = [SYS_execve, SYS_brk, SYS_execve, SYS_mount, SYS_exit].map(Int.init)
        #expect(try counts(calls, armed: armed) == ["execve": 2, "brk": 1, "mount": 1, "exit": 1])
    }

    @Test("the launcher's own calls do not, but for the execve(2) that succeeded")
    func launcher() throws {
        let calls = [SYS_clock_gettime, SYS_execve, SYS_execve, SYS_execve, SYS_brk].map(Int.init)
        #expect(try counts(calls, armed: 4) == ["execve": 1, "brk": 1])
    }
}
