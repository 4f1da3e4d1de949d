import Documents

/// The sections of a profile and their fields: which there are, and what each accepts.
extension Profile {
    static let fields = [
        "version", "description", "extends", "image", "user", "environment", "mounts", "workdir", "config", "limits",
        "seccomp", "exec", "scopes", "network", "egress", "controls", "umask",
    ]

    /// Takes over what the document sets. `version` and `extends` are the catalog's to read.
    mutating func read(_ document: Node, _ reader: ProfileReader) {
        reader.members(document, "", Self.fields) { entry in
            switch entry.key {
            case "version", "extends": break
            case "description": reader.value(entry, "description", &description, reader.text)
            case "image": reader.value(entry, "image", &image, reader.image)
            case "user": user.read(entry.value, reader)
            case "environment": environment.read(entry.value, reader)
            case "mounts": reader.list(entry, "mounts", &mounts) { Mount($0, $1, reader) }
            case "workdir": workdir.read(entry.value, reader)
            case "config": Config.read(entry, &config, reader)
            case "limits": limits.read(entry.value, reader)
            case "seccomp": seccomp.read(entry, reader)
            case "exec": exec.read(entry.value, reader)
            case "scopes": reader.list(entry, "scopes", &scopes, reader.choice)
            case "network": reader.value(entry, "network", &network, reader.choice)
            case "egress": egress.read(entry, reader)
            case "controls": readControls(entry.value, reader)
            case "umask": reader.value(entry, "umask", &umask, reader.mask)
            default: return false
            }
            return true
        }
    }

    private mutating func readControls(_ node: Node, _ reader: ProfileReader) {
        reader.members(node, "controls", ["optional"]) { entry in
            guard entry.key == "optional" else { return false }
            reader.list(entry, "controls.optional", &optionalControls, reader.choice)
            return true
        }
    }
}

extension Profile.Filter {
    static let fields = ["file", "explain"]

    /// Reads the filter's name alone, or a map with what else there is to say of it.
    mutating func read(_ entry: Node.Entry, _ reader: ProfileReader) {
        guard entry.value.entries != nil else { return readFile(entry, "seccomp", reader) }
        reader.members(entry.value, "seccomp", Self.fields) { member in
            switch member.key {
            case "file": readFile(member, "seccomp.file", reader)
            case "explain": reader.value(member, "seccomp.explain", &explain, reader.flag)
            default: return false
            }
            return true
        }
    }

    private mutating func readFile(_ entry: Node.Entry, _ field: String, _ reader: ProfileReader) {
        guard let found = reader.filter(entry.value, field) else { return }
        (name, path) = (found.name, found.path)
        reader.set("seccomp", at: entry.keyMark)
    }
}

extension Profile.User {
    static let fields = ["uid", "gid", "name", "home"]

    mutating func read(_ node: Node, _ reader: ProfileReader) {
        reader.members(node, "user", Self.fields) { entry in
            switch entry.key {
            // 65534 is the id of what is not mapped (user_namespaces(7)).
            case "uid": reader.whole(entry, "user.uid", &uid, 0...65533)
            case "gid": reader.whole(entry, "user.gid", &gid, 0...65533)
            case "name": reader.value(entry, "user.name", &name, reader.login)
            case "home": reader.value(entry, "user.home", &home, reader.target)
            default: return false
            }
            return true
        }
    }
}

extension Profile.Mount {
    static let fields = ["source", "target", "access", "optional", "executable"]

    init?(_ node: Node, _ field: String, _ reader: ProfileReader) {
        self.init(source: "", target: "")
        var executable: Bool?
        reader.members(node, field, Self.fields) { entry in
            switch entry.key {
            case "source": source = reader.source(entry.value, field + ".source") ?? "/"
            case "target": target = reader.target(entry.value, field + ".target") ?? "/"
            case "access": access = reader.choice(entry.value, field + ".access") ?? access
            case "optional": optional = reader.flag(entry.value, field + ".optional") ?? optional
            case "executable": executable = reader.flag(entry.value, field + ".executable")
            default: return false
            }
            return true
        }
        // What the session can write, it cannot execute, unless that is said.
        self.executable = executable ?? (access == .readOnly)
        guard node.entries != nil else { return nil }
        if source.isEmpty { reader.note(node.mark, field + ".source", "expected an absolute path, found nothing") }
        if target.isEmpty { reader.note(node.mark, field + ".target", "expected an absolute path, found nothing") }
    }
}

extension Profile.Mount {
    /// A mount as `--mount` has it. A relative source is one of the working directory.
    init?(option text: String, _ reader: ProfileReader) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard 2...3 ~= parts.count, parts.count == 2 || ["ro", "rw"].contains(parts[2]) else {
            reader.refuse(Node(.string(text)), "mounts", "SOURCE:TARGET, or SOURCE:TARGET:rw") as Void
            return nil
        }
        guard let source = reader.sourceWithoutLinks(parts[0], "mounts"),
            let target = reader.target(Node(.string(withoutSlash(parts[1]))), "mounts")
        else { return nil }
        let access: Profile.Access = parts.last == "rw" && parts.count == 3 ? .readWrite : .readOnly
        self.init(
            source: source, target: target, access: access, executable: access == .readOnly, isOfCommandLine: true)
        reader.set("mounts", target, at: nil)
    }
}

extension Profile.Workdir {
    static let fields = ["target", "access", "protect", "deny"]

    mutating func read(_ node: Node, _ reader: ProfileReader) {
        reader.members(node, "workdir", Self.fields) { entry in
            switch entry.key {
            case "target": reader.value(entry, "workdir.target", &target, reader.target)
            case "access": reader.value(entry, "workdir.access", &access, reader.choice)
            case "protect": reader.patterns(entry, "workdir.protect", &protect)
            case "deny": reader.patterns(entry, "workdir.deny", &deny)
            default: return false
            }
            return true
        }
    }
}

extension Profile.Config {
    static let fields = ["target", "variable"]

    static func read(_ entry: Node.Entry, _ config: inout Self?, _ reader: ProfileReader) {
        if entry.value.string == "none" {
            config = nil
            return reader.set("config", at: entry.keyMark)
        }
        var read = config ?? Self(target: "")
        reader.members(entry.value, "config", fields) { entry in
            switch entry.key {
            case "target": read.target = reader.target(entry.value, "config.target") ?? "/"
            case "variable":
                reader.value(entry, "config.variable", &read.variable) { node, field in
                    reader.variable(node, field).map(Optional.some)
                }
            default: return false
            }
            if entry.key == "target" { reader.set("config.target", at: entry.keyMark) }
            return true
        }
        guard entry.value.entries != nil else { return }
        if read.target.isEmpty {
            reader.note(entry.value.mark, "config.target", "expected an absolute path, found nothing")
        }
        config = read
        reader.set("config", at: entry.keyMark)
    }
}

extension Profile.Limits {
    static let fields = [
        "memory", "memoryHigh", "swap", "pids", "cpus", "openFiles", "tmp", "home", "shm", "wallClock", "idle",
        "cpuTime",
        "ceiling", "recycle", "grace", "log", "oomScoreAdj",
    ]

    mutating func read(_ node: Node, _ reader: ProfileReader) {
        reader.members(node, "limits", Self.fields) { entry in
            switch entry.key {
            case "memory": reader.size(entry, "limits.memory", &memory, atLeast: 4 << 20)
            case "memoryHigh": reader.size(entry, "limits.memoryHigh", &memoryHigh, atLeast: 4 << 20)
            case "swap": reader.size(entry, "limits.swap", &swap, atLeast: 0)
            // PID_MAX_LIMIT of the kernel.
            case "pids": reader.whole(entry, "limits.pids", &pids, 1...4_194_304)
            case "cpus": reader.value(entry, "limits.cpus", &cpus, reader.processors)
            // The upper bound is the usual fs.nr_open.
            case "openFiles": reader.whole(entry, "limits.openFiles", &openFiles, 16...1_048_576)
            case "tmp": reader.size(entry, "limits.tmp", &tmp, atLeast: 4096)
            case "home": reader.size(entry, "limits.home", &home, atLeast: 4096)
            case "shm": reader.size(entry, "limits.shm", &shm, atLeast: 4096)
            case "wallClock": reader.duration(entry, "limits.wallClock", &wallClock, atLeast: 1_000_000)
            case "idle": reader.duration(entry, "limits.idle", &idle, atLeast: 1_000_000_000)
            case "cpuTime": reader.duration(entry, "limits.cpuTime", &cpuTime, atLeast: 100_000_000)
            case "ceiling": reader.size(entry, "limits.ceiling", &ceiling, atLeast: 4 << 20)
            case "recycle": reader.duration(entry, "limits.recycle", &recycle, atLeast: 1_000_000_000)
            case "grace": reader.duration(entry, "limits.grace", &grace, atLeast: 0)
            case "log": reader.size(entry, "limits.log", &log, atLeast: 4096)
            // Below zero would protect a session at the cost of the host.
            case "oomScoreAdj": reader.whole(entry, "limits.oomScoreAdj", &oomScoreAdj, 0...1000)
            default: return false
            }
            return true
        }
    }
}

extension Profile.Exec {
    static let fields = ["allow", "from"]

    mutating func read(_ node: Node, _ reader: ProfileReader) {
        reader.members(node, "exec", Self.fields) { entry in
            switch entry.key {
            case "allow":
                if entry.value.string == "none" {
                    allow = nil
                    reader.set("exec.allow", at: entry.keyMark)
                } else if let programs = reader.list(entry, "exec.allow", reader.path) {
                    allow = programs
                }
            case "from": reader.list(entry, "exec.from", &from, reader.choice)
            default: return false
            }
            return true
        }
    }
}
