import CSyscalls

// The two processes of ours that stay while a session sleeps, as one Embedded Swift program: no runtime, no heap, about
// 50 kB of their own. Anything that needs thought is the supervisor's (Sources/Session/Supervisor.swift).
//
//   carrel-init init PAYLOAD STATUS           PID 1 of a session: reaps, forwards signals, tells how PAYLOAD ended
//   carrel-init park EPOLL PROGRAM ARGS...    sleeps until EPOLL is ready, then becomes PROGRAM (a descriptor)

/// The number in a word of the command line.
func number(_ word: UnsafeMutablePointer<CChar>?) -> Int32 {
    guard let word else { return -1 }
    return Int32(truncatingIfNeeded: strtol(word, nil, 10))
}

/// Waits for signals for ever: children are reaped, everything else goes to the payload's process group.
///
/// Every signal is blocked since before clone3(2), so none is lost between the fork of the payload and this loop, and
/// the kernel keeps for PID 1 also those without a handler (a blocked signal is never ignored, signal(7)).
func runInit(payload: pid_t, status: Int32) -> Never {
    var everything = sigset_t()
    sigfillset(&everything)
    while true {
        var information = siginfo_t()
        let signal = sigwaitinfo(&everything, &information)
        if signal < 0 { continue }
        if signal != SIGCHLD {
            if kill(-payload, signal) < 0 { _ = kill(payload, signal) }
            continue
        }
        while true {
            var word: Int32 = 0
            let child = waitpid(-1, &word, WNOHANG)
            if child <= 0 { break }
            if child == payload {
                // The status word leaves before PID 1 does: with its end the kernel kills what is left in the session.
                _ = write(status, &word, MemoryLayout<Int32>.size)
                _exit(0)
            }
        }
    }
}

/// Sleeps until a descriptor of the supervisor's epoll set is ready, then becomes the supervisor again.
func park(epoll: Int32, program: Int32, arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Never {
    var event = epoll_event()
    while epoll_wait(epoll, &event, 1, -1) <= 0 {}
    let empty: StaticString = ""
    _ = carrel_syscall(  // execveat(2) with AT_EMPTY_PATH and no environment
        Int(SYS_execveat), Int(program), Int(bitPattern: empty.utf8Start), Int(bitPattern: arguments), 0, 0x1000, 0)
    _exit(127)  // The session's PID 1 dies with this process (PR_SET_PDEATHSIG); the next carrel call sweeps.
}

@_cdecl("main")
func main(_ count: Int32, _ words: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Int32 {
    guard count >= 4, let mode = words[1] else { return 64 }
    if mode[0] == 0x69 /* i */ {
        // Not traceable, nor its /proc/1 readable, by the payload, which has the same user id (CVE-2019-5736).
        _ = carrel_syscall(Int(SYS_prctl), Int(PR_SET_DUMPABLE), 0, 0, 0, 0, 0)
        runInit(payload: number(words[2]), status: number(words[3]))
    }
    park(epoll: number(words[2]), program: number(words[3]), arguments: words + 4)
}
