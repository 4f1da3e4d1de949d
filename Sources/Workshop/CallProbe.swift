import Glibc
import Seccomp
import Syscalls
import SystemPackage

/// Counts the system calls of one cgroup in the kernel, by eBPF programs at their entry and their exit.
///
/// What counts begins with the first execve(2) that succeeds in any process of the cgroup but its first: that first process
/// is PID 1 of the session, ours, and before the payload's execve(2) its process is the launcher's. That execve(2) itself
/// counts, since the filter is in force when it is made.
///
/// The entry is where a call is counted that the filter let through, and its arguments are looked at: it may never
/// return. A call that the filter refuses has no entry (seccomp comes first), so what leaves without having entered was
/// refused. Nothing is sent anywhere: counts and combinations of arguments are entries of maps, read at the end.
///
/// Every call of the session pays for both programs, so what most calls need is short: a byte of the thread says whose it is
/// and whether it has entered; no look-up of the cgroup or in a hash, no reading of registers.
public struct CallProbe {
    private let maps: ProbeMaps
    private let attachments: [(program: FileDescriptor, link: FileDescriptor)]

    /// Whether behind this filter a number tells the call: not where the calls of 32-bit programs are let in, whose numbers
    /// mean other calls and look the same from here.
    public static func tellsCalls(behind filter: FilterInterpreter) -> Bool {
        var diagram = DecisionDiagram()
        let meaning = diagram.meaning(of: filter)
        let kill = diagram.end(0x8000_0000)
        return Architecture.native.entries.map(\.audit).filter { $0 != Architecture.native.audit }.allSatisfy {
            diagram.fixing(meaning, first: DecisionDiagram.firstBit(of: 4), value: $0) == kill
        }
    }

    /// Attaches to the calls of every process in a cgroup, which must be empty as yet.
    ///
    /// - Parameter cgroup: the id of its directory in the v2 tree: its inode number (`bpf_get_current_cgroup_id`).
    /// - Throws: `EPERM` without `CAP_BPF` and `CAP_PERFMON`, and what bpf(2) says.
    public init(cgroup: UInt64) throws(SystemError) {
        maps = try ProbeMaps()
        var attached: [(program: FileDescriptor, link: FileDescriptor)] = []
        do throws(SystemError) {
            // First what forgets a thread, so that no number is taken for another thread's.
            attached.append(try attachProgram(endProgram(maps), to: "sched_process_exit"))
            attached.append(try attachProgram(exitProgram(maps, cgroup: cgroup), to: "sys_exit"))
            attached.append(try attachProgram(executionProgram(maps, cgroup: cgroup), to: "sched_process_exec"))
            attached.append(try attachProgram(entryProgram(maps, cgroup: cgroup), to: "sys_enter"))
        } catch {
            for one in attached { [one.link, one.program].forEach(close) }
            maps.close()
            throw error
        }
        attachments = attached
    }

    /// Stops counting, adds what was counted to a recording and gives everything back.
    public func finish(into recording: inout Recording) throws(SystemError) {
        for one in attachments { close(one.link) }
        defer {
            for one in attachments { close(one.program) }
            maps.close()
        }
        for one in attachments { recording.lost += (try? missedRuns(of: one.program)) ?? 0 }
        try maps.read(into: &recording)
    }
}

/// The maps that the programs share.
struct ProbeMaps {
    /// Calls of a number from here on have no place of their own.
    static let numbers = 1024
    /// No thread of any kernel has a higher number (`PID_MAX_LIMIT`); a power of two.
    static let threadNumbers = 1 << 22
    static let pathSize = 256

    /// One value: the fields below.
    let control: BPFMap
    /// One value: a count for each number, then one of the calls whose arguments were not kept.
    let counts: BPFMap
    /// One value: for each number what is looked at (`Look`), and the mask of each argument.
    let selection: BPFMap
    /// One value: a byte (`Thread`) for each thread that there can be.
    let threads: BPFMap
    /// By number, the filter's errno (0: let through), and six masked arguments: how often.
    let arguments: BPFMap
    /// By number and errno: how often the filter answered so.
    let denials: BPFMap
    /// By process: the path that it is executing.
    let executing: BPFMap
    /// By path: 1.
    let executed: BPFMap
    /// One value: room for a path.
    let scratch: BPFMap

    /// Offsets in `control`.
    enum Field {
        static let first = 0  // The first process of the cgroup.
        static let armed = 8
        static let lost = 16
        static let foreign = 24
        static let size = 32
    }
    static let selectionSize = 56

    /// What is known of a thread; 0: nothing, as of all that are not the session's.
    enum Thread {
        /// It is the session's, counting has begun, and it is in no call that it has entered.
        static let outside: Int32 = 1
        /// It is in one.
        static let inside: Int32 = 2
    }

    /// What is looked at in a call; nothing in most.
    enum Look {
        static let arguments: Int32 = 1
        static let path: Int32 = 2
    }

    init() throws(SystemError) {
        control = try BPFMap(.array, key: 4, value: Field.size, entries: 1)
        counts = try BPFMap(.array, key: 4, value: Self.numbers * 16, entries: 1)
        selection = try BPFMap(.array, key: 4, value: Self.numbers * Self.selectionSize, entries: 1)
        threads = try BPFMap(.array, key: 4, value: Self.threadNumbers, entries: 1)
        arguments = try BPFMap(.hash, key: 56, value: 8, entries: 1 << 14)
        denials = try BPFMap(.hash, key: 8, value: 8, entries: 1 << 13)
        executing = try BPFMap(.hash, key: 4, value: Self.pathSize, entries: 1 << 13)
        executed = try BPFMap(.hash, key: Self.pathSize, value: 8, entries: 1 << 13)
        scratch = try BPFMap(.perCPUArray, key: 4, value: Self.pathSize, entries: 1)
        try selection.set([0, 0, 0, 0], Self.selected())
    }

    /// What of which call is looked at, as `selection` holds it.
    private static func selected() -> [UInt8] {
        var words = [UInt64](repeating: 0, count: numbers * selectionSize / 8)
        for (name, arguments) in EnumerableArguments.table {
            guard let number = CallTable.number(of: name), number < numbers else { continue }
            let start = Int(number) * selectionSize / 8
            words[start] = UInt64(Look.arguments)
            for argument in arguments { words[start + 1 + argument.index] = argument.mask }
        }
        for name in ["execve", "execveat"] {
            guard let number = CallTable.number(of: name) else { continue }
            words[Int(number) * selectionSize / 8] = UInt64(Look.path)
        }
        return words.withUnsafeBytes { Array($0) }
    }

    func close() {
        for map in [control, counts, selection, threads, arguments, denials, executing, executed, scratch] {
            Syscalls.close(map.descriptor)
        }
    }

    // MARK: Reading

    func read(into recording: inout Recording) throws(SystemError) {
        func words(_ bytes: [UInt8]) -> [UInt64] {
            bytes.withUnsafeBytes { bytes in
                stride(from: 0, to: bytes.count, by: 8).map { bytes.loadUnaligned(fromByteOffset: $0, as: UInt64.self) }
            }
        }
        func word(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
            bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
        }
        let state = words(try control.value([0, 0, 0, 0]))
        recording.lost += state[Field.lost / 8]
        recording.foreign += state[Field.foreign / 8]
        let counted = words(try counts.value([0, 0, 0, 0]))
        // What is left of a count when the combinations of arguments are taken from it: all, for most calls.
        var rest: [CallOutcome: UInt64] = [:]
        for number in 0..<Self.numbers where counted[number] > 0 {
            rest[CallOutcome(number: UInt32(number), errno: nil)] = counted[number]
            let unlisted = counted[Self.numbers + number]
            if unlisted > 0 { recording.addUnlisted(recordedName(UInt32(number)), unlisted) }
        }
        for (key, value) in try denials.entries() {
            rest[CallOutcome(number: word(key, 0), errno: word(key, 4))] = words(value)[0]
        }
        for (key, value) in try arguments.entries() {
            let errno = word(key, 4)
            let outcome = CallOutcome(number: word(key, 0), errno: errno == 0 ? nil : errno)
            let values = words(Array(key[8...]))
            let count = words(value)[0]
            let scalars = EnumerableArguments.of(recordedName(outcome.number)).map {
                RecordedScalar(index: UInt32($0.index), mask: $0.mask, value: values[$0.index])
            }
            recording.add(outcome, count: count, scalars: scalars)
            rest[outcome, default: count] &-= count
        }
        for (outcome, count) in rest where count > 0 { recording.add(outcome, count: count) }
        for (key, _) in try executed.entries() {
            recording.executables.append(
                RecordedExecutable(path: String(decoding: key.prefix { $0 != 0 }, as: UTF8.self)))
        }
    }
}
