import Documents
import Glibc
import Options
import Records
import Session
import SystemPackage

// Commands on sessions: words in, one call of Session, text or JSON out.

extension Verb {
    /// What `run` and `spec` are asked for.
    func request(_ words: Words) throws(SessionError) -> SessionRequest {
        var request = SessionRequest(command: words.program)
        if let profile = words[.profile] { request.profile = profile }
        if let tenant = words[.tenant] { request.tenant = tenant }
        request.workdir = words[.workdir]
        request.session = words[.session]
        request.report = words[.report]
        request.isDetached = words.has(.detach)
        request.wantsTerminal = words.has(.tty)
        if let text = words[.wait] {
            guard let span = TimeSpan.parse(text) else {
                throw SessionError("--wait \(text): expected a duration such as 60s")
            }
            request.wait = span
        }
        if words.has(.curve) { request.curve = 1_000_000_000 }
        for text in words.all(.passFD) {
            guard let number = Int32(text), number > 2 else {
                throw SessionError("--pass-fd \(text): expected the number of an open descriptor above 2")
            }
            request.passedDescriptors.append(number)
        }
        request.overrides.image = words[.image]
        request.overrides.mounts = words.all(.mount)
        request.overrides.memory = words[.memory]
        request.overrides.swap = words[.swap]
        request.overrides.pids = words[.pids]
        request.overrides.cpus = words[.cpus]
        request.overrides.openFiles = words[.openFiles]
        request.overrides.tmp = words[.tmp]
        request.overrides.timeout = words[.timeout]
        request.overrides.idle = words[.idle]
        request.overrides.cpuTime = words[.cpuTime]
        request.overrides.memoryHigh = words[.memoryHigh]
        request.overrides.grace = words[.grace]
        request.overrides.seccomp = words[.seccomp]
        request.overrides.explain = words.has(.explain)
        request.overrides.network = words[.network]
        request.overrides.environment = words.all(.env)
        return request
    }

    func printSpecification(_ words: Words) throws(SessionError) -> Int32 {
        try put(try Carrel().specification(try request(words)))
        return 0
    }

    func listSessions(_ words: Words) throws(SessionError) -> Int32 {
        let sessions = try Carrel().sessions()
        if words.has(.names) {
            try put(sessions.map { $0.id + "\n" }.joined())
        } else if words.has(.json) {
            try put(Node(.sequence(sessions.map(\.node))))
        } else {
            try put(sessionTable(sessions, now: .now, Style(for: 1)))
        }
        return 0
    }

    func showStatistics(_ words: Words) throws(SessionError) -> Int32 {
        let statistics = try Carrel().statistics(words.operands.first)
        if words.has(.json) {
            try put(Node(.sequence(statistics.map(\.node))))
        } else {
            try put(statisticsTable(statistics, Style(for: 1)))
        }
        return 0
    }

    func printLog(_ words: Words) throws(SessionError) -> Int32 {
        let carrel = try Carrel()
        if words.has(.follow) {
            // Where there is no session of the name there is nothing to follow.
            try checkName(words.operands[0], of: "session")
            if try !carrel.sessions().contains(where: { $0.id == words.operands[0] }) {
                try put(try carrel.log(of: words.operands[0]))
            } else {
                try carrel.followLog(of: words.operands[0], to: .standardOutput)
            }
        } else {
            try put(try carrel.log(of: words.operands[0]))
        }
        return 0
    }

    func showReport(_ words: Words) throws(SessionError) -> Int32 {
        let report = try Carrel().report(words.operands[0])
        if words.has(.json) {
            try put(report.node)
        } else {
            try put(report.text(Style(for: 1)))
        }
        return 0
    }

    func execute(_ words: Words) throws(SessionError) -> Int32 {
        var request = ExecRequest(session: words.operands[0], command: words.program)
        request.wantsTerminal = words.has(.tty)
        request.environment = words.all(.setEnv)
        return try Carrel().execute(request)
    }

    // MARK: Selections

    func pause(_ words: Words) throws(SessionError) -> Int32 {
        let selection = try selection(words)
        let paused = try Carrel().pause(selection)
        try putNames(paused, words)
        if paused.isEmpty { try noteNone(selection, "it is paused all the same, until carrel resume") }
        return 0
    }

    func resume(_ words: Words) throws(SessionError) -> Int32 {
        try putNames(try Carrel().resume(try selection(words)), words)
        return 0
    }

    private func putNames(_ sessions: [String], _ words: Words) throws(SessionError) {
        if words.has(.json) {
            try put(["sessions": Node(.sequence(sessions.map { Node(.string($0)) }))] as Node)
        } else {
            try put(sessions.map { $0 + "\n" }.joined())
        }
    }

    func waitForEnd(_ words: Words) throws(SessionError) -> Int32 {
        let session = words.operands[0]
        let report = try Carrel().wait(session)
        let status = Int32(truncatingIfNeeded: report.exit.status ?? 125)
        if words.has(.json) {
            try put(
                [
                    "session": Node(.string(session)), "status": Node(.integer(Int64(status))),
                    "exit": report.node["exit"] ?? nil,
                ] as Node)
        }
        return status
    }

    func kill(_ words: Words) throws(SessionError) -> Int32 {
        let selection = try selection(words)
        var signal = try words[.signal].map(signalNumber)
        if signal == nil && words.has(.killGrace) { signal = SIGTERM }
        let grace = words[.killGrace] ?? "10s"
        guard let nanoseconds = TimeSpan.parse(grace) else {
            throw SessionError("--grace \(grace): expected a duration such as 10s or 1m30s")
        }
        let outcome = try Carrel().kill(selection, signal: signal, grace: nanoseconds, hold: words.has(.hold))
        if words.has(.json) {
            try put(outcome.node)
        } else {
            try put(killText(outcome, isHeld: words.has(.hold)))
        }
        if outcome.sessions.isEmpty {
            try noteNone(selection, words.has(.hold) ? "starts are held all the same, until carrel release" : nil)
        }
        return 0
    }

    /// Says that nothing was there, which may be a misspelt name.
    private func noteNone(_ selection: Selection, _ more: String?) throws(SessionError) {
        var known = ""
        if case .profile(let profile) = selection {
            let names = Carrel.profileCatalog().names
            let meant = nearest(profile, in: names).map { ": did you mean \($0)?" } ?? ""
            if !names.contains(profile) { known = " (no profile of that name is installed\(meant))" }
        }
        try note(
            "carrel: no session was at the level \(printable(selection.words))\(known)"
                + (more.map { "; \($0)" } ?? "") + "\n")
    }

    func release(_ words: Words) throws(SessionError) -> Int32 {
        let selection = try selection(words)
        let released = try Carrel().release(selection)
        if words.has(.json) { try put(["released": Node(.bool(released))] as Node) }
        if !released { tell(SessionError("there was no such hold")) }
        return released ? 0 : 1
    }

    /// Exactly one of a session, a tenant, a profile, or all.
    private func selection(_ words: Words) throws(SessionError) -> Selection {
        var selections: [Selection] = words.operands.first.map { [.session($0)] } ?? []
        if let tenant = words[.allTenant] { selections.append(.tenant(tenant)) }
        if let profile = words[.allProfile] { selections.append(.profile(profile)) }
        if let image = words[.allImage] { selections.append(try .image(written: image)) }
        if words.has(.all) { selections.append(.all) }
        guard selections.count == 1 else {
            throw SessionError(
                "\(name): expected one of SESSION, --tenant, --profile, --image and --all, found "
                    + (selections.isEmpty ? "none" : "\(selections.count)"),
                fix: "write it: carrel \(definition.usage)")
        }
        switch selections[0] {
        case .session(let name): try checkName(name, of: "session")
        case .tenant(let name): try checkName(name, of: "tenant")
        case .profile(let name) where name.isEmpty || name.utf8.contains(UInt8(ascii: "/")):
            throw SessionError("--profile \(name): expected a profile's name as carrel ps shows it, not a path")
        default: break
        }
        return selections[0]
    }

    /// The number of a signal that is given by number or by name, with or without `SIG`.
    private func signalNumber(_ text: String) throws(SessionError) -> Int32 {
        let names: [(String, Int32)] = [
            ("HUP", SIGHUP), ("INT", SIGINT), ("QUIT", SIGQUIT), ("ABRT", SIGABRT), ("KILL", SIGKILL),
            ("USR1", SIGUSR1), ("USR2", SIGUSR2), ("ALRM", SIGALRM), ("TERM", SIGTERM), ("CONT", SIGCONT),
        ]
        let name = text.uppercased()
        if let number = Int32(text), 1...64 ~= number { return number }
        if let known = names.first(where: { $0.0 == name || "SIG" + $0.0 == name }) { return known.1 }
        throw SessionError(
            "--signal \(text): expected a number from 1 to 64, or one of \(names.map(\.0).joined(separator: ", "))")
    }
}

/// Writes a document to standard output, as JSON.
func put(_ node: Node) throws(SessionError) { try put(node.json(pretty: true) + "\n") }
