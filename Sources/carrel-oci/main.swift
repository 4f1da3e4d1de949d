import Container
import Glibc
import Options
import Syscalls

// Reads the command line, calls one function of Container, prints.
do throws(RuntimeError) {
    occupyStandardDescriptors()
    // What the caller ignores, as nohup(1) does, a container shall not: execve(2) would hand it on (signal(7)).
    resetSignals()
    exit(try perform(CommandLine.unsafeArgv, CommandLine.argc))
} catch {
    // Where nobody reads what went wrong, the status still tells it.
    signal(SIGPIPE, SIG_IGN)
    tell(error)
    exit(error.exitStatus)
}
