import Glibc
import Syscalls
import Testing

@testable import Session

@Suite struct TenantTests {
    /// As on a full disk, where a caller tries again and again: there are only so many ranges.
    @Test(.enabled(if: geteuid() == 0)) func aRangeThatCannotBeWrittenDownIsNotLost() throws {
        var template = Array("/tmp/carrel-tenant-tests.XXXXXX".utf8CString)
        let path = String(cString: mkdtemp(&template))
        defer { try? removeTree(path) }
        let state = try StateDirectory(path: path + "/state")
        _ = try Tenant.open("first", in: state)
        let before = try readText(state["ids"])
        try makeDirectories(state["tenants/second/ids/in-the-way"])
        for _ in 0..<3 { #expect(throws: SessionError.self) { try Tenant.open("second", in: state) } }
        #expect(try readText(state["ids"]) == before)
        try removeTree(state["tenants/second/ids"])
        let first = try #require(try Tenant.open("first", in: state).firstID)
        #expect(try Tenant.open("second", in: state).firstID == first + Tenant.rangeSize)
    }
}
