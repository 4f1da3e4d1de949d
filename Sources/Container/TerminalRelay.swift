import Glibc
import Syscalls
import SystemPackage

/// Carries bytes and window sizes between the caller's terminal and the container's own (`--tty`). The caller's is raw
/// meanwhile: ^C is the container's to interpret.
///
/// No call of it waits while the session lives: who waits for one side serves neither the other nor a limit. One piece of
/// each direction is held until its target takes it, and before that no more is read.
public final class TerminalRelay {
    /// Readable while there is something to carry: an epoll(7) of its own.
    public let descriptor: FileDescriptor
    private let controller: FileDescriptor
    private let input: FileDescriptor
    private let output: FileDescriptor
    private var typed: Direction
    private var shown: Direction
    /// What is asked of the descriptors that the epoll knows.
    private var watched: [CInt: Readiness] = [:]
    private var saved: termios?

    /// Makes the caller's terminal raw.
    ///
    /// - Parameter controller: the controlling side of the session's terminal; nobody else has this open file.
    public init(controller: FileDescriptor) throws(SystemError) {
        descriptor = try epollCreate()
        self.controller = controller
        _ = fcntl(controller.rawValue, F_SETFL, O_NONBLOCK)
        input = reopened(FileDescriptor(rawValue: 0), O_RDONLY)
        output = reopened(FileDescriptor(rawValue: 1), O_WRONLY)
        // The end of what was piped in: what ^D would be to the session.
        typed = Direction(source: input, target: controller, last: 4)
        shown = Direction(source: controller, target: output)
        var settings = termios()
        if tcgetattr(0, &settings) == 0 {
            saved = settings
            cfmakeraw(&settings)
            tcsetattr(0, TCSANOW, &settings)
        }
        resize()
        watch()
    }

    /// Gives the session's terminal the size of the caller's.
    public func resize() {
        if let size = try? windowSize(of: input) { try? setWindowSize(of: controller, to: size) }
    }

    /// Carries what both sides give and take at once; to be called when ``descriptor`` is readable.
    public func carry() {
        // A session that writes without pause must not keep its supervisor from its other duties.
        for _ in 0..<16 {
            let moved = shown.read() + typed.read()
            shown.write()
            typed.write()
            if moved == 0 { break }
        }
        watch()
    }

    /// Shows what the session has written up to now, and gives the caller's terminal back as it was.
    ///
    /// The session is over, so this waits for the caller; not for ever: until it has taken nothing for ten minutes, or a
    /// signal asks this process to end.
    ///
    /// - Parameter signals: a signal descriptor (signalfd(2)).
    public func finish(_ signals: FileDescriptor) {
        // The kernel holds less than this. Who has the terminal still and goes on writing to it is not part of the session.
        var left = 1 << 16
        while true {
            shown.write()
            if shown.held.isEmpty {
                let count = left > 0 ? shown.read() : 0
                if count == 0 { break }
                left -= count
            } else if !callerTakes(signals) {
                break
            }
        }
        if var saved { tcsetattr(0, TCSANOW, &saved) }
    }

    private func callerTakes(_ signals: FileDescriptor) -> Bool {
        let found = try? poll([(output, .writable), (signals, .readable)], timeout: 600_000)
        guard let found, found != [[], []] else { return false }
        if !found[0].isEmpty { return true }
        while let signal = try? readSignal(signals) {
            if [SIGHUP, SIGINT, SIGQUIT, SIGTERM].contains(signal.signal) { return false }
        }
        return true
    }

    private func watch() {
        watch(input, typed.wantsMore ? .readable : [])
        watch(output, shown.held.isEmpty ? [] : .writable)
        var both: Readiness = shown.wantsMore ? .readable : []
        // A file as input is always readable, and none of epoll's: it is read when the session takes more.
        if !typed.held.isEmpty || typed.wantsMore && watched[input.rawValue] == nil { both.insert(.writable) }
        watch(controller, both)
    }

    /// What nothing is asked of is taken out, since the end of its other side is told whatever is asked.
    private func watch(_ side: FileDescriptor, _ readiness: Readiness) {
        if watched[side.rawValue] ?? [] == readiness { return }
        if watched.removeValue(forKey: side.rawValue) != nil { try? epollControl(descriptor, .delete, side) }
        if !readiness.isEmpty, (try? epollControl(descriptor, .add, side, readiness)) != nil {
            watched[side.rawValue] = readiness
        }
    }
}

/// What goes one way: a piece that the source gave and the target has not taken yet.
private struct Direction {
    let source: FileDescriptor
    let target: FileDescriptor
    /// What stands for the end of the source.
    var last: UInt8?
    private(set) var held = 0..<0
    /// The source gives no more, or the target takes no more.
    private var isOver = false
    private var buffer = [UInt8](repeating: 0, count: 16_384)

    init(source: FileDescriptor, target: FileDescriptor, last: UInt8? = nil) {
        self.source = source
        self.target = target
        self.last = last
    }

    var wantsMore: Bool { held.isEmpty && !isOver }

    /// Takes what the source has, where nothing is held; answers how many bytes.
    mutating func read() -> Int {
        guard wantsMore, isReady(source, .readable) else { return 0 }
        let count = Glibc.read(source.rawValue, &buffer, buffer.count)
        if count > 0 {
            held = 0..<count
        } else if count == 0 || errno != EAGAIN && errno != EINTR {
            // EIO: the last holder of the session's side is gone (pty(7)).
            isOver = true
            if let last {
                buffer[0] = last
                held = 0..<1
            }
        }
        return max(count, 0)
    }

    /// Gives the target what it takes.
    mutating func write() {
        while !held.isEmpty && isReady(target, .writable) {
            // PIPE_BUF: as much as goes at once into a pipe, or a socket, that poll(2) calls writable.
            let count = buffer[held].prefix(4096).withUnsafeBytes {
                Glibc.write(target.rawValue, $0.baseAddress, $0.count)
            }
            if count > 0 {
                held.removeFirst(count)
            } else if count == 0 || errno == EAGAIN {
                return
            } else if errno != EINTR {
                held = 0..<0
                isOver = true
            }
        }
    }
}

private func isReady(_ descriptor: FileDescriptor, _ readiness: Readiness) -> Bool {
    (try? poll([(descriptor, readiness)], timeout: 0)) != [[]]
}

/// The caller's pipe or terminal as an open file of our own that does not block: O_NONBLOCK belongs to the open file, and
/// that is the caller's shell's, too (open(2)). All else as it is.
private func reopened(_ descriptor: FileDescriptor, _ flags: Int32) -> FileDescriptor {
    guard let found = try? status(descriptor) else { return descriptor }
    // Another open of a controlling side would be another terminal (ptmx(4)).
    let isTerminal = isatty(descriptor.rawValue) == 1 && found.st_rdev != UInt64(5 << 8 | 2)
    guard isTerminal || found.st_mode & S_IFMT == S_IFIFO else { return descriptor }
    return (try? open("/proc/self/fd/\(descriptor.rawValue)", flags | O_NONBLOCK | O_NOCTTY)) ?? descriptor
}
