import Documents
import Foundation
import Testing

extension Integration {
    /// Issue 4: what agents use every day, through the gateway, with and without knowing of it.
    @Suite struct Egress {
        /// Takes the proxy away, so that a client meets the transparent path.
        static let withoutProxy =
            "unset HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy NO_PROXY no_proxy; "

        @Test(arguments: ["", withoutProxy]) func curl(setting: String) throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let inside = desk.sh(
                    try upstreams.profile(),
                    setting + """
                        exec 2>&1
                        curl -sS https://example.com/
                        curl -sS --http1.1 -d body https://example.com/echo | grep -o '"body": "body"'
                        curl -sS -o /dev/null -w '%{http_code}\\n' https://example.com/redirect
                        curl -sS https://example.com/bytes/5000000 | wc -c
                        curl -sS -o /dev/null -w '%{http_code}\\n' -X PUT https://example.com/
                        curl -sS https://evil.test/ || true
                        """)
                #expect(
                    inside.lines.prefix(5) == [
                        "example.com says hello", "\"body\": \"body\"", "302", "5000000", "403",
                    ],
                    "\(inside)")
                #expect(inside.lines.last?.contains(setting.isEmpty ? "403" : "Could not resolve") == true, "\(inside)")
                #expect(try upstreams.requests().allSatisfy { $0["host"]?.string == "example.com" })
                let usage = try #require(try desk.lastReport()["egress"])
                #expect(usage["requests"]?.int ?? 0 >= 4 && usage["denied"]?.int ?? 0 >= 2, "\(usage.json())")
                #expect(usage["bytesDown"]?.int ?? 0 > 5_000_000)
            }
        }

        @Test func gitClonesAndPushesToItsOwnBranchesAlone() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                upstreams.makeRepository("acme/app.git")
                let inside = desk.sh(
                    try upstreams.profile(),
                    Self.withoutProxy + """
                        exec 2>&1
                        cd /tmp
                        git config --global user.email a@example.com; git config --global user.name agent
                        git clone -q https://github.com/acme/app.git && cd app
                        head -c 3000000 /dev/urandom > data && git add data && git commit -qm data
                        git push -q origin HEAD:carrel/work && echo pushed
                        git push -q origin HEAD:main && echo pushed to main
                        git push -q origin HEAD:refs/tags/v1 && echo pushed a tag
                        git push -q origin :carrel/work && echo deleted
                        cd /tmp && git clone -q -b carrel/work https://github.com/acme/app.git again && ls again
                        git -C again log --format=%s
                        env | grep -c OPERATORS
                        """)
                #expect(
                    inside.lines.contains("pushed") && inside.lines.suffix(3) == ["data", "data", "0"], "\(inside)")
                for line in ["pushed to main", "pushed a tag", "deleted"] { #expect(!inside.lines.contains(line)) }
                let references = Host.outside(
                    "git -C '\(upstreams.place)/repositories/acme/app.git' for-each-ref --format='%(refname)'")
                #expect(references.output == "refs/heads/carrel/work")
                // The operator's token went out, and not by the session's hand.
                let push = try #require(
                    try upstreams.requests(to: "github.com").first { $0["method"]?.string == "POST" })
                let token = Data("x-access-token:\(Upstreams.githubToken)".utf8).base64EncodedString()
                #expect(Upstreams.header("authorization", of: push) == ["Basic " + token])
            }
        }

        @Test func pipInstalls() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let inside = desk.sh(
                    try upstreams.profile(),
                    Self.withoutProxy + """
                        pip install --quiet --no-cache-dir --disable-pip-version-check --target /tmp/p carrel-proof
                        PYTHONPATH=/tmp/p python3 -c 'import carrel_proof; print(carrel_proof.ANSWER)'
                        """)
                #expect(inside.output == "installed through the gateway", "\(inside)")
            }
        }

        @Test(.enabled(if: Host.has("node"), "Node.js is not installed")) func nodeFetchesWithoutKnowingOfAProxy()
            throws
        {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let inside = desk.sh(
                    try upstreams.profile() + ["--memory", "2GiB", "--open-files", "8192"],
                    Self.withoutProxy + """
                        node -e 'fetch("https://example.com/node").then(r => r.text()).then(t => process.stdout.write(t))'
                        if [ -x /usr/bin/npm ]; then
                            npm install --silent --no-audit --no-fund --cache /tmp/npm --prefix /tmp/n left-pad >/dev/null
                            node -e 'console.log(require("/tmp/n/node_modules/left-pad")(7, 3))'
                        else echo '  7'; fi
                        """)
                #expect(inside.lines == ["example.com says hello", "  7"], "\(inside)")
                #expect(try upstreams.requests().contains { $0["path"]?.string == "/node" })
            }
        }

        @Test(arguments: ["", withoutProxy]) func pythonRequestsAndUrllib(setting: String) throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let inside = desk.sh(
                    try upstreams.profile(),
                    setting + """
                        python3 - <<'END'
                        import urllib.request, requests
                        print(urllib.request.urlopen('https://example.com/').read().decode().strip())
                        session = requests.Session()
                        for _ in range(3): print(session.get('https://example.com/').text.strip())
                        END
                        """)
                #expect(inside.lines == [String](repeating: "example.com says hello", count: 4), "\(inside)")
            }
        }

        @Test(.enabled(if: Host.has("go"), "Go is not installed")) func goFetches() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let work = try desk.directory("work")
                try desk.write(
                    """
                    package main

                    import ("fmt"; "io"; "net/http"; "os")

                    func main() {
                        for _, transport := range []*http.Transport{{}, {Proxy: http.ProxyFromEnvironment}} {
                            transport.ForceAttemptHTTP2 = true
                            answer, err := (&http.Client{Transport: transport}).Get("https://example.com/go")
                            if err != nil { fmt.Println(err); os.Exit(1) }
                            body, _ := io.ReadAll(answer.Body)
                            fmt.Print(answer.StatusCode, " ", string(body))
                        }
                    }
                    """, to: "go/main.go")
                let built = Host.outside(
                    "cd '\(desk.path)/go' && HOME='\(desk.path)' GO111MODULE=off CGO_ENABLED=0 go build -o '\(work)/fetch' main.go",
                    timeout: 600)
                try #require(built.status == 0, "\(built)")
                let inside = desk.run(
                    try upstreams.profile() + ["--workdir", work], ["/bin/sh", "-c", "cp fetch /tmp; /workspace/fetch"])
                let allowed = desk.sh(
                    [
                        "--profile",
                        try desk.profile("run", extends: desk.path + "/profiles/door.yaml", "exec: {from: [workdir]}"),
                    ]
                        + ["--workdir", work], "/workspace/fetch")
                // Nothing that a session can write is executed, unless its profile says so.
                #expect(inside.status == 126, "\(inside)")
                #expect(allowed.lines == ["200 example.com says hello", "200 example.com says hello"], "\(allowed)")
            }
        }

        @Test func theUnixSocketIsAProxyToo() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let inside = desk.sh(
                    try upstreams.profile(),
                    """
                    python3 - <<'END'
                    import socket, ssl
                    made = socket.socket(socket.AF_UNIX)
                    made.connect('/run/carrel/gateway.sock')
                    made.sendall(b'CONNECT example.com:443 HTTP/1.1\\r\\nHost: example.com:443\\r\\n\\r\\n')
                    print(made.recv(4096).split(b'\\r\\n')[0].split()[1].decode())
                    tls = ssl.create_default_context().wrap_socket(made, server_hostname='example.com')
                    tls.sendall(b'GET / HTTP/1.1\\r\\nHost: example.com\\r\\nConnection: close\\r\\n\\r\\n')
                    answer = b''
                    while data := tls.recv(4096): answer += data
                    print(answer.split(b'\\r\\n\\r\\n')[1].decode())
                    END
                    """)
                #expect(inside.lines == ["200", "example.com says hello"], "\(inside)")
            }
        }

        @Test func theRequestLogAndCheckAgree() throws {
            try withDesk { desk in
                let upstreams = try Upstreams(desk)
                let profile = try upstreams.profile()
                desk.sh(
                    profile + ["--session", "logged"],
                    "curl -s https://example.com/seen; curl -s -X DELETE https://example.com/unseen; true")
                // A refusal is told at once, and waited for by nobody.
                var log = desk.carrel(["egress", "log", "logged", "--json"])
                _ = eventually {
                    log = desk.carrel(["egress", "log", "logged", "--json"])
                    return log.output.contains("/unseen")
                }
                let records = try log.lines.map { try desk.parse($0) }
                let seen = try #require(records.first { $0["path"]?.string == "/seen" }, "\(log)")
                let unseen = try #require(records.first { $0["path"]?.string == "/unseen" }, "\(log)")
                #expect(seen["rule"]?.string == "example" || seen["rule"]?.string?.hasSuffix("example") == true)
                #expect(seen["decision"]?.string == "allow" && unseen["decision"]?.string == "refuse")
                let nobody = desk.carrel(["egress", "log", "nobody"])
                #expect(
                    nobody.status == 125 && nobody.errors.contains("no report of a session \"nobody\""), "\(nobody)")
                let text = desk.carrel(["egress", "log"])
                #expect(text.status == 0 && text.output.contains("GET example.com/seen"), "\(text)")
                #expect(desk.carrel(["egress", "check", profile[1], "https://example.com/seen"]).status == 0)
                let refused = desk.carrel([
                    "egress", "check", profile[1], "https://example.com/unseen", "--method", "DELETE", "--json",
                ])
                #expect(refused.status == 1)
                #expect(try desk.parse(refused.output)["reason"]?.string?.contains("no method DELETE") == true)
                // An address is a request that would be refused; what is no URL is none, whatever the profile says.
                #expect(desk.carrel(["egress", "check", profile[1], "https://127.0.0.1/seen"]).status == 1)
                for url in [
                    "example.com/seen", "ftp://example.com", "https://example.com:port/", "https://a@example.com/",
                ] {
                    for name in [profile[1], "default"] {
                        let unread = desk.carrel(["egress", "check", name, url])
                        #expect(unread.status == 125 && unread.errors.contains("\(url): expected"), "\(unread)")
                    }
                }
            }
        }
    }
}
