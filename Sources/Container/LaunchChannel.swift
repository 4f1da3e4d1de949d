import Glibc
import Syscalls
import SystemPackage

// What parent and child of a launch, or of a program that enters a container, say to each other.

/// What one process tells the other, by the first byte of a message.
enum Message: UInt8 {
    case running = 1
    case idMap
    case binds
    case proceed
    case terminal
    case program
    case listeners
    case filterListener
    case failure
    /// All is mounted; hooks can look at it.
    case assembled
    case pivot
    /// The container is finished and waits for `start`.
    case waiting
    case start
}

func tell(
    _ child: FileDescriptor, _ message: Message, _ descriptors: [FileDescriptor] = [], text: [UInt8] = []
) throws(LaunchError) {
    do throws(SystemError) {
        try send([message.rawValue] + text, descriptors: descriptors, over: child)
    } catch {
        // A child that failed has told why before it closed its end; one that is there waits, and has nothing to tell.
        if [.brokenPipe, .connectionReset].contains(error.errno), let told = try? receiveLast(from: child),
            told.bytes.first == Message.failure.rawValue
        {
            throw LaunchError(bytes: Array(told.bytes.dropFirst()))
        }
        throw LaunchError(.clone, error, "the child ended before its \(message) step")
    }
}

/// Waits until the child has something to tell, or has ended. Whether the start is still wanted is asked meanwhile.
///
/// - Parameter listener: has the launcher's own last calls, which are answered. The payload's first calls can be among them: PID 1
///   may be slow to close its copy of the channel.
func waitForWord(
    of child: FileDescriptor, _ request: LaunchRequest, _ step: LaunchStep, answering listener: FileDescriptor? = nil
) throws(LaunchError) {
    if listener == nil && request.goesOn == nil { return }
    let waited = [child, listener].compactMap { $0.map { ($0, Readiness.readable) } }
    while true {
        let ready = try during(step) { () throws(SystemError) in
            try poll(waited, timeout: request.goesOn == nil ? nil : 20)
        }
        if !ready[0].isEmpty { return }
        if let listener, !ready[1].isEmpty {
            guard ready[1].contains(.readable) else { return }
            request.answer(listener)
        } else if request.goesOn?() == false {
            throw LaunchError(step, nil, "the program was given up before it could start")
        }
    }
}

/// The listeners that the child has opened, or why it could not.
func receiveListeners(_ request: LaunchRequest, from child: FileDescriptor) throws -> [FileDescriptor] {
    try waitForWord(of: child, request, .network)
    let message = try during(.network) { () throws(SystemError) in try receive(from: child) }
    guard let kind = message.bytes.first else {
        throw LaunchError(.network, nil, "the child was killed before it had opened its listeners")
    }
    guard kind == Message.listeners.rawValue else { throw LaunchError(bytes: Array(message.bytes.dropFirst())) }
    guard message.descriptors.count == request.extensions.listeners.count else {
        for descriptor in message.descriptors { close(descriptor) }
        throw LaunchError(.network, nil, "the child sent \(message.descriptors.count) listeners")
    }
    return message.descriptors
}

/// The next message of the child. One that ended with messages unread has reset the connection, which is told once and
/// before what it had to say (unix(7)).
func receiveLast(
    from child: FileDescriptor
) throws(SystemError) -> (bytes: [UInt8], descriptors: [FileDescriptor]) {
    do throws(SystemError) {
        return try receive(from: child)
    } catch {
        guard error.errno == .connectionReset else { throw error }
        return try receive(from: child)
    }
}

/// The next message of the child; what failed in it is thrown.
func hear(_ child: FileDescriptor) throws(LaunchError) -> [UInt8] {
    let bytes = try during(.exec) { () throws(SystemError) in try receiveLast(from: child).bytes }
    if bytes.first == Message.failure.rawValue { throw LaunchError(bytes: Array(bytes.dropFirst())) }
    return bytes
}

func listen(
    _ parent: FileDescriptor, for expected: Message
) throws(LaunchError) -> (text: [UInt8], descriptors: [FileDescriptor]) {
    let message = try during(.clone) { () throws(SystemError) in try receive(from: parent) }
    // No message: the parent is gone, and so is the reason to go on.
    guard message.bytes.first == expected.rawValue else { _exit(1) }
    return (Array(message.bytes.dropFirst()), message.descriptors)
}

func fail(_ parent: FileDescriptor, _ error: LaunchError) -> Never {
    try? send([Message.failure.rawValue] + error.bytes, over: parent)
    _exit(error.exitStatus)
}
