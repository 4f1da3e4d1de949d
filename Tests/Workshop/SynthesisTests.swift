import Documents
import Foundation
import OCISpec
import Seccomp
import Testing

@testable import Workshop

let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

/// The shipped profile of this name.
func shipped(_ name: String) throws -> ProfileFile {
    let file = repository.appendingPathComponent("Profiles/seccomp/\(name).json")
    return try ProfileFile(reading: [UInt8](try Data(contentsOf: file)), file: file.path)
}

func scalar(_ index: UInt32, _ value: UInt64, mask: UInt64 = 0xffff_ffff) -> RecordedScalar {
    RecordedScalar(index: index, mask: mask, value: value)
}

@Suite("synthesis") struct SynthesisTests {
    func answers(_ synthesis: Synthesis, on machine: Architecture = .x86_64) throws -> (String, UInt64...) -> String {
        let filter = try FilterInterpreter(try FilterCompiler.compile(synthesis.profile, for: machine))
        return { name, arguments in
            guard let number = CallTable.number(of: name, on: machine) else { return "no such call" }
            return actionName(filter.run(FilteredCall(number: number, on: machine, arguments: arguments)).action)
        }
    }

    @Test("what was seen and its siblings are allowed on both architectures, and nothing else")
    func closure() throws {
        let made = try Synthesis(of: recording("read", "openat", "fstat", "dup2", "poll"))
        let here = try answers(made)
        for name in ["read", "pread64", "open", "openat", "openat2", "statx", "newfstatat", "dup3", "ppoll", "execve"] {
            #expect(here(name) == "allowed", "\(name)")
        }
        for name in ["mount", "kill", "socket", "io_uring_setup", "setns"] { #expect(here(name) == "EPERM", "\(name)") }
        for name in ["clone3", "rseq_slice_yield", "mseal"] { #expect(here(name) == "ENOSYS", "\(name)") }
        let there = try answers(made, on: .aarch64)
        for name in ["read", "openat", "newfstatat", "statx", "dup3", "ppoll"] {
            #expect(there(name) == "allowed", "\(name)")
        }
        #expect(there("mount") == "EPERM" && there("clone3") == "ENOSYS")
        #expect(made.added.contains { $0.name == "pread64" && $0.reason.contains("stands in for read") })
        // The vDSO answers these, until the clock's source is one that user space cannot read.
        for name in ["clock_gettime", "clock_getres", "gettimeofday", "time", "getcpu"] {
            #expect(here(name) == "allowed", "\(name)")
        }
    }

    @Test("what a call is not named on one architecture has a sibling there that is")
    func twins() {
        let only = CallTable.names(on: .x86_64).filter {
            CallTable.number(of: $0, on: .aarch64) == nil && ForbiddenCalls.reason(of: $0) == nil
        }
        let lonely = only.filter { name in
            !SiblingCalls.siblings(of: name).contains { CallTable.number(of: $0, on: .aarch64) != nil }
        }
        // Obsolete, or x86's own by their nature.
        #expect(lonely.sorted() == Self.withoutTwin)
        var names: Set<String> = []
        for family in SiblingCalls.families {
            #expect(!family.reason.isEmpty)
            for name in family.names {
                #expect(CallTable.isName(name), "\(name)")
                #expect(names.insert(name).inserted, "\(name) is in two families")
                #expect(ForbiddenCalls.reason(of: name) == nil, "\(name) is forbidden")
            }
        }
    }
    static let withoutTwin = [
        "afs_syscall", "epoll_ctl_old", "epoll_wait_old", "getpmsg", "putpmsg", "security", "tuxcall", "uprobe",
        "uretprobe", "vserver",
    ]

    @Test("arguments: what was seen, at the parameter's width, and the siblings of it")
    func arguments() throws {
        var seen = recording("read")
        seen.add("socket", count: 3, scalars: [scalar(0, 2), scalar(1, 1, mask: 15), scalar(2, 0)])
        seen.add("socket", count: 1, scalars: [scalar(0, 1), scalar(1, 1, mask: 15), scalar(2, 0)])
        seen.add("socket", count: 1, deniedWith: 1, scalars: [scalar(0, 38), scalar(1, 5, mask: 15), scalar(2, 0)])
        seen.add("personality", count: 1, scalars: [scalar(0, 0x40000)])
        seen.add("ioctl", count: 1, scalars: [scalar(1, 0x5413)])
        seen.add("clone", count: 2, scalars: [scalar(0, 0, mask: 0x7e02_0000)])
        let made = try Synthesis(of: seen)
        let answer = try answers(made)
        #expect(answer("socket", 2, 1, 0) == "allowed" && answer("socket", 10, 0x80801, 6) == "allowed")
        #expect(answer("socket", 1, 1, 0) == "allowed" && answer("socket", 1, 2, 0) == "ENOSYS")
        #expect(answer("socket", 38, 5, 0) == "ENOSYS" && answer("socket", 16, 1, 0) == "ENOSYS")
        let junk: UInt64 = 0xdead_beef << 32
        #expect(answer("socket", junk | 2, junk | 1, junk) == "allowed")
        #expect(answer("socket", junk | 40, 1, 0) == "ENOSYS")
        #expect(answer("personality", 0x40000) == "allowed" && answer("personality", 0x40_0000) == "ENOSYS")
        #expect(answer("ioctl", 0, 0x5401) == "allowed" && answer("ioctl", 0, 0x5412) == "ENOSYS")
        #expect(answer("clone", 17) == "allowed" && answer("clone", 0x1000_0011) == "ENOSYS")
        for entry in made.profile.syscalls {
            for arg in entry.args { #expect(arg.op == .equalTo || arg.op == .maskedEqual) }
        }
        // Without values nothing is narrowed.
        seen.calls[seen.calls.firstIndex { $0.name == "ioctl" }!].unlisted = 1
        let wider = try Synthesis(of: seen)
        #expect(try answers(wider)("ioctl", 0, 0x5412) == "allowed")
        #expect(wider.notes.contains { $0.hasPrefix("ioctl: 1 calls have no values") })
        // What another version has recorded with another mask has no siblings: their values do not fit it.
        seen = recording("read")
        seen.add("socket", count: 1, scalars: [scalar(0, 2), scalar(1, 1, mask: 15), scalar(2, 0, mask: 3)])
        let older = try answers(try Synthesis(of: seen))
        #expect(older("socket", 2, 1, 4) == "allowed" && older("socket", 2, 1, 6) == "ENOSYS")
        #expect(older("socket", 10, 1, 0) == "ENOSYS")
    }

    @Test("a hot call whose arguments are looked at is told")
    func hot() throws {
        var seen = recording("read")
        seen.add("fcntl", count: 50, scalars: [scalar(1, 3)])
        seen.add("write", count: 100)
        #expect(try Synthesis(of: seen).notes.contains { $0.hasPrefix("fcntl is hot (50 of 151 calls)") })
        var options = Synthesis.Options()
        options.narrowsArguments = false
        #expect(try !Synthesis(of: seen, options: options).notes.contains { $0.contains("hot") })
    }

    @Test("clone3 is never allowed, and clone is in its place, without namespaces")
    func clone3() throws {
        let made = try Synthesis(of: recording("clone3", "read"))
        let answer = try answers(made)
        #expect(answer("clone3") == "ENOSYS" && answer("clone", 0x11) == "allowed")
        #expect(answer("clone", 0x1000_0000) != "allowed" && answer("vfork") == "allowed")
        #expect(made.refused.map(\.name) == ["clone3"])
        let filter = try FilterInterpreter(try FilterCompiler.compile(made.profile))
        let replay = Replay(recording("clone3", "read"), against: filter)
        #expect(replay.passes && replay.fallbacks == ["clone3"])
    }

    @Test("a base is the most there is: its refusals, its answers and its conditions stay")
    func base() throws {
        var seen = recording("read", "ptrace", "mount", "unshare")
        seen.add("socket", count: 1, scalars: [scalar(0, 2), scalar(1, 1, mask: 15), scalar(2, 132)])
        seen.add("socket", count: 1, scalars: [scalar(0, 2), scalar(1, 1, mask: 15), scalar(2, 6)])
        let made = try Synthesis(of: seen, base: try shipped("agent-default"))
        let answer = try answers(made)
        #expect(answer("mount") == "EPERM" && answer("keyctl") == "EPERM" && answer("clone3") == "ENOSYS")
        #expect(answer("socket", 2, 1, 132) == "ENOSYS" && answer("socket", 2, 1, 6) == "allowed")
        #expect(answer("unshare", 0x1000_0000) != "allowed" && answer("unshare", 0x400) == "allowed")
        #expect(made.refused.map(\.name).contains("mount"))
        for entry in made.profile.syscalls {
            for arg in entry.args { #expect(arg.op == .equalTo || arg.op == .maskedEqual, "\(entry.names)") }
        }
        // Nothing that the base refuses is let through, for any number and edge of arguments.
        let tight = try FilterInterpreter(try FilterCompiler.compile(made.profile))
        let wide = try FilterInterpreter(try shipped("agent-default").program())
        for number in 0...600 as ClosedRange<UInt32> {
            for value in [0, 1, 2, 10, 16, 40, 0x5412, 0x1000_0000, 0x40_0000, .max] as [UInt64] {
                let call = FilteredCall(number: number, arguments: [value, value, value])
                if tight.run(call).action == 0x7fff_0000 { #expect(wide.run(call).action == 0x7fff_0000, "\(call)") }
            }
        }
    }

    @Test("of a base's rules that overlap the strictest decides: nothing is allowed beyond it")
    func overlappingBase() throws {
        let text = """
            { "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [\(rule("read setns socket bind kill write")),
              \(rule("setns", "ERRNO")), \(rule("socket", "ERRNO", arg(0, "EQ", 16))),
              \(rule("bind", "ERRNO", arg(2, "EQ", 7))), \(rule("kill", "ALLOW", arg(0, "EQ", 1) + "," + arg(0, "EQ", 2))),
              \(rule("listen", "ALLOW", arg(0, "EQ", 1))), \(rule("listen", "ERRNO", arg(1, "GT", 5)))] }
            """
        let base = try ProfileFile(reading: [UInt8](text.utf8), file: "base.json")
        var seen = recording("read", "setns", "bind", "kill", "listen")
        for family in [2, 16] as [UInt64] {
            seen.add("socket", count: 1, scalars: [scalar(0, family), scalar(1, 1, mask: 15), scalar(2, 0)])
        }
        let made = try Synthesis(of: seen, base: base)
        #expect(Set(made.allowed).isSuperset(of: ["read", "socket", "kill"]))
        #expect(Set(made.refused.map(\.name)).isSuperset(of: ["setns", "bind", "listen"]))
        let tight = try FilterInterpreter(try FilterCompiler.compile(made.profile))
        let diff = FilterDiff(try FilterInterpreter(try base.program()), tight)
        #expect(diff.differences.filter { $0.kind == .opened } == [])
    }

    @Test("what it makes lets its recordings through, and the same recordings give the same bytes")
    func replays() throws {
        var runs: [Recording] = []
        for name in CallTable.names(on: .x86_64) where ForbiddenCalls.reason(of: name) == nil {
            runs.append(recording(name))
        }
        let merged = try #require(Recording.merging(runs))
        let made = try Synthesis(of: merged)
        let filter = try FilterInterpreter(try FilterCompiler.compile(made.profile))
        let replay = Replay(merged, against: filter)
        #expect(replay.breaks == [] && replay.tried > 300)
        #expect(try Synthesis(of: try #require(Recording.merging(runs.reversed()))).text == made.text)
        let again = try ProfileFile(reading: [UInt8](made.text.utf8), file: "tight.json")
        #expect(again.profile == made.profile)
    }

    @Test("a filter that looks at what was not recorded is not said to let it through")
    func untold() throws {
        func replay(_ conditions: String, _ recording: Recording) throws -> Replay {
            let text = """
                { "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                  { "names": ["read", "socket"], "action": "SCMP_ACT_ALLOW", "args": [\(conditions)] }] }
                """
            let file = try ProfileFile(reading: [UInt8](text.utf8), file: "f.json")
            return Replay(recording, against: try file.interpreter(for: .x86_64), on: .x86_64)
        }
        let isZero = "{ \"index\": 0, \"value\": 0, \"op\": \"SCMP_CMP_EQ\" }"
        let message = "the answer depends on arguments that were not recorded"
        let read = try replay(isZero, recording("read"))
        #expect(read.breaks == [] && read.untold == ["read: \(message)"])
        #expect(try replay("", recording("read")).untold == [])
        var seen = recording()
        seen.add("socket", count: 1, scalars: [scalar(0, 0)])
        #expect(try replay(isZero, seen).untold == [])
        // The recording has the lower four bits of the type; the filter wants a flag above them to be one or the other.
        seen = recording()
        seen.add("socket", count: 1, scalars: [scalar(1, 1, mask: 15)])
        let hasBoth = "{ \"index\": 1, \"value\": 65552, \"valueTwo\": 16, \"op\": \"SCMP_CMP_MASKED_EQ\" }"
        #expect(try replay(hasBoth, seen).untold == ["socket: \(message)"])
        let isOther = "{ \"index\": 1, \"value\": 31, \"valueTwo\": 18, \"op\": \"SCMP_CMP_MASKED_EQ\" }"
        #expect(try replay(isOther, seen).breaks.map(\.answer) == ["EPERM"])
        let refuses = """
            { "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
              { "names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [\(hasBoth)] }] }
            """
        let filter = try ProfileFile(reading: [UInt8](refuses.utf8), file: "f.json").interpreter(for: .x86_64)
        let flags = Replay(seen, against: filter, on: .x86_64)
        #expect(flags.breaks == [] && flags.untold == ["socket: \(message)"])
        // Refused with zeros alone, of which nobody said that they were called with.
        let refusesZero = refuses.replacingOccurrences(of: hasBoth, with: isZero)
        let zero = try ProfileFile(reading: [UInt8](refusesZero.utf8), file: "f.json").interpreter(for: .x86_64)
        let called = Replay(recording("socket"), against: zero, on: .x86_64)
        #expect(called.breaks == [] && called.untold == ["socket: \(message)"])
        seen = recording("read")
        seen.lost = 2
        #expect(try replay("", seen).untold == ["2 calls, lost while they were recorded"])
    }

    @Test("runs held out break where they are new, and only there")
    func heldOut() throws {
        let usual = (0..<9).map { _ in recording("read", "openat") }
        let steady = try HeldOut(usual, folds: 3)
        #expect(steady.tried == 9 && steady.broken == 0)
        let odd = try HeldOut(usual + [recording("read", "bind")], folds: 10)
        #expect(odd.tried == 10 && odd.broken == 1 && odd.culprits.map(\.name) == ["bind"])
        #expect(odd.rate == 0.1)
    }
}
