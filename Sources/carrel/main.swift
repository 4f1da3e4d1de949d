import Glibc
import Options
import Session
import Syscalls

// Reads the command line, calls one function of Session, prints.
do throws(SessionError) {
    occupyStandardDescriptors()
    // What the caller ignores is not handed on to the session, and its end is heard of (SIGCHLD). A hangup that nohup(1) had
    // ignored stays so.
    resetSignals(but: SIGHUP)
    // Whatever is masked, what is kept can be read again by its owner.
    _ = umask(umask(0) & 0o077)
    exit(try perform(CommandLine.unsafeArgv, CommandLine.argc))
} catch {
    // Where nobody reads what went wrong, the status still tells it.
    signal(SIGPIPE, SIG_IGN)
    tell(error)
    exit(error.exitStatus)
}
