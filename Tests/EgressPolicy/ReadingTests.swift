import Documents
import EgressPolicy
import Testing

@Suite struct ReadingTests {
    @Test("budget, rate and the rest are read")
    func amounts() throws {
        let read = try policy(
            """
            rules: [anthropic]
            ports: [80, 443, 8443]
            budget: {dollars: 5.25, tokens: 2000000, soft: 75%, atLimit: end}
            rate: {requests: 600/min}
            logBodies: true
            environment: {REGION: eu}
            """)
        #expect(read.budget?.microdollars == 5_250_000 && read.budget?.tokens == 2_000_000)
        #expect(read.budget?.softPercent == 75 && read.budget?.atLimit == .end)
        #expect(read.rate == EgressRate(requests: 600, interval: 60_000_000_000))
        #expect(read.ports == [80, 443, 8443] && read.logBodies && read.credentials == ["anthropic"])
        #expect(
            read.environment == [
                EgressVariable(name: "REGION", value: .text("eu")),
                EgressVariable(name: "ANTHROPIC_API_KEY", value: .credential("anthropic")),
                EgressVariable(name: "ANTHROPIC_BASE_URL", value: .relay),
            ])
        #expect(try EgressPolicy(read.node) == read)
    }

    @Test("cents stay cents")
    func dollars() throws {
        for (text, micro) in [("0.1", 100_000), ("0.07", 70_000), ("1e-6", 1), ("19.99", 19_990_000), ("3", 3_000_000)]
        {
            #expect(try policy("budget: {dollars: \(text)}").budget?.microdollars == UInt64(micro))
        }
    }

    @Test(
        "what is wrong is told with its place",
        arguments: [
            ("allow: [{host: \"*.com\", paths: [/**]}]", "p.yaml:1:16: egress.allow[0].host: expected a name of two"),
            ("allow: [{host: \"*.co.uk\", paths: [/]}]", "p.yaml:1:16: egress.allow[0].host: co.uk is a public suffix"),
            ("allow: [{host: example.com}]", "egress.allow[0].paths: expected paths such as"),
            ("allow: [{paths: [/]}]", "egress.allow[0].host: expected a host"),
            ("allow: [{host: example.com, paths: [a]}]", "egress.allow[0].paths[0]: expected a path"),
            ("allow: [{host: example.com, paths: [/a**]}]", "expected ** as a step of its own"),
            (
                "allow: [{host: example.com, paths: [/], methods: [CONNECT]}]",
                "egress.allow[0].methods[0]: expected GET or"
            ),
            ("allow: [{host: example.com, tls: splice, credential: x}]", "tls: splice passes a connection on unseen"),
            ("allow: [{host: example.com, scheme: http, paths: [/], credential: x}]", "goes in the clear"),
            ("allow: [{host: example.com, paths: [/], hots: 1}]", "egress.allow[0].hots: unknown; the fields here are"),
            (
                "allow: [{host: example.com, ports: [0], paths: [/]}]",
                "egress.allow[0].ports[0]: expected a whole number"
            ),
            (
                "allow: [{host: example.com, paths: [/], api: messages, messages: {models: []}}]",
                "messages.models: expected at least one; without"
            ),
            ("budget: {dollars: -1}", "egress.budget.dollars: expected dollars from 0"),
            ("budget: {dollars: 0.0000001}", "egress.budget.dollars: expected dollars from 0"),
            ("budget: {soft: 0%}", "egress.budget.soft: expected a part such as 60%"),
            ("budget: {at-limit: end}", "egress.budget.at-limit: unknown; "),
            ("rate: {requests: 10/day}", "egress.rate.requests: expected a rate"),
            ("ports: [53]", "port 53 is the gateway's own"),
            ("rules: [nothing]", "p.yaml:1:9: egress.rules: no set nothing"),
            ("allow: [{host: example.com, paths: [/], push: {force: true}}]", "push.branches: expected branches"),
            ("environment: {KEY: {credential: none}}", "egress.environment.KEY: credential none: no rule gives it"),
            ("rules: anthropic", "egress.rules: expected a list, found \"anthropic\""),
        ])
    func problem(_ yaml: String, _ expected: String) {
        let found = problems(yaml)
        #expect(found.count == 1 && found[0].contains(expected), "\(found)")
    }

    @Test("every problem is told at once")
    func all() {
        #expect(problems("allow: [{host: localhost, paths: [x]}, {paths: [/]}]\nports: [0]\nrate: 1").count == 5)
    }

    @Test("over the control protocol there are no sets")
    func resolved() throws {
        let node = try Node.parse(Array("rules: [anthropic]".utf8), file: "x")
        #expect(throws: Problems.self) { try EgressPolicy(node) }
    }
}
