import CSyscalls
import Documents
import Glibc
import OCISpec
import Syscalls

/// How strictly a profile is read.
public enum FilterReading: Sendable {
    /// A file that a person wrote: unknown names, rules that repeat or contradict each other, and comparisons that
    /// runtimes understand differently are errors.
    case authored
    /// A bundle's configuration, as other runtimes read it: names that no kernel has are skipped, two conditions on one
    /// argument are alternatives (as runc and crun take them), and of the rules that a call meets the strictest decides.
    case runtime
}

/// Turns a profile into a filter.
///
/// What the result does with a call: one that was made through an entry that the profile does not name (i386, x32) kills
/// the process; one with a rule whose comparisons all hold does what the rule says; any other does the default action. A
/// parameter that the kernel takes as an `int` is compared as one, whatever is in the upper half of its register.
public enum FilterCompiler {
    /// Changes whenever the same profile gives another filter, so that no cached filter of an older compiler is used.
    static let version = 2

    /// Compiles `profile`, and runs the result against the rules before it gives it out.
    ///
    /// - Parameters:
    ///   - file: what errors call the profile.
    ///   - source: the document that `profile` was read from, for the lines in errors.
    ///   - machine: the machine that the filter is for.
    /// - Throws: every unknown name, argument that cannot be, and pair of rules that contradict or repeat each other.
    public static func compile(
        _ profile: LinuxSeccomp, file: String = "seccomp", source: Node? = nil, reading: FilterReading = .authored,
        for machine: Architecture = .native
    ) throws(Problems) -> FilterProgram {
        let rules = try rules(of: profile, file: file, source: source, reading: reading, for: machine)
        let instructions = FilterWriter.program(rules)
        func refuse(_ message: String) -> Problems {
            Problems([Problem(file: file, mark: source?["syscalls"]?.mark, field: "syscalls", message: message)])
        }
        let count = instructions.count / MemoryLayout<sock_filter>.stride
        guard count <= BPF_MAXINSNS else {
            throw refuse(
                "expected rules for at most \(BPF_MAXINSNS) instructions, found \(count) instructions' worth")
        }
        do throws(FilterInterpreter.BadProgram) {
            let program = try FilterInterpreter(instructions)
            do throws(FilterCheck.Difference) { try FilterCheck.verify(program, rules) } catch {
                throw FilterInterpreter.BadProgram(description: "\(error)")
            }
        } catch {
            throw refuse("\(error); this is a fault of carrel: please report it with this file")
        }
        return FilterProgram(instructions: instructions, flags: ProfileChecker.flags(of: profile))
    }

    /// What a profile means on a machine.
    package static func rules(
        of profile: LinuxSeccomp, file: String = "seccomp", source: Node? = nil, reading: FilterReading = .authored,
        for machine: Architecture = .native
    ) throws(Problems) -> FilterRules {
        var checker = ProfileChecker(profile, file: file, source: source, reading: reading, machine: machine)
        return try checker.rules()
    }
}
