import Container
import Glibc
import Options

// Reads the command line, calls one function of Container, prints.
do throws(RuntimeError) {
    try protectOwnProgram()
    exit(try perform(CommandLine.unsafeArgv, CommandLine.argc))
} catch {
    tell(error)
    exit(error.exitStatus)
}
