import Glibc
import SystemPackage
import Testing

@testable import Syscalls

@Suite struct SyscallsTests {
    @Test func descriptorsTravelOverASocket() throws {
        let (left, right) = try socketPair()
        let (reading, writing) = try makePipe()
        defer { for descriptor in [right, reading] { close(descriptor) } }
        try send([1, 2, 3], descriptors: [writing], over: left)
        close(writing)
        let message = try receive(from: right)
        #expect(message.bytes == [1, 2, 3])
        let copy = try #require(message.descriptors.first)
        try writeAll("through".utf8, to: copy)
        #expect(fcntl(copy.rawValue, F_GETFD) & FD_CLOEXEC != 0)
        close(copy)
        #expect(String(decoding: try readAll(reading), as: UTF8.self) == "through")
        close(left)
        #expect(try receive(from: right).bytes.isEmpty)
    }

    @Test func nothingLeavesTheRoot() throws {
        let place = "/tmp/carrel-syscalls-tests.\(getpid())"
        defer { try? removeTree(place) }
        try makeDirectories(place + "/inside")
        try #require(symlink("/etc", place + "/absolute") == 0 && symlink("../..", place + "/inside/up") == 0)
        let root = try open(place, O_RDONLY | O_DIRECTORY)
        defer { close(root) }
        #expect(throws: SystemError.self) { try open("absolute/passwd", O_PATH, in: root, .inRoot) }
        #expect(throws: SystemError.self) { try open("inside/up/etc/passwd", O_PATH, in: root, .beneath) }
        #expect(throws: SystemError.self) { try open("absolute", O_PATH, in: root, .noSymlinks) }
        close(try open("/inside/../../inside", O_PATH, in: root, .inRoot))
    }

    @Test func aTreeIsRemovedAndItsLinksAreNotFollowed() throws {
        let place = "/tmp/carrel-syscalls-remove.\(getpid())"
        try makeDirectories(place + "/tree/deep")
        try replaceFile(place + "/kept", with: "x".utf8)
        try #require(symlink(place, place + "/tree/deep/link") == 0)
        try removeTree(place + "/tree")
        #expect(!exists(place + "/tree") && exists(place + "/kept"))
        try removeTree(place)
    }

    /// Whoever can write in the directory can guess the name of the new file.
    @Test func whatIsInTheWayOfANewFileIsNotOpened() throws {
        let place = "/tmp/carrel-syscalls-replace.\(getpid())"
        try makeDirectories(place)
        let inTheWay = "\(place)/file.\(getpid()).new"
        try #require(mkfifo(inTheWay, 0o666) == 0)
        try replaceFile(place + "/file", with: "1".utf8)
        try replaceFile(place + "/kept", with: "x".utf8)
        for link in [Glibc.link, symlink] {
            try #require(link(place + "/kept", inTheWay) == 0)
            try replaceFile(place + "/file", with: "2".utf8)
        }
        #expect(try readText(place + "/kept") == "x" && readText(place + "/file") == "2")
        #expect(try list(place).sorted() == ["file", "kept"])
        try removeTree(place)
    }

    @Test func aChildOnTheCallersMemoryIsOneOfItsOwn() throws {
        var seen = 0
        let caller = getpid()
        let child = try withUnsafeMutablePointer(to: &seen) { seen in
            nonisolated(unsafe) let seen = seen
            return try spawnSharingMemory {
                seen.pointee = getpid() == caller ? -1 : 42
                _exit(7)
            }
        }
        #expect(try wait(for: child) == .exited(7))
        #expect(seen == 42)
    }

    @Test func errorsNameTheCallAndItsObject() {
        let error = #expect(throws: SystemError.self) { try readFile("/nonexistent/file") }
        #expect(error?.description == "openat /nonexistent/file: No such file or directory (2)")
    }
}
