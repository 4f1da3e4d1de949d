import Foundation
import Glibc
import Syscalls
import SystemPackage
import Testing

@testable import Session

@Suite struct WorkdirGuardTests {
    /// A state directory, and workdirs beside it.
    private final class Place {
        let path: String
        let state: StateDirectory

        init() throws {
            var template = Array("/tmp/carrel-guard-tests.XXXXXX".utf8CString)
            path = String(cString: mkdtemp(&template))
            state = try StateDirectory(path: path + "/state")
        }

        deinit { try? removeTree(path) }

        func workdir(_ name: String, _ more: String...) throws -> String {
            try makeDirectories("\(path)/\(name)")
            for directory in more { try makeDirectories("\(path)/\(name)/\(directory)") }
            return "\(path)/\(name)"
        }

        @discardableResult
        func prepare(
            _ session: String, _ workdir: String, _ protect: [String] = [], deny: [String] = [], of tenant: String = "t"
        ) throws -> WorkdirGuard {
            try live(session)
            return try WorkdirGuard.prepare(
                workdir, protect: protect, deny: deny, session: session, tenant: tenant, in: state)
        }

        /// A session is written down before it works anywhere.
        func live(_ session: String) throws { try replaceFile(state["sessions/\(session).json"], with: [UInt8]()) }

        func release(_ session: String, _ workdir: String) {
            WorkdirClaims.release(session, workdir: workdir, in: state)
        }

        /// What is kept for others, the file for claims aside.
        var spares: [String] { ((try? list(state["spares"])) ?? []).filter { $0 != "claims" } }
        var claims: [String] { (try? list(state["workdirs"])) ?? [] }
    }

    private final class Box<Value>: @unchecked Sendable {
        var value: Value?
    }

    private static func inode(_ path: String) throws -> UInt64 { UInt64(try status(path).st_ino) }

    /// What another session has made is there while this one looks, and gone when it has the lock.
    @Test func whatGoesWithAnotherSessionIsMadeAgain() throws {
        let place = try Place()
        let work = try place.workdir("work", ".git")
        let protect = [".envrc", ".vscode/", ".git/hooks/", "**/.git/hooks", ".env*"]
        try place.prepare("first", work, protect)
        try place.live("second")
        let second = Box<Result<WorkdirGuard, any Error>>()
        let isDone = DispatchSemaphore(value: 0)
        try WorkdirClaims.locked(place.state) { () throws(SessionError) in
            let state = place.state
            Thread {
                second.value = Result {
                    try WorkdirGuard.prepare(
                        work, protect: protect, deny: [], session: "second", tenant: "t", in: state)
                }
                isDone.signal()
            }.start()
            // Until it has looked around and waits for the lock (proc_locks(5): "1: -> FLOCK ADVISORY WRITE PID ...").
            for _ in 0..<1000 {
                let locks = (try? readText("/proc/locks")) ?? ""
                if locks.split(separator: "\n").contains(where: {
                    $0.contains("-> FLOCK") && $0.contains(" \(getpid()) ")
                }) {
                    break
                }
                usleep(10_000)
            }
            // The first one ends.
            try telling("workdir") { () throws(SystemError) in
                let root = try open(work, O_RDONLY | O_DIRECTORY)
                defer { close(root) }
                var claims = try WorkdirClaims(root, work, place.state)
                claims.sessions = []
                claims.removeGhosts(from: 0)
                try claims.write()
            }
            #expect(!exists(work + "/.envrc") && !exists(work + "/.vscode") && !exists(work + "/.git/hooks"))
        }
        isDone.wait()
        let held = try #require(try second.value?.get())
        for path in [".envrc", ".vscode", ".git/hooks"] {
            #expect(exists("\(work)/\(path)") && held.readOnly.contains(path), "\(path): \(held)")
        }
        place.release("second", work)
        #expect(try list(work) == [".git"] && list(work + "/.git") == [] && place.claims == [])
    }

    /// A session whose end could not be written down, as on a full disk, keeps nothing in the tree.
    @Test(arguments: ["before", "meanwhile"]) func theDeadWorkNowhere(ended: String) throws {
        let place = try Place()
        let work = try place.workdir("work")
        try place.prepare("dead", work, [".envrc"])
        let end = { try remove(place.state["sessions/dead.json"]) }
        if ended == "before" { try end() }
        try place.prepare("next", work, [".envrc"])
        if ended == "meanwhile" { try end() }
        place.release("next", work)
        #expect(try list(work) == [] && place.claims == [])
    }

    /// What is no longer there is not named: at the start it would be missing.
    @Test func onlyWhatIsThereIsProtected() throws {
        let place = try Place()
        let work = try place.workdir("work", "a/.git/hooks", ".claude")
        let held = try place.prepare(
            "one", work, ["**/.git/hooks", ".claude/settings.json", ".husky/x", ".husky/y"], deny: ["b/secret"])
        for path in held.readOnly + held.pinned + held.masked { #expect(exists("\(work)/\(path)"), "\(path)") }
        #expect(held.readOnly == ["a/.git/hooks", ".claude/settings.json", ".husky"], "\(held)")
        #expect(held.pinned == ["a", "a/.git", ".claude"] && held.masked == [], "\(held)")
    }

    /// Beside a protected configuration stands nothing that leads git to another: what has to be made for that git takes as if
    /// it were not there, and it is not left.
    @Test func gitIsLedToNoOtherConfiguration() throws {
        let place = try Place()
        let work = try place.workdir("work", ".git/hooks", "a/.git", "b/.git", "c/.git")
        for file in [".git/config", "a/.git/config", "b/.git/config", "b/.git/commondir"] {
            try replaceFile("\(work)/\(file)", with: "user's".utf8)
        }
        let protect = [".git/config", "**/.git/config"]
        for session in ["one", "two"] {
            let held = try place.prepare(session, work, protect)
            for repository in [".git", "a/.git", "b/.git"] {
                let names = ["config", "commondir", "config.worktree"].map { "\(repository)/\($0)" }
                #expect(names.allSatisfy { held.readOnly.contains($0) } && held.pinned.contains(repository), "\(held)")
                #expect(try readText("\(work)/\(repository)/commondir") == (repository == "b/.git" ? "user's" : ".\n"))
                #expect(try readText("\(work)/\(repository)/config.worktree") == "")
            }
            #expect(held.readOnly.count == 9, "\(held)")
            if session == "two" {
                // The user's own from here on.
                try replaceFile(work + "/a/.git/commondir", with: "..\n".utf8)
                try withOpen(work + "/.git/commondir", O_WRONLY | O_TRUNC) { file throws(SystemError) in
                    try writeAll("/\n".utf8, to: file)
                }
            }
            place.release(session, work)
            #expect(exists(work + "/.git/commondir") == (session == "two"))
        }
        #expect(try readText(work + "/a/.git/commondir") == "..\n" && readText(work + "/.git/commondir") == "/\n")
        #expect(try list(work + "/.git").sorted() == ["commondir", "config", "hooks"] && list(work + "/c/.git") == [])
    }

    /// A tree that an agent has made too deep for any path is refused, before it is too deep for the launcher's stack.
    @Test func aTreeWithoutEndIsRefused() throws {
        let place = try Place()
        let work = try place.workdir("work")
        var at = try open(work, O_RDONLY | O_DIRECTORY)
        let name = String(repeating: "a", count: 200)
        for _ in 0...Int(PATH_MAX) / 200 {
            try makeDirectory(name, at: at)
            let below = try open(name, O_RDONLY | O_DIRECTORY, at: at)
            close(at)
            at = below
        }
        close(at)
        let error = #expect(throws: SessionError.self) { try place.prepare("one", work, ["**/.git/hooks"]) }
        #expect(error?.description.contains("File name too long") == true, "\(String(describing: error))")
        #expect(place.claims == [])
        try place.prepare("two", work, [".vscode/"])
        place.release("two", work)
    }

    /// A session that protects nothing is one of the workdir all the same.
    @Test func whatWasMadeIsReadOnlyForAll() throws {
        let place = try Place()
        let work = try place.workdir("work", ".git")
        try place.prepare("first", work, [".vscode/", ".git/hooks/"])
        let held = try place.prepare("second", work)
        #expect(held.readOnly == [".vscode", ".git/hooks"] && held.pinned == [".git"], "\(held)")
        place.release("first", work)
        #expect(exists(work + "/.vscode") && exists(work + "/.git/hooks"), "the second may have it open")
        place.release("second", work)
        #expect(try list(work) == [".git"] && place.claims == [])
        #expect(place.spares == [], "two sessions were there")
    }

    /// One that came before could open what was made then for writing: it is nobody's to use again.
    @Test func whatAnotherSessionCouldOpenIsNotUsedAgain() throws {
        let place = try Place()
        let work = try place.workdir("work")
        try place.prepare("early", work)
        try place.prepare("late", work, [".vscode/"])
        let handle = try open(work + "/.vscode", O_RDONLY | O_DIRECTORY)
        defer { close(handle) }
        place.release("early", work)
        place.release("late", work)
        #expect(!exists(work + "/.vscode") && place.spares == [])
        #expect(throws: SystemError.self) { try makeDirectory("evil", at: handle) }

        // Nor once all the others have ended.
        try place.prepare("one", work, [".vscode/"])
        try place.prepare("two", work, [".vscode/"])
        place.release("one", work)
        try place.prepare("three", work, [".vscode/"])
        place.release("two", work)
        place.release("three", work)
        #expect(!exists(work + "/.vscode") && place.spares == [])
    }

    /// Nor what is in a directory that another session works in.
    @Test func whatIsInAnothersWorkdirIsNotUsedAgain() throws {
        let place = try Place()
        let work = try place.workdir("work", "a/repository")
        let inner = work + "/a/repository"
        try place.prepare("outer", work)
        try place.prepare("inner", inner, [".vscode/"])
        let handle = try open(inner + "/.vscode", O_RDONLY | O_DIRECTORY)
        defer { close(handle) }
        place.release("inner", inner)
        #expect(!exists(inner + "/.vscode") && place.spares == [])
        #expect(throws: SystemError.self) { try makeDirectory("evil", at: handle) }
        place.release("outer", work)
        try place.prepare("alone", inner, [".vscode/"])
        place.release("alone", inner)
        #expect(place.spares.count == 1)
    }

    @Test func sparesAreOfOneTenant() throws {
        let place = try Place()
        let work = try place.workdir("work")
        try place.prepare("one", work, [".vscode/"], of: "ta")
        let made = try Self.inode(work + "/.vscode")
        let handle = try open(work + "/.vscode", O_RDONLY | O_DIRECTORY)
        defer { close(handle) }
        place.release("one", work)
        #expect(place.spares.count == 1)
        try place.prepare("two", work, [".vscode/"], of: "tb")
        #expect(try Self.inode(work + "/.vscode") != made)
        place.release("two", work)
        // The tenant itself gets it back: this is what the test is about.
        try place.prepare("three", work, [".vscode/"], of: "ta")
        #expect(try Self.inode(work + "/.vscode") == made)
        place.release("three", work)
    }

    /// Whoever holds a kept directory open can put something into it; it does not get into the next workdir.
    @Test(arguments: ["an entry", "a mode"]) func aSpareThatWasChangedIsNotUsed(with what: String) throws {
        let place = try Place()
        let work = try place.workdir("work")
        let other = try place.workdir("other")
        try place.prepare("one", work, [".vscode/"])
        let made = try Self.inode(work + "/.vscode")
        let handle = try open(work + "/.vscode", O_RDONLY | O_DIRECTORY)
        defer { close(handle) }
        place.release("one", work)
        switch what {
        case "an entry":
            close(try open("tasks.json", O_WRONLY | O_CREAT, mode: 0o644, at: handle))
        default: try #require(fchmod(handle.rawValue, 0o777) == 0)
        }
        try place.prepare("two", other, [".vscode/"])
        #expect(try Self.inode(other + "/.vscode") != made)
        #expect(try list(other + "/.vscode") == [] && status(other + "/.vscode").st_mode & 0o7777 == 0o755)
        #expect(place.spares == [], "what was changed is still kept")
        place.release("two", other)
    }

    /// What leads to a denied file cannot be renamed: the next session would read the file under its new name.
    @Test func theWayToWhatIsDeniedIsPinned() throws {
        let place = try Place()
        let work = try place.workdir("ä", ".docker", ".config/gcloud", "a/b", "elsewhere/deep")
        for file in [".docker/config.json", "a/b/.env", "elsewhere/deep/secret"] {
            try replaceFile("\(work)/\(file)", with: [])
        }
        try #require(symlink("elsewhere/deep/secret", work + "/.netrc") == 0)
        let held = try place.prepare("one", work, deny: [".docker/config.json", ".config/gcloud", "**/.env", ".netrc"])
        #expect(
            Set(held.masked) == [".docker/config.json", ".config/gcloud", "a/b/.env", "elsewhere/deep/secret"],
            "\(held)")
        #expect(Set(held.pinned) == [".docker", ".config", "a", "a/b", "elsewhere", "elsewhere/deep"], "\(held)")
        place.release("one", work)
    }
}
