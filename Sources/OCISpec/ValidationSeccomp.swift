import Documents

extension LinuxSeccomp {
    /// Checks what types cannot say of a filter; the names of its calls are libseccomp's to know.
    ///
    /// - Parameters:
    ///   - file: the document's name, for the problems.
    ///   - document: the document that the filter was read from, for the places of the problems.
    /// - Throws: everything that is wrong.
    public func validate(file: String, document: Node? = nil) throws(Problems) {
        let log = Log(file: file, document: document)
        check(log)
        try log.finish()
    }

    func check(_ log: Log) {
        log.each("architectures", architectures) {
            log.known($0, Known.architectures, nil, "an architecture of seccomp(2)")
        }
        log.each("flags", flags) { log.known($0, Known.filterFlags, nil, "a flag of seccomp(2)") }
        // The launcher itself would wait for an answer that nobody gives.
        log.expect(defaultAction != .notify, "defaultAction", "an action that needs no listener")
        check(errnoRet: defaultErrnoRet, of: defaultAction, "defaultErrnoRet", log)
        let asks = syscalls.contains { $0.action == .notify }
        log.expect(!asks || listenerPath ?? "" != "", "listenerPath", "a socket, since a rule has SCMP_ACT_NOTIFY")
        log.expect(
            listenerMetadata ?? "" == "" || listenerPath ?? "" != "", "listenerMetadata", "listenerPath beside it")
        log.each("syscalls", syscalls) { rule in
            log.expect(!rule.names.isEmpty, "names", "at least one call, found none")
            log.each("names", rule.names) { log.expect(!$0.isEmpty, "a call, found an empty string") }
            check(errnoRet: rule.errnoRet, of: rule.action, "errnoRet", log)
            log.each("args", rule.args) { argument in
                log.expect(argument.index <= 5, "index", "0 to 5, found \(argument.index)")
                guard argument.op == .maskedEqual else { return }
                let wanted = argument.valueTwo ?? 0
                log.expect(
                    wanted & ~argument.value == 0, "valueTwo",
                    "bits of the mask \(argument.value) alone, or the rule never holds; found \(wanted)")
            }
        }
    }

    private func check(errnoRet: UInt32?, of action: LinuxSeccompAction, _ name: String, _ log: Log) {
        guard let errnoRet else { return }
        switch action {
        // MAX_ERRNO: the kernel cuts larger ones down to it without a word.
        case .errno: log.expect(errnoRet <= 4095, name, "an errno, at most 4095, found \(errnoRet)")
        case .trace: log.expect(errnoRet <= 0xFFFF, name, "a message of 16 bits, found \(errnoRet)")
        default: log.expect(false, name, "SCMP_ACT_ERRNO or SCMP_ACT_TRACE beside it")
        }
    }
}
