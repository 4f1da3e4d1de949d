import Glibc
import Records
import Syscalls
import SystemPackage

extension Carrel {
    /// Watches over all sessions of this state directory until it is told to end: sweeps what a dead supervisor left as
    /// soon as it is dead, and holds the limits of sessions whose supervisor does not.
    ///
    /// One thread over one epoll(7): new sessions are told by inotify(7), the death of supervisors by their descriptors,
    /// and one timer is set to the first limit.
    public func watch() throws(SessionError) {
        try telling("watch") { () throws(SystemError) in
            let signals = signalSet([SIGTERM, SIGINT, SIGHUP])
            try changeSignalMask(SIG_BLOCK, signals)
            let told = try signalFD(signals)
            let timer = try timerFD()
            let made = try inotifyInit()
            try inotifyAdd(made, state["live"], UInt32(IN_CREATE | IN_MOVED_TO))
            let epoll = try epollCreate()
            // Supervisors have their process ids for tokens.
            try epollControl(epoll, .add, told, .readable, token: WatchToken.signal)
            try epollControl(epoll, .add, timer, .readable, token: WatchToken.timer)
            try epollControl(epoll, .add, made, .readable, token: WatchToken.made)
            var supervisors: [Int32: FileDescriptor] = [:]
            while true {
                for pid in live.claims().map(\.holder) where supervisors[pid] == nil {
                    guard let descriptor = try? pidfdOpen(pid) else { continue }
                    try epollControl(epoll, .add, descriptor, .readable, token: UInt64(pid))
                    supervisors[pid] = descriptor
                }
                let next = sweepAll()
                try timerFDSet(timer, nanoseconds: next.map { max($0, 1) } ?? 0, absolute: true)
                for event in try epollWait(epoll, timeout: nil) {
                    switch event.token {
                    case WatchToken.signal:
                        if try readSignal(told)?.signal != SIGHUP { return }
                    case WatchToken.timer: _ = try takeCount(timer)
                    case WatchToken.made: while try !inotifyRead(made).isEmpty {}
                    default:
                        guard let descriptor = supervisors.removeValue(forKey: Int32(truncatingIfNeeded: event.token))
                        else { continue }
                        try? epollControl(epoll, .delete, descriptor)
                        close(descriptor)
                    }
                }
            }
        }
    }
}

/// What the watch's epoll descriptor tells of, above all process ids.
private enum WatchToken {
    static let signal = UInt64.max
    static let timer = UInt64.max - 1
    static let made = UInt64.max - 2
}
