import Glibc
import Session

var arguments = Array(CommandLine.arguments.dropFirst())
func writeOut(_ bytes: [UInt8]) { bytes.withUnsafeBytes { _ = fwrite($0.baseAddress, 1, $0.count, stdout_()) } }
func stdout_() -> UnsafeMutablePointer<FILE> { fdopen(1, "w") }
do throws(SessionError) {
    if arguments.first == "supervise" {
        exit(try Carrel.resumeSupervision(statePath: arguments[1], id: arguments[2], descriptors: arguments[3]))
    }
    let carrel = try Carrel()
    switch arguments.first {
    case "exec":
        var request = ExecRequest(session: arguments[1], command: Array(arguments[3...]))
        if arguments[2] == "--tty" { request.command.removeFirst(); request.wantsTerminal = true }
        exit(try carrel.execute(request))
    case "ps": for s in try carrel.sessions() { print(s.node.json()) }; exit(0)
    case "kill": print(try carrel.kill(arguments[1] == "--all" ? .all : .session(arguments[1]), signal: nil, grace: 0, hold: false)); exit(0)
    case "pause": print(try carrel.pause(.session(arguments[1]))); exit(0)
    case "resume": print(try carrel.resume(.session(arguments[1]))); exit(0)
    case "wait": exit(try carrel.wait(arguments[1]))
    case "report": print(try carrel.report(arguments[1]).node.json(pretty: true)); exit(0)
    case "logs": try writeOut(carrel.log(of: arguments[1])); exit(0)
    case "spec": print(try carrel.specification(SessionRequest(command: ["true"])).json(pretty: true)); exit(0)
    default: break
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
