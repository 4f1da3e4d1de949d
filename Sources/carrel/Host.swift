import Documents
import Glibc
import Options
import Records
import Session
import Syscalls

// Commands on profiles, the audit log and the shell.

extension Verb {
    func checkProfiles(_ words: Words) throws(SessionError) -> Int32 {
        let catalog = Carrel.profileCatalog()
        return try checkFiles(words) { (file) throws(Problems) in
            // A word without a slash is a file too: names are for the catalog.
            let path = file.utf8.contains(UInt8(ascii: "/")) ? file : "./" + file
            do throws(Problems) { _ = try Profile.load(path, from: catalog) } catch {
                throw Problems(
                    error.list.map {
                        Problem(
                            file: $0.file == path ? file : $0.file, mark: $0.mark, field: $0.field, message: $0.message)
                    })
            }
        }
    }

    /// Prints what is wrong with each file, and gives the exit status: 1 where something is.
    func checkFiles(_ words: Words, _ check: (String) throws(Problems) -> Void) throws(SessionError) -> Int32 {
        var isSound = true
        var list: [Node] = []
        for file in words.operands {
            var problems: [Problem] = []
            do throws(Problems) { try check(file) } catch { problems = error.list }
            isSound = isSound && problems.isEmpty
            if words.has(.json) {
                list.append([
                    "file": Node(.string(file)), "sound": Node(.bool(problems.isEmpty)),
                    "problems": Node(.sequence(problems.map(\.node))),
                ])
            } else {
                try put(
                    problems.isEmpty
                        ? "\(printable(file)): sound\n" : problems.map { printable($0.description) + "\n" }.joined())
            }
        }
        if words.has(.json) { try put(Node(.sequence(list))) }
        return isSound ? 0 : 1
    }

    func showProfile(_ words: Words) throws(SessionError) -> Int32 {
        let profile: Profile
        do throws(Problems) {
            profile = try Profile.load(words.operands[0], from: Carrel.profileCatalog())
        } catch {
            throw SessionError(error.description)
        }
        try put(words.has(.json) ? profile.json() + "\n" : profile.text())
        return 0
    }

    func listProfiles(_ words: Words) throws(SessionError) -> Int32 {
        let catalog = Carrel.profileCatalog()
        if words.has(.names) {
            try put(catalog.names.map { $0 + "\n" }.joined())
            return 0
        }
        var list: [Node] = []
        var table = Table(("PROFILE", .left), ("DESCRIPTION", .left), ("FILE", .left), leavingOut: [2], wraps: true)
        for name in catalog.names {
            do throws(Problems) {
                let profile = try Profile.load(name, from: catalog)
                let file = profile.files.first ?? ""
                list.append([
                    "name": Node(.string(name)), "description": Node(.string(profile.description)),
                    "file": Node(.string(file)),
                ])
                table.add([name, profile.description, file])
            } catch {
                // One that is broken is there all the same; carrel profile check tells all about it.
                let problem = error.list.first?.description ?? ""
                list.append(["name": Node(.string(name)), "problem": Node(.string(problem))])
                table.add([name, "cannot be used: \(problem)", ""], style: Style(for: 1).red)
            }
        }
        if words.has(.json) {
            try put(Node(.sequence(list)))
        } else {
            try put(table.text(Style(for: 1)))
        }
        return 0
    }

    func verifyAudit(_ words: Words) throws(SessionError) -> Int32 {
        try printVerification(try Carrel().verifyAudit(noted: noted(words)), words)
    }

    /// The place that `--head` names.
    func noted(_ words: Words) throws(SessionError) -> AuditHead? {
        guard let text = words[.noted] else { return nil }
        guard let head = AuditHead(text) else {
            throw SessionError("--head \(text): expected NUMBER:HASH, as carrel \(name) prints it")
        }
        return head
    }

    func printVerification(_ result: AuditVerification, _ words: Words) throws(SessionError) -> Int32 {
        if words.has(.json) {
            try put(result.node)
        } else {
            let style = Style(for: 1)
            var text = result.findings.map { style.red(printable($0.description)) + "\n" }.joined()
            text += result.findings.isEmpty ? style.green("the chain holds") : "\(result.findings.count) found wanting"
            text += ": \(result.records) records\n"
            if result.archivedElsewhere > 0 {
                text += "records 1 to \(result.archivedElsewhere) are in archives that are not here\n"
            }
            try put(text + "head \(result.head)\n")
        }
        return result.findings.isEmpty ? 0 : 1
    }

    func rotateAudit(_ words: Words) throws(SessionError) -> Int32 {
        let keep = try words[.keep].map { (text) throws(SessionError) in
            guard let number = Int(text), number > 0 else {
                throw SessionError("--keep \(text): expected a whole number, 1 or more")
            }
            return number
        }
        guard let archive = try Carrel().rotateAudit(keeping: keep) else {
            throw SessionError(
                "there is nothing to put aside", fix: "carrel audit verify tells whether the log is sound")
        }
        try put(archive + "\n")
        return 0
    }

    /// Prints record by record: a log can be longer than memory.
    func printAudit(_ words: Words) throws(SessionError) -> Int32 {
        let isJSON = words.has(.json)
        let style = Style(for: 1)
        var text = isJSON ? "[" : ""
        var failure: SessionError?
        var isFirst = true
        func take(_ line: Int, _ record: Result<Node, Problems>) {
            switch record {
            case .success(let node) where isJSON:
                text += (isFirst ? "\n" : ",\n") + node.json()
                isFirst = false
            case .success(let node): text += Self.line(of: node, style) + "\n"
            case .failure:
                tell(SessionError("audit log: line \(line) is no record", fix: "carrel audit verify tells more"))
            }
            if text.utf8.count > 1 << 16 && failure == nil {
                do throws(SessionError) { try put(text) } catch { failure = error }
                text = ""
            }
        }
        let log = AuditLog(try Carrel().state["audit.jsonl"])
        do throws(SystemError) {
            try log.forEach(take)
        } catch {
            throw SessionError("audit log: \(error)")
        }
        if let failure { throw failure }
        try put(text + (isJSON ? "\n]\n" : ""))
        return 0
    }

    /// When, what, on which session, and whatever else the record says.
    private static func line(of record: Node, _ style: Style) -> String {
        func text(_ name: String) -> String { record[name]?.string ?? "" }
        let time = Timestamp(text("time")).map(Quantity.time) ?? text("time")
        let event = text("event") + String(repeating: " ", count: max(0, 8 - text("event").utf8.count))
        let shown = ["seq", "time", "event", "session", "prev", "hash"]
        let rest = (record.entries ?? []).filter { !shown.contains($0.key) && !$0.value.isNull }.map { entry in
            "\(entry.key)=\(entry.value.string ?? entry.value.json())"
        }
        let words = [style.dim(time), style.bold(printable(event)), printable(text("session"))]
        return (words.filter { !$0.isEmpty } + rest.map(printable)).joined(separator: "  ")
    }

    // MARK: Shell

    func printCompletions(_ words: Words) throws(SessionError) -> Int32 {
        guard let text = Program.carrel.completions(for: words.operands[0]) else {
            throw SessionError("completions: expected bash, zsh or fish, found \(words.operands[0])")
        }
        try put(text)
        return 0
    }

    func printManual(_ words: Words) throws(SessionError) -> Int32 {
        try refuse([.markdown, .into], in: words)
        if let option = [Option.markdown, .into].first(where: words.has), !words.operands.isEmpty {
            throw SessionError(
                "man: --\(option.name) is of all pages: expected no command beside it, found \(words.operands[0])",
                fix: "carrel man \(words.operands.joined(separator: " ")) prints one")
        }
        let program = Program.carrel
        if words.has(.markdown) {
            try put(program.markdown())
        } else if let directory = words[.into] {
            do throws(SystemError) {
                for (name, page) in program.manualPages {
                    try replaceFile("\(directory)/\(name).1", with: page.utf8, mode: 0o644)
                }
            } catch {
                throw SessionError("man: \(error)")
            }
        } else if words.operands.isEmpty {
            try put(program.manual())
        } else {
            let name = words.operands.joined(separator: " ")
            guard let verb = Verb(name) else {
                let meant = nearest(name, in: Verb.visibleNames).map { "did you mean \($0)? " } ?? ""
                throw SessionError("man: unknown command \(name)", fix: meant + "carrel --help lists the commands")
            }
            try put(program.manual(verb.definition))
        }
        return 0
    }
}

extension Problem {
    /// The problem as a document; without a place where the whole file is meant.
    fileprivate var node: Node {
        func number(_ value: Int?) -> Node { value.map { Node(.integer(Int64($0))) } ?? nil }
        return [
            "file": Node(.string(file)), "line": number(mark?.line), "column": number(mark?.column),
            "field": Node(.string(field)), "message": Node(.string(message)),
        ]
    }
}

extension AuditVerification {
    /// The outcome as a document.
    fileprivate var node: Node {
        [
            "holds": Node(.bool(findings.isEmpty)), "records": Node(.integer(Int64(records))),
            "archivedElsewhere": Node(.integer(archivedElsewhere)), "head": Node(.string(head.description)),
            "findings": Node(
                .sequence(
                    findings.map {
                        [
                            "kind": Node(.string($0.kind.rawValue)), "line": Node(.integer(Int64($0.line))),
                            "message": Node(.string($0.message)),
                        ]
                    })),
        ]
    }
}
