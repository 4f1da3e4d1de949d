import Documents
import Glibc
import OCISpec
import Seccomp
import Syscalls
import SystemPackage

/// A call that the filter of a session refused, explained.
public struct Denial: Sendable, Equatable {
    /// The call's name, or `syscall_NUMBER`.
    public let call: String
    /// The call's number.
    public let number: UInt32
    /// What the filter answers.
    public let errno: Int32
    /// The arguments and what they mean.
    public let arguments: [DecodedArgument]
    /// The first path among them, absolute where that is known.
    public let path: String?
    /// The thread, as the host numbers it.
    public let thread: pid_t
    /// Its process, as the host numbers it.
    public let process: pid_t
    /// The name that the thread gives itself.
    public let comm: String
    /// The file that it executes, as seen inside.
    public let executable: String
    /// Its command line, at most 16 words.
    public let command: [String]

    /// Looks at a call that waits.
    ///
    /// - Returns: `nil` where the caller was gone before everything was read: it could have been another process's.
    public init?(_ notification: CallNotification, errno: Int32, listener: FileDescriptor) {
        number = UInt32(bitPattern: notification.number)
        call = recordedName(number)
        self.errno = errno
        thread = notification.thread
        let directory = "/proc/\(thread)"
        let status = (try? readText(directory + "/status")) ?? ""
        let group = status.split(separator: "\n").first { $0.hasPrefix("Tgid:") }
        process = group?.split(whereSeparator: \.isWhitespace).last.flatMap { pid_t($0) } ?? thread
        comm = (try? readText(directory + "/comm"))?.split(separator: "\n").first.map(String.init) ?? ""
        executable = (try? readLink(directory + "/exe")) ?? ""
        let words = (try? readFile(directory + "/cmdline", limit: 1 << 16)) ?? []
        command = words.split(separator: 0).prefix(16).map { String(decoding: $0.prefix(256), as: UTF8.self) }
        (arguments, path) = CallDecoder(thread).decode(call, notification.arguments)
        guard isWaiting(notification.id, on: listener) else { return nil }
    }

    /// The call as it would be written: `mount("none", "/mnt", "tmpfs", MS_NOSUID, NULL)`.
    public var text: String { "\(call)(\(arguments.map(\.text).joined(separator: ", ")))" }

    /// What makes two denials the same for those who read them: all but the process, and addresses.
    public var kind: String {
        let values = zip(arguments, CallSignatures.of(call) ?? []).filter { $1.kind != "p" }.map(\.0.text)
        return "\(call)\u{1f}\(errno)\u{1f}\(executable)\u{1f}\(values.joined(separator: "\u{1f}"))"
    }

    /// The denial as a document, with the change to `profile` that would allow it.
    public func node(_ profile: LinuxSeccomp?) -> Node {
        let risk = CallRisk.of(call, arguments.map(\.value))
        let registers = arguments.map(\.value) + [UInt64](repeating: 0, count: 6 - min(6, arguments.count))
        let amendment = profile.flatMap { Amendment(allowing: call, registers, in: $0) }
        return [
            "call": Node(.string(call)), "number": Node(.integer(Int64(number))),
            "errno": Node(.integer(Int64(errno))), "text": Node(.string(text)),
            "arguments": Node(
                .sequence(
                    arguments.map {
                        [
                            "name": Node(.string($0.name)), "value": Node(.unsigned($0.value)),
                            "text": Node(.string($0.text)),
                        ]
                    })),
            "path": path.map { Node(.string($0)) } ?? nil, "thread": Node(.integer(Int64(thread))),
            "process": Node(.integer(Int64(process))), "comm": Node(.string(comm)),
            "executable": Node(.string(executable)),
            "command": Node(.sequence(command.map { Node(.string($0)) })),
            "patch": amendment?.patch ?? nil,
            "note": Node(.string(CallTable.isName(call) ? amendment?.note ?? "" : Amendment.nameless)),
            "risk": ["level": Node(.string(risk.level.rawValue)), "reason": Node(.string(risk.reason))],
        ]
    }
}
