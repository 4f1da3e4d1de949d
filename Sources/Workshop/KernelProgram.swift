/// A program for the kernel's eBPF machine, as it is written (bpf-instruction-set of the kernel's documentation).
///
/// Jumps go forward to labels, which are put where the program has come to them.
struct KernelProgram {
    /// A register: `r0` is a call's result, `r1` to `r5` its arguments, `r6` to `r9` survive calls, `r10` is the frame's end.
    enum Register: UInt8 { case r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10 }

    /// A place to jump to.
    struct Label: Hashable { fileprivate let number: Int }

    /// A condition of two unsigned 64-bit values.
    enum Condition: UInt8 {
        case equal = 0x10
        case greaterOrEqual = 0x30
        case notEqual = 0x50
        case less = 0xa0
    }

    /// The size of a load or a store.
    enum Size: UInt8 {
        case word = 0x00
        case half = 0x08
        case byte = 0x10
        case double = 0x18
    }

    /// A function of the kernel (`BPF_FUNC_*`).
    enum Helper: Int32 {
        case lookUp = 1
        case update = 2
        case delete = 3
        case currentThread = 14
        case currentCgroup = 80
        case readKernel = 113
        case readUserString = 114
    }

    private var code: [UInt8] = []
    private var labels = 0
    private var places: [Label: Int] = [:]
    private var jumps: [(at: Int, to: Label)] = []

    /// The number of instructions so far.
    private var count: Int { code.count / 8 }

    private mutating func add(
        _ operation: UInt8, _ target: Register = .r0, _ source: UInt8 = 0, offset: Int = 0, _ value: Int32 = 0
    ) {
        code += [operation, target.rawValue | source << 4]
        withUnsafeBytes(of: Int16(offset).littleEndian) { code += $0 }
        withUnsafeBytes(of: value.littleEndian) { code += $0 }
    }

    // MARK: Values

    mutating func copy(_ target: Register, _ source: Register) { add(0xbf, target, source.rawValue) }
    mutating func set(_ target: Register, _ value: Int32) { add(0xb7, target, 0, value) }

    mutating func set(_ target: Register, wide value: UInt64) { load(target, source: 0, value) }

    private mutating func load(_ target: Register, source: UInt8, _ value: UInt64) {
        add(0x18, target, source, Int32(truncatingIfNeeded: value))
        add(0x00, .r0, 0, Int32(truncatingIfNeeded: value >> 32))
    }

    /// A map, for a helper.
    mutating func set(_ target: Register, map: Int32) { load(target, source: 1, UInt64(UInt32(bitPattern: map))) }

    /// The place in an array map's one value.
    mutating func set(_ target: Register, valueOf map: Int32, at offset: Int = 0) {
        load(target, source: 2, UInt64(UInt32(bitPattern: map)) | UInt64(offset) << 32)
    }

    mutating func add(_ target: Register, _ value: Int32) { add(0x07, target, 0, value) }
    mutating func add(_ target: Register, _ source: Register) { add(0x0f, target, source.rawValue) }
    mutating func multiply(_ target: Register, _ value: Int32) { add(0x27, target, 0, value) }
    mutating func and(_ target: Register, _ value: Int32) { add(0x57, target, 0, value) }
    mutating func and(_ target: Register, _ source: Register) { add(0x5f, target, source.rawValue) }
    mutating func shiftRight(_ target: Register, _ bits: Int32) { add(0x77, target, 0, bits) }
    mutating func negate(_ target: Register) { add(0x87, target) }

    /// The frame's bytes at `offset`, which is negative.
    mutating func address(_ target: Register, frame offset: Int) {
        copy(target, .r10)
        add(target, Int32(offset))
    }

    // MARK: Memory

    mutating func load(_ target: Register, _ base: Register, _ offset: Int, _ size: Size = .double) {
        add(0x61 | size.rawValue, target, base.rawValue, offset: offset)
    }
    mutating func store(_ base: Register, _ offset: Int, _ source: Register, _ size: Size = .double) {
        add(0x63 | size.rawValue, base, source.rawValue, offset: offset)
    }
    mutating func store(_ base: Register, _ offset: Int, _ value: Int32, _ size: Size = .double) {
        add(0x62 | size.rawValue, base, 0, offset: offset, value)
    }

    /// Adds to a counter that other processors add to as well.
    mutating func addAtomically(_ base: Register, _ offset: Int, _ source: Register) {
        add(0xdb, base, source.rawValue, offset: offset)
    }

    // MARK: Control

    mutating func call(_ helper: Helper) { add(0x85, .r0, 0, helper.rawValue) }
    mutating func exit() {
        set(.r0, 0)
        add(0x95)
    }

    mutating func label() -> Label {
        labels += 1
        return Label(number: labels)
    }
    mutating func put(_ label: Label) { places[label] = count }

    mutating func jump(to label: Label) {
        jumps.append((count, label))
        add(0x05)
    }
    mutating func jump(to label: Label, if left: Register, _ condition: Condition, _ right: Register) {
        jumps.append((count, label))
        add(0x0d | condition.rawValue, left, right.rawValue)
    }
    /// The value is extended by its sign to 64 bits.
    mutating func jump(to label: Label, if left: Register, _ condition: Condition, _ right: Int32) {
        jumps.append((count, label))
        add(0x05 | condition.rawValue, left, 0, right)
    }

    /// The program as bpf(2) takes it.
    func instructions() -> [UInt8] {
        var result = code
        for jump in jumps {
            guard let place = places[jump.to] else { preconditionFailure("a label was never put") }
            withUnsafeBytes(of: Int16(place - jump.at - 1).littleEndian) {
                result.replaceSubrange(jump.at * 8 + 2..<jump.at * 8 + 4, with: $0)
            }
        }
        return result
    }
}
