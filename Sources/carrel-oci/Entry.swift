import Container
import Documents
import Glibc
import OCISpec
import Options
import Syscalls

/// C strings, as main(3) gets them.
typealias Arguments = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

/// Reads the options that stand before the command, finds the command, does it, and gives the exit status.
func perform(_ arguments: Arguments, _ count: Int32) throws(RuntimeError) -> Int32 {
    let split = commandIndex(arguments, count)
    let words = try parse(.root, arguments, split)
    Journal.configure(words)
    if words.has(.version) {
        print("carrel-oci version \(Release.version)\nspec: \(Spec.version)")
        return 0
    }
    if words.has(.help) {
        print(Program.carrelOCI.help())
        return 0
    }
    guard split < count, let name = arguments[Int(split)].map({ String(cString: $0) }) else {
        throw RuntimeError("expected a command; carrel-oci --help lists them")
    }
    guard let verb = Verb(rawValue: name) else {
        let words = (split..<count).map { arguments[Int($0)].map { String(cString: $0) } ?? "" }
        if let text = try installation(words) {
            print(text, terminator: "")
            return 0
        }
        throw RuntimeError("unknown command \(name); carrel-oci --help lists the commands")
    }
    // The others make no process that is ever in a container; starting twice takes half a millisecond.
    if verb == .create || verb == .run || verb == .exec { try protectOwnProgram(arguments) }
    let own = try parse(verb.definition, arguments + Int(split), count - split)
    if own.has(.help) {
        print(Program.carrelOCI.help(verb.definition))
        return 0
    }
    return try verb.perform(Call(words: own, global: words))
}

/// What `make install` asks for; `nil` where the words are something else.
private func installation(_ words: [String]) throws(RuntimeError) -> String? {
    do throws(SystemError) {
        return try Program.carrelOCI.installation(words) { path, text throws(SystemError) in
            try replaceFile(path, with: text.utf8, mode: 0o644)
        }
    } catch { throw RuntimeError("man: \(error)") }
}

/// Where the command is: the first word that is neither an option nor the value of one.
private func commandIndex(_ arguments: Arguments, _ count: Int32) -> Int32 {
    let options = Command.root.options
    var index: Int32 = 1
    while index < count, let word = arguments[Int(index)], word[0] == CChar(UInt8(ascii: "-")) {
        let text = String(cString: word)
        let takesValue = options.contains { $0.value != nil && "--\($0.name)" == text }
        index += takesValue ? 2 : 1
    }
    return min(index, count)
}

private func parse(_ command: Command, _ arguments: Arguments, _ count: Int32) throws(RuntimeError) -> Words {
    do throws(UsageError) {
        return try command.parse(arguments, count: count, of: "carrel-oci")
    } catch {
        throw RuntimeError("\(error.message); \(error.fix)")
    }
}

/// A command's words, and those before it.
struct Call {
    let words: Words
    let global: Words

    /// Who makes the cgroups.
    var cgroupManager: CgroupManager {
        global[.cgroupManager].flatMap { CgroupManager(rawValue: $0) }
            ?? (global.has(.systemdCgroup) ? .systemd : .cgroupfs)
    }

    var root: RuntimeRoot { global[.root].map { RuntimeRoot($0) } ?? .usual }
    var id: String { words.operands[0] }

    func container(locking: Bool = false) throws(RuntimeError) -> RuntimeContainer {
        try RuntimeContainer.find(id, in: root, locking: locking)
    }
}
