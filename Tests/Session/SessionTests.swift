import Foundation
import Glibc
import Synchronization
import Syscalls
import SystemPackage
import Testing

@testable import Session

@Suite struct SessionTests {
    @Test(arguments: ["a", "s-42", "A.b_c-9", String(repeating: "x", count: 64)]) func namesAreNames(name: String)
        throws
    {
        try checkName(name, of: "session")
    }

    @Test(arguments: ["", ".", "..", "a/b", "-a", "_a", "a b", "ä", "a\0b", String(repeating: "x", count: 65)])
    func pathsAndOptionsAreNoNames(name: String) {
        #expect(throws: SessionError.self) { try checkName(name, of: "session") }
    }

    @Test func patternsMatchByName() {
        func matches(_ pattern: String, _ name: String) -> Bool {
            PathPattern.matches(pattern[...].utf8, name[...].utf8)
        }
        #expect(matches("settings*.json", "settings.json") && matches("settings*.json", "settings.local.json"))
        #expect(matches("*", "anything") && matches("a?c", "abc") && matches("*.*", ".env.local"))
        #expect(!matches("settings*.json", "settings.json.bak") && !matches("a?c", "ac") && !matches("", "x"))
    }

    @Test func theWalkFindsWhatMatchesAndFollowsNoLink() throws {
        let place = "/tmp/carrel-session-tests.\(getpid())"
        defer { try? removeTree(place) }
        for directory in [".git/hooks", "sub/.git/hooks", "sub/deep/.git"] {
            try makeDirectories("\(place)/\(directory)")
        }
        for file in [".env", "sub/.env", "sub/deep/.git/config"] { try replaceFile("\(place)/\(file)", with: []) }
        try #require(symlink("/etc", place + "/link") == 0)
        let root = try open(place, O_RDONLY | O_DIRECTORY)
        defer { close(root) }
        func found(_ patterns: String...) throws -> [String] {
            try find(patterns.map { PathPattern($0) }, in: root).map(\.path).sorted()
        }
        #expect(try found("**/.env") == [".env", "sub/.env"])
        #expect(try found("**/.git/hooks", ".git/hooks/") == [".git/hooks", ".git/hooks", "sub/.git/hooks"])
        #expect(try found("*/deep/.git/config") == ["sub/deep/.git/config"])
        #expect(try found("link/passwd", "**/passwd") == [])
    }

    @Test func theWalkPassesOverNothingForItsName() throws {
        let place = "/tmp/carrel-session-names.\(getpid())"
        func bytes(_ before: String, _ after: String = "") -> [CChar] {
            (Array("\(place)/\(before)".utf8) + [0xe9] + Array(after.utf8) + [0]).map { CChar(bitPattern: $0) }
        }
        try makeDirectories(place)
        defer { for path in [bytes("caf", "/in"), bytes("caf"), Array(place.utf8CString)] { rmdir(path) } }
        try #require(mkdir(bytes("caf"), 0o755) == 0 && mkdir(bytes("caf", "/in"), 0o755) == 0)
        let root = try open(place, O_RDONLY | O_DIRECTORY)
        defer { close(root) }
        #expect(try find([PathPattern("**/.env")], in: root) == [], "what matches nothing is nobody's trouble")
        for path in [bytes("caf", "/in/.env"), bytes(".env.")] {
            try #require(Glibc.close(creat(path, 0o644)) == 0)
            #expect(throws: SystemError.self) { try find(["**/.env", "**/.env.*"].map { PathPattern($0) }, in: root) }
            unlink(path)
        }
    }

    @Test func theWalkGoesOnWhereOthersRemoveWhatItLooksAt() throws {
        let place = "/tmp/carrel-session-walk.\(getpid())"
        defer { try? removeTree(place) }
        try makeDirectories(place + "/.git/hooks")
        let isOver = Atomic(false)
        Thread.detachNewThread {
            while !isOver.load(ordering: .relaxed) {
                try? makeDirectories(place + "/comes/goes")
                _ = rmdir(place + "/comes/goes")
                _ = rmdir(place + "/comes")
            }
        }
        defer { isOver.store(true, ordering: .relaxed) }
        let root = try open(place, O_RDONLY | O_DIRECTORY)
        defer { close(root) }
        for _ in 0..<3000 { try #require(try find([PathPattern("**/.git/hooks")], in: root).count == 1) }
    }

    @Test func idlenessIsLittleProcessorTimeForLong() {
        let second: UInt64 = 1_000_000_000
        var watch = IdleWatch(since: 0, cpu: 0, next: second / 4)
        func over(_ now: UInt64, _ cpu: UInt64?) -> Bool { watch.isOver(now, limit: second, cpu: cpu) }
        let early = over(second / 4, 1000)
        let working = over(second / 2, second / 10)
        #expect(!early && !working && watch.since == second / 2)
        // What the Claude Code CLI uses for itself while it waits.
        let quiet = over(second, second / 10 + second / 800)
        let idle = over(second * 3 / 2, second / 10 + second / 400)
        #expect(!quiet && idle)
        let uncounted = over(9 * second, nil)
        #expect(!uncounted, "what nothing counts is not idle")
    }

    @Test func theEndIsToldAsItWas() {
        #expect(exit(.exited(7), nil, nil).status == 7)
        #expect(exit(.signaled(11), nil, nil).status == 139)
        #expect(exit(nil, .outOfMemory, nil).status == 137 && exit(nil, .outOfMemory, nil).report.how == .oom)
        #expect(exit(.signaled(15), .timeout, nil).status == 124)
        #expect(exit(.exited(0), .idle, nil).report.how == .idle)
    }
}
