import Foundation
import Testing

@testable import Seccomp

let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
let shippedProfile = repository.appendingPathComponent("Profiles/seccomp/agent-default.json")

/// A new empty directory.
func scratch() throws -> URL {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("carrel-seccomp-\(UUID())")
    try FileManager.default.createDirectory(
        at: directory, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    return directory
}

func compileShipped() throws -> FilterProgram {
    let directory = try scratch()
    defer { try? FileManager.default.removeItem(at: directory) }
    return try FilterCache(directory: directory.path).program(forFile: shippedProfile.path).program
}

@Suite("the shipped profile, compiled") struct ShippedProfileTests {
    let program: FilterInterpreter
    let expectation: Expectation

    init() throws {
        program = try FilterInterpreter(try compileShipped().instructions)
        expectation = try Expectation(json: try Data(contentsOf: shippedProfile))
    }

    func check(_ call: FilteredCall) throws {
        let got = program.run(call).action
        let wanted = expectation.action(call)
        if got != wanted {
            Issue.record("\(call): \(String(got, radix: 16)) instead of \(String(wanted, radix: 16))")
        }
    }

    @Test("every call number of every architecture does what the JSON says")
    func everyNumber() throws {
        for number in 0...600 as ClosedRange<UInt32> {
            for arch in [Architecture.x86_64.audit, Architecture.x86.audit, Architecture.aarch64.audit, 0, .max] {
                try check(FilteredCall(number: number, arch: arch))
                try check(FilteredCall(number: number, arch: arch, arguments: Array(repeating: .max, count: 6)))
            }
            #expect(program.run(FilteredCall(number: number, arch: Architecture.x86.audit)).action == Expectation.kill)
        }
        for number in [0x3fff_ffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, .max] as [UInt32] {
            try check(FilteredCall(number: number))
        }
    }

    @Test("x32 calls are killed", .enabled(if: Architecture.native == .x86_64, "x32 is x86_64's"))
    func x32() throws {
        for number in 0...600 as ClosedRange<UInt32> {
            #expect(program.run(FilteredCall(number: 0x4000_0000 | number)).action == Expectation.kill)
        }
    }

    @Test("arguments are told apart at the width that the kernel takes, whatever is above it")
    func everyArgument() throws {
        var count = 0
        for number in expectation.numbers {
            let edges = (0..<3).map { expectation.edges(number, argument: $0) }
            for swept in 0..<3 {
                let others = (0..<3).filter { $0 != swept }
                for value in expectation.interesting(number, argument: swept) {
                    for a in edges[others[0]] {
                        for b in edges[others[1]] {
                            var call = FilteredCall(number: number)
                            call.arguments[swept] = value
                            call.arguments[others[0]] = a | 0x1234_5678 << 32
                            call.arguments[others[1]] = b
                            try check(call)
                            count += 1
                        }
                    }
                }
            }
        }
        #expect(count > 10_000)
    }

    @Test("what must never be allowed is not, with any arguments")
    func neverAllowed() throws {
        let names = [
            "mount", "umount2", "pivot_root", "chroot", "setns", "clone3", "open_tree", "move_mount", "fsopen",
            "fsmount",
            "fsconfig", "fspick", "mount_setattr", "open_tree_attr", "statmount", "listmount", "listns", "bpf",
            "perf_event_open", "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd", "add_key",
            "keyctl", "request_key", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
            "open_by_handle_at", "name_to_handle_at", "pidfd_getfd", "kcmp", "swapon", "swapoff", "reboot", "acct",
            "settimeofday", "clock_settime", "quotactl", "quotactl_fd", "iopl", "ioperm", "syslog", "fanotify_init",
            "sethostname", "modify_ldt", "lookup_dcookie", "uselib", "ustat", "sysfs", "ptrace",
        ]
        for name in names {
            guard let number = Expectation.numbers[name] else {
                Issue.record("\(name) has no number here")
                continue
            }
            for bits in [0, 1, .max, 0x7e02_0000] as [UInt64] {
                let action = program.run(FilteredCall(number: number, arguments: Array(repeating: bits, count: 6)))
                    .action
                let wanted = name == "clone3" ? ENOSYS : EPERM
                #expect(action == Expectation.errno(wanted), "\(name)")
            }
        }
    }

    @Test("the filter is small: it is loaded and searched on every launch")
    func size() throws {
        #expect(program.instructions.count < 330)
        let longest = (0...600).map { program.run(FilteredCall(number: $0)).steps }.max() ?? 0
        #expect(longest < 60)
    }
}
