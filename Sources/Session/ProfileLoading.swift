import Documents
import Syscalls

extension Profile {
    /// Reads the profile of this name, or the one in this file if it has a slash, with all that it extends.
    ///
    /// Of what a profile and its parent both set, maps are merged, and scalars and lists are the child's. Only
    /// `workdir.protect` and `workdir.deny` are the lists of both: a child adds to them and takes nothing away.
    ///
    /// - Parameters:
    ///   - catalog: where names are looked up.
    ///   - overrides: what the command line sets; it is merged last.
    /// - Throws: everything that is wrong with the profile, its parents and the overrides.
    public static func load(
        _ name: String, from catalog: ProfileCatalog, overrides: ProfileOverrides = ProfileOverrides()
    ) throws(Problems) -> Profile {
        let reader = ProfileReader()
        let chain = ProfileChain(name, catalog, reader)
        var profile = Profile()
        profile.name = stem(name)
        for link in chain.links.reversed() {
            reader.open(file: link.file)
            profile.read(link.document, reader)
        }
        if overrides != ProfileOverrides() {
            reader.openCommandLine()
            profile.read(overrides.document(passing: profile.environment.pass), reader)
        }
        profile.trace = reader.trace
        profile.files = chain.links.map(\.file)
        var problems = reader.problems
        if problems.isEmpty { problems = profile.settle(catalog) }
        guard problems.isEmpty else { throw Problems(profile.sorted(problems)) }
        return profile
    }

    /// `claude-code` of `/etc/carrel/session/claude-code.yaml`.
    private static func stem(_ name: String) -> String {
        let file = name.split(separator: "/").last ?? ""
        return String(file.hasSuffix(".yaml") ? file.dropLast(5) : file)
    }

    /// The profile's own problems first, then its parents', each in the order of the document.
    private func sorted(_ problems: [Problem]) -> [Problem] {
        func place(_ problem: Problem) -> (Int, Int, Int) {
            let file = files.firstIndex(of: problem.file) ?? files.count
            return (file, problem.mark?.line ?? 0, problem.mark?.column ?? 0)
        }
        return problems.sorted { place($0) < place($1) }
    }
}

// What only the whole profile shows.
extension Profile {
    /// Checks the fields against each other and finds the filter.
    private mutating func settle(_ catalog: ProfileCatalog) -> [Problem] {
        var problems = targetProblems()
        if let variable = config?.variable, environment.set.contains(where: { $0.name == variable }) {
            problems.append(
                problem("environment.set", variable, "\(variable) is set by the launcher, from config.variable"))
        }
        if let problem = findFilter(catalog) { problems.append(problem) }
        return problems
    }

    /// Every path inside that something is mounted on has its own place. Only in the home directory and in `/tmp`, which
    /// begin empty, can others lie; elsewhere their mount points would have to be made in someone's tree.
    private func targetProblems() -> [Problem] {
        var targets = [("", "/tmp", true), ("user.home", user.home, true), ("workdir.target", workdir.target, false)]
        if let config { targets.append(("config.target", config.target, false)) }
        for (index, mount) in mounts.enumerated() { targets.append(("mounts[\(index)].target", mount.target, false)) }
        var problems: [Problem] = []
        for (index, target) in targets.enumerated() {
            for other in targets[..<index] {
                let (outer, inner) = target.1.isAtOrBelow(other.1) ? (other, target) : (target, other)
                guard inner.1.isAtOrBelow(outer.1), !outer.2 || inner.1 == outer.1 else { continue }
                // Told where it can be mended: at the field that was set last.
                let (late, early) = age(target.0) >= age(other.0) ? (target, other) : (other, target)
                let name = early.0.isEmpty ? "the session's own" : "\(early.0), set in \(trace.origin(early.0))"
                problems.append(
                    problem(late.0, "", "expected a place of its own, found \(late.1) beside \(early.1) (\(name))"))
            }
        }
        return problems
    }

    private func age(_ field: String) -> Int { trace.age(field.hasPrefix("mounts") ? "mounts" : field) }

    private mutating func findFilter(_ catalog: ProfileCatalog) -> Problem? {
        let places = catalog.directories.map { $0 + "/seccomp" }
        let files = seccomp.path.isEmpty ? places.map { "\($0)/\(seccomp.name).json" } : [seccomp.path]
        for file in files {
            do throws(SystemError) {
                if let reason = try distrust(file) { return problem("seccomp", "", reason) }
                seccomp.path = file
                return nil
            } catch {
                if error.errno != .noSuchFileOrDirectory { return problem("seccomp", "", "\(error)") }
            }
        }
        let hint = nearest(seccomp.name, in: catalog.names(in: places, ending: ".json"))
        return problem(
            "seccomp", "",
            "expected a filter of \(places.joined(separator: ", ")), found \(Node(.string(seccomp.name)).json())"
                + (hint.map { "; did you mean \($0)?" } ?? ""))
    }

    /// A problem at the place where the field was set.
    private func problem(_ field: String, _ element: String, _ message: String) -> Problem {
        let name = element.isEmpty ? field : "\(field).\(element)"
        return switch trace.origin(field.hasPrefix("mounts[") ? "mounts" : field, element) {
        case .builtIn: Problem(file: files.first ?? "", mark: nil, field: name, message: message)
        case .file(let file, let mark): Problem(file: file, mark: mark, field: name, message: message)
        case .option(let option): Problem(file: "command line", mark: nil, field: option, message: message)
        }
    }
}
