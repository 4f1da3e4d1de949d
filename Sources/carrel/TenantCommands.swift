import Documents
import Options
import Session

// Commands on the bounds of tenants.

extension Command {
    static let tenantCheck = Command(
        "tenant check", in: host, operands: [Operand("FILE", completing: .file, isRepeatable: true)], options: [.json],
        "Check tenants' files whole: every error with its line",
        details: [
            """
            A tenant's file bounds all sessions of the tenant together: `/etc/carrel/tenants/NAME.yaml`, or \
            `tenants/NAME.yaml` in the state directory. Ends with 1 where a file has an error.
            """
        ])

    static let tenantShow = Command(
        "tenant show", in: host, operands: [Operand("TENANT")], options: [.json],
        "Print what bounds a tenant's sessions, and what they use",
        examples: [Example("What bounds a tenant", "carrel tenant show acme")])
}

extension Verb {
    func checkTenants(_ words: Words) throws(SessionError) -> Int32 {
        try checkFiles(words) { (file) throws(Problems) in
            guard try TenantBounds.read(file: file) == nil else { return }
            throw Problems([Problem(file: file, mark: nil, message: "expected a file, found none")])
        }
    }

    func showTenant(_ words: Words) throws(SessionError) -> Int32 {
        let (bounds, usage) = try Carrel().tenant(words.operands[0])
        if words.has(.json) {
            try put(["tenant": Node(.string(words.operands[0])), "bounds": bounds.node, "usage": usage.node])
            return 0
        }
        func size(_ bytes: Int?) -> String { bytes.map { Quantity.size($0) } ?? "-" }
        func count(_ number: Int?) -> String { number.map { "\($0)" } ?? "-" }
        var table = Table(("", .left), ("BOUND", .right), ("NOW", .right), ("PEAK", .right))
        table.add(["memory", size(bounds.memory), size(usage.memory), size(usage.memoryPeak)])
        table.add(["memory, slowed from", size(bounds.memoryHigh), "", ""])
        table.add(["tasks", count(bounds.pids), count(usage.pids), count(usage.pidsPeak)])
        table.add(["CPUs", bounds.cpus.map { "\(Double($0) / 1000)" } ?? "-", "", ""])
        table.add(["sessions", count(bounds.sessions), count(usage.sessions), ""])
        try put(table.text(Style(for: 1)) + (bounds.file.map { "from \(printable($0))\n" } ?? "no file bounds it\n"))
        return 0
    }
}
