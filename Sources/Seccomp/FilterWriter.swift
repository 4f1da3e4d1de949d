import CLibseccomp
import CSyscalls

/// Writes the instructions of a filter: for each entry of the kernel a binary search over the ranges of calls that end alike, then the comparisons.
///
/// Why not libseccomp's own generator: it spends an instruction or more on each call where a range costs two, and has
/// no comparison at 32 bits but "equal", so that `SCMP_CMP_NE` of an `int` is passed by with junk in the upper half
/// (Docs/Seccomp.md has the figures; the tests compare the two generators with each other).
///
/// A jump of classic BPF goes forward only, and a conditional one by no more than 255. So the program is written from
/// its end: every target is known when a jump to it is written, and a far one gets an unconditional jump on the way.
struct FilterWriter {
    /// What the accumulator is loaded with: some bits of a word of `struct seccomp_data`.
    private struct Load: Hashable {
        let offset: Int
        var mask = UInt32.max
    }

    /// A point in the program: the number of instructions from there to the end, and what must be loaded there.
    private struct Place: Hashable {
        let distance: Int
        var needs: Load?
    }

    /// What a call does if its arguments meet all tests.
    private struct Alternative: Hashable {
        var tests: ArraySlice<ArgumentTest>
        let action: UInt32

        /// Whether no arguments meet both.
        func excludes(_ other: Alternative) -> Bool {
            tests.contains { mine in other.tests.contains { $0.index == mine.index && mine.excludes($0) } }
        }
    }

    private let rules: FilterRules
    private var reversed: [sock_filter] = []
    private var written: [[Alternative]: Place] = [:]
    private var loaded: [Place: Place] = [:]

    /// The whole program, as bytes.
    static func program(_ rules: FilterRules) -> [UInt8] {
        var writer = FilterWriter(rules)
        writer.write()
        return writer.reversed.reversed().withUnsafeBytes { Array($0) }
    }

    private init(_ rules: FilterRules) { self.rules = rules }

    private mutating func write() {
        let number = Load(offset: MemoryLayout<seccomp_data>.offset(of: \.nr)!)
        let architecture = Load(offset: MemoryLayout<seccomp_data>.offset(of: \.arch)!)
        let kill = action(UInt32(SECCOMP_RET_KILL_PROCESS))
        var start = kill
        // The machine's own entry is asked for first, so it is written last.
        for entry in rules.entries.reversed() where entry != .x32 {
            var calls = rules.rules[entry] ?? [:]
            let hasX32 = entry == .x86_64 && rules.entries.contains(.x32)
            if hasX32 { calls.merge(rules.rules[.x32] ?? [:]) { $1 } }
            var found = search(ranges(calls)[...], number)
            if entry == .x86_64 && !hasX32 {
                // The bit that marks a call as x32's; -1 is no call, but what a tracer skips one with (seccomp(2)).
                let skipped = branch(number, BPF_JEQ, UInt32.max, action(rules.defaultAction), kill)
                found = branch(number, BPF_JGE, Architecture.x32Bit, skipped, found)
            }
            start = branch(architecture, BPF_JEQ, entry.audit, found, start)
        }
        reach(start, having: nil, within: 0)
    }

    /// The first number of each range of calls that end alike, in rising order, from 0 on.
    private func ranges(_ calls: [UInt32: [FilterRule]]) -> [(start: UInt32, ending: [Alternative])] {
        let byDefault = [Alternative(tests: [], action: rules.defaultAction)]
        var ranges: [(start: UInt32, ending: [Alternative])] = []
        func add(_ start: UInt32, _ ending: [Alternative]) {
            if ranges.last?.ending != ending { ranges.append((start, ending)) }
        }
        var next: UInt32 = 0
        for (number, rules) in calls.sorted(by: { $0.key < $1.key }) {
            if number > next { add(next, byDefault) }
            add(number, rules.map { Alternative(tests: $0.tests[...], action: $0.action) })
            next = number + 1
        }
        add(next, byDefault)
        return ranges
    }

    private mutating func search(
        _ ranges: ArraySlice<(start: UInt32, ending: [Alternative])>, _ number: Load
    ) -> Place {
        if ranges.count == 1 { return ending(ranges[ranges.startIndex].ending) }
        let middle = ranges.startIndex + ranges.count / 2
        let upper = search(ranges[middle...], number)
        let lower = search(ranges[..<middle], number)
        return branch(number, BPF_JGE, ranges[middle].start, upper, lower)
    }

    private mutating func action(_ action: UInt32) -> Place { ending([Alternative(tests: [], action: action)]) }

    /// Where a call ends by the first alternative that its arguments meet, else by the default action. An ending that is
    /// written already and near enough serves again.
    private mutating func ending(_ alternatives: [Alternative]) -> Place {
        if let place = written[alternatives], reversed.count - place.distance < 200 { return place }
        let place =
            alternatives[0].tests.isEmpty
            ? append(BPF_RET | BPF_K, alternatives[0].action)
            : choice(alternatives[...], otherwise: action(rules.defaultAction))
        written[alternatives] = place
        return place
    }

    /// The alternatives by their first tests; those that share one are told apart behind it.
    private mutating func choice(_ alternatives: ArraySlice<Alternative>, otherwise: Place) -> Place {
        var (alternatives, place) = (alternatives, otherwise)
        if let always = alternatives.firstIndex(where: { $0.tests.isEmpty }) {
            // What stands behind it is never asked, and what does the same need not be.
            let done = alternatives[always].action
            alternatives = alternatives[..<always]
            while alternatives.last?.action == done { alternatives.removeLast() }
            place = action(done)
        }
        for group in groups(alternatives).reversed() {
            let behind = group.map { Alternative(tests: $0.tests.dropFirst(), action: $0.action) }
            if let test = group[0].tests.first { place = compare(test, choice(behind[...], otherwise: place), place) }
        }
        return place
    }

    /// The alternatives with those together that share their first test, as far as their order allows: one passes
    /// another that has the same action, or that no arguments meet together with it.
    private func groups(_ alternatives: ArraySlice<Alternative>) -> [[Alternative]] {
        var groups: [[Alternative]] = []
        for alternative in alternatives {
            let group = groups.lastIndex { $0[0].tests.first == alternative.tests.first }
            let isFree = group.map { group in
                groups[(group + 1)...].joined().allSatisfy {
                    $0.action == alternative.action || $0.excludes(alternative)
                }
            }
            if let group, isFree == true {
                groups[group].append(alternative)
            } else {
                groups.append([alternative])
            }
        }
        return groups
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
        let low = Load(offset: offset, mask: UInt32(truncatingIfNeeded: test.mask))
        let high = Load(offset: offset + 4, mask: UInt32(test.mask >> 32))
        var place = half(low, jump, UInt32(truncatingIfNeeded: test.value), yes, no)
        if high.mask == 0 { return place }
        let value = UInt32(test.value >> 32)
        place = half(high, BPF_JEQ, value, place, no)
        return jump == BPF_JEQ ? place : half(high, BPF_JGT, value, yes, place)
    }

    /// One comparison. Bits that are to be all clear, and a single bit that is to be set, need no masking before.
    private mutating func half(_ load: Load, _ jump: Int32, _ value: UInt32, _ yes: Place, _ no: Place) -> Place {
        let whole = Load(offset: load.offset)
        if jump == BPF_JEQ && load != whole {
            if value == 0 { return branch(whole, BPF_JSET, load.mask, no, yes) }
            if value == load.mask && value.nonzeroBitCount == 1 { return branch(whole, BPF_JSET, value, yes, no) }
        }
        return branch(load, jump, value, yes, no)
    }

    private mutating func branch(_ load: Load, _ jump: Int32, _ value: UInt32, _ yes: Place, _ no: Place) -> Place {
        // Less than what fits: reaching the other target can take four instructions between.
        let yes = reach(yes, having: load, within: 251)
        let no = reach(no, having: load, within: 255)
        let (toYes, toNo) = (UInt8(reversed.count - yes.distance), UInt8(reversed.count - no.distance))
        let place = append(BPF_JMP | jump | BPF_K, value, toYes, toNo)
        return Place(distance: place.distance, needs: load)
    }

    /// A place that leads to `place`, not further than `limit` from the next instruction to be written.
    @discardableResult
    private mutating func reach(_ place: Place, having load: Load?, within limit: Int) -> Place {
        var place = place
        if let needed = place.needs, needed != load {
            if let loading = loaded[place], reversed.count - loading.distance <= limit { return loading }
            let target = place
            if place.distance != reversed.count { jump(to: place) }
            if needed.mask != .max { append(BPF_ALU | BPF_AND | BPF_K, needed.mask) }
            place = append(BPF_LD | BPF_W | BPF_ABS, UInt32(needed.offset))
            loaded[target] = place
        }
        return reversed.count - place.distance <= limit ? place : jump(to: place)
    }

    @discardableResult
    private mutating func jump(to place: Place) -> Place {
        append(BPF_JMP | BPF_JA, UInt32(reversed.count - place.distance))
    }

    @discardableResult
    private mutating func append(_ code: Int32, _ value: UInt32, _ yes: UInt8 = 0, _ no: UInt8 = 0) -> Place {
        reversed.append(sock_filter(code: UInt16(code), jt: yes, jf: no, k: value))
        return Place(distance: reversed.count)
    }
}
