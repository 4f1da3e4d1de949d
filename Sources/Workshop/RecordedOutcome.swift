import Seccomp
import Syscalls

/// A call and what the filter made of it.
struct CallOutcome: Hashable {
    /// The call's number.
    let number: UInt32
    /// The filter's errno, which can be 0: success without a call; `nil` where it let the call through.
    let errno: UInt32?
}

/// A call's name, or `syscall_NUMBER`.
func recordedName(_ number: UInt32) -> String { CallTable.name(of: number) ?? "syscall_\(number)" }

/// A call's name, or `syscall_NUMBER`.
public func callName(_ number: Int32) -> String { recordedName(UInt32(bitPattern: number)) }

extension FilteredCall {
    /// The call that waits for an answer, as its filter saw it.
    public init(_ call: CallNotification) {
        self.init(number: UInt32(bitPattern: call.number), arch: call.architecture, arguments: call.arguments)
    }
}

extension Recording {
    mutating func add(_ outcome: CallOutcome, count: UInt64, scalars: [RecordedScalar] = []) {
        let errno = outcome.errno.map { Int32(bitPattern: $0) }
        add(recordedName(outcome.number), count: count, deniedWith: errno, scalars: scalars)
    }

    /// Counts calls whose arguments were not kept; the calls themselves are counted elsewhere.
    mutating func addUnlisted(_ name: String, _ count: UInt64) {
        if !calls.contains(where: { $0.name == name }) { calls.append(RecordedCall(name: name, runs: 1)) }
        for index in calls.indices where calls[index].name == name { calls[index].unlisted += count }
    }
}
