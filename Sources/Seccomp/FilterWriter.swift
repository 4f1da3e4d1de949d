import CLibseccomp
import CSyscalls

/// Writes the instructions of a filter: a binary search over the ranges of calls that end alike, then the comparisons.
///
/// Why not libseccomp's own generator: it spends an instruction or more on each call where a range costs two, and has
/// no comparison at 32 bits but "equal", so that `SCMP_CMP_NE` of an `int` is passed by with junk in the upper half
/// (Docs/Seccomp.md has the figures; the tests compare the two generators with each other).
///
/// A jump of classic BPF goes forward only, and a conditional one by no more than 255. So the program is written from
/// its end: every target is known when a jump to it is written, and a far one gets an unconditional jump on the way.
struct FilterWriter {
    /// A point in the program: the number of instructions from there to the end.
    private typealias Place = Int

    /// How a call ends: by the first alternative whose tests all hold. The last one has no tests.
    private typealias Ending = [Alternative]
    private struct Alternative: Hashable {
        let tests: [ArgumentTest]
        let action: UInt32
    }

    private var reversed: [sock_filter] = []
    private var written: [Ending: Place] = [:]

    /// The whole program, as bytes.
    static func program(rules: [FilterRule], defaultAction: UInt32) -> [UInt8] {
        var writer = FilterWriter()
        writer.write(rules, [Alternative(tests: [], action: defaultAction)])
        return writer.reversed.reversed().withUnsafeBytes { Array($0) }
    }

    private mutating func write(_ rules: [FilterRule], _ byDefault: Ending) {
        let kill = ending([Alternative(tests: [], action: UInt32(SECCOMP_RET_KILL_PROCESS))])
        let ranges = Self.ranges(rules, byDefault)
        var start = search(ranges[...])
        #if arch(x86_64)
            // The bit that marks a call as x32's; -1 is no call, but what a tracer skips one with (seccomp(2)).
            let skipped = branch(BPF_JEQ, UInt32.max, ending(byDefault), kill)
            start = branch(BPF_JGE, UInt32(__X32_SYSCALL_BIT), skipped, start)
        #endif
        start = load(offset: MemoryLayout<seccomp_data>.offset(of: \.nr)!, then: start)
        start = branch(BPF_JEQ, seccomp_arch_native(), start, kill)
        _ = load(offset: MemoryLayout<seccomp_data>.offset(of: \.arch)!, then: start)
    }

    /// The first number of each range of calls that end alike, in rising order, from 0 on.
    private static func ranges(_ rules: [FilterRule], _ byDefault: Ending) -> [(start: UInt32, ending: Ending)] {
        var endings: [UInt32: Ending] = [:]
        for rule in rules {
            endings[rule.call, default: []].append(Alternative(tests: rule.tests, action: rule.action))
        }
        var ranges: [(start: UInt32, ending: Ending)] = []
        for number in 0...(endings.keys.max() ?? 0) + 1 {
            var ending = endings[number] ?? []
            if ending.last?.tests.isEmpty != true { ending += byDefault }
            if ranges.last?.ending != ending { ranges.append((number, ending)) }
        }
        return ranges
    }

    private mutating func search(_ ranges: ArraySlice<(start: UInt32, ending: Ending)>) -> Place {
        if ranges.count == 1 { return ending(ranges[ranges.startIndex].ending) }
        let middle = ranges.startIndex + ranges.count / 2
        let upper = search(ranges[middle...])
        let lower = search(ranges[..<middle])
        return branch(BPF_JGE, ranges[middle].start, upper, lower)
    }

    /// Where the call ends as wanted; an ending that is written already and near enough serves again.
    private mutating func ending(_ ending: Ending) -> Place {
        if let place = written[ending], reversed.count - place < 200 { return place }
        var place: Place
        if ending.count == 1 {
            place = append(BPF_RET | BPF_K, ending[0].action)
        } else {
            place = self.ending([ending.last!])
            for alternative in ending.dropLast().reversed() {
                var met = self.ending([Alternative(tests: [], action: alternative.action)])
                for test in alternative.tests.reversed() { met = compare(test, met, place) }
                place = met
            }
        }
        written[ending] = place
        return place
    }

    private mutating func compare(_ test: ArgumentTest, _ yes: Place, _ no: Place) -> Place {
        switch test.comparison {
        case .equal: compare(test, BPF_JEQ, yes, no)
        case .notEqual: compare(test, BPF_JEQ, no, yes)
        case .greater: compare(test, BPF_JGT, yes, no)
        case .lessOrEqual: compare(test, BPF_JGT, no, yes)
        case .greaterOrEqual: compare(test, BPF_JGE, yes, no)
        case .less: compare(test, BPF_JGE, no, yes)
        }
    }

    /// The upper half decides where it differs, else the lower half does. Both architectures are little-endian.
    private mutating func compare(_ test: ArgumentTest, _ jump: Int32, _ yes: Place, _ no: Place) -> Place {
        let offset = MemoryLayout<seccomp_data>.offset(of: \.args)! + 8 * test.index
        let (low, high) = (UInt32(truncatingIfNeeded: test.mask), UInt32(test.mask >> 32))
        var place = branch(jump, UInt32(truncatingIfNeeded: test.value), yes, no)
        place = load(offset: offset, mask: low, then: place)
        if high == 0 { return place }
        let value = UInt32(test.value >> 32)
        place = branch(BPF_JEQ, value, place, no)
        if jump != BPF_JEQ { place = branch(BPF_JGT, value, yes, place) }
        return load(offset: offset + 4, mask: high, then: place)
    }

    private mutating func load(offset: Int, mask: UInt32 = .max, then place: Place) -> Place {
        // The load runs into what was written last, so that must be `place`.
        if place != reversed.count { _ = append(BPF_JMP | BPF_JA, UInt32(reversed.count - place)) }
        if mask != .max { _ = append(BPF_ALU | BPF_AND | BPF_K, mask) }
        return append(BPF_LD | BPF_W | BPF_ABS, UInt32(offset))
    }

    private mutating func branch(_ jump: Int32, _ value: UInt32, _ yes: Place, _ no: Place) -> Place {
        let (yes, no) = (near(yes), near(no))
        return append(
            BPF_JMP | jump | BPF_K, value, yes: UInt8(reversed.count - yes), no: UInt8(reversed.count - no))
    }

    private mutating func near(_ place: Place) -> Place {
        // Two less than what fits: the other target of the same jump may take an instruction between.
        reversed.count - place <= 253 ? place : append(BPF_JMP | BPF_JA, UInt32(reversed.count - place))
    }

    private mutating func append(_ code: Int32, _ value: UInt32, yes: UInt8 = 0, no: UInt8 = 0) -> Place {
        reversed.append(sock_filter(code: UInt16(code), jt: yes, jf: no, k: value))
        return reversed.count
    }
}
