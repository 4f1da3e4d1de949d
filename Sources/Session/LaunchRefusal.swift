import Container
import OCISpec
import Privileges
import Syscalls
import SystemPackage

/// Starts a program by `body`, which gets the request; throws a failure for people.
///
/// - Parameters:
///   - what: what has failed by it.
///   - obstacle: tells why the program is given up, which is thrown then; asked while nothing comes of the start.
func starting<Result>(
    _ request: LaunchRequest, _ what: String, unless obstacle: @escaping () -> SessionError?,
    _ body: (LaunchRequest) throws -> Result
) throws(SessionError) -> Result {
    var request = request
    var end: SessionError?
    request.goesOn = {
        end = obstacle()
        return end == nil
    }
    do {
        return try body(request)
    } catch let error as LaunchError {
        throw end ?? told(error, what, request.spec)
    } catch {
        throw error as? SessionError ?? SessionError("\(what): \(error)")
    }
}

/// A failed launch for people.
///
/// A program that is looked for in `PATH` is told with all of it, not with its last directory. One that is there and that the
/// profile lets nobody execute is told with the field of the profile.
///
/// - Parameters:
///   - what: what has failed by it.
///   - spec: what was to be run.
private func told(_ error: LaunchError, _ what: String, _ spec: Spec) -> SessionError {
    let process = spec.process
    func variable(_ name: String) -> Substring? {
        process?.env.last { $0.hasPrefix(name + "=") }?.dropFirst(name.utf8.count + 1)
    }
    if error.exitStatus == 127, let program = process?.args.first, !program.isEmpty,
        !program.utf8.contains(UInt8(ascii: "/")), let path = variable("PATH")
    {
        return SessionError(
            "\(what): there is no \(program) in PATH (\(path)), or the interpreter that it names is not there",
            exitStatus: error.exitStatus)
    }
    var message = "\(what): \(error)"
    var fix: String?
    if error.exitStatus == 127, let process, let program = process.args.first,
        !program.isEmpty, !program.hasPrefix("/")
    {
        message = "\(what): there is no \(program) in \(process.cwd), or the interpreter that it names is not there"
        let hasTree = spec.mounts.contains { $0.destination == process.cwd && $0.type == "bind" }
        if !hasTree { fix = "--workdir DIRECTORY shows the session a working tree, in which it starts" }
    }
    if error.exitStatus == 126, error.cause?.errno == .permissionDenied, let object = error.cause?.object {
        let program = object.hasPrefix("/") ? object : "\(process?.cwd ?? "/")/\(object)"
        let profile = spec.annotations["dev.carrel.profile"] ?? "of the session"
        if error.step == .landlock, let list = Extensions(annotations: spec.annotations).executables {
            let count = "\(list.count) program\(list.count == 1 ? "" : "s")"
            message =
                "\(what): \(LaunchError(.exec, error.cause)); exec.allow of profile \(profile) lists \(count), and this is none "
                + "of them"
            fix =
                "add \(program) to exec.allow (carrel profile show \(profile) tells where it is set), or take another profile"
        } else if let place = spec.mounts.filter({ program.isAtOrBelow($0.destination) }).max(by: {
            $0.destination.utf8.count < $1.destination.utf8.count
        }), place.options.contains("noexec") {
            message += "; profile \(profile) lets nothing in \(place.destination) be executed"
            fix = "name it under exec.from (workdir, config, home, tmp), or give the mount `executable: true`"
        }
    }
    if error.step == .binds, let cause = error.cause {
        switch (cause.call, cause.errno) {
        // As a filesystem answers that has no id-mapped mounts (mount_setattr(2)).
        case ("mount_setattr", .invalidArgument):
            fix =
                HostFacts.idMapAdvice(cause.errno)
                + ", or let hosts lack it: controls: {optional: [idmap]} in a profile"
        case ("open_tree", .notPermitted):
            fix = HostFacts.idMapAdvice(cause.errno) + ", or as an ordinary user; see carrel doctor"
        default: break
        }
    }
    return SessionError(message, fix: fix, exitStatus: error.exitStatus)
}
