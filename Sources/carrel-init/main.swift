import CSyscalls

// The two processes of ours that stay while a session sleeps, and the one of a container that asks for it, as one Embedded
// Swift program: no runtime, no heap, about 50 kB of its own. Anything that needs thought is the supervisor's
// (Sources/Session/Supervisor.swift).
//
//   carrel-init init PAYLOAD STATUS           PID 1 of a session: reaps, forwards signals, tells how PAYLOAD ended
//   carrel-init container PAYLOAD READY       PID 1 of a container: the same, but it ends as PAYLOAD did; says first in READY
//                                             that it is there
//   carrel-init park EPOLL PROGRAM ARGS...    sleeps until EPOLL is ready, then becomes PROGRAM (a descriptor)

/// The number in a word of the command line.
func number(_ word: UnsafeMutablePointer<CChar>?) -> Int32 {
    guard let word else { return -1 }
    return Int32(truncatingIfNeeded: strtol(word, nil, 10))
}

/// Sleeps until a descriptor of the supervisor's epoll set is ready, then becomes the supervisor again.
func park(
    epoll: Int32, program: Int32, arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>,
    environment: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) -> Never {
    var event = epoll_event()
    while epoll_wait(epoll, &event, 1, -1) <= 0 {}
    let empty: StaticString = ""
    _ = carrel_syscall(  // execveat(2) with AT_EMPTY_PATH
        Int(SYS_execveat), Int(program), Int(bitPattern: empty.utf8Start), Int(bitPattern: arguments),
        Int(bitPattern: environment), 0x1000, 0)
    _exit(127)  // The session's PID 1 dies with this process (PR_SET_PDEATHSIG); the next carrel call sweeps.
}

@_cdecl("main")
func main(
    _ count: Int32, _ words: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>,
    _ environment: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) -> Int32 {
    guard count >= 4, let mode = words[1] else { return 64 }
    let isContainer = mode[0] == 0x63 /* c */
    if mode[0] == 0x69 /* i */ || isContainer {
        // Not traceable, nor its /proc/1 readable, by the payload, which has the same user id (CVE-2019-5736).
        _ = carrel_syscall(Int(SYS_prctl), Int(PR_SET_DUMPABLE), 0, 0, 0, 0, 0)
        let told = number(words[3])
        if isContainer {
            var failed: UInt8 = 0
            _ = write(told, &failed, 1)
            _ = close(told)
        }
        attendSession(payload: number(words[2]), status: isContainer ? -1 : told, patience: -1)
        return 1
    }
    park(epoll: number(words[2]), program: number(words[3]), arguments: words + 4, environment: environment)
}
