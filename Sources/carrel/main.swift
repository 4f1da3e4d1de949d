import Glibc
import Options
import Session

// Reads the command line, calls one function of Session, prints.
do throws(SessionError) {
    exit(try perform(CommandLine.unsafeArgv, CommandLine.argc))
} catch {
    tell(error)
    exit(error.exitStatus)
}
