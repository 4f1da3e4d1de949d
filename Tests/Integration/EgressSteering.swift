import Documents
import Foundation
import Glibc
import Testing

extension Integration {
    /// Issue 4: what an operator does with the door of sessions that live.
    @Suite struct EgressSteering {
        @Test func aBudgetIsToldOfAtItsSoftMarkPausesTheSessionAndIsRaised() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let work = try desk.directory("work")
                let running = desk.start(
                    carrel: ["run", "--workdir", work, "--session", "thrifty"]
                        + (try upstreams.profile("budget: {tokens: 20000, soft: 50%, atLimit: pause}")) + [
                            "--", Host.python, "-c",
                            """
                            import json, os, requests
                            body = {'model': 'claude-opus-5', 'max_tokens': 20, 'messages': [{'role': 'user', 'content': 'hi'}],
                                    'tools': [{'name': 'Bash', 'input_schema': {'type': 'object'}}]}
                            ended, notes = 0, 0
                            while True:
                                # What it was sending when it was paused goes with the gateway that is killed.
                                try: answer = requests.post(os.environ['ANTHROPIC_BASE_URL'] + '/v1/messages', json=body)
                                except requests.ConnectionError: continue
                                print(answer.status_code, answer.headers.get('x-should-retry'), flush=True)
                                if answer.status_code != 200: ended += 1
                                if ended and answer.status_code == 200: break
                            """,
                        ])
                func state() throws -> String? {
                    try desk.parse(desk.carrel(["ps", "--json"]).output).elements?.first?["state"]?.string
                }
                #expect(
                    try eventually(within: 120) { try state() == "paused" }, "\(running.output) \(running.errors)")
                let events = try desk.auditEvents().compactMap { $0["event"]?.string }
                #expect(events.filter { ["soft-mark", "pause"].contains($0) } == ["soft-mark", "pause"])
                let told = try #require(try desk.auditEvents().first { $0["event"]?.string == "soft-mark" })
                #expect(told["detail"]?.string?.contains("of 20000 tokens") == true, "\(told.json())")
                // The agent is asked, in each request from there on: it went on with its tool.
                let sizes = try upstreams.requests(to: "api.anthropic.com").map {
                    Upstreams.header("content-length", of: $0).first.flatMap { Int($0) } ?? 0
                }
                #expect(Set(sizes).count == 2 && sizes == sizes.sorted(), "\(sizes)")
                let shown = try desk.parse(desk.carrel(["budget", "show", "thrifty", "--json"]).output)
                #expect(shown["softMark"]?.bool == true && shown["tokens"]?["limit"]?.int == 20_000, "\(shown.json())")
                // A gateway that takes over knows nothing of the pause; the raise ends it all the same.
                for gateway in upstreams.gateways { kill(gateway, SIGKILL) }
                #expect(eventually(within: 120) { desk.carrel(["budget", "show", "thrifty"]).status == 0 })
                #expect(try state() == "paused")
                // What the dead one has said is there still.
                #expect(desk.read("state/gateway/gateway.log.1").contains("serving"))
                #expect(desk.carrel(["budget", "raise", "thrifty", "--tokens", "20000"]).status == 0)
                let ended = running.finish(within: 120)
                #expect(ended.status == 0 && ended.lines.contains("402 false"), "\(ended)")
                #expect(ended.lines.last == "200 None")
                #expect(ended.errors.contains("session thrifty is paused: the session's budget of 20000 tokens"))
                let usage = try #require(try desk.lastReport()["egress"])
                #expect(usage["softMarks"]?.int ?? 0 >= 1 && usage["tokens"]?.int ?? .max <= 40_000, "\(usage.json())")
            }
        }

        @Test func whatASessionHasOpenIsClosedAndItGoesOn() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let running = desk.start(
                    carrel: ["run", "--session", "tunneller", "--tenant", "acme"] + (try upstreams.profile()) + [
                        "--", Host.python, "-c",
                        """
                        import socket, ssl, urllib.request
                        made = socket.create_connection(('127.0.0.1', 3128))
                        made.sendall(b'CONNECT www.example.org:443 HTTP/1.1\\r\\nHost: www.example.org\\r\\n\\r\\n')
                        made.recv(4096)
                        # Passed on unseen, so the certificate is the upstream's own.
                        context = ssl._create_unverified_context()
                        tls = context.wrap_socket(made, server_hostname='www.example.org')
                        print('open', flush=True)
                        try: print('ended', len(tls.recv(1)), flush=True)
                        except (ConnectionError, ssl.SSLError): print('ended 0', flush=True)
                        print(urllib.request.urlopen('https://example.com/').read().decode(), flush=True)
                        """,
                    ])
                try #require(eventually(within: 60) { running.output == "open" }, "\(running.errors)")
                #expect(desk.carrel(["egress", "close", "nobody"]).status == 1)
                #expect(desk.carrel(["egress", "close"]).status == 125)
                #expect(running.output == "open")
                let closed = desk.carrel(["egress", "close", "--tenant", "acme"])
                #expect(closed.status == 0 && closed.output == "closed what 1 session had open", "\(closed)")
                let ended = running.finish()
                #expect(ended.lines == ["open", "ended 0", "example.com says hello"], "\(ended)")
                let events = try desk.auditEvents().filter { $0["event"]?.string == "close" }
                #expect(events.last?["tenant"]?.string == "acme" && events.last?.at("by.comm")?.string != nil)
            }
        }

        @Test func theRequestLogIsPutAsideAndStaysOneChain() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk, more: "log: {rotate: 4KiB}")
                let profile = try upstreams.profile()
                let following = desk.start(carrel: ["egress", "log", "--follow", "--json"])
                let inside = desk.sh(
                    profile,
                    "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do curl -s -o /dev/null https://example.com/$i || exit; done")
                #expect(inside.status == 0, "\(inside)")
                func seen(_ lines: [String]) throws -> [String] {
                    try lines.map { try desk.parse($0) }.filter { $0["event"]?.string == "response" }.compactMap {
                        $0["path"]?.string
                    }
                }
                let all = (1...12).map { "/\($0)" }
                let archives = Desk.list(desk.state + "/gateway").filter {
                    $0.hasPrefix("requests.jsonl.") && $0.last?.isNumber == true
                }
                #expect(archives.count >= 2, "\(archives)")
                // The end of a request is told in a moment.
                #expect(try eventually { try seen(desk.carrel(["egress", "log", "--json"]).lines) == all })
                #expect(
                    try eventually {
                        try seen(following.output.split(separator: "\n").map(String.init)) == all
                    }, "\(following.output)")
                following.signal(SIGKILL)
                _ = following.finish()
                let verified = desk.carrel(["egress", "verify"])
                #expect(verified.status == 0 && verified.output.hasPrefix("the chain holds"), "\(verified)")
                // A record that is changed in an archive is found.
                let archive = "gateway/" + (try #require(archives.first))
                try desk.write(
                    desk.read("state/" + archive).replacing("/2\"", with: "/3\""), to: "state/" + archive, mode: 0o600)
                let changed = desk.carrel(["egress", "verify"])
                #expect(changed.status == 1 && changed.output.contains("changed"), "\(changed)")
            }
        }

        @Test func theAuditLogIsPutAsideByHand() throws {
            try withDesk { desk in
                for _ in 0..<2 {
                    #expect(desk.sh([], "true").status == 0)
                    #expect(desk.carrel(["audit", "rotate", "--keep", "1"]).status == 0)
                }
                #expect(desk.carrel(["audit", "rotate"]).status == 125)
                #expect(desk.sh([], "true").status == 0)
                let verified = desk.carrel(["audit", "verify"])
                #expect(
                    verified.status == 0 && verified.output.contains("are in archives that are not here"), "\(verified)"
                )
                let first = try #require(try desk.auditEvents().first)
                #expect(first["event"]?.string == "rotate")
            }
        }
    }
}
