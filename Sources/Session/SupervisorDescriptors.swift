import Cgroups
import Container
import Glibc
import Syscalls
import SystemPackage

/// What a supervisor waits on, beside the session itself.
struct SupervisorDescriptors {
    let epoll: FileDescriptor
    let signals: FileDescriptor
    let timer: FileDescriptor

    /// Opens them and blocks every signal, which only the signal descriptor then tells of.
    init() throws(SystemError) {
        signals = try takeSignals()
        epoll = try epollCreate()
        timer = try timerFD()
    }

    init(epoll: FileDescriptor, signals: FileDescriptor, timer: FileDescriptor) {
        self.epoll = epoll
        self.signals = signals
        self.timer = timer
    }

    func watch(
        _ token: Supervisor.Token, _ descriptor: FileDescriptor, _ readiness: Readiness = .readable
    ) throws(SystemError) {
        try epollControl(epoll, .add, descriptor, readiness, token: token.rawValue)
    }

    func unwatch(_ descriptor: FileDescriptor) { try? epollControl(epoll, .delete, descriptor) }

    /// All that must come through execve(2) when the supervisor parks.
    func all(_ container: RunningContainer, _ oom: OutOfMemoryWatch?, _ log: SessionLog?) -> [FileDescriptor] {
        [epoll, signals, timer, container.process, container.status]
            + [oom?.descriptor, log?.pipe, container.listener].compactMap { $0 }
    }

    /// The numbers, for the command line of `carrel supervise`.
    func text(
        _ container: RunningContainer, _ oom: OutOfMemoryWatch?, _ log: SessionLog?, _ idle: IdleWatch,
        _ bounds: LimitWatch
    ) -> String {
        let numbers: [Int64] =
            [epoll, signals, timer, container.process, container.status].map { Int64($0.rawValue) }
            + [
                Int64(oom?.descriptor.rawValue ?? -1), Int64(oom?.readiness.rawValue ?? 0),
                Int64(log?.pipe.rawValue ?? -1), Int64(idle.since), Int64(idle.cpu), Int64(idle.next ?? 0),
                Int64(container.listener?.rawValue ?? -1),
                Int64(bounds.pids?.rawValue ?? -1), Int64(bounds.overSince),
            ]
        return numbers.map(String.init).joined(separator: ",")
    }
}

/// What ``SupervisorDescriptors/text(_:_:_:_:_:)`` said, read back.
struct ParkedDescriptors {
    let descriptors: SupervisorDescriptors
    let process: FileDescriptor
    let status: FileDescriptor
    let oom: OutOfMemoryWatch?
    let logPipe: FileDescriptor?
    let idle: IdleWatch
    let listener: FileDescriptor?
    let pids: FileDescriptor?
    let overSince: UInt64

    init?(_ text: String) {
        let numbers = text.split(separator: ",").compactMap { Int64($0) }
        guard numbers.count == 14 else { return nil }
        func descriptor(_ index: Int) -> FileDescriptor {
            FileDescriptor(rawValue: Int32(truncatingIfNeeded: numbers[index]))
        }
        descriptors = SupervisorDescriptors(epoll: descriptor(0), signals: descriptor(1), timer: descriptor(2))
        process = descriptor(3)
        status = descriptor(4)
        oom =
            numbers[5] < 0
            ? nil
            : OutOfMemoryWatch(
                descriptor: descriptor(5), readiness: Readiness(rawValue: UInt32(truncatingIfNeeded: numbers[6])))
        logPipe = numbers[7] < 0 ? nil : descriptor(7)
        pids = numbers[12] < 0 ? nil : descriptor(12)
        overSince = UInt64(numbers[13])
        idle = IdleWatch(
            since: UInt64(numbers[8]), cpu: UInt64(numbers[9]), next: numbers[10] == 0 ? nil : UInt64(numbers[10]))
        listener = numbers[11] < 0 ? nil : descriptor(11)
    }
}
