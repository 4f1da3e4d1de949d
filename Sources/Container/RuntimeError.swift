import Cgroups
import Documents
import Privileges
import Seccomp
import Syscalls

/// Why the OCI runtime did not do what it was asked to: one line, in the words that callers of runc look for where there
/// are such.
public struct RuntimeError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What failed.
    public let description: String
    /// The exit status of the command.
    public let exitStatus: Int32

    /// Describes a failure.
    public init(_ description: String, exitStatus: Int32 = 1) {
        self.description = description
        self.exitStatus = exitStatus
    }
}

/// Runs `body`; what fails in it fails the command, with `context` before it.
@discardableResult
func telling<Result, Failure: Error>(
    _ context: @autoclosure () -> String, _ body: () throws(Failure) -> Result
) throws(RuntimeError) -> Result {
    do throws(Failure) {
        return try body()
    } catch {
        let context = context()
        throw RuntimeError(context.isEmpty ? "\(error)" : "\(context): \(error)")
    }
}
