import Documents

extension Spec {
    /// Checks what types cannot say: what the specification demands, and what the kernel would refuse later with a bare
    /// `EINVAL` (config.md, config-linux.md).
    ///
    /// - Parameters:
    ///   - file: the document's name, for the problems.
    ///   - document: the document that the configuration was read from, for the places of the problems.
    ///   - lenient: for a runtime whose callers are used to others: capabilities that the kernel would not raise, and what
    ///     contradicts itself in a filter, are left to where they are read.
    /// - Throws: everything that is wrong.
    public func validate(
        file: String = "config.json", document: Node? = nil, lenient: Bool = false
    ) throws(Problems) {
        let log = Log(file: file, document: document, isLenient: lenient)
        check(log)
        try log.finish()
    }

    private func check(_ log: Log) {
        log.expect(
            ociVersion.hasPrefix("1."), "ociVersion", "a version 1 of the specification, found \(ociVersion.quoted)")
        if let process { log.at("process") { process.check(log) } }
        if let root {
            log.at("root") { log.expect(!root.path.isEmpty, "path", "a directory, found an empty string") }
        } else {
            log.expect(false, "root", "the container's root file system, found nothing")
        }
        for (name, value) in [("hostname", hostname), ("domainname", domainname)] {
            guard let value, !value.isEmpty else { continue }
            // __NEW_UTS_LEN of uname(2).
            log.expect(value.utf8.count <= 64, name, "at most 64 bytes, found \(value.utf8.count)")
            log.expect(has(.uts), name, "a uts namespace beside it, so that the host's name stays")
        }
        log.each("mounts", mounts) { $0.check(log) }
        if let hooks { log.at("hooks") { hooks.check(log) } }
        log.expect(annotations[""] == nil, "annotations", "names that are not empty")
        if let linux { log.at("linux") { linux.check(log) } }
        if let process, let linux, linux.hasNew(.user) { checkIdentity(process.user, linux, log) }
    }

    private func has(_ type: LinuxNamespaceType) -> Bool { linux?.namespaces.contains { $0.type == type } ?? false }

    /// setuid(2) and setgid(2) answer `EINVAL` for ids that the user namespace does not map.
    private func checkIdentity(_ user: User, _ linux: Linux, _ log: Log) {
        func expect(_ id: UInt32, _ mappings: [LinuxIDMapping], _ name: String, _ map: String) {
            log.expect(mappings.contains { $0.maps(id) }, name, "an id that linux.\(map) maps, found \(id)")
        }
        log.at("process") {
            log.at("user") {
                expect(user.uid, linux.uidMappings, "uid", "uidMappings")
                expect(user.gid, linux.gidMappings, "gid", "gidMappings")
                for (index, id) in user.additionalGids.enumerated() {
                    expect(id, linux.gidMappings, "additionalGids[\(index)]", "gidMappings")
                }
            }
        }
    }
}

extension State {
    /// Whether `id` can name a container: a name of at most 255 bytes that is one component of a path, and no option.
    public static func accepts(id: String) -> Bool {
        guard let first = id.utf8.first, id.utf8.count <= 255, id != ".", id != "..", first != UInt8(ascii: "-") else {
            return false
        }
        return id.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "+"), UInt8(ascii: "-"),
                UInt8(ascii: "."):
                true
            default: false
            }
        }
    }
}

extension Process {
    fileprivate func check(_ log: Log) {
        log.expect(!args.isEmpty && args[0] != "", "args", "a program, found nothing")
        log.expect(cwd.isAbsolute, "cwd", "an absolute path, found \(cwd.quoted)")
        log.each("env", env) { log.expect($0.isAssignment, "NAME=value, found \($0.quoted)") }
        log.each("args", args) { log.expect(!$0.utf8.contains(0), "an argument without NUL") }
        log.at("user") {
            log.expect(user.uid.isID, "uid", "an id below \(UInt32.max)")
            log.expect(user.gid.isID, "gid", "an id below \(UInt32.max)")
            log.each("additionalGids", user.additionalGids) { log.expect($0.isID, "an id below \(UInt32.max)") }
            let umask = user.umask ?? 0
            log.expect(umask <= 0o777, "umask", "at most 0o777, found \(umask)")
        }
        if let capabilities { log.at("capabilities") { capabilities.check(log) } }
        checkLimits(log)
        if let oomScoreAdj {
            log.expect((-1000...1000).contains(oomScoreAdj), "oomScoreAdj", "-1000 to 1000, found \(oomScoreAdj)")
        }
        if let scheduler { log.at("scheduler") { scheduler.check(log) } }
        if let priority = ioPriority?.priority {
            log.at("ioPriority") {
                log.expect((0...7).contains(priority), "priority", "0 to 7, found \(priority)")
            }
        }
        if let execCPUAffinity {
            log.at("execCPUAffinity") {
                log.expect(execCPUAffinity.initial?.isCPUList ?? true, "initial", "a list such as 0-3,7")
                log.expect(execCPUAffinity.final?.isCPUList ?? true, "final", "a list such as 0-3,7")
            }
        }
    }

    private func checkLimits(_ log: Log) {
        log.each("rlimits", rlimits) { limit in
            log.known(limit.type, Known.rlimits, "type", "a resource of setrlimit(2)")
            log.expect(
                limit.soft <= limit.hard, "soft", "at most the hard limit \(limit.hard), found \(limit.soft)")
            log.expect(
                rlimits.count { $0.type == limit.type } == 1, "type", "each resource once, found \(limit.type) again")
        }
    }
}

extension LinuxCapabilities {
    fileprivate func check(_ log: Log) {
        let sets = [
            ("bounding", bounding), ("effective", effective), ("inheritable", inheritable), ("permitted", permitted),
            ("ambient", ambient),
        ]
        for (name, set) in sets {
            log.each(name, set) { log.known($0, Known.capabilities, nil, "a capability of capabilities(7)") }
        }
        if log.isLenient { return }
        // capset(2) and PR_CAP_AMBIENT_RAISE of prctl(2) refuse anything else with EPERM.
        log.each("effective", effective) { log.expect(permitted.contains($0), "\($0) in permitted too") }
        log.each("ambient", ambient) {
            log.expect(permitted.contains($0) && inheritable.contains($0), "\($0) in permitted and inheritable too")
        }
    }
}

extension Scheduler {
    fileprivate func check(_ log: Log) {
        if let nice {
            log.expect((-20...19).contains(nice), "nice", "-20 to 19, found \(nice)")
        }
        let realtime = policy == .fifo || policy == .roundRobin
        log.expect(priority ?? 0 == 0 || realtime, "priority", "SCHED_FIFO or SCHED_RR beside it")
        let timed = [runtime, deadline, period].contains { $0 ?? 0 != 0 }
        log.expect(!timed || policy == .deadline, "runtime", "SCHED_DEADLINE beside it")
        log.each("flags", flags) { log.known($0, Known.schedulerFlags, nil, "a flag of sched_setattr(2)") }
    }
}

extension Mount {
    fileprivate func check(_ log: Log) {
        log.expect(destination.isAbsolute, "destination", "an absolute path, found \(destination.quoted)")
        // A mount over the root is not seen by who has it for a root already; one that changes it is none.
        log.expect(
            !destination.isRoot || options.contains("remount"), "destination",
            "a path below the root, found \(destination.quoted)")
        uidMappings.check("uidMappings", log)
        gidMappings.check("gidMappings", log)
        log.expect(
            uidMappings.isEmpty == gidMappings.isEmpty, "uidMappings", "uidMappings and gidMappings, or neither")
    }
}

extension Hooks {
    fileprivate func check(_ log: Log) {
        let lists = [
            ("prestart", prestart), ("createRuntime", createRuntime), ("createContainer", createContainer),
            ("startContainer", startContainer), ("poststart", poststart), ("poststop", poststop),
        ]
        for (name, hooks) in lists {
            log.each(name, hooks) { hook in
                log.expect(hook.path.isAbsolute, "path", "an absolute path, found \(hook.path.quoted)")
                log.expect(hook.timeout ?? 1 > 0, "timeout", "a whole number of seconds above 0")
                log.each("env", hook.env) { log.expect($0.isAssignment, "NAME=value, found \($0.quoted)") }
            }
        }
    }
}
