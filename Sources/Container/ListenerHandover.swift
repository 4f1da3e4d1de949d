import CSyscalls
import Glibc
import Seccomp
import Syscalls
import SystemPackage

/// Installs a filter that asks a listener, and sends the listener to the parent.
///
/// Behind the filter the caller could not send anything: sendmsg(2) may itself be a call that waits for an answer. So a
/// helper is made before, which shares memory and descriptors with the caller, stays outside the filter and ends with the
/// caller's execve(2). Meanwhile the caller makes no call and allocates nothing, since they share one heap and one thread's
/// state: it spins.
///
/// - Throws: `EBUSY` where a filter above has a listener already: a tree of tasks can have one.
///
/// - Parameter message: what is sent with it.
func installAsking(
    _ filter: FilterProgram, over parent: FileDescriptor, message: [UInt8] = [Message.filterListener.rawValue]
) throws(LaunchError) {
    // The listener's number, -1 as long as there is none, -2 where there will be none; then 1 when it was sent, or 2 where it
    // could not be.
    let words = UnsafeMutablePointer<Int32>.allocate(capacity: 2)
    carrel_store(&words[0], -1)
    carrel_store(&words[1], 0)
    try during(.seccomp) { () throws(SystemError) in
        try spawnSharingDescriptors {
            while carrel_load(&words[0]) == -1 { sched_yield() }
            let listener = FileDescriptor(rawValue: carrel_load(&words[0]))
            var done: Int32 = 1
            if listener.rawValue >= 0, (try? send(message, descriptors: [listener], over: parent)) == nil {
                // Without it the kernel answers, and the caller can tell what failed.
                close(listener)
                done = 2
            }
            carrel_store(&words[1], done)
        }
    }
    var listener: FileDescriptor?
    var failure: SystemError?
    do throws(SystemError) {
        do throws(SystemError) {
            // A call that was taken is not begun again for every signal (Linux 5.19).
            listener = try filter.install(adding: .waitKillable)
        } catch {
            if error.errno != .invalidArgument { throw error }
            listener = try filter.install()
        }
    } catch { failure = error }
    carrel_store(&words[0], listener?.rawValue ?? -2)
    while carrel_load(&words[1]) == 0 {}
    if carrel_load(&words[1]) == 2 {
        throw LaunchError(.seccomp, nil, "nobody takes the filter's listener: who was to listen is gone")
    }
    guard let failure else { return }
    let advice =
        failure.errno == .resourceBusy
        ? "the session's filter needs a listener, and a filter above this process has one already" : ""
    throw LaunchError(.seccomp, failure, advice)
}
