import CLibseccomp
import Documents
import Foundation
import OCISpec
import Testing

@testable import Seccomp

/// A small generator with a seed, so that a failure can be repeated.
private struct Dice: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ state >> 29
    }
}

@Suite("the compiler") struct CompilerTests {
    static let operators: [LinuxSeccompOperator] = [
        .notEqual, .lessThan, .lessOrEqual, .equalTo, .greaterOrEqual, .greaterThan, .maskedEqual,
    ]
    /// Calls, and how many bits of each argument the kernel takes.
    static let calls: [(name: String, widths: [Int])] = [
        ("mmap", [64, 64, 64, 64, 64, 64]), ("socket", [32, 32, 32]), ("openat", [32, 64, 32, 16]),
        ("futex", [64, 32, 32, 64, 64, 32]), ("fchmodat2", [32, 64, 16, 32]),
    ]

    static func holds(_ arg: LinuxSeccompArg, _ register: UInt64, bits: Int) -> Bool {
        let value = bits == 64 ? register : register % (1 << UInt64(bits))
        return switch arg.op {
        case .notEqual: value != arg.value
        case .lessThan: value < arg.value
        case .lessOrEqual: value <= arg.value
        case .equalTo: value == arg.value
        case .greaterOrEqual: value >= arg.value
        case .greaterThan: value > arg.value
        case .maskedEqual: value & arg.value == arg.valueTwo
        }
    }

    @Test("any rules, against the meaning of their comparisons", arguments: 1...60)
    func anyRules(seed: Int) throws {
        var dice = Dice(state: UInt64(seed) &* 0x9e37_79b9_7f4a_7c15)
        func interesting(_ bits: Int) -> UInt64 {
            let mask = bits == 64 ? UInt64.max : 1 << UInt64(bits) - 1
            let seeds: [UInt64] = [0, 1, mask, mask >> 1, 1 << 31, 1 << 32, 0xffff_ffff, 40]
            let value = Bool.random(using: &dice) ? seeds.randomElement(using: &dice)! : dice.next()
            return value & mask
        }
        var profile = LinuxSeccomp(defaultAction: .errno, defaultErrnoRet: 38)
        var rules: [String: [[LinuxSeccompArg]]] = [:]
        for (name, widths) in Self.calls {
            for _ in 0..<Int.random(in: 1...12, using: &dice) {
                let indices = widths.indices.shuffled(using: &dice).prefix(Int.random(in: 1...3, using: &dice))
                let args = indices.map { index in
                    let op = Self.operators.randomElement(using: &dice)!
                    let (a, b) = (interesting(widths[index]), interesting(widths[index]))
                    return LinuxSeccompArg(
                        index: UInt32(index), value: a, valueTwo: op == .maskedEqual ? a & b : nil, op: op)
                }
                if rules[name, default: []].contains(where: { Set($0.map(\.index)) == Set(args.map(\.index)) }) {
                    continue
                }
                rules[name, default: []].append(args)
                profile.syscalls.append(LinuxSyscall(names: [name], action: .allow, args: args))
            }
        }
        let program = try FilterInterpreter(try FilterCompiler.compile(profile).instructions)
        for (name, widths) in Self.calls {
            let number = Expectation.numbers[name]!
            let values: [UInt64] = rules[name]!.joined().flatMap { [$0.value, $0.valueTwo ?? 0] }
            for _ in 0..<400 {
                var call = FilteredCall(number: number)
                for index in widths.indices {
                    var value = Bool.random(using: &dice) ? values.randomElement(using: &dice)! : interesting(64)
                    if Bool.random(using: &dice) { value &+= UInt64.random(in: 0...2, using: &dice) &- 1 }
                    if Bool.random(using: &dice) { value ^= dice.next() << UInt64(widths[index] % 64) }
                    call.arguments[index] = value
                }
                let met = rules[name]!.contains { rule in
                    rule.allSatisfy { Self.holds($0, call.arguments[Int($0.index)], bits: widths[Int($0.index)]) }
                }
                let got = program.run(call).action
                #expect(got == (met ? Expectation.allow : Expectation.errno(ENOSYS)), "\(call) by \(rules[name]!)")
            }
        }
    }

    @Test("targets further than a conditional jump reaches")
    func farTargets() throws {
        let names = ["mmap", "mprotect", "munmap", "brk", "read", "write", "lseek", "futex"]
        let values = (0..<110).map { UInt64($0 * 7) << ($0 % 2 == 0 ? 0 : 33) }
        var profile = LinuxSeccomp(defaultAction: .killProcess)
        for (i, name) in names.enumerated() {
            for value in values {
                let arg = LinuxSeccompArg(index: UInt32(i % 2 == 0 ? 1 : 2), value: value, op: .equalTo)
                let narrow = name == "futex"
                if narrow && value > 0xffff_ffff { continue }
                profile.syscalls.append(
                    LinuxSyscall(names: [name], action: .errno, errnoRet: UInt32(i + 1), args: [arg]))
            }
        }
        let program = try FilterInterpreter(try FilterCompiler.compile(profile).instructions)
        #expect(program.instructions.count > 1000)
        for (i, name) in names.enumerated() {
            for value in values + values.map({ $0 + 1 }) {
                var call = FilteredCall(number: Expectation.numbers[name]!)
                call.arguments[i % 2 == 0 ? 1 : 2] = value
                let narrow = name == "futex"
                let hit = values.contains { !narrow ? $0 == value : $0 <= 0xffff_ffff && $0 == value & 0xffff_ffff }
                let wanted = hit ? 0x50000 | UInt32(i + 1) : Expectation.kill
                #expect(program.run(call).action == wanted, "\(name) \(value)")
            }
        }
    }

    @Test("libseccomp makes a filter of the same meaning, where it can express the rule")
    func libseccomp() throws {
        let node = try Node.parse([UInt8](try Data(contentsOf: shippedProfile)), file: "agent-default.json")
        let profile = try LinuxSeccomp(node, file: "agent-default.json")
        let byDefault = ProfileChecker.action(profile.defaultAction, profile.defaultErrnoRet)
        let context = try #require(seccomp_init(byDefault))
        defer { seccomp_release(context) }
        #expect(seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, 0x8000_0000) == 0)
        let operators: [LinuxSeccompOperator: scmp_compare] = [
            .notEqual: SCMP_CMP_NE, .lessThan: SCMP_CMP_LT, .lessOrEqual: SCMP_CMP_LE, .equalTo: SCMP_CMP_EQ,
            .greaterOrEqual: SCMP_CMP_GE, .greaterThan: SCMP_CMP_GT, .maskedEqual: SCMP_CMP_MASKED_EQ,
        ]
        for entry in profile.syscalls {
            let action = ProfileChecker.action(entry.action, entry.errnoRet)
            let args = entry.args.map {
                scmp_arg_cmp(arg: $0.index, op: operators[$0.op]!, datum_a: $0.value, datum_b: $0.valueTwo ?? 0)
            }
            for name in entry.names where action != byDefault {
                let number = Expectation.numbers[name].map(Int32.init) ?? seccomp_syscall_resolve_name(name)
                guard number >= 0 else { continue }
                #expect(
                    seccomp_rule_add_array(context, action, number, UInt32(args.count), args) == 0, "\(name)")
            }
        }
        let file = try scratch().appendingPathComponent("libseccomp.bpf")
        defer { try? FileManager.default.removeItem(at: file.deletingLastPathComponent()) }
        let descriptor = open(file.path, O_CREAT | O_RDWR, 0o600)
        #expect(seccomp_export_bpf(context, descriptor) == 0)
        close(descriptor)
        let theirs = try FilterInterpreter([UInt8](try Data(contentsOf: file)))
        let ours = try FilterInterpreter(try FilterCompiler.compile(profile).instructions)
        #expect(ours.instructions.count < theirs.instructions.count)

        let expectation = try Expectation(json: try Data(contentsOf: shippedProfile))
        var calls = ((0...600) + [0x4000_0000, 0x4000_0029, 0x8000_0000]).map { FilteredCall(number: UInt32($0)) }
        for number in expectation.numbers {
            for index in 0..<3 {
                // libseccomp compares whole registers.
                for value in expectation.interesting(number, argument: index) where value <= 0xffff_ffff {
                    var call = FilteredCall(number: number)
                    for edge in expectation.edges(number, argument: 0) {
                        call.arguments[0] = edge
                        call.arguments[index] = value
                        calls.append(call)
                    }
                }
            }
        }
        for call in calls {
            let (got, wanted) = (ours.run(call).action, theirs.run(call).action)
            if got != wanted { Issue.record("\(call): \(got), and \(wanted) by libseccomp") }
        }
    }

    @Test("a change of the filters that come out is a new version, so that old cached ones are not used")
    func version() throws {
        let profile = LinuxSeccomp(
            defaultAction: .errno, defaultErrnoRet: 38,
            syscalls: [
                LinuxSyscall(names: ["read", "write", "close", "exit_group", "mseal"], action: .allow),
                LinuxSyscall(
                    names: ["socket"], action: .allow, args: [LinuxSeccompArg(index: 0, value: 1, op: .equalTo)]),
                LinuxSyscall(
                    names: ["socket"], action: .errno, args: [LinuxSeccompArg(index: 0, value: 1, op: .greaterThan)]),
                LinuxSyscall(
                    names: ["mmap"], action: .log, args: [LinuxSeccompArg(index: 4, value: 9 << 33, op: .lessThan)]),
            ])
        let digest = sha256(try FilterCompiler.compile(profile).instructions)
        let known = [2: "c4c95416cb664ebf848e056dfb32f812d2a928f27cdccf6bf39199f1c89e36d5"]
        #expect(
            digest == known[FilterCompiler.version],
            "raise FilterCompiler.version, and note the new digest here")
    }

    @Test("parameters are as wide as the kernel says", .enabled(if: getuid() == 0, "mounting tracefs needs root"))
    func widths() throws {
        // tracefs describes every call's parameters; mounted where nobody else sees it.
        let script = """
            mount -t tracefs none /mnt && cd /mnt/events/syscalls && \
            grep -H -E 'offset:(16|24|32|40|48|56);' sys_enter_*/format
            """
        let listing = try run("/usr/bin/unshare", "-m", "sh", "-c", script).output
        let renamed = [
            "newstat": "stat", "newfstat": "fstat", "newlstat": "lstat", "newuname": "uname", "sendfile64": "sendfile",
            "umount": "umount2",
        ]
        let narrow: Set<String> = [
            "int", "unsigned int", "unsigned", "u32", "__u32", "__s32", "pid_t", "uid_t", "gid_t", "clockid_t", "mqd_t",
            "timer_t", "key_t", "key_serial_t", "rwf_t", "qid_t", "enum landlock_rule_type",
        ]
        var count = 0
        for line in listing.split(separator: "\n") {
            let pattern = #/sys_enter_(\w+)/format:\tfield:(?:const )?(.*?) ?(?:const )?\w+;\toffset:(\d+);/#
            guard let match = try pattern.firstMatch(in: line), let offset = Int(match.3) else { continue }
            let name = renamed[String(match.1)] ?? String(match.1)
            let type = String(match.2)
            let wanted: UInt64 =
                type == "umode_t"
                ? 0xffff : narrow.contains(type) || name == "clone" && offset == 16 ? 0xffff_ffff : .max
            let got = CallTable.mask(of: name, argument: (offset - 16) / 8)
            #expect(got == wanted, "\(name), argument \((offset - 16) / 8): \(type)")
            count += 1
        }
        #expect(count > 800, "\(listing.prefix(200))")
    }

    @Test("numbers of young calls are the kernel's")
    func youngCalls() {
        for name in CallTable.names() {
            guard let number = Expectation.numbers[name] else { continue }
            #expect(CallTable.meaning(of: name) == .call(number), "\(name)")
        }
        #expect(CallTable.meaning(of: "mseal") == .call(462))
        #expect(CallTable.meaning(of: "socketcall") == .elsewhere)
        #expect(CallTable.meaning(of: "opne") == .unknown)
    }
}
