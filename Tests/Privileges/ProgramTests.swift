import Glibc
import Syscalls
import SystemPackage
import Testing

@testable import Privileges

@Suite struct ProgramTests {
    private func interpreters(of bytes: [UInt8], searchPath: [String] = ["/usr/bin"]) throws -> [String] {
        try withDirectory { directory in
            try withOpen(directory + "/file", O_RDWR | O_CREAT) { file throws(SystemError) in
                try writeAll(bytes, to: file)
                return try Program(file, "/file").interpreters(searchPath)
            }
        }
    }

    @Test func elf() throws {
        #expect(try interpreters(of: readFile("/bin/true")) == [loader])
        #expect(try interpreters(of: readFile(loader)) == [])
    }

    @Test func scripts() throws {
        func of(_ text: String) throws -> [String] { try interpreters(of: Array(text.utf8)) }
        #expect(try of("#!/bin/sh\n") == ["/bin/sh"])
        #expect(try of("#!  /bin/sh -e\n") == ["/bin/sh"])
        #expect(try of("#!/bin/sh") == ["/bin/sh"])
        #expect(try of("#!/usr/bin/env bash\n") == ["/usr/bin/env", "/usr/bin/bash"])
        #expect(try of("#!/usr/bin/env -S A=b bash -x\n") == ["/usr/bin/env", "/usr/bin/bash"])
        #expect(try of("#!/usr/bin/env /opt/x\n") == ["/usr/bin/env", "/opt/x"])
        #expect(try of("#!/usr/bin/env no-such-program\n") == ["/usr/bin/env"])
    }

    @Test func whatIsNoProgramIsAnErrorOfItsName() throws {
        var elf = try readFile("/bin/true")
        let program = elf.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 32, as: UInt64.self) }
        let wrong = SystemError("execve", "/file", errno: .init(rawValue: ENOEXEC))
        for text in [
            "", "echo", "#!", "#!\n", "#!sh\n", "\u{7F}ELF", "\u{7F}ELF" + String(repeating: "\u{1}", count: 90),
        ] {
            #expect(throws: wrong, "\(text)") { try interpreters(of: Array(text.utf8)) }
        }
        #expect(throws: wrong) { try interpreters(of: Array(elf.prefix(100))) }
        // Every single byte of the header and of the table may be anything: an error or an answer, never a trap.
        for offset in 4..<(Int(program) + 56 * 4) {
            let was = elf[offset]
            for value in [0, 0x7F, 0x80, 0xFF] as [UInt8] {
                elf[offset] = value
                _ = try? interpreters(of: elf)
            }
            elf[offset] = was
        }
    }

    @Test(.enabled(if: hasLandlock, "needs a kernel with Landlock ABI 6"))
    func aChainOfScriptsEndsWhereTheKernelEnds() async {
        await #expect(processExitsWith: .success) {
            try withDirectory { directory in
                try script("#!/bin/sh\necho end\n", at: directory + "/0")
                for n in 1...6 { try script("#!\(directory)/\(n - 1)\n", at: "\(directory)/\(n)") }
                let most = (0...6).last { (try? inChild(run: ["\(directory)/\($0)"]))?.output == "end\n" }
                #expect(most == 4)
                let path = "\(directory)/4"
                let outcome = try confined(to: [path], run: [path])
                #expect(outcome.output == "end\n", "\(outcome)")
                let beyond = try confined(to: ["\(directory)/5"], run: [path])
                #expect(beyond.output.contains("Too many levels of symbolic links"), "\(beyond)")
            }
        }
    }
}
