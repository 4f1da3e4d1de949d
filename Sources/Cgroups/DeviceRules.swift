import CSyscalls
import OCISpec
import Syscalls
import SystemPackage

extension LinuxDeviceCgroup {
    /// The rule as `devices.allow` and `devices.deny` of cgroup v1 take it.
    ///
    /// There `a` means every device with every access, whatever stands behind it, so that a narrower rule for both kinds
    /// is one for each.
    var lines: [String] {
        func word(_ number: Int64?) -> String { number.map { $0 < 0 ? "*" : "\($0)" } ?? "*" }
        func line(_ kind: String) -> String { "\(kind) \(word(major)):\(word(minor)) \(access ?? "rwm")" }
        switch type {
        case .block: return [line("b")]
        case .character, .unbuffered: return [line("c")]
        case .fifo: return []  // no device
        case .all, nil: return bits == 7 && major ?? -1 < 0 && minor ?? -1 < 0 ? ["a"] : [line("b"), line("c")]
        }
    }

    /// Whether `other` takes back a part of what this allows, and is not of the same numbers.
    fileprivate func isCut(by other: LinuxDeviceCgroup) -> Bool {
        func numbers(_ rule: LinuxDeviceCgroup) -> [Int64] { [max(rule.major ?? -1, -1), max(rule.minor ?? -1, -1)] }
        let pairs = zip(numbers(self), numbers(other))
        let isBlock = [type, other.type].contains(.block)
        let isCharacter = [type, other.type].contains { $0 == .character || $0 == .unbuffered }
        return !(isBlock && isCharacter) && bits & other.bits != 0 && pairs.allSatisfy { $0 == $1 || $0 < 0 || $1 < 0 }
            && numbers(self) != numbers(other)
    }

    /// `BPF_DEVCG_ACC_*`: make 1, read 2, write 4.
    var bits: Int32 {
        (access ?? "rwm").utf8.reduce(0) { bits, letter in
            switch letter {
            case UInt8(ascii: "m"): bits | 1
            case UInt8(ascii: "r"): bits | 2
            case UInt8(ascii: "w"): bits | 4
            default: bits
            }
        }
    }
}

extension [LinuxDeviceCgroup] {
    /// What cgroup v1 is told, so that it holds the rules.
    ///
    /// There, what no rule matches is as the cgroup above has it; and a line takes back only what one of the same numbers has
    /// given: neither one device from all of a kind, nor all of a kind from one (devices.rst of the kernel).
    ///
    /// - Throws: for rules that would not hold.
    func linesOfV1() throws(CgroupError) -> [(file: String, line: String)] {
        var lines: [(file: String, line: String)] = []
        if let first, first.lines != ["a"] { lines.append(("devices.deny", "a")) }
        var given: [LinuxDeviceCgroup] = []
        var allowsAll = false
        for rule in self {
            if rule.lines == ["a"] {
                (given, allowsAll) = ([], rule.allow)
            } else if rule.allow {
                given.append(rule)
            } else if !allowsAll, let wider = given.first(where: { $0.isCut(by: rule) }) {
                throw .controlAbsent(
                    control: "devices",
                    reason: "cgroup v1 cannot deny \(rule.lines[0]) behind a rule that allows \(wider.lines[0])",
                    fix: "allow those devices alone that are to be used")
            }
            lines += rule.lines.map { (rule.allow ? "devices.allow" : "devices.deny", $0) }
        }
        return lines
    }
}

/// The device controller of cgroup v2: a program that the kernel asks at each open(2) and mknod(2) of a device
/// (`BPF_PROG_TYPE_CGROUP_DEVICE`, bpf(2)).
///
/// The rules are asked from the last to the first. What is asked for is a set of read, write and make. A rule that allows
/// takes its part out of the set, and all is allowed when nothing is left; a rule that denies ends it where the set still
/// has part of what it denies. So several rules together allow what each allows in part, as the lists of v1 do.
struct DeviceProgram {
    private(set) var instructions: [UInt64] = []

    init(_ rules: [LinuxDeviceCgroup]) {
        // r2 kind (1 block, 2 character), r3 what is asked for, r4 major, r5 minor. `struct bpf_cgroup_dev_ctx` has the
        // kind in the lower and the access in the upper half of its first word.
        load(to: 2, offset: 0)
        move(from: 2, to: 3)
        and(2, 0xffff)
        append(0x74, 3, 0, 0, 16)  // w3 >>= 16
        load(to: 4, offset: 4)
        load(to: 5, offset: 8)
        for rule in rules.reversed() where rule.type != .fifo { append(rule) }
        exit(0)
    }

    private mutating func append(_ rule: LinuxDeviceCgroup) {
        var body = DeviceProgram()
        if rule.allow {
            body.and(3, ~rule.bits & 7)
            body.append(0x56, 3, 0, 2, 0)  // if w3 != 0, past the end
            body.exit(1)
        } else {
            body.move(from: 3, to: 0)
            body.and(0, rule.bits)
            body.append(0x16, 0, 0, 2, 0)  // if w0 == 0, past the end
            body.exit(0)
        }
        var conditions: [(register: UInt8, value: Int32)] = []
        switch rule.type {
        case .block: conditions.append((2, 1))
        case .character, .unbuffered: conditions.append((2, 2))
        case .fifo, .all, nil: break
        }
        if let major = rule.major, major >= 0 { conditions.append((4, Int32(truncatingIfNeeded: major))) }
        if let minor = rule.minor, minor >= 0 { conditions.append((5, Int32(truncatingIfNeeded: minor))) }
        for (index, condition) in conditions.enumerated() {
            let past = conditions.count - index - 1 + body.instructions.count
            append(0x56, condition.register, 0, Int16(past), condition.value)  // if w != value, past the body
        }
        instructions += body.instructions
    }

    private init() {}

    // `struct bpf_insn`: code, two registers of four bits, offset, number.
    private mutating func append(_ code: UInt8, _ to: UInt8, _ from: UInt8, _ offset: Int16, _ number: Int32) {
        instructions.append(
            UInt64(code) | UInt64(to | from << 4) << 8 | UInt64(UInt16(bitPattern: offset)) << 16
                | UInt64(UInt32(bitPattern: number)) << 32)
    }

    private mutating func load(to register: UInt8, offset: Int16) { append(0x61, register, 1, offset, 0) }
    private mutating func move(from: UInt8, to: UInt8) { append(0xbc, to, from, 0, 0) }
    private mutating func and(_ register: UInt8, _ mask: Int32) { append(0x54, register, 0, 0, mask) }
    private mutating func exit(_ answer: Int32) {
        append(0xb4, 0, 0, 0, answer)
        append(0x95, 0, 0, 0, 0)
    }

    /// Puts the program in force for a cgroup, in place of one that was there.
    func attach(to directory: String) throws(CgroupError) {
        let cgroup = try open(directory, O_RDONLY | O_DIRECTORY)
        defer { close(cgroup) }
        try kernel { () throws(SystemError) in
            let old = try bpfAttachedPrograms(cgroup, type: .cgroupDevice)
            let program = try bpfLoad(instructions, type: .cgroupDevice)
            defer { Syscalls.close(program) }
            // Several are asked one after the other and all have to allow, so an old one has to go.
            guard let first = old.first else { return try bpfAttach(program, to: cgroup, type: .cgroupDevice) }
            let previous = try bpfProgram(id: first)
            defer { Syscalls.close(previous) }
            try bpfAttach(program, to: cgroup, type: .cgroupDevice, replacing: previous)
        }
    }
}
