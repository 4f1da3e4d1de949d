import Documents
import Foundation
import Testing

@testable import Seccomp

@Suite("the cache of filters") final class CacheTests {
    let directory: URL
    let profile: URL
    var cache: FilterCache { FilterCache(directory: directory.appendingPathComponent("cache").path) }
    var entry: URL {
        get throws {
            let name = FilterEntry.name(for: [UInt8](try Data(contentsOf: profile)))
            return directory.appendingPathComponent("cache/\(name)")
        }
    }

    init() throws {
        directory = try scratch()
        profile = directory.appendingPathComponent("p.json")
        try write(allowing: "read")
    }
    deinit { try? FileManager.default.removeItem(at: directory) }

    func write(allowing name: String) throws {
        let text = """
            { "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
              "syscalls": [{ "names": ["\(name)"], "action": "SCMP_ACT_ALLOW" }] }
            """
        try text.write(to: profile, atomically: false, encoding: .utf8)
    }

    func allows(_ name: String, _ program: FilterProgram) throws -> Bool {
        try FilterInterpreter(program.instructions).run(FilteredCall(number: Expectation.numbers[name]!)).action
            == Expectation.allow
    }

    /// An entry for the profile that allows `mount`, too: what an attacker would like to be used.
    func poison() throws -> Data {
        let source = [UInt8](try Data(contentsOf: profile))
        var rules = FilterRules(defaultAction: Expectation.errno(ENOSYS), machine: .native, entries: [.native])
        for name in ["read", "mount"] {
            let rule = FilterRule(call: Expectation.numbers[name]!, action: Expectation.allow, tests: [])
            rules.add(rule, to: .native)
        }
        let instructions = FilterWriter.program(rules)
        let program = FilterProgram(instructions: instructions, flags: [])
        return Data(FilterEntry(program: program, digest: sha256(source)).bytes(of: source))
    }

    @Test("the second launch reads what the first compiled; the digest is the file's SHA-256")
    func hit() throws {
        let first = try cache.program(forFile: profile.path)
        let made = try FileManager.default.attributesOfItem(atPath: try entry.path)
        let second = try cache.program(forFile: profile.path)
        #expect(first == second)
        #expect(
            try FileManager.default.attributesOfItem(atPath: try entry.path)[.systemFileNumber] as? UInt64
                == made[.systemFileNumber] as? UInt64)
        #expect(try run("/usr/bin/sha256sum", profile.path).output.hasPrefix(first.digest + " "))
        // That the entry is what is used shows by one that says something else.
        try poison().write(to: try entry)
        #expect(try allows("mount", try cache.program(forFile: profile.path).program))
    }

    @Test("a changed profile is compiled anew, with the times and the size of the old one too")
    func changed() throws {
        let first = try cache.program(forFile: profile.path)
        let date = try FileManager.default.attributesOfItem(atPath: profile.path)[.modificationDate] as? Date
        try write(allowing: "bind")
        try FileManager.default.setAttributes([.modificationDate: date as Any], ofItemAtPath: profile.path)
        let second = try cache.program(forFile: profile.path)
        #expect(first.digest != second.digest)
        #expect(try allows("bind", second.program) && !allows("read", second.program))
    }

    @Test("an entry with any byte changed, cut off or added is not used")
    func torn() throws {
        let whole = try cache.program(forFile: profile.path)
        let bytes = [UInt8](try Data(contentsOf: try entry))
        let source = [UInt8](try Data(contentsOf: profile))
        #expect(FilterEntry(bytes, of: source)?.program == whole.program)
        for at in bytes.indices {
            for bit in [1, 0x80] as [UInt8] {
                var changed = bytes
                changed[at] ^= bit
                #expect(FilterEntry(changed, of: source) == nil, "byte \(at)")
            }
            #expect(FilterEntry(Array(bytes[..<at]), of: source) == nil, "cut at \(at)")
        }
        #expect(FilterEntry(bytes + [0], of: source) == nil)
        #expect(FilterEntry(bytes, of: source + [0x20]) == nil)
        #expect(FilterEntry(bytes, of: []) == nil)
        try Data(bytes.prefix(bytes.count - 8)).write(to: try entry)
        #expect(try cache.program(forFile: profile.path) == whole)
        #expect([UInt8](try Data(contentsOf: try entry)) == bytes, "mended")
    }

    @Test("an entry that others can write is not used", arguments: [0o666, 0o664, 0o646, 0o622])
    func writableEntry(mode: Int) throws {
        _ = try cache.program(forFile: profile.path)
        try poison().write(to: try entry)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: try entry.path)
        #expect(try !allows("mount", try cache.program(forFile: profile.path).program))
    }

    @Test("an entry of another user is not used", .enabled(if: getuid() == 0, "only root can give files away"))
    func foreignEntry() throws {
        _ = try cache.program(forFile: profile.path)
        try poison().write(to: try entry)
        #expect(chown(try entry.path, 65534, 65534) == 0)
        #expect(try !allows("mount", try cache.program(forFile: profile.path).program))
    }

    @Test("an entry that is a symbolic link, a FIFO or a directory is not used, and does not hold up the launch")
    func oddEntry() throws {
        _ = try cache.program(forFile: profile.path)
        let elsewhere = directory.appendingPathComponent("elsewhere")
        try poison().write(to: elsewhere)
        try FileManager.default.removeItem(at: try entry)
        try FileManager.default.createSymbolicLink(at: try entry, withDestinationURL: elsewhere)
        #expect(try !allows("mount", try cache.program(forFile: profile.path).program))
        #expect(try Data(contentsOf: elsewhere) == poison(), "the link was replaced, not followed")
        try FileManager.default.removeItem(at: try entry)
        #expect(mkfifo(try entry.path, 0o600) == 0)
        #expect(try allows("read", try cache.program(forFile: profile.path).program))
        try? FileManager.default.removeItem(at: try entry)
        #expect(mkdir(try entry.path, 0o700) == 0)
        #expect(try allows("read", try cache.program(forFile: profile.path).program))
    }

    @Test("a directory that others can write is an error that says what to do", arguments: [0o777, 0o770, 0o757])
    func writableDirectory(mode: Int) throws {
        let inside = directory.appendingPathComponent("cache").path
        try FileManager.default.createDirectory(
            atPath: inside, withIntermediateDirectories: false, attributes: [.posixPermissions: mode])
        chmod(inside, mode_t(mode))
        #expect {
            _ = try cache.program(forFile: profile.path)
        } throws: { error in
            guard case .cache(let message)? = error as? FilterError else { return false }
            return message.contains(inside) && message.contains("mode \(String(mode, radix: 8))")
        }
    }

    @Test("a directory of another user is an error", .enabled(if: getuid() == 0, "only root can give files away"))
    func foreignDirectory() throws {
        _ = try cache.program(forFile: profile.path)
        #expect(chown(directory.appendingPathComponent("cache").path, 65534, 65534) == 0)
        #expect(throws: FilterError.self) { try cache.program(forFile: profile.path) }
    }

    @Test("a cache that cannot be written costs time only")
    func noCache() throws {
        let nowhere = FilterCache(directory: "/proc/carrel-no-such-place")
        #expect(try allows("read", try nowhere.program(forFile: profile.path).program))
    }

    @Test("entries of one name take turns")
    func sameName() throws {
        let first = try cache.program(forFile: profile.path)
        let old = try Data(contentsOf: try entry)
        try write(allowing: "mount")
        try old.write(to: try entry)
        let second = try cache.program(forFile: profile.path)
        #expect(first.digest != second.digest && first.program != second.program)
    }

    @Test("a profile that is not there, or no file, or wrong")
    func noProfile() throws {
        #expect {
            _ = try cache.program(forFile: "/nowhere.json")
        } throws: {
            "\($0)" == "openat /nowhere.json: No such file or directory (2)"
        }
        for path in ["/dev/zero", "/"] {
            #expect {
                _ = try cache.program(forFile: path)
            } throws: {
                "\($0)" == "\(path): expected a file of at most 1 MiB"
            }
        }
        try write(allowing: "raed")
        #expect {
            _ = try cache.program(forFile: profile.path)
        } throws: {
            "\($0)".hasPrefix("\(profile.path):2:28: syscalls[0].names[0]: ") && "\($0)".hasSuffix("did you mean read?")
        }
    }
}
