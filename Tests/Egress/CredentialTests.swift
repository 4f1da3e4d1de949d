import Documents
import EgressPolicy
import Glibc
import NIOCore
import Syscalls
import Testing

@testable import Egress

/// Rows of the attack table about credentials.
@Suite("Attacks on credentials", .serialized)
struct CredentialTests {
    private func models(_ client: Client, _ fields: String = "", path: String = "/v1/models") {
        client.send("GET \(path) HTTP/1.1\r\nHost: api.anthropic.com\r\n\(fields)\r\n")
    }

    @Test("a client's own key, cookie and authorizations are removed, and ours is sent")
    func ownKey() throws {
        try atDesk { desk throws in
            let client = try desk.tunnel("api.anthropic.com")
            models(
                client,
                "x-api-key: sk-ant-ATTACKER\r\nAuthorization: Bearer sk-ant-ATTACKER\r\nCookie: a=b\r\n"
                    + "Proxy-Authorization: Basic eDp5\r\nX-Kept: 1\r\n")
            #expect(client.answer()?.status == 200)
            let request = try #require(desk.secure.requests.first)
            #expect(request.contains("x-api-key: \(Desk.secret)\r\n"))
            #expect(request.contains("x-kept: 1\r\n"))
            for gone in ["ATTACKER", "cookie", "authorization"] {
                #expect(!request.lowercased().contains(gone.lowercased()))
            }
            let entries = desk.log(atLeast: 2)
            #expect(entries.contains { $0["credential"]?.string == "anthropic" })
            #expect(!entries.contains { $0.json().contains(Desk.secret) })
        }
    }

    @Test(
        "other paths, other spellings of them and other hosts do not get it",
        arguments: [
            "/v1/files", "//v1/files", "/v1/messages/../files", "/v1/messages/%2e%2e/files", "/v1/messages/batches",
            "/v1/skills", "/v1/organizations/x", "/v1/messages/..%2ffiles", "/v1/%66iles", "/v1/models/../files",
            "/v1/models%2f..%2ffiles", "/v1/models;/../files",
        ])
    func otherPaths(_ path: String) throws {
        try atDesk { desk throws in
            let client = try desk.tunnel("api.anthropic.com")
            client.send("POST \(path) HTTP/1.1\r\nHost: api.anthropic.com\r\nContent-Length: 2\r\n\r\n{}")
            #expect(client.answer()?.status == 403)
            #expect(desk.nothingLeft)
        }
    }

    @Test("a header in a trailer is refused")
    func trailer() throws {
        try atDesk { desk throws in
            let client = try desk.tunnel("www.example.org")
            client.send(
                "POST / HTTP/1.1\r\nHost: www.example.org\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx-api-key: a\r\n\r\n"
            )
            let status = client.answer()?.status
            #expect(status == 400 || status == 403)
            #expect(desk.nothingLeft)
        }
    }

    @Test("an upstream that echoes the key: covered in fields and bodies, whole or split anywhere")
    func echo() throws {
        try atDesk { desk throws in
            let key = Desk.secret
            let encoded = String(decoding: base64Encoded(Array("user:\(key)".utf8)), as: UTF8.self)
            desk.secure.answers { _ in
                let body = "{\"key\": \"\(key)\", \"basic\": \"\(encoded)\"}"
                return .ok(body, fields: "x-echo: \(key)\r\n")
            }
            let client = try desk.tunnel("api.anthropic.com")
            models(client)
            let answer = try #require(client.answer())
            #expect(!answer.head.contains(key) && !answer.body.contains(key))
            #expect(!answer.body.contains(encoded.dropFirst(12).dropLast(8)))
            #expect(answer.field("x-echo")?.allSatisfy { $0 == "*" } == true)
            for split in stride(from: 1, to: key.utf8.count, by: 7) {
                desk.secure.answers { _ in
                    let bytes = Array("before \(key) after".utf8)
                    let head = "HTTP/1.1 200 OK\r\ncontent-length: \(bytes.count)\r\n\r\n"
                    return Script(
                        parts: [Array(head.utf8) + bytes.prefix(7 + split), Array(bytes.dropFirst(7 + split))],
                        pause: 15)
                }
                models(client)
                let body = client.answer()?.body ?? ""
                #expect(body == "before \(String(repeating: "*", count: key.utf8.count)) after")
            }
        }
    }

    @Test("the key in the words of a status line, or in a field's name, is covered too")
    func echoInTheHead() throws {
        try atDesk { desk throws in
            let key = Desk.secret
            desk.secure.answers { _ in
                .text("HTTP/1.1 401 No key \(key)\r\nx-\(key): 1\r\nx-kept: 1\r\ncontent-length: 0\r\n\r\n")
            }
            let client = try desk.tunnel("api.anthropic.com")
            models(client)
            let answer = try #require(client.answer())
            #expect(answer.status == 401 && answer.field("x-kept") == "1")
            #expect(answer.head.hasPrefix("HTTP/1.1 401 No key ***"))
            #expect(!answer.head.lowercased().contains(key.lowercased()))
        }
    }

    @Test("the key as the name of a field that cannot be read is told to nobody")
    func echoInAnError() throws {
        try atDesk { desk throws in
            let key = Desk.secret.lowercased()
            desk.secure.answers { _ in .text("HTTP/1.1 200 OK\r\nx-\(key): \u{1}\r\ncontent-length: 0\r\n\r\n") }
            let client = try desk.tunnel("api.anthropic.com")
            models(client)
            let answer = try #require(client.answer())
            #expect(answer.status == 502 && answer.body.contains("a value with control characters"))
            #expect(!answer.body.contains(key))
            #expect(!desk.log(atLeast: 2).contains { $0.json().contains(key) })
        }
    }

    @Test(
        "a key with other characters is covered in every spelling",
        arguments: ["ab/cd+ef/0123==", "ab\\/cd+ef\\/0123==", "ab%2Fcd%2Bef%2F0123%3D%3D", "ab%2fcd%2bef%2f0123%3d%3d"])
    func spellings(_ text: String) {
        var scrubber = Scrubber(SecretText(spellingsOf: ["ab/cd+ef/0123=="]))
        let passed = String(buffer: scrubber.scrub(ByteBuffer(string: "\"\(text)\",")))
        #expect(passed == "\"\(String(repeating: "*", count: text.utf8.count))\",")
    }

    @Test("bytes that only begin like the key pass at once, and all of them")
    func scrubber() {
        let secret = SecretText(spellingsOf: ["sk-ant-secret-0123456789"])
        var scrubber = Scrubber(secret)
        var passed = ""
        for part in ["data: sk-an", "t-public sk-ant-secret-01", "2345678", "9 end sk-ant"] {
            passed += String(buffer: scrubber.scrub(ByteBuffer(string: part)))
        }
        passed += scrubber.finish().map { String(buffer: $0) } ?? ""
        #expect(passed == "data: sk-ant-public ************************ end sk-ant")
        var whole = Scrubber(secret)
        #expect(String(buffer: whole.scrub(ByteBuffer(string: "nothing of it"))) == "nothing of it")
    }

    @Test(
        "the dummy in a request to another host ends the session",
        arguments: ["header", "field name", "body", "path", "encoded path", "base64", "split", "query"])
    func tripwire(_ place: String) throws {
        try atDesk { desk throws in
            let dummy = try #require(desk.dummies["anthropic"])
            #expect(dummy.hasPrefix("sk-ant-carrel-"))
            let client = try desk.tunnel("www.example.org")
            let host = "Host: www.example.org\r\n"
            switch place {
            case "header": client.send("GET / HTTP/1.1\r\n\(host)X-Note: a\(dummy)b\r\n\r\n")
            case "field name": client.send("GET / HTTP/1.1\r\n\(host)X-\(dummy): a\r\n\r\n")
            case "path": client.send("GET /\(dummy) HTTP/1.1\r\n\(host)\r\n")
            case "query": client.send("GET /?k=\(dummy) HTTP/1.1\r\n\(host)\r\n")
            case "encoded path":
                let text = dummy.utf8.map { "%" + hexText([$0]) }.joined()
                client.send("GET /\(text) HTTP/1.1\r\n\(host)\r\n")
            case "base64":
                let text = String(decoding: base64Encoded(Array("xy\(dummy)z".utf8)), as: UTF8.self)
                client.send("GET /\(text.replacing("=", with: "")) HTTP/1.1\r\n\(host)\r\n")
            default:
                // A rule for POST: example.com in the clear.
                let plain = try desk.proxy()
                plain.send(
                    "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n")
                let body = "value=\(dummy)&"
                if place == "split" {
                    for byte in body.utf8 { plain.send("1\r\n\(Character(UnicodeScalar(byte)))\r\n") }
                } else {
                    plain.send("\(String(body.utf8.count, radix: 16))\r\n\(body)\r\n")
                }
            }
            let event = desk.event { if case .decision = $0 { true } else { false } }
            guard case .decision(let decision)? = event else {
                Issue.record("no decision")
                return
            }
            #expect(decision.action == .end && decision.reason == .tripwire)
            #expect(desk.upstreamBytes == 0)
            // And nothing goes out any more.
            let later = try desk.proxy()
            later.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(later.answer()?.status == 503)
            #expect(desk.upstreamBytes == 0)
        }
    }

    @Test("the dummy in a request that no rule allows ends the session too, unless it is to the credential's own host")
    func tripwireOfTheRefused() throws {
        try atDesk { desk throws in
            let dummy = try #require(desk.dummies["anthropic"])
            let own = try desk.tunnel("api.anthropic.com")
            own.send("GET /v1/files HTTP/1.1\r\nHost: api.anthropic.com\r\nx-api-key: \(dummy)\r\n\r\n")
            #expect(own.answer()?.status == 403)
            #expect(desk.gateway.session("s-1")?.stopped == nil)
            let other = try desk.tunnel("www.example.org")
            other.send("DELETE / HTTP/1.1\r\nHost: www.example.org\r\nX-Note: \(dummy)\r\n\r\n")
            #expect(other.answer()?.status == 403)
            let event = desk.event { if case .decision = $0 { true } else { false } }
            guard case .decision(let decision)? = event else {
                Issue.record("no decision")
                return
            }
            #expect(decision.reason == .tripwire)
            #expect(desk.nothingLeft)
        }
    }

    @Test("a credential's secret is a file's, a variable's, a program's first line, or systemd's")
    func sources() throws {
        let directory = "/tmp/carrel-credentials-\(getpid())"
        try makeDirectories(directory, mode: 0o700)
        defer { try? removeTree(directory) }
        try replaceFile(directory + "/file", with: Array("secret-of-a-file\n".utf8))
        try replaceFile(directory + "/unit", with: Array("secret-of-a-unit\n".utf8))
        setenv("CARREL_TEST_SECRET", "secret-of-a-variable", 1)
        setenv("CREDENTIALS_DIRECTORY", directory, 1)
        defer { for name in ["CARREL_TEST_SECRET", "CREDENTIALS_DIRECTORY"] { unsetenv(name) } }
        func secret(_ source: String) throws -> String? {
            let text = "credentials: {c: {\(source), hosts: [example.com]}}"
            let config = try GatewayConfig(Node.parse(Array(text.utf8), file: "gateway.yaml"), file: "gateway.yaml")
            return try CredentialStore(config.credentials, directory: directory)["c"]?.secret
        }
        #expect(try secret("file: \(directory)/file") == "secret-of-a-file")
        #expect(try secret("environment: CARREL_TEST_SECRET") == "secret-of-a-variable")
        #expect(try secret("command: [/bin/sh, -c, \"echo secret-of-a-program; echo more\"]") == "secret-of-a-program")
        #expect(try secret("systemd: unit") == "secret-of-a-unit")
        for wrong in [
            "file: \(directory)/none", "environment: CARREL_TEST_NONE", "command: [/bin/false]", "systemd: none",
            "command: [/bin/echo, short]", "command: [/bin/none]",
        ] { #expect(throws: (any Error).self, "\(wrong)") { try secret(wrong) } }
        // A program that hangs, or whose child does, is not waited for.
        for script in ["sleep 60", "echo secret-of-a-program; sleep 60", "exec >/dev/null; sleep 60"] {
            #expect(throws: GatewayError.self) {
                try output(of: ["/bin/sh", "-c", script], for: "c", within: 300_000_000)
            }
        }
        #expect(chmod(directory + "/file", 0o640) == 0)
        #expect(throws: GatewayError.self) { try secret("file: \(directory)/file") }
    }

    @Test("SIGHUP: the next request has the new secret; a secret that cannot be read changes nothing")
    func rotation() throws {
        try atDesk { desk throws in
            let client = try desk.tunnel("api.anthropic.com")
            models(client)
            #expect(client.answer()?.status == 200)
            let new = "sk-ant-api03-THE-NEXT-KEY-9876543210"
            try replaceFile(desk.directory + "/key", with: Array(new.utf8))
            try desk.gateway.reload()
            models(client)
            #expect(client.answer()?.status == 200)
            #expect(desk.secure.requests.last?.contains("x-api-key: \(new)\r\n") == true)
            // A stream that is under way goes on.
            desk.secure.answers { _ in .text("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n") }
            models(client)
            #expect(client.head() != nil && client.take(6) == Array("1\r\na\r\n".utf8))
            try desk.gateway.reload()
            try desk.secure.push("1\r\nb\r\n0\r\n\r\n")
            #expect(client.take(11) == Array("1\r\nb\r\n0\r\n\r\n".utf8))
            desk.secure.answers { _ in .ok("hello") }
            try replaceFile(desk.directory + "/key", with: Array("x".utf8))
            #expect(throws: (any Error).self) { try desk.gateway.reload() }
            models(client)
            #expect(client.answer()?.status == 200)
            #expect(desk.secure.requests.last?.contains("x-api-key: \(new)\r\n") == true)
        }
    }

    @Test("a session whose tenant the credential of its rule is not for is not taken")
    func otherTenant() throws {
        try atDesk { desk throws in
            let path = desk.directory + "/gateway.yaml"
            let bound = try String(contentsOfFile: path, encoding: .utf8)
                .replacing("hosts: [api.anthropic.com],", with: "hosts: [api.anthropic.com], tenants: [acme],")
            try replaceFile(path, with: Array(bound.utf8))
            try desk.gateway.reload()
            let refusal = #expect(throws: GatewayError.self) { try desk.secondSession().end() }
            #expect("\(try #require(refusal))".contains("anthropic, which is not for sessions of the tenant other"))
            desk.hangUp()
            try desk.comeAgain()
        }
    }

    @Test("schemes: bearer, header, basic, query")
    func schemes() {
        func written(
            _ scheme: CredentialDefinition.Scheme, query: String? = nil, beside more: [(String, String)] = []
        ) -> (HeaderFields, String?) {
            let definition = CredentialDefinition(name: "c", source: .file(""), scheme: scheme)
            var fields = HeaderFields(more)
            var query = query
            Credential(definition, secret: "secret/0123").write(into: &fields, query: &query)
            return (fields, query)
        }
        #expect(written(.bearer).0["authorization"] == "Bearer secret/0123")
        #expect(written(.header("x-key")).0["x-key"] == "secret/0123")
        #expect(written(.basic(user: "u")).0["authorization"] == "Basic dTpzZWNyZXQvMDEyMw==")
        #expect(written(.query("key"), query: "a=b&key=theirs").1 == "a=b&key=secret%2F0123")
        // The client's own in another spelling.
        let twins = written(.header("x-key"), beside: [("x_key", "theirs"), ("x-kept", "1")]).0
        #expect(twins.list.map(\.name) == ["x-kept", "x-key"])
        #expect(written(.header("x_key"), beside: [("x-key", "theirs")]).0.list.map(\.value) == ["secret/0123"])
        #expect(written(.query("key"), query: "k%65y=theirs&a=b&%6b%65%79").1 == "a=b&key=secret%2F0123")
    }

    @Test(
        "a credential that cannot be written into a request is refused when it is read",
        arguments: [
            ("scheme: header, header: content-length", "header"), ("scheme: header, header: Host", "header"),
            ("scheme: header, header: \"x-key: y\"", "header"), ("scheme: header, header: transfer-encoding", "header"),
            ("scheme: basic, user: \"a:b\"", "user"), ("methods: [get]", "GET or HEAD"),
            // Nobody who writes this means everybody.
            ("tenants: []", "c.tenants: expected at least one"), ("methods: []", "c.methods: expected at least one"),
            ("paths: []", "c.paths: expected at least one"),
        ])
    func unwritable(_ text: String, _ expected: String) throws {
        let yaml = "credentials: {c: {file: /k, hosts: [example.com], \(text)}}"
        let problems = #expect(throws: Problems.self) {
            try GatewayConfig(Node.parse(Array(yaml.utf8), file: "gateway.yaml"), file: "gateway.yaml")
        }
        #expect(problems?.list.count == 1 && problems?.description.contains(expected) == true)
    }

    @Test("a WebSocket that echoes the key: covered, before and after it is agreed on")
    func socketEcho() throws {
        let policy = Desk.policy.replacing("\"id\": \"models\"", with: "\"id\": \"models\", \"websocket\": true")
        try atDesk(policy: policy) { desk throws in
            desk.secure.answers { request in
                let switching =
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                    + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
                return Script(
                    parts: [Array((switching + request).utf8), Array("later \(request)".utf8)], pause: 100,
                    close: true)
            }
            let client = try desk.tunnel("api.anthropic.com")
            client.send(
                "GET /v1/models HTTP/1.1\r\nHost: api.anthropic.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
            #expect(client.answer()?.status == 101)
            let text = String(decoding: client.take(1 << 20), as: UTF8.self)
            #expect(text.contains("later ") && text.contains("x-api-key: ****") && !text.contains(Desk.secret))
            // What is compressed could not be covered.
            #expect(!text.contains("permessage-deflate"))
        }
    }

    @Test("a session of another tenant does not get a credential that is bound")
    func tenants() throws {
        let definition = CredentialDefinition(
            name: "c", source: .file(""), tenants: ["acme"], hosts: [try HostPattern("api.anthropic.com")],
            methods: ["GET"], paths: [try RequestPathPattern("/v1/*")])
        func isBound(_ tenant: String, _ host: String, _ method: String, _ path: String) throws -> Bool {
            definition.isBound(
                tenant: tenant, host: try HostName(host), method: method, path: try RequestPath(path))
        }
        #expect(try isBound("acme", "api.anthropic.com", "GET", "/v1/models"))
        #expect(try !isBound("other", "api.anthropic.com", "GET", "/v1/models"))
        #expect(try !isBound("acme", "example.com", "GET", "/v1/models"))
        #expect(try !isBound("acme", "api.anthropic.com", "POST", "/v1/models"))
        #expect(try !isBound("acme", "api.anthropic.com", "GET", "/v2/models"))
    }
}
