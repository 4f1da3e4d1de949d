import Documents
import Foundation
import Testing

extension Integration {
    /// Every upstream that the tests' clients ask, on the host's loopback, and a gateway that is configured to take them for
    /// the real ones.
    final class Upstreams {
        /// What the gateway has and no session may ever see.
        static let anthropicKey = "sk-ant-OPERATORS-OWN-KEY-5f0c9d27"
        static let githubToken = "ghp_OPERATORS-OWN-TOKEN-77c1e0"

        let desk: Desk
        let place: String
        private let server: Command

        /// - Parameters:
        ///   - script: what the Messages API answers.
        ///   - more: further lines of gateway.yaml.
        init(_ desk: Desk, script: String? = nil, more: String = "") throws {
            self.desk = desk
            place = try desk.directory("upstreams")
            server = Command(
                [Host.python, Host.fixtures + "/upstreams.py", place] + (script.map { ["--script", $0] } ?? []))
            let server = server
            let isUp = eventually(within: 60) { FileManager.default.fileExists(atPath: desk.path + "/upstreams/port") }
            try #require(isUp, "\(server.errors)")
            let port = desk.read("upstreams/port")
            let names = [
                "api.anthropic.com", "pypi.org", "files.pythonhosted.org", "registry.npmjs.org", "github.com",
                "example.com", "www.example.org",
            ]
            try desk.write(Self.anthropicKey + "\n", to: "keys/anthropic", mode: 0o600)
            try desk.write(Self.githubToken + "\n", to: "keys/github", mode: 0o600)
            let configuration = """
                credentials:
                  anthropic:
                    file: \(desk.path)/keys/anthropic
                    scheme: header
                    header: x-api-key
                    hosts: [api.anthropic.com]
                    prefix: sk-ant-carrel-
                  github:
                    file: \(desk.path)/keys/github
                    scheme: basic
                    user: x-access-token
                    hosts: [github.com]
                unknownModels: ceiling
                prices: \(Host.repository)/Profiles/prices/anthropic.json
                trust: \(place)/ca.pem
                resolve:
                """
            let resolve = names.map { "\n  \($0): \"127.0.0.1:\(port)\"" }.joined()
            desk.environment["CARREL_GATEWAY_CONFIG"] = try desk.write(
                configuration + resolve + "\n" + more + "\n", to: "gateway.yaml")
        }

        deinit {
            server.signal(SIGKILL)
            _ = server.finish()
        }

        /// A profile that reaches all of them.
        ///
        /// - Parameter more: further members of `egress:`.
        func profile(_ more: String = "", extends parent: String = "default") throws -> [String] {
            let lines = """
                network: gateway
                egress:
                  rules: [anthropic, pypi, npm, github-read, github-pr]
                  allow:
                    - {id: example, host: example.com, methods: [GET, HEAD, POST], paths: [/**]}
                    - {id: below, host: "*.example.org", tls: splice}
                  \(more)
                """
            return ["--profile", try desk.profile("door", extends: parent, lines)]
        }

        /// A git repository at github.com.
        func makeRepository(_ name: String) {
            let path = "\(place)/repositories/\(name)"
            Host.outside("mkdir -p '\(path)' && git init -q --bare '\(path)'")
        }

        /// What they were asked.
        func requests(to host: String? = nil) throws -> [Node] {
            try desk.read("upstreams/requests.jsonl").split(separator: "\n").map { try desk.parse(String($0)) }
                .filter { host == nil || $0["host"]?.string == host }
        }

        /// A header of a recorded request.
        static func header(_ name: String, of request: Node) -> [String] {
            (request["headers"]?.elements ?? []).compactMap {
                $0.elements?.first?.string == name ? $0.elements?.last?.string : nil
            }
        }

        /// The process numbers of this desk's gateway.
        var gateways: [Int32] { Host.processes(with: "carrel-gateway\0serve\0--state\0" + desk.state) }
    }
}
