import CSyscalls
import Glibc
import OCISpec
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

    @Test("a call that the filter answers with success and does not make is not made")
    func answeredWithSuccess() throws {
        let profile = LinuxSeccomp(
            defaultAction: .allow, syscalls: [LinuxSyscall(names: ["mkdir"], action: .errno, errnoRet: 0)])
        var notified = try NotifiedCalls(try FilterCompiler.compile(profile))
        notified.arm()
        let call = CallNotification(
            id: 1, thread: getpid(), number: Int32(SYS_mkdir), architecture: Architecture.native.audit,
            instructionPointer: 0, arguments: [0, 0, 0, 0, 0, 0])
        #expect(notified.take(call, FileDescriptor(rawValue: -1)) == .fail(0))
        var recording = recording()
        notified.finish(into: &recording)
        #expect(
            recording.calls.map(\.allowed) == [0] && recording.calls[0].denied == [RecordedDenial(errno: 0, count: 1)])
        #expect(try Recording(reading: [UInt8](recording.text.utf8), file: "again") == recording.sorted)
    }

    @Test("calls of i386 and x32 that are let in are counted as such, and not by their numbers")
    func foreign() throws {
        var notified = try NotifiedCalls(
            try FilterCompiler.compile(
                LinuxSeccomp(
                    defaultAction: .allow, architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
                for: .x86_64))
        notified.arm()
        for (number, entry) in [(39, Architecture.x86), (0x4000_0027, .x32)] {
            let call = CallNotification(
                id: 1, thread: getpid(), number: Int32(number), architecture: entry.audit, instructionPointer: 0,
                arguments: [0, 0, 0, 0, 0, 0])
            #expect(notified.take(call, FileDescriptor(rawValue: -1)) == .goOn)
        }
        var recording = recording()
        notified.finish(into: &recording)
        #expect(recording.foreign == 2 && recording.calls.isEmpty)
    }

    @Test("eBPF programs see a number and not the entry: they count where one of them alone is let in")
    func entries() throws {
        let native = Architecture.native.specName
        for (names, tells) in [([], true), ([native], true), ([native, "SCMP_ARCH_X86", "SCMP_ARCH_ARM"], false)] {
            let profile = LinuxSeccomp(defaultAction: .allow, architectures: names)
            let filter = try FilterInterpreter(try FilterCompiler.compile(profile))
            #expect(CallProbe.tellsCalls(behind: filter) == tells, "\(names)")
        }
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
