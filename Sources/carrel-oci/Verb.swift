import Container
import Documents
import Glibc
import Options
import Session

/// The commands: each has its definition and its deed.
enum Verb: String, CaseIterable {
    case create, start, run, kill, delete, exec, pause, resume, update, checkpoint, restore
    case state, list, ps, events, features, spec

    var definition: Command {
        switch self {
        case .create: .create
        case .start: .start
        case .run: .run
        case .kill: .kill
        case .delete: .delete
        case .exec: .exec
        case .pause: .pause
        case .resume: .resume
        case .state: .state
        case .list: .list
        case .ps: .ps
        case .events: .events
        case .features: .features
        case .update: .update
        case .checkpoint: .checkpoint
        case .restore: .restore
        case .spec: .spec
        }
    }

    /// Does it, and gives the exit status.
    func perform(_ call: Call) throws(RuntimeError) -> Int32 {
        switch self {
        case .create: try call.root.create(try createRequest(call))
        case .run:
            return try call.root.run(
                try createRequest(call), detached: call.words.has(.detach), keepsRecord: call.words.has(.keep))
        case .start: try call.container(locking: true).start()
        case .kill:
            let name = call.words.operands.count > 1 ? call.words.operands[1] : "SIGTERM"
            guard let signal = signalNumber(name) else { throw RuntimeError("unknown signal \(name.debugDescription)") }
            try call.container().kill(signal, all: call.words.has(.all))
        case .delete: try call.root.delete(call.id, force: call.words.has(.force))
        case .exec:
            do throws(RuntimeError) { return try call.container().execute(try execRequest(call)) } catch {
                // As runc: 1 is what a program may end with, and 125 is none of its own.
                let isTold = [126, 127].contains(error.exitStatus)
                throw RuntimeError(error.description, exitStatus: isTold ? error.exitStatus : 255)
            }
        case .pause: try call.container(locking: true).pause()
        case .resume: try call.container(locking: true).resume()
        case .state: print(try call.container().report.json(pretty: true))
        case .list: try printList(call)
        case .ps: try printProcesses(call)
        case .events: try printEvents(call)
        case .update: try call.container(locking: true).update(try resources(call.words))
        case .checkpoint: try call.container(locking: true).checkpoint(checkpointRequest(call.words))
        case .restore: return try call.root.restore(restoreRequest(call), detached: call.words.has(.detach))
        case .spec: try writeSpecification(call.words)
        case .features: print(RuntimeFeatures.node.json(pretty: true))
        }
        return 0
    }
}

private func createRequest(_ call: Call) throws(RuntimeError) -> CreateRequest {
    var request = CreateRequest(id: call.id)
    let words = call.words
    if let bundle = words[.bundle] { request.bundle = bundle }
    request.pidFile = words[.pidFile]
    request.consoleSocket = words[.consoleSocket]
    request.preservedDescriptors = try descriptorCount(words)
    request.pivots = !words.has(.noPivot)
    request.makesKeyring = !words.has(.noNewKeyring)
    request.cgroupManager = call.cgroupManager
    request.openDoor = { (id, annotations) throws(RuntimeError) in try ContainerEgress.open(id, annotations) }
    return request
}

private func execRequest(_ call: Call) throws(RuntimeError) -> RuntimeExecRequest {
    let words = call.words
    var request = RuntimeExecRequest(id: call.id)
    request.command = words.program
    request.processFile = words[.process]
    request.wantsTerminal = words.has(.tty)
    request.user = words[.user]
    for group in words.all(.additionalGids) {
        guard let gid = UInt32(group) else { throw RuntimeError("--additional-gids \(group): expected a number") }
        request.additionalGids.append(gid)
    }
    request.directory = words[.cwd]
    request.environment = words.all(.env)
    request.capabilities = words.all(.cap)
    if words.has(.noNewPrivs) { request.noNewPrivileges = true }
    request.apparmorProfile = words[.apparmor]
    request.selinuxLabel = words[.processLabel]
    request.isDetached = words.has(.detach)
    request.pidFile = words[.pidFile]
    request.consoleSocket = words[.consoleSocket]
    request.preservedDescriptors = try descriptorCount(words)
    request.cgroup = words[.cgroup]
    request.ignoresPause = words.has(.ignorePaused)
    return request
}

private func checkpointRequest(_ words: Words) -> CheckpointRequest {
    var request = CheckpointRequest(images: words[.imagePath] ?? "checkpoint")
    request.work = words[.workPath]
    request.parent = words[.parentPath]
    request.leavesRunning = words.has(.leaveRunning)
    request.preDumps = words.has(.preDump)
    request.options = checkpointOptions(words)
    request.options.linksRemap = words.has(.linkRemap)
    return request
}

private func restoreRequest(_ call: Call) -> RestoreRequest {
    let words = call.words
    var request = RestoreRequest(id: call.id, images: words[.imagePath] ?? "checkpoint")
    if let bundle = words[.bundle] { request.bundle = bundle }
    request.work = words[.workPath]
    request.pidFile = words[.pidFile]
    request.makesKeyring = !words.has(.noNewKeyring)
    request.cgroupManager = call.cgroupManager
    request.options = checkpointOptions(words)
    return request
}

private func checkpointOptions(_ words: Words) -> CheckpointOptions {
    var options = CheckpointOptions()
    options.keepsTCP = words.has(.tcpEstablished)
    options.keepsExternalSockets = words.has(.extUnixSk)
    options.keepsFileLocks = words.has(.fileLocks)
    return options
}

private func descriptorCount(_ words: Words) throws(RuntimeError) -> Int32 {
    guard let text = words[.preserveFDs] else { return 0 }
    guard let count = Int32(text), (0...1024).contains(count) else {
        throw RuntimeError("--preserve-fds \(text): expected a number from 0 to 1024")
    }
    return count
}
