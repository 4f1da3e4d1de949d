import Documents
import Glibc
import Syscalls

extension Profile {
    /// Reads the profile of this name, or the one in this file if it has a slash or `.yaml`, with all that it extends.
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
        let reader = ProfileReader(file: "")
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
            profile.mounts += overrides.mounts.compactMap { Mount(option: $0, reader) }
        }
        profile.trace = reader.trace
        profile.files = chain.links.map(\.file)
        reader.note(profile.settle(catalog, isSound: reader.problems.isEmpty))
        guard reader.problems.isEmpty else { throw Problems(profile.sorted(reader.problems)) }
        return profile
    }

    /// `claude-code` of `/etc/carrel/session/claude-code.yaml`.
    private static func stem(_ name: String) -> String {
        let slash = name.utf8.lastIndex(of: UInt8(ascii: "/"))
        let file = slash.map { String(name[$0...].dropFirst()) } ?? name
        return file.hasSuffix(".yaml") ? String(file.dropLast(5)) : file
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
    /// Checks the fields against each other and finds the filter and the rule sets.
    ///
    /// - Parameter isSound: whether all fields could be read. Else only those are checked that something was read of: what
    ///   stands beside them may be other than it was meant.
    private mutating func settle(_ catalog: ProfileCatalog, isSound: Bool) -> [Problem] {
        var problems = isSound ? fieldProblems() : []
        if isSound || trace.age("seccomp") >= 0, let problem = findFilter(catalog) { problems.append(problem) }
        if let problem = findImage(catalog) { problems.append(problem) }
        problems += egressProblems(catalog)
        if problems.isEmpty, isSound, network == .gateway, egress.policy.isEmpty, case .option = trace.origin("network")
        {
            problems.append(
                problem("network", "", "expected a profile with rules under egress: nothing would leave the session"))
        }
        return problems
    }

    /// What is wrong between fields.
    private func fieldProblems() -> [Problem] {
        var problems = targetProblems()
        if let variable = config?.variable, environment.set.contains(where: { $0.name == variable }) {
            problems.append(
                problem("environment.set", variable, "\(variable) is set by the launcher, from config.variable"))
        }
        if let high = limits.memoryHigh, high > limits.memory {
            problems.append(
                problem("limits.memoryHigh", "", "expected at most limits.memory, \(ByteSize.text(limits.memory))"))
        }
        if limits.recycle != nil && limits.ceiling == nil {
            problems.append(problem("limits.recycle", "", "expected limits.ceiling beside it, found none"))
        }
        return problems
    }

    /// Puts the egress policy together; what is wrong in a field is told in the file that set it.
    private mutating func egressProblems(_ catalog: ProfileCatalog) -> [Problem] {
        do throws(Problems) {
            try egress.settle(catalog)
        } catch {
            return error.list.map { found in
                guard found.file.isEmpty else { return found }
                let name = found.field.split(separator: ".").dropFirst().first?.prefix { $0 != "[" } ?? "rules"
                let told = problem("egress.\(name)", "", found.message)
                return Problem(
                    file: told.file, mark: found.mark ?? told.mark, field: found.field, message: found.message)
            }
        }
        return []
    }

    /// A path inside that something is mounted on, and the field that says so.
    private struct Target {
        let field: String
        /// What of the field has an origin of its own.
        var element = ""
        let path: String
        /// Whether others can lie in it.
        var isEmpty = false
    }

    /// Every path inside that something is mounted on has its own place. Only in the home directory and in `/tmp`, which
    /// begin empty, can others lie; elsewhere their mount points would have to be made in someone's tree.
    private func targetProblems() -> [Problem] {
        var targets = [
            Target(field: "", path: "/tmp", isEmpty: true),
            Target(field: "user.home", path: user.home, isEmpty: true),
            Target(field: "workdir.target", path: workdir.target),
        ]
        if let config { targets.append(Target(field: "config.target", path: config.target)) }
        for (index, mount) in mounts.enumerated() {
            let element = mount.isOfCommandLine ? mount.target : ""
            targets.append(Target(field: "mounts[\(index)].target", element: element, path: mount.target))
        }
        var problems: [Problem] = []
        for (index, one) in targets.enumerated() {
            for other in targets[..<index] {
                let (outer, inner) = one.path.isAtOrBelow(other.path) ? (other, one) : (one, other)
                guard inner.path.isAtOrBelow(outer.path), !outer.isEmpty || inner.path == outer.path else { continue }
                // Told where it can be mended: at the field that was set last.
                let (late, early) = age(one) >= age(other) ? (one, other) : (other, one)
                let owner =
                    early.field.isEmpty
                    ? "the session's own" : "\(early.field), \(trace.origin(Self.root(early.field), early.element))"
                problems.append(
                    problem(
                        late.field, late.element,
                        "expected a place of its own, found \(late.path) beside \(early.path) (\(owner))"))
            }
        }
        return problems
    }

    private func age(_ target: Target) -> Int { trace.age(Self.root(target.field), target.element) }

    /// The field that a part of a list was set with.
    private static func root(_ field: String) -> String { field.hasPrefix("mounts[") ? "mounts" : field }

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
        if !seccomp.path.isEmpty {
            return problem("seccomp", "", "expected a filter's file, found none at \(seccomp.path)")
        }
        let hint = nearest(seccomp.name, in: catalog.names(in: places, ending: ".json"))
        return problem(
            "seccomp", "",
            "expected the name of a filter in \(places.joined(separator: ", ")), found \(Node(.string(seccomp.name)).json())"
                + (hint.map { "; did you mean \($0)?" } ?? ""))
    }

    private mutating func findImage(_ catalog: ProfileCatalog) -> Problem? {
        guard case .named(let name, _) = image else { return nil }
        let places = catalog.directories.map { $0 + "/images" }
        for place in places where exists("\(place)/\(name)") {
            do throws(SystemError) {
                let path = "\(place)/\(name)"
                if let reason = try distrust(path, kind: S_IFDIR) { return problem("image", "", reason) }
                image = .named(name, path: (try? absolute(path)) ?? path)
                return nil
            } catch {
                return problem("image", "", "\(error)")
            }
        }
        let hint = nearest(name, in: ["host"] + catalog.names(in: places, ending: ""))
        return problem(
            "image", "",
            "expected host, the path of a directory, or the name of one in \(places.joined(separator: ", ")), "
                + "found \(Node(.string(name)).json())" + (hint.map { "; did you mean \($0)?" } ?? ""))
    }

    /// A problem at the place where the field was set.
    private func problem(_ field: String, _ element: String, _ message: String) -> Problem {
        let name = element.isEmpty ? field : "\(field).\(element)"
        return switch trace.origin(Self.root(field), element) {
        case .builtIn: Problem(file: files.first ?? "", mark: nil, field: name, message: message)
        case .file(let file, let mark): Problem(file: file, mark: mark, field: name, message: message)
        case .option(let option): Problem(file: "command line", mark: nil, field: option, message: message)
        }
    }
}
