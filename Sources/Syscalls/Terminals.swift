import CSyscalls
import Glibc
import SystemPackage

/// Rows and columns of a terminal (ioctl_tty(2)).
public struct WindowSize: Sendable, Equatable {
    /// Lines.
    public var rows: UInt16
    /// Characters a line.
    public var columns: UInt16

    /// A size.
    public init(rows: UInt16, columns: UInt16) {
        self.rows = rows
        self.columns = columns
    }
}

/// The size of a terminal (`TIOCGWINSZ`).
public func windowSize(of terminal: FileDescriptor) throws(SystemError) -> WindowSize {
    var size = winsize()
    try checking("ioctl TIOCGWINSZ") { ioctl(terminal.rawValue, UInt(TIOCGWINSZ), &size) }
    return WindowSize(rows: size.ws_row, columns: size.ws_col)
}

/// Sets the size of a terminal (`TIOCSWINSZ`); its foreground processes get `SIGWINCH`.
public func setWindowSize(of terminal: FileDescriptor, to size: WindowSize) throws(SystemError) {
    var size = winsize(ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0)
    try checking("ioctl TIOCSWINSZ") { ioctl(terminal.rawValue, UInt(TIOCSWINSZ), &size) }
}

/// Makes `terminal` the controlling terminal of the caller, which leads a session without one (`TIOCSCTTY`).
public func becomeControllingTerminal(_ terminal: FileDescriptor) throws(SystemError) {
    try checking("ioctl TIOCSCTTY") { ioctl(terminal.rawValue, UInt(TIOCSCTTY), 0) }
}

/// Opens the peer of a pseudoterminal's controlling side by descriptor, never by name (`TIOCGPTPEER`, Linux 4.13).
public func openPeer(of controller: FileDescriptor) throws(SystemError) -> FileDescriptor {
    FileDescriptor(
        rawValue: try checking("ioctl TIOCGPTPEER") {
            ioctl(controller.rawValue, 0x5441, O_RDWR | O_NOCTTY | O_CLOEXEC)
        })
}

/// Unlocks the peer of a pseudoterminal (`TIOCSPTLCK`).
public func unlockPeer(of controller: FileDescriptor) throws(SystemError) {
    var unlocked: Int32 = 0
    try checking("ioctl TIOCSPTLCK") { ioctl(controller.rawValue, 0x4004_5431, &unlocked) }
}
