import Documents
import Testing

@testable import Workshop

let here = RecordedEnvironment(kernel: "6.18.5", libc: "glibc 2.36", architecture: "x86_64")

/// A recording of one run of these calls.
func recording(_ calls: String..., command: String = "true") -> Recording {
    var recording = Recording(
        source: .ebpf, environment: here, command: [command], executables: [RecordedExecutable(path: "/bin/\(command)")]
    )
    for call in calls { recording.add(call, count: 1) }
    return recording
}

@Suite("the file of a recording") struct RecordingTests {
    func problems(_ text: String) -> [String] {
        do throws(Problems) {
            _ = try Recording(reading: [UInt8](text.utf8), file: "r.rec")
            return []
        } catch { return error.list.map(\.description) }
    }

    @Test("comes back as it was written, and is the same text in whatever order it was gathered")
    func roundTrip() throws {
        let family = RecordedScalar(index: 0, mask: 0xffff_ffff, value: 2)
        let other = RecordedScalar(index: 0, mask: 0xffff_ffff, value: 40)
        var one = recording("write", "read")
        one.add("socket", count: 3, scalars: [family])
        one.add("socket", count: 2, deniedWith: 1, scalars: [other])
        one.add("socket", count: 1, deniedWith: 38, scalars: [other])
        one.add("read", count: 4)
        one.executables = ["/bin/sh", "/bin/git", "/bin/sh"].map { RecordedExecutable(path: $0) }
        var two = recording("read")
        two.executables = ["/bin/git", "/bin/sh"].map { RecordedExecutable(path: $0) }
        two.add("socket", count: 1, deniedWith: 38, scalars: [other])
        two.add("socket", count: 3, scalars: [family])
        two.add("write", count: 1)
        two.add("socket", count: 2, deniedWith: 1, scalars: [other])
        two.add("read", count: 4)
        let places = ["debian 12", "debian 13"].map {
            RecordedEnvironment(kernel: "6.18", architecture: "x86_64", system: $0)
        }
        (one.environments, two.environments) = (places, places.reversed())
        #expect(one.text == two.text)
        let read = try Recording(reading: [UInt8](one.text.utf8), file: "r.rec")
        #expect(read == one.sorted)
        #expect(read.text == one.text)
        let socket = try #require(read.calls.first { $0.name == "socket" })
        #expect(socket.allowed == 3 && socket.count == 6 && socket.denied.map(\.errno) == [1, 38])
        #expect(socket.arguments.map(\.denied) == [0, 3])
        #expect(one.text.contains("\"lost\": 0"))
    }

    @Test("every error is told with its place")
    func errors() {
        let good = recording("read").text
        #expect(problems(good) == [])
        func changed(_ old: String, _ new: String) -> [String] {
            #expect(good.contains(old))
            return problems(good.split(separator: old, maxSplits: 1).joined(separator: new))
        }
        #expect(
            changed("\"version\": 1", "\"version\": 9") == [
                "r.rec:2:14: version: expected 1, found 9: recorded by another carrel"
            ])
        #expect(
            changed("\"name\": \"read\"", "\"name\": \"raed\"") == [
                "r.rec:29:15: calls[0].name: expected the name of a system call, found \"raed\""
            ])
        #expect(changed("\"lost\": 0", "\"lots\": 0").count == 1)
        #expect(changed("\"ebpf\"", "\"ebfp\"").first?.contains("did you mean ebpf?") == true)
        #expect(changed("\"allowed\": 1", "\"allowed\": -1").count == 1)
        #expect(changed("\"allowed\": 1", "\"allowed\": 0").count == 1)
        #expect(changed("\"runs\": 1,\n      \"unlisted\"", "\"runs\": 2,\n      \"unlisted\"").count == 1)
        #expect(changed("x86_64", "vax").first?.contains("environments[0].architecture") == true)
        #expect(problems("").count == 1)
        #expect(problems("[]").count == 1)
        #expect(problems("{ \"version\": 1 }").count >= 4)
    }

    @Test("counts that no run can have are an error, not a number too great to add up")
    func tooMuchCounted() {
        func problems(_ allowed: UInt64, _ denied: UInt64 = 0, runs: UInt64 = 1) -> [String] {
            let call =
                "{ \"name\": \"read\", \"allowed\": \(allowed), \"denied\": [{ \"errno\": 1, \"count\": \(denied) }], "
                + "\"runs\": 1, \"unlisted\": 0 }"
            return self.problems(
                """
                { "version": 1, "source": "ebpf", "environments": [{ "kernel": "6", "libc": "", "architecture": "x86_64" }],
                  "runs": \(runs), "lost": 0, "foreign": 0, "calls": [\(call)] }
                """)
        }
        #expect(problems(1 << 52, 1 << 51) == [])
        let expected = ["r.rec:1:1: expected counts that are at most 9007199254740992 together"]
        #expect(problems(.max, 1) == expected && problems(1 << 53) == expected)
        #expect(problems(1, .max) == expected && problems(1, runs: .max) == expected)
    }

    @Test("a value outside of its mask, arguments out of order, a call twice")
    func argumentErrors() {
        func arguments(_ scalars: String) -> [String] {
            problems(
                """
                { "version": 1, "source": "ebpf", "environments": [{ "kernel": "6", "libc": "", "architecture": "x86_64" }],
                  "runs": 1, "lost": 0, "foreign": 0, "calls": [
                  { "name": "socket", "allowed": 1, "runs": 1, "unlisted": 0,
                    "arguments": [{ "allowed": 1, "denied": 0, "runs": 1, "scalars": [\(scalars)] }] }] }
                """)
        }
        let one = "{ \"index\": 1, \"mask\": 15, \"value\": 1 }"
        #expect(arguments(one) == [])
        #expect(arguments("\(one), \(one)").first?.contains("arguments[0].scalars[1].index") == true)
        #expect(arguments("{ \"index\": 1, \"mask\": 15, \"value\": 16 }").count == 1)
        #expect(arguments("").count == 1)
        #expect(arguments("{ \"index\": 6, \"mask\": 15, \"value\": 1 }").count == 1)
        let call = "{ \"name\": \"read\", \"allowed\": 1, \"runs\": 1, \"unlisted\": 0 }"
        let twice = problems(
            """
            { "version": 1, "source": "ebpf", "environments": [{ "kernel": "6", "libc": "", "architecture": "x86_64" }],
              "runs": 1, "lost": 0, "foreign": 0, "calls": [\(call), \(call)] }
            """)
        #expect(twice == ["r.rec:2:119: calls[1].name: expected each call once, found \"read\" again"])
    }
}
