import Documents
import Foundation
import OCISpec
import Testing

@testable import Seccomp

@Suite("the entries of a kernel") struct EntryTests {
    let allowed: UInt32 = 0x7fff_0000
    let refused: UInt32 = 0x0005_0001

    func program(
        _ syscalls: [LinuxSyscall], _ architectures: [Architecture] = [.x86_64, .x86, .x32],
        byDefault: LinuxSeccompAction = .errno
    ) throws -> FilterInterpreter {
        let profile = LinuxSeccomp(
            defaultAction: byDefault, architectures: architectures.map(\.specName), syscalls: syscalls)
        return try FilterInterpreter(try FilterCompiler.compile(profile, reading: .runtime, for: .x86_64))
    }

    @Test("each entry that is named has the numbers of its own, and those that are not kill")
    func numbers() throws {
        let rules = [LinuxSyscall(names: ["execve", "mseal"], action: .allow)]
        let all = try program(rules)
        for (entry, number) in [(.x86_64, 59), (.x86, 11), (.x32, 0x4000_0208)] as [(Architecture, UInt32)] {
            #expect(all.run(FilteredCall(number: number, on: entry)).action == allowed)
            #expect(all.run(FilteredCall(number: number + 1, on: entry)).action == refused)
        }
        #expect(all.run(FilteredCall(number: 0x4000_0000 + 462, on: .x32)).action == allowed)
        #expect(all.run(FilteredCall(number: 221, on: .aarch64)).action == 0x8000_0000)
        #expect(all.run(FilteredCall(number: .max)).action == refused)
        let one = try program(rules, [.x86_64])
        #expect(one.run(FilteredCall(number: 59)).action == allowed)
        #expect(one.run(FilteredCall(number: 11, on: .x86)).action == 0x8000_0000)
        #expect(one.run(FilteredCall(number: 0x4000_0208, on: .x32)).action == 0x8000_0000)
    }

    @Test("a filter for aarch64 is made on any machine")
    func crossing() throws {
        let profile = LinuxSeccomp(
            defaultAction: .errno, architectures: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
            syscalls: [LinuxSyscall(names: ["openat", "open"], action: .allow)])
        let program = try FilterInterpreter(try FilterCompiler.compile(profile, for: .aarch64))
        #expect(program.run(FilteredCall(number: 56, on: .aarch64)).action == allowed)
        #expect(program.run(FilteredCall(number: 5, on: .aarch64)).action == refused)
        #expect(program.run(FilteredCall(number: 5, on: .arm)).action == allowed)
        #expect(program.run(FilteredCall(number: 257, on: .x86_64)).action == 0x8000_0000)
    }

    @Test("i386's multiplexer: what is allowed whole, and never by arguments that it has in memory")
    func multiplexer() throws {
        func socketcall(_ part: UInt64, _ program: FilterInterpreter) -> UInt32 {
            program.run(FilteredCall(number: 102, on: .x86, arguments: [part])).action
        }
        let whole = try program([LinuxSyscall(names: ["socket", "shmget"], action: .allow)])
        #expect(socketcall(1, whole) == allowed && socketcall(2, whole) == refused)
        #expect(whole.run(FilteredCall(number: 359, on: .x86)).action == allowed)
        // ipc takes the lower half of its first argument.
        let ipc = FilteredCall(number: 117, on: .x86, arguments: [0x1_0017])
        #expect(whole.run(ipc).action == allowed)
        let unix = LinuxSeccompArg(index: 0, value: 1, op: .equalTo)
        let narrowed = try program([LinuxSyscall(names: ["socket"], action: .allow, args: [unix])])
        #expect(socketcall(1, narrowed) == refused)
        #expect(narrowed.run(FilteredCall(number: 359, on: .x86, arguments: [1])).action == allowed)
        let forbidden = try program(
            [LinuxSyscall(names: ["socket"], action: .errno, args: [unix])], byDefault: .allow)
        #expect(socketcall(1, forbidden) == refused && socketcall(2, forbidden) == allowed)
    }

    @Test("a bundle's rules: names that no kernel has, alternatives on one argument, the strictest of several")
    func runtimeReading() throws {
        func arg(_ index: UInt32, _ value: UInt64) -> LinuxSeccompArg {
            LinuxSeccompArg(index: index, value: value, op: .equalTo)
        }
        let it = try program(
            [
                LinuxSyscall(names: ["no_such_call", "read"], action: .allow),
                LinuxSyscall(names: ["read"], action: .allow),
                LinuxSyscall(names: ["personality"], action: .allow, args: [arg(0, 0), arg(0, 8)]),
                LinuxSyscall(names: ["ioctl"], action: .allow),
                LinuxSyscall(names: ["ioctl"], action: .killThread, args: [arg(1, 0x5412)]),
                LinuxSyscall(names: ["fcntl"], action: .allow, args: [arg(0, 1)]),
                LinuxSyscall(names: ["fcntl"], action: .errno, errnoRet: 13, args: [arg(1, 2)]),
                LinuxSyscall(names: ["fcntl"], action: .allow, args: [arg(0, 1), arg(2, 4)]),
                LinuxSyscall(names: ["fcntl"], action: .trap, args: [arg(0, 1), arg(2, 5)]),
            ], [.x86_64])
        func run(_ name: String, _ arguments: UInt64...) -> UInt32 {
            it.run(FilteredCall(number: CallTable.number(of: name, on: .x86_64)!, arguments: arguments)).action
        }
        #expect(run("read") == allowed)
        #expect([0, 8, 4].map { run("personality", $0) } == [allowed, allowed, refused])
        #expect(run("ioctl", 1, 0x5412) == 0 && run("ioctl", 1, 0x5413) == allowed)
        #expect(run("fcntl", 1, 2) == 0x5000d && run("fcntl", 1, 3, 4) == allowed)
        #expect(run("fcntl", 1, 2, 5) == 0x30000 && run("fcntl", 2, 3) == refused)
    }

    @Test("every action, and the data of those that have some")
    func actions() throws {
        let names: [(LinuxSeccompAction, UInt32?, String, UInt32)] = [
            (.killProcess, nil, "read", 0x8000_0000), (.killThread, nil, "write", 0), (.kill, nil, "open", 0),
            (.trap, nil, "close", 0x0003_0000), (.errno, 95, "stat", 0x0005_005f), (.errno, nil, "fstat", 0x0005_0001),
            (.trace, 7, "lstat", 0x7ff0_0007), (.log, nil, "poll", 0x7ffc_0000), (.allow, nil, "lseek", 0x7fff_0000),
        ]
        let it = try program(
            names.map { LinuxSyscall(names: [$0.2], action: $0.0, errnoRet: $0.1) }, byDefault: .killProcess)
        for (_, _, name, answer) in names {
            let number = try #require(CallTable.number(of: name, on: .x86_64))
            #expect(it.run(FilteredCall(number: number)).action == answer, "\(name)")
        }
    }

    @Test("podman's default profile, with all its architectures")
    func podman() throws {
        let path = "/usr/share/containers/seccomp.json"
        guard let bytes = FileManager.default.contents(atPath: path) else { return }
        let node = try Node.parse([UInt8](bytes), file: path)
        var profile = try LinuxSeccomp(node, file: path)
        profile.architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
        let it = try FilterInterpreter(try FilterCompiler.compile(profile, reading: .runtime, for: .x86_64))
        for entry in [Architecture.x86_64, .x86, .x32] {
            let read = try #require(CallTable.number(of: "read", on: entry))
            #expect(it.run(FilteredCall(number: read, on: entry)).action == allowed)
        }
    }
}

@Suite("the check of what was compiled") struct CheckTests {
    let profile = LinuxSeccomp(
        defaultAction: .errno, defaultErrnoRet: 38,
        syscalls: [
            LinuxSyscall(names: ["read", "write", "close", "mseal"], action: .allow),
            LinuxSyscall(
                names: ["socket"], action: .allow,
                args: [
                    LinuxSeccompArg(index: 0, value: 2, op: .equalTo),
                    LinuxSeccompArg(index: 1, value: 15, valueTwo: 1, op: .maskedEqual),
                ]),
            LinuxSyscall(
                names: ["mmap"], action: .log, args: [LinuxSeccompArg(index: 4, value: 9 << 33, op: .lessThan)]),
            LinuxSyscall(
                names: ["ioctl"], action: .allow, args: [LinuxSeccompArg(index: 1, value: 0x5412, op: .notEqual)]),
        ])

    @Test("finds any one instruction that says something else")
    func mutations() throws {
        let rules = try FilterCompiler.rules(of: profile)
        let good = FilterWriter.program(rules)
        try FilterCheck.verify(FilterInterpreter(good), rules)
        var found = 0
        for index in 0..<good.count / 8 {
            // Another constant, branches the other way round: whatever the kernel would load as well.
            for change in 0..<5 {
                var bad = good
                switch change {
                case 0: bad[8 * index + 4] ^= 1
                case 1: bad[8 * index + 5] ^= 0x10
                case 2: bad[8 * index + 6] ^= 1
                case 3: bad.swapAt(8 * index + 2, 8 * index + 3)
                default: bad[8 * index + 7] ^= 0x40
                }
                guard bad != good, let program = try? FilterInterpreter(bad) else { continue }
                // The upper half of an errno's word has bits that nothing reads.
                found += 1
                #expect(throws: FilterCheck.Difference.self, "instruction \(index), change \(change)") {
                    try FilterCheck.verify(program, rules)
                }
            }
        }
        #expect(found > 60)
    }

    @Test("what the kernel would not load is refused before it runs")
    func badPrograms() {
        func instruction(_ code: UInt16, _ yes: UInt8 = 0, _ no: UInt8 = 0, _ k: UInt32 = 0) -> [UInt8] {
            withUnsafeBytes(of: code) { [UInt8]($0) } + [yes, no] + withUnsafeBytes(of: k) { [UInt8]($0) }
        }
        let end = instruction(0x06)
        for bad in [
            [], [1, 2, 3], instruction(0x20), instruction(0x20, 0, 0, 64) + end, instruction(0x20, 0, 0, 2) + end,
            instruction(0x15, 1, 0) + end, instruction(0x05, 0, 0, 1) + end, instruction(0x05, 0, 0, .max) + end,
            instruction(0x28) + end, instruction(0x81) + end,
            Array([[UInt8]](repeating: end, count: 4097).joined()),
        ] as [[UInt8]] {
            #expect(throws: FilterInterpreter.BadProgram.self) { try FilterInterpreter(bad) }
        }
        #expect(throws: Never.self) { try FilterInterpreter(instruction(0x15) + end) }
    }
}
