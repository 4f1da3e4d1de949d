import Glibc
import Testing

@testable import Seccomp
@testable import Syscalls
@testable import Workshop

@Suite("what the arguments of a call mean") struct DecodingTests {
    private func decode(_ name: String, _ registers: [UInt64]) -> (arguments: [DecodedArgument], path: String?) {
        CallDecoder(getpid()).decode(name, registers + [UInt64](repeating: 0, count: 6 - registers.count))
    }

    private func texts(_ name: String, _ registers: [UInt64]) -> [String] {
        decode(name, registers).arguments.map(\.text)
    }

    @Test("flags are named, and what has no name is a number")
    func flags() {
        #expect(texts("unshare", [0x1002_0000]) == ["CLONE_NEWNS|CLONE_NEWUSER"])
        #expect(texts("socket", [40, 0x80801, 3]) == ["AF_VSOCK", "SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC", "3"])
        #expect(texts("socket", [0xffff_ffff_0000_0026, 5, 0])[0] == "AF_ALG")
        #expect(texts("umount2", [0, 0x42]) == ["NULL", "MNT_DETACH|0x40"])
        #expect(texts("personality", [0xffff_ffff]).joined().contains("READ_IMPLIES_EXEC"))
        #expect(texts("bpf", [1 << 20, 0, 0])[0] == "0x100000")
    }

    @Test("strings, addresses and descriptors are read")
    func memory() throws {
        let path = strdup("some/where")
        defer { free(path) }
        let pointer = UInt64(UInt(bitPattern: path))
        let here = String(cString: getcwd(nil, 0))
        let open = decode("openat", [UInt64(bitPattern: -100), pointer, 0o102, 0o644])
        #expect(open.arguments.map(\.text) == ["AT_FDCWD", "\"some/where\"", "O_RDWR|O_CREAT", "0644"])
        #expect(open.path == here + "/some/where")
        var address: [UInt8] = [2, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
        let shown = address.withUnsafeMutableBytes {
            texts("connect", [0, UInt64(UInt(bitPattern: $0.baseAddress)), 16])
        }
        #expect(shown[1] == "127.0.0.1:8080")
    }

    @Test("an address that is not there, an endless string and a length that lies are no trouble")
    func hostileMemory() throws {
        #expect(texts("chroot", [8]) == ["0x8"])
        #expect(texts("chroot", [.max]) == ["0xffffffffffffffff"])
        let page = try #require(mmap(nil, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
        defer { munmap(page, 8192) }
        memset(page, 0x41, 8192)
        #expect(texts("chroot", [UInt64(UInt(bitPattern: page))])[0].hasPrefix("0x"))
        mprotect(page + 4096, 4096, PROT_NONE)
        #expect(texts("chroot", [UInt64(UInt(bitPattern: page + 4000))])[0].hasPrefix("0x"))
        #expect(texts("connect", [0, UInt64(UInt(bitPattern: page)), .max])[1] != "")
        #expect(readMemory(of: getpid(), at: UInt64(UInt(bitPattern: page + 4000)), count: 4096).count == 96)
        #expect(readMemory(of: getpid(), at: .max - 10, count: 4096).isEmpty)
    }

    @Test("every call of this machine has its parameters' names")
    func signatures() {
        let silent = ["rseq_slice_yield", "uretprobe", "uprobe"]
        for name in CallTable.names() where !silent.contains(name) && CallSignatures.of(name) == nil {
            Issue.record("\(name) has no signature")
        }
    }

    @Test("calls that containers were escaped by are of high risk")
    func risks() {
        for name in [
            "mount", "setns", "bpf", "keyctl", "userfaultfd", "io_uring_setup", "kexec_load", "open_by_handle_at",
        ] {
            #expect(CallRisk.of(name).level == .high)
        }
        #expect(CallRisk.of("socket", [40, 1, 0]).level == .high && CallRisk.of("socket", [2, 1, 0]).level == .low)
        #expect(CallRisk.of("clone", [0x1000_0011]).level == .high && CallRisk.of("clone", [17]).level == .low)
        // Each is refused by agent-default: allowing it is never of no risk.
        for (name, arguments) in [
            ("chmod", [0, 0o4755]), ("openat", [0, 0, 0o100, 0o4755]), ("openat2", []), ("mmap", [0, 0, 0, 0x40022]),
            ("memfd_create", [0, 4]), ("shmget", [0, 0, 0o4000]), ("syscall_500", []),
        ] as [(String, [UInt64])] {
            #expect(CallRisk.of(name, arguments).level != .low, "\(name)")
        }
        #expect(CallRisk.of("chmod", [0, 0o755]).level == .low)
    }
}

@Suite("programs for the kernel") struct KernelProgramTests {
    @Test("instructions and jumps are encoded as the kernel's documentation says")
    func encoding() {
        var program = KernelProgram()
        let end = program.label()
        program.set(.r1, 7)
        program.jump(to: end, if: .r1, .notEqual, 7)
        program.load(.r2, .r1, -8)
        program.put(end)
        program.exit()
        let expected: [UInt8] = [
            0xb7, 0x01, 0, 0, 7, 0, 0, 0,  // r1 = 7
            0x55, 0x01, 1, 0, 7, 0, 0, 0,  // if r1 != 7 goto +1
            0x79, 0x12, 0xf8, 0xff, 0, 0, 0, 0,  // r2 = *(u64 *)(r1 - 8)
            0xb7, 0x00, 0, 0, 0, 0, 0, 0,  // r0 = 0
            0x95, 0x00, 0, 0, 0, 0, 0, 0,  // exit
        ]
        #expect(program.instructions() == expected)
    }

    /// Watches a cgroup that there is none of; `false` where this machine does not allow it.
    private static func observeNothing(into recording: inout Recording) throws -> Bool {
        do {
            let probe = try CallProbe(cgroup: 1 << 60)
            try probe.finish(into: &recording)
            return true
        } catch {
            if error.errno == .notPermitted { return false }
            throw error
        }
    }

    @Test(
        "the kernel's verifier takes the probe, and it gives everything back",
        .enabled(if: geteuid() == 0, "needs root"))
    func verifier() throws {
        // Maps, programs and links: other tests open and close what they need beside this one.
        func held() throws -> Int {
            try list("/proc/self/fd").count { (try? readLink("/proc/self/fd/\($0)"))?.contains("bpf") == true }
        }
        let before = try held()
        var recording = Recording(source: .ebpf, environment: .blank)
        guard try Self.observeNothing(into: &recording) else { return }
        #expect(recording.calls.isEmpty && recording.lost == 0)
        #expect(try held() == before)
    }
}
