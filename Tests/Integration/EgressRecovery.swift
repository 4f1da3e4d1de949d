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
    }
}
