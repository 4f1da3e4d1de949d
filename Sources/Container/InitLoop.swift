import CSyscalls

// What PID 1 of a session does, compiled twice: into the launcher, whose copy of itself is PID 1 at first, and into
// carrel-init (Embedded Swift, so nothing but CSyscalls here), which takes over when the session has lived for a while.

/// Attends to signals: children are reaped, everything else goes to the payload's process group. Ends with the payload, and
/// with its exit status.
///
/// Every signal is blocked since before clone3(2), so none is lost between the fork of the payload and this loop, nor by
/// an execve(2) in the middle of it, and the kernel keeps for PID 1 also those without a handler (a blocked signal is never
/// ignored, signal(7)).
///
/// - Parameters:
///   - status: where, unless it is negative, the payload's status word (wait(2)) is written, and behind it the largest
///     resident set of a process that was reaped, in KiB (getrusage(2)): two numbers of 64 bits in one write.
///   - patience: nanoseconds without a signal after which it returns; negative for never.
func attendSession(payload: pid_t, status: Int32, patience: Int) {
    var everything = sigset_t()
    sigfillset(&everything)
    var largest = 0
    var limit = timespec(tv_sec: patience / 1_000_000_000, tv_nsec: patience % 1_000_000_000)
    while true {
        var information = siginfo_t()
        let signal =
            patience < 0 ? sigwaitinfo(&everything, &information) : sigtimedwait(&everything, &information, &limit)
        if signal < 0 {
            if patience >= 0 { return }
            continue
        }
        if signal != SIGCHLD {
            if kill(-payload, signal) < 0 { _ = kill(payload, signal) }
            continue
        }
        while true {
            var word: Int32 = 0
            var usage = rusage()
            let child = wait4(-1, &word, WNOHANG, &usage)
            if child <= 0 { break }
            if usage.ru_maxrss > largest { largest = usage.ru_maxrss }
            if child == payload {
                // The status word leaves before PID 1 does: with its end the kernel kills what is left in the session.
                var end = (Int64(word), Int64(largest))
                if status >= 0 { _ = write(status, &end, MemoryLayout<(Int64, Int64)>.size) }
                // As a shell tells it: no signal of its own kills PID 1.
                _exit(word & 0x7f == 0 ? word >> 8 & 0xff : 128 + word & 0x7f)
            }
        }
    }
}
