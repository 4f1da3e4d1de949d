import EgressPolicy
import Testing

@Suite struct HostNameTests {
    @Test("one name has one form", arguments: ["example.com", "EXAMPLE.com", "example.com.", "eXample.COM."])
    func canonical(_ raw: String) throws { #expect(try HostName(raw).text == "example.com") }

    @Test("labels and names have their lengths")
    func lengths() throws {
        let label = String(repeating: "a", count: 63)
        #expect(try HostName("\(label).com").text.count == 67)
        let longest = [label, label, label, String(repeating: "b", count: 61)].joined(separator: ".")
        #expect(try HostName(longest).text.utf8.count == 253)
        for bad in [label + "a.com", longest + "b", ""] {
            #expect(throws: EgressPolicyError.self) { try HostName(bad) }
        }
    }

    @Test(
        "what is no name is malformed",
        arguments: [
            "example.com..", ".example.com", "a..b", ".", "evil.test\0.example.com", "exam ple.com", "-a.com", "a-.com",
            "a.-b.com", "under_score.com", "ex\u{430}mple.com", "example\u{3002}com", "a/b.com", "user@example.com",
            "evil.test:443.example.com", "[::ffff:1.2.3.4%x.example.com]", "[", "example.com%00", "*.example.com",
            "a\tb",
            "example.com\r\nHost", "\u{ff45}xample.com",
        ])
    func malformed(_ raw: String) {
        #expect { try HostName(raw) } throws: { ($0 as? EgressPolicyError)?.kind == .malformed }
    }

    @Test(
        "an address in any writing is forbidden",
        arguments: [
            "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0x7f000001", "0", "0177.0.0.1", "1.2.3.4.", "a.0x",
            "example.1",
            "[::1]", "::1", "[::ffff:169.254.169.254]", "[fd00::1]", "0X7F.0.0.0X1",
        ])
    func addresses(_ raw: String) {
        #expect { try HostName(raw) } throws: { ($0 as? EgressPolicyError)?.kind == .forbidden }
    }

    @Test("the xn-- form of a homograph is a name of its own")
    func homograph() throws {
        let name = try HostName("XN--exmple-4nf.com")
        #expect(try name.text == "xn--exmple-4nf.com" && !HostPattern("example.com").matches(name))
    }
}

@Suite struct HostPatternTests {
    @Test("a wildcard holds on a label boundary and not for the name itself")
    func wildcard() throws {
        let pattern = try HostPattern("*.Example.org")
        for (name, expected) in [
            ("a.example.org", true), ("a.b.example.org", true), ("example.org", false), ("evilexample.org", false),
            ("example.org.evil.test", false), ("a.example.orga", false),
        ] { #expect(try pattern.matches(HostName(name)) == expected, "\(name)") }
        let exact = try HostPattern("example.com")
        #expect(try exact.matches(HostName("example.com")) && !exact.matches(HostName("a.example.com")))
        #expect(try !exact.matches(HostName("evil-example.com")))
    }

    @Test(
        "nobody's own name is no pattern",
        arguments: [
            "*.com", "com", "*.co.uk", "*.github.io", "*.s3.amazonaws.com", "*", "*.", "*.*.com", "a.*.com",
            "localhost",
            "*.localhost", "x.localhost", "metadata.google.internal", "*.1.2.3.4", "127.0.0.1", "*.pages.dev", "*.test",
        ])
    func refused(_ raw: String) { #expect(throws: EgressPolicyError.self) { try HostPattern(raw) } }
}

@Suite struct IPAddressTests {
    @Test(
        "no address that is not of the public internet is dialled",
        arguments: [
            "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.255",
            "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1",
            "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "168.63.129.16", "224.0.0.1", "239.1.1.1",
            "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::8.8.8.8",
            "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1",
            "fc00::1",
            "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "5f00::1", "4000::1",
        ])
    func refused(_ text: String) throws {
        let address = try #require(IPAddress(text))
        guard case .refused = checkAddress(address) else { return #expect(Bool(false), "\(text) is allowed") }
    }

    @Test(
        "public addresses are",
        arguments: [
            "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
            "128.0.0.0", "169.253.0.1", "172.15.0.1", "172.32.0.1", "192.167.0.1", "198.17.0.1", "198.20.0.1",
            "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "2001:4860:4860::8888", "2003::1",
        ])
    func allowed(_ text: String) throws {
        let address = try #require(IPAddress(text))
        #expect(checkAddress(address) == .allowed)
        #expect(address.description == text && IPAddress(address.description) == address)
    }

    @Test(
        "other writings are no addresses", arguments: ["127.1", "0x7f.1", "010.0.0.1 ", "1.2.3", "::1%lo", "", "[::1]"])
    func others(_ text: String) { #expect(IPAddress(text) == nil) }
}
