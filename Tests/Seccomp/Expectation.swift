import Foundation

@testable import Seccomp

/// What a profile says of a call, worked out from its JSON alone: no code of the compiler is used, neither for names
/// nor for numbers nor for widths.
struct Expectation {
    private struct Rule {
        let action: UInt32
        let args: [[String: Any]]
    }
    private var rules: [UInt32: [Rule]] = [:]
    private let byDefault: UInt32
    /// The numbers of all calls that some rule names.
    var numbers: [UInt32] { rules.keys.sorted() }

    static let kill: UInt32 = 0x8000_0000
    static let allow: UInt32 = 0x7fff_0000
    static func errno(_ errno: Int32) -> UInt32 { 0x50000 | UInt32(errno) }

    /// Numbers from the kernel's header, and by hand those that are younger than the header.
    static let numbers: [String: UInt32] = {
        let header =
            ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h"]
            .lazy.compactMap { try? String(contentsOfFile: $0, encoding: .utf8) }.first ?? ""
        var numbers: [String: UInt32] = [:]
        for line in header.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 3, words[0] == "#define", words[1].hasPrefix("__NR_"), let number = UInt32(words[2]) {
                numbers[String(words[1].dropFirst(5))] = number
            }
        }
        let young = [
            "uretprobe": 335, "uprobe": 336, "fchmodat2": 452, "map_shadow_stack": 453, "futex_wake": 454,
            "futex_wait": 455, "futex_requeue": 456, "statmount": 457, "listmount": 458, "mseal": 462,
            "setxattrat": 463, "getxattrat": 464, "listxattrat": 465, "removexattrat": 466, "open_tree_attr": 467,
            "listns": 470,
        ]
        return numbers.merging(young.mapValues(UInt32.init)) { old, _ in old }
    }()

    /// The parameters that some rule of the shipped profiles compares and the kernel declares as a 32-bit integer.
    private static let narrow: [String: Set<Int>] = [
        "clone": [0], "ioctl": [1], "personality": [0], "seccomp": [0, 1], "socket": [0, 1, 2],
        "socketpair": [0, 1, 2],
    ]

    init(json: Data) throws {
        let top = try JSONSerialization.jsonObject(with: json) as! [String: Any]
        byDefault = Self.errno(top["defaultErrnoRet"] as! Int32)
        for entry in top["syscalls"] as! [[String: Any]] {
            let allows = entry["action"] as! String == "SCMP_ACT_ALLOW"
            let action = allows ? Self.allow : Self.errno(entry["errnoRet"] as! Int32)
            for name in entry["names"] as! [String] {
                guard let number = Self.numbers[name] else { continue }
                let args = (entry["args"] as? [[String: Any]] ?? []).map { arg in
                    arg.merging(["narrow": Self.narrow[name]?.contains(arg["index"] as! Int) == true]) { $1 }
                }
                rules[number, default: []].append(Rule(action: action, args: args))
            }
        }
    }

    /// What the filter must return.
    func action(_ call: FilteredCall) -> UInt32 {
        if call.arch != Architecture.native.audit { return Self.kill }
        if call.arch == Architecture.x86_64.audit, call.number >= 0x4000_0000, call.number != .max { return Self.kill }
        let met = Set((rules[call.number] ?? []).filter { $0.args.allSatisfy { Self.holds($0, call) } }.map(\.action))
        precondition(met.count < 2, "the profile contradicts itself for \(call)")
        return met.first ?? byDefault
    }

    private static func holds(_ arg: [String: Any], _ call: FilteredCall) -> Bool {
        var value = call.arguments[arg["index"] as! Int]
        if arg["narrow"] as! Bool { value &= 0xffff_ffff }
        let wanted = (arg["value"] as! NSNumber).uint64Value
        switch arg["op"] as! String {
        case "SCMP_CMP_EQ": return value == wanted
        case "SCMP_CMP_NE": return value != wanted
        case "SCMP_CMP_LT": return value < wanted
        case "SCMP_CMP_GT": return value > wanted
        default: return value & wanted == (arg["valueTwo"] as! NSNumber).uint64Value
        }
    }

    /// Values of an argument at which some rule for `number` could change its mind.
    func edges(_ number: UInt32, argument: Int) -> Set<UInt64> {
        let args = (rules[number] ?? []).flatMap(\.args).filter { $0["index"] as! Int == argument }
        return Set(
            args.flatMap { arg in ["value", "valueTwo"].compactMap { (arg[$0] as? NSNumber)?.uint64Value } } + [0])
    }

    /// The edges, what is around them and a bit away from them, with and without junk in the upper half.
    func interesting(_ number: UInt32, argument: Int) -> Set<UInt64> {
        let edges = edges(number, argument: argument)
        if edges == [0] { return [0, .max] }
        var values = edges.union([0xffff_ffff, 0x8000_0000, .max])
        for edge in edges { values.formUnion([edge &- 1, edge &+ 1] + (0..<32).map { edge ^ 1 << $0 }) }
        return Set(values.flatMap { [$0, $0 ^ 1 << 32, $0 ^ 0xdead_beef << 32, $0 | 0xffff_ffff << 32] })
    }
}
