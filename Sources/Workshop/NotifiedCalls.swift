import CSyscalls
import Glibc
import Seccomp
import Syscalls
import SystemPackage

/// Counts the calls of a session that its filter asks a listener about (`FilterProgram.asking(.everything)`).
///
/// The filter's own program says what would have been answered; that is a matter of registers alone, which the kernel
/// holds still, so letting an allowed call go on is no race.
public struct NotifiedCalls {
    private let filter: FilterInterpreter
    private var counts: [Combination: UInt64] = [:]
    private var executables: Set<String> = []
    private var isArmed = false
    private var foreign: UInt64 = 0
    /// The calls before it is known that the payload runs: its execve(2), which counts when it has succeeded, and what it
    /// called since.
    private var early: [(call: Combination, path: String?)] = []

    private struct Combination: Hashable {
        let outcome: CallOutcome
        let values: [UInt64]
        var isExec: Bool { [SYS_execve, SYS_execveat].contains(Int32(bitPattern: outcome.number)) }
    }

    /// Counts behind a filter.
    ///
    /// - Throws: where it is a program that the interpreter does not know.
    public init(_ filter: FilterProgram) throws(FilterInterpreter.BadProgram) {
        self.filter = try FilterInterpreter(filter)
    }

    /// The payload has executed: its execve(2) counts, and all that follows.
    public mutating func arm() {
        isArmed = true
        for (call, path) in early { count(call, path) }
        early = []
    }

    private mutating func count(_ call: Combination, _ path: String?) {
        counts[call, default: 0] += 1
        // Whether an execve(2) succeeds is not known: a listener sees no results.
        if let path, !path.isEmpty { executables.insert(path) }
    }

    /// Counts a call, and says what its answer is.
    public mutating func take(_ call: CallNotification, _ listener: FileDescriptor) -> CallAnswer {
        let number = UInt32(bitPattern: call.number)
        let verdict = filter.run(FilteredCall(call)).action
        let errno = verdict & 0xffff_0000 == 0x0005_0000 ? verdict & 0xffff : nil
        let answer = errno.map { CallAnswer.fail(Int32($0)) } ?? .goOn
        // Of x32, too, which shares the architecture: as at a probe.
        let isForeign = call.architecture != Architecture.native.audit || errno == nil && number >= ProbeMaps.numbers
        guard !isForeign else {
            foreign += 1
            return answer
        }
        let values = EnumerableArguments.of(recordedName(number)).map { call.arguments[$0.index] & $0.mask }
        let combination = Combination(outcome: CallOutcome(number: number, errno: errno), values: values)
        var path: String?
        if errno == nil, combination.isExec {
            path = string(of: call, argument: call.number == SYS_execve ? 0 : 1, listener)
        }
        guard isArmed else {
            // The launcher tries one place of its PATH after the other: all but the last of its calls have failed.
            if combination.isExec, early.allSatisfy(\.call.isExec) { early = [] }
            if combination.isExec || !early.isEmpty { early.append((combination, path)) }
            return answer
        }
        count(combination, path)
        return answer
    }

    private func string(of call: CallNotification, argument: Int, _ listener: FileDescriptor) -> String? {
        let bytes = readMemory(of: call.thread, at: call.arguments[argument], count: ProbeMaps.pathSize - 1)
        guard isWaiting(call.id, on: listener), let end = bytes.firstIndex(of: 0) else { return nil }
        return String(decoding: bytes[..<end], as: UTF8.self)
    }

    /// Adds what was counted to a recording.
    public func finish(into recording: inout Recording) {
        for (combination, count) in counts {
            let arguments = EnumerableArguments.of(recordedName(combination.outcome.number))
            let scalars = zip(arguments, combination.values).map {
                RecordedScalar(index: UInt32($0.index), mask: $0.mask, value: $1)
            }
            recording.add(combination.outcome, count: count, scalars: scalars)
        }
        recording.foreign += foreign
        recording.executables += executables.map { RecordedExecutable(path: $0) }
    }
}
