import Documents
import Foundation
import Glibc
import Testing

extension Integration {
    /// Issue 4: the gateway is killed under load; sessions go on, and nothing that was answered is untold.
    @Suite struct EgressRecovery {
        @Test func twentySessionsOutliveTheGateway() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let profile = try upstreams.profile()
                // Each asks on, with a connection at a time, and says what was answered.
                let program = """
                    import os, sys, time, urllib.request
                    me, number = os.environ['CARREL_SESSION'], 0
                    while True:
                        number += 1
                        try:
                            answer = urllib.request.urlopen(f'https://example.com/{me}/{number}', timeout=10)
                            answer.read()
                            print(os.getpid(), number, flush=True)
                        except OSError as error:
                            print('-', error, flush=True)
                        time.sleep(0.05)
                    """
                let sessions = (0..<20).map { index in
                    desk.start(
                        carrel: [
                            "run", "--session", "load-\(index)", "--memory", "64MiB", "--tmp", "1MiB",
                        ] + profile + ["--", Host.python, "-c", program])
                }
                func answered(_ index: Int) -> Int {
                    sessions[index].output.split(separator: "\n").count { !$0.hasPrefix("-") }
                }
                try #require(
                    eventually(within: 240) { sessions.indices.allSatisfy { answered($0) > 2 } },
                    "\(sessions.map { $0.output.suffix(80) + $0.errors })")
                for round in 1...2 {
                    let before = upstreams.gateways
                    #expect(before.count == 1, "\(before)")
                    let counts = sessions.indices.map(answered)
                    for pid in before { kill(pid, SIGKILL) }
                    let start = DispatchTime.now()
                    let recovered = eventually(within: 240) {
                        sessions.indices.allSatisfy { answered($0) > counts[$0] + 2 }
                    }
                    let seconds = Double(DispatchTime.now().uptimeNanoseconds - start.uptimeNanoseconds) / 1e9
                    #expect(recovered, "\(zip(counts, sessions.indices.map(answered)).map { "\($0.0)...\($0.1)" })")
                    print("round \(round): 20 sessions had answers again after \(seconds) s")
                    #expect(upstreams.gateways.count == 1 && upstreams.gateways != before)
                }
                for session in sessions { session.signal(SIGTERM) }
                let ended = sessions.map { $0.finish(within: 300) }
                let log = desk.read("state/gateway/requests.jsonl")
                for (index, end) in ended.enumerated() {
                    let answers = end.lines.filter { !$0.hasPrefix("-") }.compactMap { $0.split(separator: " ").last }
                    // One process all along.
                    #expect(
                        Set(end.lines.filter { !$0.hasPrefix("-") }.compactMap { $0.split(separator: " ").first }).count
                            == 1)
                    for number in answers {
                        #expect(
                            log.contains("\"/load-\(index)/\(number)\""), "answered and not logged: \(index) \(number)")
                    }
                }
            }
        }

        /// Whoever is first to miss it starts the next one: as often as not a supervisor that has slept.
        @Test func theNextGatewayHasReadTheSameConfiguration() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let profile = try desk.profile(
                    "plain", "network: gateway\negress:\n  allow:\n    - {host: example.com, paths: [/**]}")
                let session = try desk.detached(["--profile", profile], session: "sleeper")
                let supervisor = try #require(try desk.json("state/sessions/\(session).json")["supervisor"]?.int)
                func command(_ pid: Int64) -> String {
                    let bytes = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline") ?? Data()
                    return String(decoding: bytes, as: UTF8.self)
                }
                let first = upstreams.gateways
                #expect(first.count == 1 && first.allSatisfy { command(Int64($0)).contains("--config\0\(desk.path)/") })
                // Twice, the second time from its second sleep.
                var last = first
                for _ in 0..<2 {
                    try #require(
                        eventually(within: 90) { command(supervisor).contains("park") }, "\(command(supervisor))")
                    for pid in last { kill(pid, SIGKILL) }
                    try #require(
                        eventually(within: 90) { upstreams.gateways.count == 1 && upstreams.gateways != last })
                    last = upstreams.gateways
                    #expect(last.allSatisfy { command(Int64($0)).contains("--config\0\(desk.path)/") })
                }
                // So what needs its credentials starts beside the session that lives.
                let beside = desk.sh(try upstreams.profile(), "echo ${ANTHROPIC_API_KEY:+a dummy}")
                #expect(beside.status == 0 && beside.output == "a dummy", "\(beside)")
                #expect(desk.carrel(["kill", session]).status == 0)
                desk.stopGateway()
                desk.environment["CARREL_GATEWAY_CONFIG"] = "gateway.yaml"
                let relative = desk.sh(["--profile", profile], "true")
                #expect(
                    relative.status == 125 && relative.errors.contains("CARREL_GATEWAY_CONFIG=gateway.yaml: expected"),
                    "\(relative)")
            }
        }

        @Test func aStartWaitsForAGatewayThatIsEnding() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let profile = try upstreams.profile()
                // Something is under way that does not end before the gateway does.
                let asking = desk.start(
                    carrel: ["run"] + profile + [
                        "--", Host.python, "-c",
                        """
                        import socket, time
                        made = socket.create_connection(('127.0.0.1', 8787))
                        made.sendall(b'GET /v1/models HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n')
                        made.recv(4096)
                        made.sendall(b'POST /v1/messages HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nContent-Length: 9\\r\\n\\r\\n{')
                        time.sleep(1)
                        print('asking', flush=True)
                        time.sleep(600)
                        """,
                    ])
                try #require(eventually(within: 90) { asking.output == "asking" }, "\(asking.errors)")
                let old = upstreams.gateways
                for pid in old { kill(pid, SIGTERM) }
                let started = desk.sh(profile, "echo started")
                #expect(started.status == 0 && started.output == "started", "\(started)")
                #expect(upstreams.gateways.count == 1 && upstreams.gateways != old)
                asking.signal(SIGTERM)
                _ = asking.finish()
            }
        }

        @Test func limitsHoldWhileNoGatewayComesUp() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let profile = try upstreams.profile()
                // A credential's program that hangs, from the second time on: the gateway gives it 30 s.
                let hanging = "6317.25"
                let program = """
                    echo >>\(desk.path)/starts; test -e \(desk.path)/hang && exec sleep \(hanging); echo secret-of-a-program
                    """
                let slow = "  slow: {command: [/bin/sh, -c, \"\(program)\"], hosts: [slow.example.com]}\n"
                try desk.write(
                    desk.read("gateway.yaml").replacing("credentials:\n", with: "credentials:\n" + slow),
                    to: "gateway.yaml")
                let sessions = (0..<2).map { _ in
                    desk.start(
                        carrel: ["run", "--timeout", "12s"] + profile + ["--", "/bin/sh", "-c", "echo up; sleep 600"])
                }
                try #require(
                    eventually(within: 90) { sessions.allSatisfy { $0.output == "up" } }, "\(sessions.map(\.errors))")
                try desk.write("", to: "hang")
                for pid in upstreams.gateways { kill(pid, SIGKILL) }
                let ended = sessions.map { $0.finish(within: 120) }
                #expect(ended.allSatisfy { $0.status == 124 }, "\(ended)")
                // The first that was started has not come to its end meanwhile, so no other could begin.
                #expect(desk.read("starts") == "\n\n")
                for pid in upstreams.gateways + Host.processes(with: "sleep\0\(hanging)") { kill(pid, SIGKILL) }
            }
        }
    }
}
