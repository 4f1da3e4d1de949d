import Documents

extension Profile.Environment {
    static let fields = ["set", "pass"]

    /// Set by the launcher: who and where the session is.
    static let launchers = ["HOME", "USER", "LOGNAME", "PWD", "CARREL_SESSION"]

    /// Variables that name code to load, or that steer a program to it. A profile can set them; taken from the caller,
    /// whoever calls would choose what runs.
    private static let loaders = [
        "PATH", "GLIBC_TUNABLES", "BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "PS4", "PROMPT_COMMAND", "PYTHONPATH",
        "PYTHONHOME", "PYTHONSTARTUP", "PERL5LIB", "PERL5OPT", "RUBYLIB", "RUBYOPT", "NODE_OPTIONS", "NODE_PATH",
        "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH",
    ]
    private static let loaderFamilies = ["LD_", "DYLD_", "GIT_", "BASH_FUNC_", "MALLOC_"]

    mutating func read(_ node: Node, _ reader: ProfileReader) {
        reader.members(node, "environment", Self.fields) { entry in
            switch entry.key {
            case "set": readSet(entry.value, reader)
            case "pass": reader.list(entry, "environment.pass", &pass, reader.passed)
            default: return false
            }
            return true
        }
    }

    private mutating func readSet(_ node: Node, _ reader: ProfileReader) {
        reader.members(node, "environment.set", []) { entry, field in
            guard reader.isVariable(entry.key, entry.keyMark, field), let value = reader.text(entry.value, field)
            else { return true }
            if entry.key == "PATH" && !Self.isSafe(path: value) {
                // An empty or relative entry runs what lies in the working directory (execvp(3)).
                reader.note(entry.value.mark, field, "expected absolute directories alone in PATH, separated by colons")
            }
            set(entry.key, value)
            reader.set("environment.set", entry.key, at: entry.keyMark)
            return true
        }
    }

    private mutating func set(_ name: String, _ value: String) {
        let index = set.firstIndex { $0.name >= name } ?? set.endIndex
        if index < set.endIndex && set[index].name == name {
            set[index].value = value
        } else {
            set.insert(Variable(name: name, value: value), at: index)
        }
    }

    private static func isSafe(path: String) -> Bool {
        var last = UInt8(ascii: ":")
        for byte in path.utf8 {
            if last == UInt8(ascii: ":") && byte != UInt8(ascii: "/") { return false }
            last = byte
        }
        return last != UInt8(ascii: ":")
    }

    fileprivate static func loads(_ name: String) -> Bool {
        loaders.contains(name) || loaderFamilies.contains { name.hasPrefix($0) }
    }
}

extension ProfileReader {
    /// A name of the caller's environment that can be handed on.
    fileprivate func passed(_ node: Node, _ field: String) -> String? {
        guard let name = variable(node, field) else { return nil }
        if Profile.Environment.loads(name) {
            note(
                node.mark, field,
                "\(name) says what code is loaded, and the caller would say it; write a value under environment.set")
            return nil
        }
        return name
    }

    /// A name that a profile can give to a variable.
    func variable(_ node: Node, _ field: String) -> String? {
        guard let name = text(node, field), isVariable(name, node.mark, field) else { return nil }
        return name
    }

    fileprivate func isVariable(_ name: String, _ mark: Mark?, _ field: String) -> Bool {
        guard let first = name.utf8.first, !Self.isDigit(first), name.utf8.allSatisfy(Self.isWord) else {
            note(
                mark, field,
                "expected a name of letters, digits and _ that begins with no digit, found \(Node(.string(name)).json())"
            )
            return false
        }
        if Profile.Environment.launchers.contains(name) {
            note(mark, field, "\(name) is set by the launcher")
            return false
        }
        return true
    }
}
