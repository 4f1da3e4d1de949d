import Glibc
import Session

var arguments = Array(CommandLine.arguments.dropFirst())
do throws(SessionError) {
    if arguments.first == "supervise" {
        exit(try Carrel.resumeSupervision(statePath: arguments[1], id: arguments[2], descriptors: arguments[3]))
    }
    let split = arguments.firstIndex(of: "--") ?? arguments.count
    var request = SessionRequest(command: Array(arguments[(split + 1)...]))
    var index = 1
    while index < split {
        switch arguments[index] {
        case "--profile": request.profile = arguments[index + 1]
        case "--tenant": request.tenant = arguments[index + 1]
        case "--workdir": request.workdir = arguments[index + 1]
        case "--image": request.overrides.image = arguments[index + 1]
        case "--memory": request.overrides.memory = arguments[index + 1]
        case "--timeout": request.overrides.timeout = arguments[index + 1]
        case "--report": request.report = arguments[index + 1]
        case "--session": request.session = arguments[index + 1]
        case "--detach": request.isDetached = true; index -= 1
        case "--tty": request.wantsTerminal = true; index -= 1
        default: break
        }
        index += 2
    }
    exit(try Carrel().run(request))
} catch {
    print("carrel: \(error)")
    exit(error.exitStatus)
}
