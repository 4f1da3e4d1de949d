import CSyscalls
import Glibc
import Syscalls

// The programs of a CallProbe. All leave at once in any process that is not of the session.

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
    static let process = -4
    static let one = -16
    static let denial = -24
    static let key = -80  // 56 bytes
    static let registers = -80 - Registers.size
}

/// At the entry (`args[0]`: registers, `args[1]`: number): counts, and looks at arguments.
func entryProgram(_ maps: ProbeMaps, cgroup: UInt64) -> [UInt8] {
    var p = KernelProgram()
    let out = p.label()
    let isKnown = p.label()
    let hasPlace = p.label()
    let looksAtPath = p.label()
    p.load(.r6, .r1, 0)
    p.load(.r7, .r1, 8)
    p.findThread(maps)
    p.jump(to: isKnown, if: .r1, .notEqual, 0)
    p.leaveOthers(maps, cgroup, out)
    p.jump(to: isKnown, if: .r2, .notEqual, 0)
    // Before the payload has executed, only the path of an execve(2) is of interest: the last one is the payload's.
    p.jump(to: looksAtPath, if: .r7, .equal, Int32(SYS_execve))
    p.jump(to: looksAtPath, if: .r7, .equal, Int32(SYS_execveat))
    p.jump(to: out)

    p.put(isKnown)
    p.store(.r8, 0, ProbeMaps.Thread.inside, .byte)
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
    p.select(maps)
    p.jump(to: out, if: .r1, .equal, 0)
    p.jump(to: looksAtPath, if: .r1, .equal, ProbeMaps.Look.path)
    p.readRegisters(out)
    p.noteArguments(maps, denied: false)
    p.jump(to: out)

    p.put(looksAtPath)
    p.notePath(maps, out)
    p.put(out)
    p.exit()
    return p.instructions()
}

/// At the exit (`args[0]`: registers, `args[1]`: result): sees what was refused.
func exitProgram(_ maps: ProbeMaps, cgroup: UInt64) -> [UInt8] {
    var p = KernelProgram()
    let out = p.label()
    let notEntered = p.label()
    let isKnown = p.label()
    p.load(.r6, .r1, 0)
    p.load(.r7, .r1, 8)
    // What a thread has entered it leaves.
    p.findThread(maps)
    p.jump(to: notEntered, if: .r1, .notEqual, ProbeMaps.Thread.inside)
    p.store(.r8, 0, ProbeMaps.Thread.outside, .byte)
    p.jump(to: out)

    // No entry, and an errno: the filter's. (The child of a fork leaves with 0.)
    p.put(notEntered)
    p.negate(.r7)
    p.jump(to: out, if: .r7, .equal, 0)
    p.jump(to: out, if: .r7, .greaterOrEqual, 4096)
    p.jump(to: isKnown, if: .r1, .notEqual, 0)
    p.leaveOthers(maps, cgroup, out)
    p.jump(to: out, if: .r2, .equal, 0)
    p.put(isKnown)
    p.copy(.r8, .r7)
    p.readRegisters(out)
    p.load(.r7, .r10, Frame.registers + Registers.number - Registers.start, .word)
    p.store(.r10, Frame.denial, .r7, .word)
    p.store(.r10, Frame.denial + 4, .r8, .word)
    p.count(in: maps.denials, Frame.denial, full: maps.control, ProbeMaps.Field.lost)
    p.jump(to: out, if: .r7, .greaterOrEqual, Int32(ProbeMaps.numbers))
    p.select(maps)
    p.jump(to: out, if: .r1, .notEqual, ProbeMaps.Look.arguments)
    p.noteArguments(maps, denied: true)
    p.put(out)
    p.exit()
    return p.instructions()
}

/// When a program has been executed, in the middle of its execve(2) (`args[1]`: the thread's number before): the first one
/// arms, and counts itself. Of several threads, the one that executes becomes the first and takes its number.
func executionProgram(_ maps: ProbeMaps, cgroup: UInt64) -> [UInt8] {
    var p = KernelProgram()
    let out = p.label()
    let isArmed = p.label()
    p.load(.r7, .r1, 8)
    p.findThread(maps)
    p.leaveOthers(maps, cgroup, out)
    p.jump(to: isArmed, if: .r2, .notEqual, 0)
    p.set(.r1, valueOf: maps.control.descriptor.rawValue)
    p.store(.r1, ProbeMaps.Field.armed, 1)
    p.count(maps.counts, Int(SYS_execve) * 8)
    p.put(isArmed)
    p.placeOfThread(maps, .r7)
    p.store(.r7, 0, 0, .byte)
    p.store(.r8, 0, ProbeMaps.Thread.inside, .byte)
    // The path goes to those that were executed.
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
    p.put(out)
    p.exit()
    return p.instructions()
}

/// When a thread ends: its number can become another's.
func endProgram(_ maps: ProbeMaps) -> [UInt8] {
    var p = KernelProgram()
    p.findThread(maps)
    p.store(.r8, 0, 0, .byte)
    p.exit()
    return p.instructions()
}

extension KernelProgram {
    /// `r8`: the byte of the current thread; its value in `r1`, and the ids in `r0`.
    fileprivate mutating func findThread(_ maps: ProbeMaps) {
        call(.currentThread)
        copy(.r8, .r0)
        placeOfThread(maps, .r8)
        load(.r1, .r8, 0, .byte)
    }

    /// In place of a thread's number, its byte: the number is the lower half of `place`.
    fileprivate mutating func placeOfThread(_ maps: ProbeMaps, _ place: Register) {
        and(place, Int32(ProbeMaps.threadNumbers - 1))
        set(.r2, valueOf: maps.threads.descriptor.rawValue)
        add(place, .r2)
    }

    /// Goes on only in a process of the cgroup other than its first, with in `r2` whether counting has begun.
    fileprivate mutating func leaveOthers(_ maps: ProbeMaps, _ cgroup: UInt64, _ out: Label) {
        call(.currentCgroup)
        set(.r1, wide: cgroup)
        jump(to: out, if: .r0, .notEqual, .r1)
        noteProcess()
        set(.r1, valueOf: maps.control.descriptor.rawValue)
        load(.r2, .r1, ProbeMaps.Field.first)
        let isKnown = label()
        jump(to: isKnown, if: .r2, .notEqual, 0)
        store(.r1, ProbeMaps.Field.first, .r0)
        jump(to: out)
        put(isKnown)
        jump(to: out, if: .r2, .equal, .r0)
        load(.r2, .r1, ProbeMaps.Field.armed)
    }

    /// The process' number in `r0` and in the frame.
    fileprivate mutating func noteProcess() {
        call(.currentThread)
        shiftRight(.r0, 32)
        store(.r10, Frame.process, .r0, .word)
    }

    /// `r9`: what is looked at in call `r7`, which is below `ProbeMaps.numbers`; its first word in `r1`.
    fileprivate mutating func select(_ maps: ProbeMaps) {
        copy(.r2, .r7)
        multiply(.r2, Int32(ProbeMaps.selectionSize))
        set(.r9, valueOf: maps.selection.descriptor.rawValue)
        add(.r9, .r2)
        load(.r1, .r9, 0)
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
        noteProcess()
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

    /// Counts the combination of arguments of call `r7`, by what is selected in `r9` and the registers in the frame.
    fileprivate mutating func noteArguments(_ maps: ProbeMaps, denied: Bool) {
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
