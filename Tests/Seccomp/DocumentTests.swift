import Foundation
import Testing

/// Docs/Seccomp.md lists what the shipped profile does, so the list is made from the profile.
@Suite("Docs/Seccomp.md") struct DocumentTests {
    static let document = repository.appendingPathComponent("Docs/Seccomp.md")
    static let marker =
        "<!-- From here on made from Profiles/seccomp/agent-default.json: make it anew by CARREL_WRITE_DOCS=1 -->\n"

    static func rendered() throws -> String {
        let json = try JSONSerialization.jsonObject(with: Data(contentsOf: shippedProfile)) as! [String: Any]
        let entries = json["syscalls"] as! [[String: Any]]
        func names(_ entry: [String: Any]) -> String {
            (entry["names"] as! [String]).map { "`\($0)`" }.joined(separator: " ")
        }
        func effect(_ entry: [String: Any]) -> String {
            if entry["action"] as! String == "SCMP_ACT_ALLOW" { return "allowed" }
            return [0: "0, not called", EPERM: "EPERM", ENOMEM: "ENOMEM"][entry["errnoRet"] as! Int32] ?? "ENOSYS"
        }
        func section(_ title: String, _ wanted: String) -> String {
            let items = entries.filter { $0["args"] == nil && effect($0) == wanted }
            return "\n### \(title)\n\n" + items.map { "- \($0["comment"] as! String):\n  \(names($0))\n" }.joined()
        }
        func condition(_ arg: [String: Any]) -> String {
            func hex(_ member: String) -> String {
                let value = (arg[member] as! NSNumber).uint64Value
                return value < 256 ? "\(value)" : "0x" + String(value, radix: 16)
            }
            let signs = ["EQ": "=", "NE": "≠", "LT": "<", "LE": "≤", "GT": ">", "GE": "≥"]
            let name = "argument \(arg["index"] as! Int)"
            let op = String((arg["op"] as! String).dropFirst("SCMP_CMP_".count))
            guard let sign = signs[op] else { return "\(name) & \(hex("value")) = \(hex("valueTwo"))" }
            return "\(name) \(sign) \(hex("value"))"
        }
        let byArgument = entries.filter { $0["args"] != nil }.map { entry in
            let conditions = (entry["args"] as! [[String: Any]]).map(condition).joined(separator: ", ")
            return "| \(names(entry)) | \(conditions) | \(effect(entry)) | \(entry["comment"] as! String) |\n"
        }
        return section("Allowed", "allowed")
            + "\n### By argument\n\n| Call | If | | What |\n|---|---|---|---|\n" + byArgument.joined()
            + section("Refused with EPERM", "EPERM")
            + section("Refused with ENOSYS, as is every call not named here", "ENOSYS")
    }

    @Test("lists what the profile does")
    func current() throws {
        let text = try String(contentsOf: Self.document, encoding: .utf8)
        let parts = text.components(separatedBy: Self.marker)
        try #require(parts.count == 2)
        let made = try Self.rendered()
        if ProcessInfo.processInfo.environment["CARREL_WRITE_DOCS"] != nil {
            try (parts[0] + Self.marker + made).write(to: Self.document, atomically: true, encoding: .utf8)
        } else {
            #expect(parts[1] == made, "run the tests once with CARREL_WRITE_DOCS=1")
        }
    }

    @Test("every group of the profile says what it is for")
    func comments() throws {
        let json = try JSONSerialization.jsonObject(with: Data(contentsOf: shippedProfile)) as! [String: Any]
        for entry in json["syscalls"] as! [[String: Any]] { #expect(entry["comment"] is String, "\(entry["names"]!)") }
    }
}
