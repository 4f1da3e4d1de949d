import Glibc
import SystemPackage
import Testing

@testable import Syscalls

@Suite struct EventsTests {
    @Test func epollNamesTheReadyDescriptorByItsToken() throws {
        let epoll = try epollCreate()
        let one = try eventFD()
        let two = try eventFD()
        defer { for descriptor in [epoll, one, two] { close(descriptor) } }
        try epollControl(epoll, .add, one, token: 0x1122_3344_5566_7788)
        try epollControl(epoll, .add, two, token: 2)
        #expect(try epollWait(epoll, timeout: 0) == [])
        try eventFDAdd(one, 5)
        #expect(try epollWait(epoll) == [EpollEvent(token: 0x1122_3344_5566_7788, events: .readable)])
        #expect(try takeCount(one) == 5)
        #expect(try takeCount(one) == nil)
        try epollControl(epoll, .delete, two)
        try eventFDAdd(two)
        #expect(try epollWait(epoll, timeout: 0) == [])
    }

    @Test func timersRunOutInRelativeAndInAbsoluteTime() throws {
        let timer = try timerFD()
        defer { close(timer) }
        let start = monotonicNanoseconds()
        try timerFDSet(timer, nanoseconds: 20_000_000)
        #expect(try poll([(timer, .readable)], timeout: 5) == [[]])
        #expect(try poll([(timer, .readable)], timeout: 5000) == [.readable])
        #expect(monotonicNanoseconds() - start >= 20_000_000)
        #expect(try takeCount(timer) == 1)
        try timerFDSet(timer, nanoseconds: start, absolute: true)
        #expect(try poll([(timer, .readable)], timeout: 0) == [.readable])
        try timerFDSet(timer, nanoseconds: 0)
        #expect(try poll([(timer, .readable)], timeout: 30) == [[]])
    }

    @Test func aBlockedSignalIsReadWithItsSender() throws {
        let signals = signalSet([SIGUSR2])
        let old = try changeSignalMask(SIG_BLOCK, signals)
        let descriptor = try signalFD(signals)
        defer { close(descriptor) }
        #expect(try readSignal(descriptor) == nil)
        pthread_kill(pthread_self(), SIGUSR2)
        let info = try #require(try readSignal(descriptor))
        #expect(info.signal == SIGUSR2 && info.pid == getpid() && info.uid == getuid())
        try changeSignalMask(SIG_SETMASK, old)
    }

    @Test func inotifyTellsWhichFileOfADirectory() throws {
        let path = "/tmp/carrel-events-\(getpid())"
        try makeDirectory(path)
        defer { try? removeTree(path) }
        let inotify = try inotifyInit()
        defer { close(inotify) }
        let watch = try inotifyAdd(inotify, path, UInt32(IN_CREATE))
        #expect(try inotifyRead(inotify) == [])
        for name in ["a", "a-much-longer-name"] { close(try open("\(path)/\(name)", O_CREAT | O_WRONLY)) }
        #expect(try inotifyRead(inotify).map(\.name) == ["a", "a-much-longer-name"])
        try inotifyAdd(inotify, path, UInt32(IN_DELETE_SELF))
        try removeTree(path)
        #expect(try inotifyRead(inotify).contains { $0.watch == watch && $0.mask & UInt32(IN_DELETE_SELF) != 0 })
    }

    @Test func aProcessDescriptorIsReadableOnceTheProcessHasEnded() throws {
        var pid: pid_t = 0
        let arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("60"), nil]
        defer { for argument in arguments { free(argument) } }
        #expect(posix_spawn(&pid, "/bin/sleep", nil, nil, arguments, nil) == 0)
        let descriptor = try pidfdOpen(pid)
        defer { close(descriptor) }
        #expect(try poll([(descriptor, .readable)], timeout: 10) == [[]])
        try pidfdSendSignal(descriptor, SIGKILL)
        #expect(try poll([(descriptor, .readable)], timeout: 5000) == [.readable])
        var status: Int32 = 0
        #expect(waitpid(pid, &status, 0) == pid && status == SIGKILL)
        #expect(throws: SystemError("pidfd_send_signal", errno: .noSuchProcess)) {
            try pidfdSendSignal(descriptor, SIGKILL)
        }
    }
}
