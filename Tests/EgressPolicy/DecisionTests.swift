import EgressPolicy
import Testing

@Suite struct DecisionTests {
    private let example = """
        allow:
          - {id: site, host: example.com, paths: [/**]}
          - {id: api, host: "*.example.org", methods: [GET, POST], paths: [/v1/*, /v1/*/files/**], websocket: true}
          - {id: plain, host: example.com, scheme: http, paths: [/]}
          - {id: tunnel, host: db.example.net, ports: [5432], tls: splice}
          - {id: odd, host: odd.example.net, ports: [8443], methods: [PUT], paths: [/a*z/end], query: x=1}
        """

    @Test("a connection is decided by name and port")
    func connections() throws {
        let policy = try policy(example)
        func to(_ name: String, _ port: UInt16) throws -> ConnectionDecision {
            policy.connection(to: try HostName(name), port: port)
        }
        #expect(try to("EXAMPLE.com.", 443) == .inspect(rule: "site"))
        #expect(try to("example.com", 80) == .inspect(rule: "plain"))
        #expect(try to("db.example.net", 5432) == .splice(rule: "tunnel"))
        for (name, port) in [
            ("evil-example.com", 443), ("example.com.evil.test", 443), ("example.org", 443), ("example.com", 22),
            ("db.example.net", 443), ("x.localhost", 443), ("localhost", 443), ("metadata.google.internal", 80),
        ] as [(String, UInt16)] {
            guard case .refuse = try to(name, port) else { return #expect(Bool(false), "\(name):\(port) is allowed") }
        }
        #expect(try policy.resolves(HostName("db.example.net")) && !policy.resolves(HostName("net.example")))
    }

    @Test(
        "a request needs host, port, scheme, method, path and query of one rule",
        arguments: [
            ("GET", "https://example.com/", "site"), ("GET", "https://example.com//a", "site"),
            ("POST", "https://example.com/", nil), ("GET", "http://example.com/", "plain"),
            ("GET", "http://example.com/x", nil), ("GET", "http://example.com:443/", nil),
            ("GET", "https://example.com:80/", nil), ("POST", "https://a.example.org/v1/x", "api"),
            ("POST", "https://a.example.org/v1/x/files/1/2", "api"), ("POST", "https://a.example.org/v1/", nil),
            ("POST", "https://a.example.org/v1", nil), ("POST", "https://a.example.org/v1/x/y", nil),
            ("POST", "https://a.example.org/v1/x/files/", nil), ("POST", "https://a.example.org//v1/x", nil),
            ("POST", "https://a.example.org/%76%31/x", "api"), ("POST", "https://a.example.org/v1%2Fx", nil),
            ("POST", "https://a.example.org/v1/x%2fy", nil), ("POST", "https://a.example.org/v1/x%255cy", nil),
            ("get", "https://example.com/", nil), ("TRACE", "https://example.com/", nil),
            ("GET", "https://db.example.net:5432/", nil), ("PUT", "https://odd.example.net:8443/abcz/end?x=1", "odd"),
            ("PUT", "https://odd.example.net:8443/az/end?x=1", "odd"),
            ("PUT", "https://odd.example.net:8443/abcz/end", nil),
            ("PUT", "https://odd.example.net:8443/abcz/end?x=1&y", nil),
            ("PUT", "https://odd.example.net:8443/abc/end?x=1", nil),
        ] as [(String, String, String?)])
    func requests(_ method: String, _ url: String, _ rule: String?) throws {
        #expect(try policy(example).rule(method, url) == rule)
    }

    @Test(
        "dot steps are refused in any writing, also where everything is allowed",
        arguments: [
            "/a/../b", "/..", "/.", "/a/./b", "/%2e%2e/b", "/a/.%2E/b", "/a/%2e", "/a%2f..%2fb", "/a/..%2f",
            "/a/..;x/b",
            "/%252e%252e/b", "/a%5c..%5cb", "/a\\..\\b",
        ])
    func dots(_ path: String) throws { #expect(try policy(example).rule("GET", "https://example.com" + path) == nil) }

    @Test("patterns mean what they say, whatever is between their wildcards")
    func patterns() throws {
        func means(_ pattern: String, _ path: String) throws -> Bool {
            try RequestPathPattern(pattern).matches(RequestPath(path))
        }
        for (pattern, path, isMeant) in [
            ("/*-*.gz", "/a-b-c.gz", true), ("/*-*.gz", "/-.gz", true), ("/*-*.gz", "/a.gz", false),
            ("/a*b*c", "/abbbc", true), ("/a*b*c", "/ac", false), ("/*", "/", false), ("/*/", "/a/", true),
            ("/**/x/**", "/a/x/b", true), ("/**/x/**", "/x/b", false), ("/**/x/**", "/a/x/", false),
            ("/**/x/**", "/a/x/x/b/", true), ("/**/x", "/a/x/x", true), ("/**/x", "/x", false), ("/**/", "/a/", true),
            ("/a/**", "/a/", false), ("/a/**", "/a", false), ("/a/**/b/**/c", "/a/1/b/2/b/3/c", true),
            ("/*-*.gz", "/a%2fb-c.gz", false), ("/*-*.gz", "/a%20b-c.gz", true),
        ] { #expect(try means(pattern, path) == isMeant, "\(pattern) \(path)") }
        func allows(_ glob: String, _ name: String) -> Bool {
            PushPolicy(branches: [glob]).allows(reference: "refs/heads/" + name)
        }
        #expect(allows("carrel/*", "carrel/a/b") && allows("*/x-*", "a/x-1/x-2") && allows("*", ""))
        #expect(!allows("carrel/*", "carrels/a") && !allows("*/x-*", "a/x") && !allows("", "a"))
    }

    @Test("no path or branch takes long, however often it nearly fits", .timeLimit(.minutes(1)))
    func longest() throws {
        let step = "/" + String(repeating: "-", count: 30_000) + "%41%"
        #expect(try !RequestPathPattern("/*-*-*.gz").matches(RequestPath(step)))
        let steps = String(repeating: "/a", count: 20_000)
        #expect(try !RequestPathPattern("/**/a/**/a/**/b").matches(RequestPath(steps)))
        let branch = "refs/heads/" + String(repeating: "a", count: 30_000)
        #expect(!PushPolicy(branches: ["*a*a*a*b"]).allows(reference: branch))
    }

    @Test("what is no path is refused", arguments: ["", "a", "*", "/\u{e9}", "/ a", "/a#b"])
    func paths(_ path: String) throws {
        let facts = RequestFacts(
            host: try HostName("example.com"), port: 443, scheme: .https, method: "GET", path: path)
        guard case .refuse = try policy(example).request(facts) else { return #expect(Bool(false), "allowed") }
    }

    @Test("a URL that nobody sends as it is is none")
    func unsent() throws {
        for url in [
            "https://example.com/a#b", "https://example.com/a?b#c", "https://example.com#a",
            "https://example.com/a?\u{e9}",
            "https://example.com/a b",
        ] {
            #expect(throws: EgressPolicyError.self) { try RequestFacts(url: url, method: "GET") }
        }
    }

    @Test("an escaped line break is a part of its step")
    func lineBreak() throws {
        #expect(try RequestPath("/%0d%0aX:1/%7Ea").text == "/%0d%0aX:1/~a")
        #expect(try policy(example).rule("GET", "https://example.com/%0d%0aX:1") == "site")
    }

    @Test("a WebSocket needs a grant")
    func webSocket() throws {
        #expect(try policy(example).rule("GET", "https://a.example.org/v1/x", webSocket: true) == "api")
        #expect(try policy(example).rule("GET", "https://example.com/", webSocket: true) == nil)
    }

    @Test("one rule that wants to see requests has the connection inspected")
    func mixed() throws {
        let rules = "{host: example.com, tls: splice}, {id: see, host: example.com, paths: [/**]}"
        #expect(
            try policy("allow: [\(rules)]").connection(to: HostName("example.com"), port: 443) == .inspect(rule: "see"))
    }

    @Test("nothing is allowed by nothing")
    func empty() throws {
        #expect(try policy("{}").isEmpty && policy("{}").rule("GET", "https://example.com/") == nil)
    }
}

@Suite struct ShippedSetTests {
    static let names = ["anthropic", "crates", "debian", "github-pr", "github-read", "go", "nix", "npm", "pypi"]

    @Test("each set is sound, and written out the same policy is read back", arguments: names)
    func sound(_ name: String) throws {
        let policy = try policy("rules: [\(name)]")
        #expect(!policy.isEmpty && policy.rules.allSatisfy { $0.id.hasPrefix(name + "/") && !$0.host.isWildcard })
        #expect(try EgressPolicy(policy.node) == policy)
        #expect(try EgressPolicy(policy.node).node.json() == policy.node.json())
    }

    @Test(
        "anthropic is the Messages API and no more",
        arguments: [
            ("POST", "/v1/messages", true), ("POST", "/v1/messages?beta=true", true),
            ("POST", "/v1/messages/count_tokens", true), ("GET", "/v1/models", true),
            ("GET", "/v1/models/claude-x", true),
            ("GET", "/v1/messages", false), ("POST", "/v1/files", false), ("GET", "/v1/files", false),
            ("POST", "/v1/messages/batches", false), ("POST", "/v1/skills", false), ("POST", "//v1/files", false),
            ("POST", "/v1/messages/../files", false), ("POST", "/v1/messages/%2e%2e/files", false),
            ("POST", "//v1/messages", false), ("GET", "/v1/organizations/users", false), ("POST", "/v1/models", false),
            ("POST", "/v1/complete", false), ("POST", "/v1/messages/", false), ("GET", "/v1/models/a/b", false),
            ("HEAD", "/", false),
        ])
    func anthropic(_ method: String, _ path: String, _ isAllowed: Bool) throws {
        let decision = try policy("rules: [anthropic]").decision(method, "https://api.anthropic.com" + path)
        guard case .allow(let allowed) = decision else { return #expect(!isAllowed) }
        #expect(isAllowed && allowed.credential == "anthropic" && !allowed.credentialIsOptional)
        #expect(allowed.isMessagesAPI == (method == "POST") && (allowed.bodyRules != nil) == allowed.isMessagesAPI)
    }

    @Test(
        "the Messages API is metered whichever rule lets it through, and however its path is spelled",
        arguments: [
            "/v1/messages", "//v1/messages", "/v1//messages", "/V1/Messages", "/v1%2fmessages", "/v1%252Fmessages",
            "/v1/mess%61ges", "/v1\\messages", "/v1/messages/", "/v1/messages;x",
            "/v1;x/messages", "/v1/;x/messages", "/v1%3bx/messages", "/v1/complete",
        ])
    func metered(_ path: String) throws {
        let own = try policy("allow: [{host: api.anthropic.com, methods: [POST], paths: [/**]}]")
        guard case .allow(let allowed) = try own.decision("POST", "https://api.anthropic.com" + path) else {
            return #expect(Bool(false))
        }
        #expect(allowed.isMessagesAPI && allowed.bodyRules == MessagesBodyRules())
    }

    @Test("github-read clones and does not push; github-pr pushes to carrel/* alone")
    func github() throws {
        let read = try policy("rules: [github-read]")
        let refs = "https://github.com/a/b.git/info/refs?service="
        #expect(try read.rule("GET", refs + "git-upload-pack") == "github-read/fetch-discovery")
        #expect(try read.rule("POST", "https://github.com/a/b/git-upload-pack") == "github-read/fetch")
        #expect(try read.rule("GET", refs + "git-receive-pack") == nil)
        #expect(try read.rule("GET", refs + "git-upload-pack&service=git-receive-pack") == nil)
        #expect(try read.rule("POST", "https://github.com/a/b/git-receive-pack") == nil)
        #expect(try read.rule("POST", "https://api.github.com/repos/a/b/issues") == nil)
        let both = try policy("rules: [github-read, github-pr]")
        let push = try both.decision("POST", "https://github.com/a/b/git-receive-pack")
        guard case .allow(let allowed) = push, let rules = allowed.pushPolicy else { return #expect(Bool(false)) }
        #expect(rules.allows(reference: "refs/heads/carrel/x/y") && !rules.force && !rules.delete)
        for name in [
            "refs/heads/main", "refs/tags/carrel/x", "refs/heads/carrel", "refs/heads/carrel/../main", "HEAD",
            "refs/heads/Carrel/x", "refs/pull/1/head",
        ] { #expect(!rules.allows(reference: name), "\(name)") }
    }

    @Test("registries are there to read")
    func registries() throws {
        let all = try policy("rules: [\(Self.names.joined(separator: ", "))]")
        for url in [
            "https://registry.npmjs.org/@babel%2fcore", "https://registry.npmjs.org/left-pad/-/left-pad-1.3.0.tgz",
            "https://pypi.org/simple/requests/", "https://files.pythonhosted.org/packages/ab/cd/x-1.whl",
            "https://index.crates.io/se/rd/serde", "https://static.crates.io/crates/serde/serde-1.0.0.crate",
            "https://proxy.golang.org/github.com/!burnt!sushi/toml/@v/v1.0.0.zip",
            "https://sum.golang.org/lookup/golang.org/x/text@v0.3.0",
            "http://deb.debian.org/debian/dists/bookworm/Release",
            "https://cache.nixos.org/nar/x.nar.xz", "https://codeload.github.com/a/b/tar.gz/main",
        ] {
            #expect(try all.rule("GET", url) != nil, "\(url)")
            #expect(try all.rule("PUT", url) == nil && all.rule("POST", url) == nil, "\(url)")
        }
    }
}
