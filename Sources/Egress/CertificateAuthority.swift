import Crypto
import FoundationEssentials
import Glibc
import NIOConcurrencyHelpers
import NIOCore
import NIOSSL
import SwiftASN1
import Syscalls
import SystemPackage
import X509

/// The authority of this host, by which the gateway ends the TLS of sessions: its key never leaves the gateway's
/// directory, its certificate is mounted into sessions, and no other host trusts it.
final class CertificateAuthority: Sendable {
    /// The certificate, PEM.
    let certificatePath: String
    /// The host's authorities and this one, PEM: what a session trusts.
    let bundlePath: String
    private let certificate: Certificate
    private let key: Certificate.PrivateKey
    /// One key for all leaves: they live as long as the process, and its memory holds them all anyway.
    private let leafKey: P256.Signing.PrivateKey
    private let leaves = NIOLockedValueBox(Leaves())

    private struct Leaves {
        var contexts: [String: NIOSSLContext] = [:]
        /// Names in the order made, the oldest first.
        var order: [String] = []
    }

    /// The most leaves that are kept.
    private static let kept = 1024
    static let hostBundle = "/etc/ssl/certs/ca-certificates.crt"

    /// Opens the authority in `directory`, and makes it where it is missing.
    init(directory: String) throws {
        certificatePath = directory + "/ca.pem"
        bundlePath = directory + "/bundle.pem"
        let keyPath = directory + "/ca.key"
        leafKey = P256.Signing.PrivateKey()
        if exists(keyPath), exists(certificatePath) {
            let kept = try status(open(keyPath, O_RDONLY | O_NOFOLLOW))
            guard kept.st_mode & 0o077 == 0, kept.st_uid == geteuid() else {
                throw GatewayError(
                    "\(keyPath) must be the gateway's own and mode 0600", fix: "remove it: another is made")
            }
            key = try Certificate.PrivateKey(P256.Signing.PrivateKey(pemRepresentation: try readText(keyPath)))
            certificate = try Certificate(pemEncoded: try readText(certificatePath))
        } else {
            let signing = P256.Signing.PrivateKey()
            key = Certificate.PrivateKey(signing)
            certificate = try Self.makeRoot(key)
            try replaceFile(keyPath, with: Array(signing.pemRepresentation.utf8), mode: 0o600)
            try replaceFile(certificatePath, with: Array(Self.pem(certificate).utf8), mode: 0o644)
        }
        // The host's authorities change with its updates.
        let host = (try? readFile(Self.hostBundle)) ?? []
        try replaceFile(
            bundlePath, with: host + (host.last == 0x0A ? [] : [0x0A]) + Array(Self.pem(certificate).utf8), mode: 0o644)
    }

    private static func pem(_ certificate: Certificate) throws -> String {
        try certificate.serializeAsPEM().pemString + "\n"
    }

    private static func makeRoot(_ key: Certificate.PrivateKey) throws -> Certificate {
        let name = try DistinguishedName {
            OrganizationName("Carrel")
            CommonName("Carrel egress gateway \(hexText(SystemRandomNumberGenerator().bytes(4)))")
        }
        let now = Date()
        return try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: key.publicKey,
            notValidBefore: now - 3600, notValidAfter: now + 10 * 365 * 86400, issuer: name, subject: name,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                SubjectKeyIdentifier(hash: key.publicKey)
            },
            issuerPrivateKey: key)
    }

    /// What the gateway shows a client that asks for this name, made on first use.
    ///
    /// - Parameter names: more names that the certificate is for.
    func context(for name: String, names: [String] = []) throws -> NIOSSLContext {
        if let known = leaves.withLockedValue({ $0.contexts[name] }) { return known }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: [
                .certificate(try leaf(for: [name] + names)), .certificate(try nioCertificate(certificate)),
            ],
            privateKey: .privateKey(
                try NIOSSLPrivateKey(bytes: Array(leafKey.derRepresentation), format: .der)))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["h2", "http/1.1"]
        let context = try NIOSSLContext(configuration: configuration)
        leaves.withLockedValue { leaves in
            if leaves.contexts.updateValue(context, forKey: name) == nil { leaves.order.append(name) }
            if leaves.order.count > Self.kept { leaves.contexts[leaves.order.removeFirst()] = nil }
        }
        return context
    }

    private func leaf(for names: [String]) throws -> NIOSSLCertificate {
        let now = Date()
        let leafPublic = Certificate.PublicKey(leafKey.publicKey)
        // Some clients refuse more than 398 days; the gateway is restarted sooner.
        let leaf = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: leafPublic, notValidBefore: now - 3600,
            notValidAfter: min(certificate.notValidAfter, now + 397 * 86400), issuer: certificate.subject,
            // A common name has at most 64 characters; the name itself stands below.
            subject: try DistinguishedName { CommonName(String(names[0].prefix(64))) },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth])
                SubjectAlternativeNames(names.map { .dnsName($0) })
                SubjectKeyIdentifier(hash: leafPublic)
                AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: certificate.publicKey).keyIdentifier)
            },
            issuerPrivateKey: key)
        return try nioCertificate(leaf)
    }

    private func nioCertificate(_ certificate: Certificate) throws -> NIOSSLCertificate {
        var serializer = DER.Serializer()
        try serializer.serialize(certificate)
        return try NIOSSLCertificate(bytes: serializer.serializedBytes, format: .der)
    }
}

extension SystemRandomNumberGenerator {
    func bytes(_ count: Int) -> [UInt8] {
        var generator = self
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }
}

func hexText(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

/// What cannot be done by the gateway, why, and what makes it possible.
public struct GatewayError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What cannot be done and why.
    public let message: String
    /// What makes it possible.
    public let fix: String?

    /// Describes what cannot be done.
    public init(_ message: String, fix: String? = nil) {
        self.message = message
        self.fix = fix
    }

    /// The message and the fix.
    public var description: String { fix.map { "\(message)\n  fix: \($0)" } ?? message }
}
