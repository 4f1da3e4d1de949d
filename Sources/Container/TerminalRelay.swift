import Glibc
import Syscalls
import SystemPackage

/// Carries bytes and window sizes between the caller's terminal and the container's own (`--tty`). The caller's is raw
/// meanwhile: ^C is the container's to interpret.
public final class TerminalRelay {
    private let controller: FileDescriptor
    private let input = FileDescriptor(rawValue: 0)
    private let output = FileDescriptor(rawValue: 1)
    private var saved: termios?
    private var buffer = [UInt8](repeating: 0, count: 16_384)

    /// Makes the caller's terminal raw.
    ///
    /// - Parameter controller: the controlling side of the session's terminal.
    public init(controller: FileDescriptor) {
        self.controller = controller
        var settings = termios()
        if tcgetattr(0, &settings) == 0 {
            saved = settings
            cfmakeraw(&settings)
            tcsetattr(0, TCSANOW, &settings)
        }
        resize()
    }

    /// Gives the session's terminal the size of the caller's.
    public func resize() {
        if let size = try? windowSize(of: input) { try? setWindowSize(of: controller, to: size) }
    }

    /// Shows what the container's side has; calls `ended` where that is over.
    public func fromSession(_ ended: (FileDescriptor) -> Void) {
        // EIO: the last holder of the session's side is gone (pty(7)).
        if !copy(from: controller, to: output) { ended(controller) }
    }

    /// Hands on what the caller types; calls `ended` at its end.
    public func fromCaller(_ ended: (FileDescriptor) -> Void) {
        if copy(from: input, to: controller) { return }
        ended(input)
        // The end of what was piped in: what ^D would be to the session.
        try? writeAll([4], to: controller)
    }

    private func copy(from source: FileDescriptor, to target: FileDescriptor) -> Bool {
        let count = read(source.rawValue, &buffer, buffer.count)
        guard count > 0 else { return count < 0 && (errno == EINTR || errno == EAGAIN) }
        return (try? writeAll(buffer[..<count], to: target)) != nil
    }

    /// Shows what is left and gives the caller's terminal back as it was.
    public func finish() {
        _ = fcntl(controller.rawValue, F_SETFL, O_NONBLOCK)
        while true {
            let count = read(controller.rawValue, &buffer, buffer.count)
            if count <= 0 { break }
            try? writeAll(buffer[..<count], to: output)
        }
        if var saved { tcsetattr(0, TCSADRAIN, &saved) }
    }
}
