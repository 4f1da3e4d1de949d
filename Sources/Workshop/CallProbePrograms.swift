import CSyscalls
import Glibc
import Syscalls

// The two programs of a CallProbe. Both leave at once in any process that is not of the session.

/// Where `struct pt_regs` has what the programs read (arch/*/include/asm/ptrace.h).
private enum Registers {
    #if arch(x86_64)
        /// From r10 to orig_ax.
        static let start = 56
        static let size = 72
        static let arguments = [112, 104, 96, 56, 72, 64]
        static let number = 120
        static let numberSize = KernelProgram.Size.double
        static let pathOfExecveat = 104
    #elseif arch(arm64)
        /// All of it: at the exit x0 is the result, and the first argument is in orig_x0.
        static let start = 0
        static let size = 288
        static let arguments = [272, 8, 16, 24, 32, 40]
        static let number = 280
        static let numberSize = KernelProgram.Size.word
        static let pathOfExecveat = 8
    #endif
    static var path: Int { arguments[0] }
}

/// The frame, from its end down.
private enum Frame {
    static let thread = -4
    static let process = -8
    static let one = -16
    static let denial = -24
    static let key = -80  // 56 bytes
    static let registers = -80 - Registers.size
}

/// At the entry (`args[0]`: registers, `args[1]`: number): counts, and looks at arguments.
func entryProgram(_ maps: ProbeMaps, cgroup: UInt64) -> [UInt8] {
    var p = KernelProgram()
    let out = p.label()
    p.load(.r6, .r1, 0)
    p.load(.r7, .r1, 8)
    p.leaveOthers(maps, cgroup, out)
    // Before the payload has executed, only the path of an execve(2) is of interest: the last one is the payload's.
    let notExecuting = p.label()
    let isExecve = p.label()
    p.jump(to: isExecve, if: .r7, .equal, Int32(SYS_execve))
    p.jump(to: notExecuting, if: .r7, .notEqual, Int32(SYS_execveat))
    p.put(isExecve)
    p.notePath(maps, notExecuting)
    p.put(notExecuting)
    p.set(.r1, valueOf: maps.control.descriptor.rawValue)
    p.load(.r2, .r1, ProbeMaps.Field.armed)
    p.jump(to: out, if: .r2, .equal, 0)

    // The thread is in call r7 from here on.
    let isKnown = p.label()
    let entered = p.label()
    p.copy(.r9, .r7)
    p.add(.r9, 1)
    p.look(up: maps.threads, Frame.thread)
    p.jump(to: isKnown, if: .r0, .notEqual, 0)
    p.store(.r10, Frame.one, .r9)
    p.update(maps.threads, Frame.thread, Frame.one)
    p.jump(to: entered, if: .r0, .equal, 0)
    p.count(maps.control, ProbeMaps.Field.lost)
    p.jump(to: entered)
    p.put(isKnown)
    p.store(.r0, 0, .r9)
    p.put(entered)

    let hasPlace = p.label()
    p.jump(to: hasPlace, if: .r7, .less, Int32(ProbeMaps.numbers))
    p.count(maps.control, ProbeMaps.Field.foreign)
    p.jump(to: out)
    p.put(hasPlace)
    p.copy(.r2, .r7)
    p.multiply(.r2, 8)
    p.set(.r1, valueOf: maps.counts.descriptor.rawValue)
    p.add(.r1, .r2)
    p.set(.r2, 1)
    p.addAtomically(.r1, 0, .r2)
    p.noteArguments(maps, denied: false, out)
    p.put(out)
    p.exit()
    return p.instructions()
}

/// At the exit (`args[0]`: registers, `args[1]`: result): sees what was refused, and what was executed.
func exitProgram(_ maps: ProbeMaps, cgroup: UInt64) -> [UInt8] {
    var p = KernelProgram()
    let out = p.label()
    let isArmed = p.label()
    let executed = p.label()
    let notEntered = p.label()
    p.load(.r6, .r1, 0)
    p.load(.r7, .r1, 8)
    p.leaveOthers(maps, cgroup, out)
    p.set(.r1, valueOf: maps.control.descriptor.rawValue)
    p.load(.r2, .r1, ProbeMaps.Field.armed)
    p.jump(to: isArmed, if: .r2, .notEqual, 0)

    // Not yet: the first success of execve(2) arms, and counts itself.
    p.jump(to: out, if: .r7, .notEqual, 0)
    p.readRegisters(out)
    p.load(.r9, .r10, Frame.registers + Registers.number - Registers.start, Registers.numberSize)
    let arms = p.label()
    p.jump(to: arms, if: .r9, .equal, Int32(SYS_execve))
    p.jump(to: out, if: .r9, .notEqual, Int32(SYS_execveat))
    p.put(arms)
    p.set(.r1, valueOf: maps.control.descriptor.rawValue)
    p.store(.r1, ProbeMaps.Field.armed, 1)
    p.count(maps.counts, Int(SYS_execve) * 8)
    p.jump(to: executed)

    // What a thread has entered it leaves.
    p.put(isArmed)
    p.look(up: maps.threads, Frame.thread)
    p.jump(to: notEntered, if: .r0, .equal, 0)
    p.load(.r9, .r0, 0)
    p.store(.r0, 0, 0)
    p.jump(to: notEntered, if: .r9, .equal, 0)
    p.jump(to: out, if: .r7, .notEqual, 0)
    p.jump(to: executed, if: .r9, .equal, Int32(SYS_execve) + 1)
    p.jump(to: out, if: .r9, .notEqual, Int32(SYS_execveat) + 1)

    // execve(2) has succeeded: its path goes to the others.
    p.put(executed)
    p.look(up: maps.executing, Frame.process)
    p.jump(to: out, if: .r0, .equal, 0)
    p.copy(.r2, .r0)
    p.store(.r10, Frame.one, 1)
    p.set(.r1, map: maps.executed.descriptor.rawValue)
    p.address(.r3, frame: Frame.one)
    p.set(.r4, 0)
    p.call(.update)
    p.set(.r1, map: maps.executing.descriptor.rawValue)
    p.address(.r2, frame: Frame.process)
    p.call(.delete)
    p.jump(to: out)

    // No entry, and an errno: the filter's. (The child of a fork leaves with 0.)
    p.put(notEntered)
    p.copy(.r8, .r7)
    p.negate(.r8)
    p.jump(to: out, if: .r8, .equal, 0)
    p.jump(to: out, if: .r8, .greaterOrEqual, 4096)
    p.readRegisters(out)
    p.load(.r7, .r10, Frame.registers + Registers.number - Registers.start, .word)
    p.store(.r10, Frame.denial, .r7, .word)
    p.store(.r10, Frame.denial + 4, .r8, .word)
    p.count(in: maps.denials, Frame.denial, full: maps.control, ProbeMaps.Field.lost)
    p.jump(to: out, if: .r7, .greaterOrEqual, Int32(ProbeMaps.numbers))
    p.noteArguments(maps, denied: true, out)
    p.put(out)
    p.exit()
    return p.instructions()
}

extension KernelProgram {
    /// Goes on only in a process of the cgroup other than its first, with its ids in the frame.
    fileprivate mutating func leaveOthers(_ maps: ProbeMaps, _ cgroup: UInt64, _ out: Label) {
        call(.currentCgroup)
        set(.r1, wide: cgroup)
        jump(to: out, if: .r0, .notEqual, .r1)
        call(.currentThread)
        store(.r10, Frame.thread, .r0, .word)
        shiftRight(.r0, 32)
        store(.r10, Frame.process, .r0, .word)
        set(.r1, valueOf: maps.control.descriptor.rawValue)
        load(.r2, .r1, ProbeMaps.Field.first)
        let isKnown = label()
        jump(to: isKnown, if: .r2, .notEqual, 0)
        store(.r1, ProbeMaps.Field.first, .r0)
        jump(to: out)
        put(isKnown)
        jump(to: out, if: .r2, .equal, .r0)
    }

    fileprivate mutating func readRegisters(_ out: Label) {
        address(.r1, frame: Frame.registers)
        set(.r2, Int32(Registers.size))
        copy(.r3, .r6)
        add(.r3, Int32(Registers.start))
        call(.readKernel)
        jump(to: out, if: .r0, .notEqual, 0)
    }

    /// Keeps the path that is about to be executed by this process. A path that is not in memory is not kept.
    fileprivate mutating func notePath(_ maps: ProbeMaps, _ done: Label) {
        readRegisters(done)
        store(.r10, Frame.one, 0, .word)
        look(up: maps.scratch, Frame.one)
        jump(to: done, if: .r0, .equal, 0)
        copy(.r9, .r0)
        // The key of a map is all of its bytes.
        for offset in stride(from: 0, to: ProbeMaps.pathSize, by: 8) { store(.r9, offset, 0) }
        let read = label()
        let isExecve = label()
        load(.r3, .r10, Frame.registers + Registers.path - Registers.start)
        jump(to: isExecve, if: .r7, .equal, Int32(SYS_execve))
        load(.r3, .r10, Frame.registers + Registers.pathOfExecveat - Registers.start)
        put(isExecve)
        copy(.r1, .r9)
        set(.r2, Int32(ProbeMaps.pathSize))
        call(.readUserString)
        // A negative result as an unsigned number.
        jump(to: read, if: .r0, .less, Int32(ProbeMaps.pathSize + 1))
        jump(to: done)
        put(read)
        set(.r1, map: maps.executing.descriptor.rawValue)
        address(.r2, frame: Frame.process)
        copy(.r3, .r9)
        set(.r4, 0)
        call(.update)
    }

    /// Counts the combination of arguments of call `r7`, which is below `ProbeMaps.numbers`, where any are of interest.
    fileprivate mutating func noteArguments(_ maps: ProbeMaps, denied: Bool, _ out: Label) {
        copy(.r2, .r7)
        multiply(.r2, Int32(ProbeMaps.selectionSize))
        set(.r9, valueOf: maps.selection.descriptor.rawValue)
        add(.r9, .r2)
        load(.r1, .r9, 0)
        jump(to: out, if: .r1, .equal, 0)
        if !denied { readRegisters(out) }
        store(.r10, Frame.key, .r7, .word)
        // The filter's errno, 0 for none.
        if denied { store(.r10, Frame.key + 4, .r8, .word) } else { store(.r10, Frame.key + 4, 0, .word) }
        for (index, place) in Registers.arguments.enumerated() {
            load(.r1, .r10, Frame.registers + place - Registers.start)
            load(.r2, .r9, 8 + index * 8)
            and(.r1, .r2)
            store(.r10, Frame.key + 8 + index * 8, .r1)
        }
        copy(.r9, .r7)
        multiply(.r9, 8)
        count(in: maps.arguments, Frame.key, full: maps.counts, ProbeMaps.numbers * 8, plus: .r9)
    }

    fileprivate mutating func look(up map: BPFMap, _ key: Int) {
        set(.r1, map: map.descriptor.rawValue)
        address(.r2, frame: key)
        call(.lookUp)
    }

    fileprivate mutating func update(_ map: BPFMap, _ key: Int, _ value: Int, onlyNew: Bool = false) {
        set(.r1, map: map.descriptor.rawValue)
        address(.r2, frame: key)
        address(.r3, frame: value)
        set(.r4, onlyNew ? 1 : 0)  // BPF_NOEXIST
        call(.update)
    }

    /// Adds one to a counter in an array map's one value.
    fileprivate mutating func count(_ map: BPFMap, _ offset: Int, plus index: Register? = nil) {
        set(.r1, valueOf: map.descriptor.rawValue, at: offset)
        if let index { add(.r1, index) }
        set(.r2, 1)
        addAtomically(.r1, 0, .r2)
    }

    /// Adds one to the value of a key of a hash; where that has no room for the key, to a counter.
    fileprivate mutating func count(
        in map: BPFMap, _ key: Int, full: BPFMap, _ offset: Int, plus index: Register? = nil
    ) {
        let isThere = label()
        let done = label()
        look(up: map, key)
        jump(to: isThere, if: .r0, .notEqual, 0)
        store(.r10, Frame.one, 1)
        update(map, key, Frame.one, onlyNew: true)
        jump(to: done, if: .r0, .equal, 0)
        // Another processor was first, or there is no room.
        look(up: map, key)
        jump(to: isThere, if: .r0, .notEqual, 0)
        count(full, offset, plus: index)
        jump(to: done)
        put(isThere)
        set(.r1, 1)
        addAtomically(.r0, 0, .r1)
        put(done)
    }
}
