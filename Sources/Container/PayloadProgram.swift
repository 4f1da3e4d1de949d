import Glibc
import Privileges
import Syscalls
import SystemPackage

// Which file the payload is: found as execvp(3) does, and executed.

extension LaunchPlan {
    /// A place where the payload's program is.
    struct PayloadProgram {
        let path: String
        /// Whether it could be executed if it were on the list of programs.
        let isUnlisted: Bool
    }

    /// Where the payload's program may be: its path, or the files of that name in the `PATH` of its environment.
    func findPayload() throws(LaunchError) -> [PayloadProgram] {
        var failure = SystemError("execve", process.args[0], errno: .noSuchFileOrDirectory)
        var found: [PayloadProgram] = []
        for candidate in candidates {
            do throws(SystemError) {
                try requireProgram(candidate)
                found.append(PayloadProgram(path: candidate, isUnlisted: isUnlisted(candidate)))
            } catch {
                if !note(candidate, error, &failure) { break }
            }
        }
        if found.isEmpty { throw LaunchError(.exec, failure) }
        return found
    }

    /// Throws `EACCES` for what execve(2) will refuse: a directory, a file without the right to execute it.
    private func requireProgram(_ path: String) throws(SystemError) {
        // Not by a magic link: until its execve(2) this process is the launcher, /proc/self/exe (CVE-2019-5736).
        let file = try open(path, O_PATH, in: .workingDirectory, .noMagicLinks)
        defer { close(file) }
        guard try Syscalls.status(file).st_mode & S_IFMT == S_IFREG,
            faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0 || errno != EACCES
        else { throw SystemError("execve", path, errno: .permissionDenied) }
    }

    /// Executes the first of `programs` that can be executed.
    ///
    /// - Parameter environment: another one than the specification's.
    func executePayload(_ programs: [PayloadProgram], environment: CStringVector? = nil) throws(LaunchError) -> Never {
        var failure = SystemError("execve", process.args[0], errno: .noSuchFileOrDirectory)
        for program in programs {
            do throws(SystemError) {
                try execute(program.path, arguments, environment: environment ?? self.environment)
            } catch {
                if !note(program.path, error, &failure) { break }
            }
        }
        if failure.errno == .permissionDenied, programs.contains(where: { $0.isUnlisted && $0.path == failure.object })
        {
            let count = landlock?.executables?.count ?? 0
            throw LaunchError(
                .landlock, failure,
                "dev.carrel.exec lists \(count) program\(count == 1 ? "" : "s"), and this is none of them: add it there"
            )
        }
        throw LaunchError(.exec, failure)
    }

    /// Whether its mode and its mount let a program be executed, and the list of programs does not: the kernel tells all
    /// three alike, EACCES.
    private func isUnlisted(_ program: String) -> Bool {
        guard let landlock, landlock.executables != nil else { return false }
        return faccessat(AT_FDCWD, program, X_OK, AT_EACCESS) == 0 && !landlock.lists(program)
    }

    /// Keeps the failure that is told, and says whether the next place is tried, as execvp(3): a program that is there and
    /// cannot be executed is told before one that is not there.
    private func note(_ program: String, _ error: SystemError, _ failure: inout SystemError) -> Bool {
        let error = SystemError("execve", program, errno: error.errno)
        let isFirst = error.errno == .permissionDenied && failure.errno != .permissionDenied
        if isFirst || failure.errno == .noSuchFileOrDirectory { failure = error }
        return [.permissionDenied, .noSuchFileOrDirectory, .notDirectory].contains(error.errno)
    }

    static func candidates(_ program: String, _ environment: [String]) -> [String] {
        if program.utf8.contains(0x2f) { return [program] }
        return searchPath(environment).map { "\($0)/\(program)" }
    }
}
