import CSyscalls
import Documents
import OCISpec
import Syscalls

/// Turns a profile into a filter.
///
/// What the result does with a call: one that was made through another architecture's entry (i386, x32) kills the
/// process; one with a rule whose comparisons all hold does what the rule says; any other does the default action. A
/// parameter that the kernel takes as an `int` is compared as one, whatever is in the upper half of its register.
public enum FilterCompiler {
    /// Changes whenever the same profile gives another filter, so that no cached filter of an older compiler is used.
    static let version = 1

    /// Compiles `profile` for the architecture of this program.
    ///
    /// - Parameters:
    ///   - file: what errors call the profile.
    ///   - source: the document that `profile` was read from, for the lines in errors.
    /// - Throws: every unknown name, argument that cannot be, and pair of rules that contradict or repeat each other.
    public static func compile(
        _ profile: LinuxSeccomp, file: String = "seccomp", source: Node? = nil
    ) throws(Problems) -> FilterProgram {
        var checker = ProfileChecker(profile, file: file, source: source)
        let rules = try checker.rules()
        let byDefault = ProfileChecker.action(profile.defaultAction, profile.defaultErrnoRet)
        let instructions = FilterWriter.program(rules: rules, defaultAction: byDefault)
        let count = instructions.count / MemoryLayout<sock_filter>.stride
        guard count <= BPF_MAXINSNS else {
            let message = "expected rules for at most \(BPF_MAXINSNS) instructions, found \(count) instructions' worth"
            throw Problems([Problem(file: file, mark: source?["syscalls"]?.mark, field: "syscalls", message: message)])
        }
        return FilterProgram(instructions: instructions, flags: ProfileChecker.flags(of: profile))
    }
}
