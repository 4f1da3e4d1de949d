import Crypto
import EgressPolicy
import Glibc
import NIOConcurrencyHelpers
import Syscalls

/// One credential of the operator's, as gateway.yaml describes it: where its secret is, how it is written into requests,
/// and who may have it written into which.
struct CredentialDefinition: Sendable, Equatable {
    enum Source: Sendable, Equatable {
        case file(String)
        case environment(String)
        /// A program and its arguments; the secret is the first line that it writes.
        case command([String])
        /// A credential of the gateway's own systemd unit (systemd.exec(5), `LoadCredential=`).
        case systemd(String)
    }

    enum Scheme: Sendable, Equatable {
        case bearer
        case header(String)
        case basic(user: String)
        case query(String)
    }

    var name: String
    var source: Source
    var scheme = Scheme.bearer
    /// Whose sessions may use it; empty for all.
    var tenants: [String] = []
    var hosts: [HostPattern] = []
    /// Empty for all.
    var methods: [String] = []
    /// Empty for all.
    var paths: [RequestPathPattern] = []
    /// What the dummy begins with: some clients look at it.
    var prefix = "carrel-"

    /// Whether sessions of a tenant may use it.
    func isFor(tenant: String) -> Bool { tenants.isEmpty || tenants.contains(tenant) }

    /// Whether a request may have it.
    func isBound(tenant: String, host: HostName, method: String, path: RequestPath) -> Bool {
        isFor(tenant: tenant) && hosts.contains { $0.matches(host) }
            && (methods.isEmpty || methods.contains(method)) && (paths.isEmpty || paths.contains { $0.matches(path) })
    }
}

/// A credential with its secret, which is in no description of it.
struct Credential: Sendable, CustomStringConvertible {
    let definition: CredentialDefinition
    let secret: String
    /// Every spelling in which it may come back.
    let spellings: SecretText
    /// The same in lower case.
    let lowered: SecretText

    init(_ definition: CredentialDefinition, secret: String) {
        self.definition = definition
        self.secret = secret
        var secrets = [secret]
        if case .basic(let user) = definition.scheme { secrets.append("\(user):\(secret)") }
        spellings = SecretText(spellingsOf: secrets)
        lowered = SecretText(spellings.patterns.map { $0.map { isUpper($0) ? $0 | 0x20 : $0 } })
    }

    var description: String { "credential \(definition.name)" }

    /// Writes it into a request; the client's own have been removed.
    func write(into fields: inout HeaderFields, query: inout String?) {
        switch definition.scheme {
        case .bearer: fields.append("authorization", "Bearer \(secret)")
        case .header(let name):
            let hyphened = hyphenated(name)
            fields.remove { hyphenated($0) == hyphened }
            fields.append(name, secret)
        case .basic(let user):
            let text = String(decoding: base64Encoded(Array("\(user):\(secret)".utf8)), as: UTF8.self)
            fields.append("authorization", "Basic \(text)")
        case .query(let name):
            // However the client spells its own.
            let others = (query ?? "").split(separator: "&").filter {
                percentDecoded(Array($0.prefix { $0 != "=" }.utf8)) != Array(name.utf8)
            }
            let value = String(decoding: percentEncoded(Array(secret.utf8)), as: UTF8.self)
            let key = String(decoding: percentEncoded(Array(name.utf8)), as: UTF8.self)
            query = (others + ["\(key)=\(value)"[...]]).joined(separator: "&")
        }
    }
}

/// The credentials as they were last read, and the dummies that stand for them in sessions.
final class CredentialStore: Sendable {
    private let current: NIOLockedValueBox<[String: Credential]>
    private let dummyKey: SymmetricKey

    /// - Parameter directory: where the key of the dummies is kept, so that a session's stay the same over restarts.
    init(_ definitions: [CredentialDefinition], directory: String) throws {
        let path = directory + "/dummies.key"
        if let bytes = try? readFile(path), bytes.count == 32 {
            dummyKey = SymmetricKey(data: bytes)
        } else {
            let bytes = SystemRandomNumberGenerator().bytes(32)
            try replaceFile(path, with: bytes, mode: 0o600)
            dummyKey = SymmetricKey(data: bytes)
        }
        current = NIOLockedValueBox(try Self.read(definitions))
    }

    /// Reads every secret again. Requests under way keep what they have; if one cannot be read, all stay as they were.
    func reload(_ definitions: [CredentialDefinition]) throws {
        let new = try Self.read(definitions)
        current.withLockedValue { $0 = new }
    }

    private static func read(_ definitions: [CredentialDefinition]) throws -> [String: Credential] {
        var all: [String: Credential] = [:]
        for definition in definitions { all[definition.name] = Credential(definition, secret: try secret(definition)) }
        return all
    }

    subscript(name: String) -> Credential? { current.withLockedValue { $0[name] } }

    var names: [String] { current.withLockedValue { $0.keys.sorted() } }

    /// All credentials, to look for their secrets.
    var all: [Credential] { current.withLockedValue { Array($0.values) } }

    /// What a session has in the place of a credential: made of the session's name, worth nothing anywhere.
    func dummy(for name: String, session: String) -> String {
        let code = HMAC<SHA256>.authenticationCode(for: Array("\(session)\0\(name)".utf8), using: dummyKey)
        return (self[name]?.definition.prefix ?? "carrel-") + hexText(code.prefix(20))
    }

    func dummies(session: String) -> [String: String] {
        Dictionary(uniqueKeysWithValues: names.map { ($0, dummy(for: $0, session: session)) })
    }

    private static func secret(_ definition: CredentialDefinition) throws -> String {
        do {
            return try read(definition)
        } catch let error as SystemError {
            throw GatewayError(
                "credential \(definition.name): \(error)", fix: "have gateway.yaml say where it is, or take it out")
        }
    }

    private static func read(_ definition: CredentialDefinition) throws -> String {
        let name = definition.name
        let text: String
        switch definition.source {
        case .file(let path):
            try checkOwner(path, name)
            text = try readText(path)
        case .environment(let variable):
            guard let value = getenv(variable) else {
                throw GatewayError(
                    "credential \(name): the variable \(variable) is not set",
                    fix: "set it for carrel-gateway, or use file")
            }
            text = String(cString: value)
        case .command(let arguments): text = try Egress.output(of: arguments, for: name)
        case .systemd(let file):
            guard let directory = getenv("CREDENTIALS_DIRECTORY") else {
                throw GatewayError(
                    "credential \(name): CREDENTIALS_DIRECTORY is not set",
                    fix: "add LoadCredential=\(file):... to the unit")
            }
            text = try readText("\(String(cString: directory))/\(file)")
        }
        let line = String(text.prefix { $0 != "\n" && $0 != "\r\n" }[...].trimmed)
        guard line.utf8.count >= 8, line.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw GatewayError(
                "credential \(name): expected one line of at least 8 visible ASCII characters, found other")
        }
        return line
    }

    private static func checkOwner(_ path: String, _ name: String) throws {
        let found = try withOpen(path, O_RDONLY) { descriptor throws(SystemError) in try status(descriptor) }
        guard found.st_mode & 0o077 == 0 else {
            throw GatewayError("credential \(name): \(path) can be read by others", fix: "chmod 600 \(path)")
        }
    }
}
