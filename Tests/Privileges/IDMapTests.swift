import Glibc
import OCISpec
import Syscalls
import SystemPackage
import Testing

@testable import Privileges

private let nobody: uid_t = 65534

/// Runs `body` as an ordinary user of the given files, in a mount namespace of its own.
private func asOrdinaryUser(
    subuid: String? = nil, subgid: String? = nil, _ body: @escaping () throws -> String
) throws -> Outcome {
    try withDirectory { directory in
        try inChild(namespaces: .mount) {
            try checking("mount", "/") { mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) }
            for (name, text) in [("subuid", subuid), ("subgid", subgid)] {
                let source = "\(directory)/\(name)"
                try replaceFile(source, with: (text ?? "").utf8, mode: 0o644)
                if !exists("/etc/\(name)") { continue }
                try checking("mount", name) { mount(source, "/etc/\(name)", nil, UInt(MS_BIND), nil) }
            }
            try setSupplementaryGroups([])
            try setGroupIDs(nobody)
            try setUserIDs(nobody)
            try setDumpable(true)
            return try body()
        }
    }
}

/// What the process of `map` sees of itself.
private let introduction = """
    id -u; id -g; cat /proc/self/setgroups; tr -s ' ' </proc/self/uid_map; tr -s ' ' </proc/self/gid_map
    """

@Suite(.enabled(if: isRoot, "needs root to become an ordinary user"))
struct IDMapTests {
    @Test func anOrdinaryUsersOwnMapDeniesSetgroups() async {
        await #expect(processExitsWith: .success) {
            let outcome = try asOrdinaryUser {
                let map = try IDMap.own(uid: 1000, gid: 1001)
                let inside = try inChild(map: map, run: ["/bin/sh", "-c", introduction]) {
                    try Identity(User(uid: 1000, gid: 1001), map: map).assume()
                    return ""
                }
                let groups = try inChild(map: map) {
                    try setSupplementaryGroups([])
                    return "changed"
                }
                return "\(map.deniesSetgroups)\n" + inside.output + groups.output
            }
            let expected = """
                true
                1000
                1001
                deny
                 1000 65534 1
                 1001 65534 1
                setgroups: Operation not permitted (1)

                """
            #expect(outcome.output == expected, "\(outcome)")
        }
    }

    @Test func rootMapsARangeAndKeepsSetgroups() async {
        await #expect(processExitsWith: .success) {
            let extents = try IDExtents([IDExtent(inside: 0, outside: 200_000, count: 65536)], "test")
            let map = try IDMap(users: extents, groups: extents)
            let user = User(uid: 1000, gid: 1001, additionalGids: [5, 6])
            let outcome = try inChild(map: map, run: ["/bin/sh", "-c", introduction + "; id -G"]) {
                try Identity(user, map: map).assume()
                return ""
            }
            #expect(
                outcome.output == "1000\n1001\nallow\n 0 200000 65536\n 0 200000 65536\n1001 5 6\n", "\(outcome)")
        }
    }

    @Test(.enabled(if: access("/usr/bin/newuidmap", X_OK) == 0, "needs newuidmap (Debian: uidmap)"))
    func subordinateIDsAreMappedAroundTheUsersOwn() async {
        await #expect(processExitsWith: .success) {
            let outcome = try asOrdinaryUser(
                subuid: "root:1:2\nnobody:300000:65536\n", subgid: "65534:400000:2000\nnobody:500000:70000\n"
            ) {
                guard let map = try IDMap.subordinate(uid: 1000, gid: 1000) else { return "no map" }
                let inside = try inChild(map: map, run: ["/bin/sh", "-c", introduction + "; id -G"]) {
                    try Identity(User(uid: 1000, gid: 1000, additionalGids: [7]), map: map).assume()
                    return ""
                }
                return inside.output
            }
            let expected = """
                1000
                1000
                allow
                 1000 65534 1
                 0 300000 1000
                 1001 301000 64535
                 1000 65534 1
                 0 400000 1000
                 1001 401000 1000
                 2001 500000 63535
                1000 7

                """
            #expect(outcome.output == expected, "\(outcome)")
        }
    }

    @Test(.enabled(if: access("/usr/bin/newuidmap", X_OK) == 0, "needs newuidmap (Debian: uidmap)"))
    func aHelpersRefusalIsTheError() async {
        await #expect(processExitsWith: .success) {
            let outcome = try asOrdinaryUser(subuid: "nobody:300000:10\n", subgid: "nobody:300000:10\n") {
                let extents = try IDExtents([IDExtent(inside: 0, outside: 100_000, count: 10)], "test")
                return try inChild(map: try IDMap(users: extents, groups: extents)).output
            }
            #expect(outcome.output.hasPrefix("user namespace: /usr/bin/newuidmap failed: newuidmap: "), "\(outcome)")
            #expect(outcome.output.contains("see /etc/subuid, /etc/subgid"), "\(outcome)")
        }
    }

    @Test func withoutSubordinateIDsThereIsNoMapAndABrokenLineIsAnError() async {
        await #expect(processExitsWith: .success) {
            let none = try asOrdinaryUser(subuid: "root:1:2\n", subgid: "root:1:2\n") {
                "\(try IDMap.subordinate(uid: 0, gid: 0) == nil)"
            }
            #expect(none.output == "true", "\(none)")
            let broken = try asOrdinaryUser(subuid: "nobody:1:2\nnobody:x:2\n", subgid: "") {
                "\(try IDMap.subordinate(uid: 0, gid: 0) == nil)"
            }
            #expect(
                broken.output == "/etc/subuid:2: expected user:first:count, found \"nobody:x:2\"\n", "\(broken)")
        }
    }

    @Test func aMapThatTheKernelRefusesNamesTheFile() async {
        await #expect(processExitsWith: .success) {
            let outcome = try asOrdinaryUser {
                let map = try IDMap.own(uid: 0, gid: 0)
                try map.write(pid: getppid())
                return "written"
            }
            #expect(outcome.output.hasPrefix("user namespace: openat /proc/"), "\(outcome)")
            #expect(outcome.output.contains("Permission denied"), "\(outcome)")
        }
    }
}

@Suite struct IdentityTests {
    private func map(_ inside: UInt32, _ count: UInt32, writer: IDMap.Writer) throws -> IDMap {
        let extents = try IDExtents([IDExtent(inside: inside, outside: 100_000, count: count)], "test")
        return IDMap(users: extents, groups: extents, writer: writer)
    }

    @Test func idsOutsideOfTheMapAreErrors() throws {
        let map = try map(10, 5, writer: .root)
        func refused(_ control: String, _ reason: String, _ user: User) {
            #expect(throws: ControlError(control, reason)) { try Identity(user, map: map) }
        }
        #expect(try Identity(User(uid: 14, gid: 10, additionalGids: [12]), map: map).groups == [12])
        refused("process.user.uid", "9 is not in the map of user ids (10 100000 5)", User(uid: 9, gid: 10))
        refused("process.user.uid", "15 is not in the map of user ids (10 100000 5)", User(uid: 15, gid: 10))
        refused("process.user.gid", "0 is not in the map of group ids (10 100000 5)", User(uid: 10, gid: 0))
        refused(
            "process.user.gid", "4294967295 is not in the map of group ids (10 100000 5)",
            User(uid: 10, gid: 10, additionalGids: [.max]))
        refused(
            "process.user.umask", "expected 0 to 0777, found 01000", User(uid: 10, gid: 10, umask: 0o1000))
    }

    @Test func supplementaryGroupsUnderAMapOfOneAreErrors() throws {
        let map = try map(10, 1, writer: .owner)
        #expect(try Identity(User(uid: 10, gid: 10), map: map).groups == nil)
        #expect(throws: ControlError.self) { try Identity(User(uid: 10, gid: 10, additionalGids: [10]), map: map) }
    }

    @Test(.enabled(if: isRoot, "needs root")) func theUmaskIsSet() async {
        await #expect(processExitsWith: .success) {
            let identity = try Identity(User(uid: 1234, gid: 1234, umask: 0o137), map: nil)
            let outcome = try inChild(run: ["/bin/sh", "-c", "umask"]) {
                try identity.assume()
                return ""
            }
            #expect(outcome.output == "0137\n", "\(outcome)")
        }
    }
}

@Suite struct IDExtentsTests {
    private func extents(_ list: [(UInt32, UInt32, UInt32)]) throws -> IDExtents {
        try IDExtents(list.map { LinuxIDMapping(containerID: $0.0, hostID: $0.1, size: $0.2) }, "linux.uidMappings")
    }

    @Test func idsAreTranslated() throws {
        let map = try extents([(0, 1000, 1), (1, 100_000, 65535)])
        #expect(map.outside(of: 0) == 1000)
        #expect(map.outside(of: 65535) == 165_534)
        #expect(map.outside(of: 65536) == nil)
        #expect(map.text == "0 1000 1\n1 100000 65535\n")
    }

    @Test(
        arguments: [
            ([], "expected at least one mapping"),
            ([(0, 0, 0)], "0 0 0 is empty or ends beyond the largest id, 4294967294"),
            ([(UInt32.max, 0, 1)], "4294967295 0 1 is empty or ends beyond the largest id, 4294967294"),
            ([(0, 1, UInt32.max)], "0 1 4294967295 is empty or ends beyond the largest id, 4294967294"),
            ([(0, 0, 10), (9, 20, 5)], "9 20 5 overlaps 0 0 10"),
            ([(0, 0, 10), (10, 9, 5)], "10 9 5 overlaps 0 0 10"),
            ([(5, 5, 1), (0, 0, 10)], "0 0 10 overlaps 5 5 1"),
        ] as [([(UInt32, UInt32, UInt32)], String)])
    func mapsThatTheKernelWouldRefuseAreErrors(list: [(UInt32, UInt32, UInt32)], reason: String) {
        #expect(throws: ControlError("linux.uidMappings", reason)) { try extents(list) }
    }

    @Test func aMapHasNoMoreThanAPageAndThreeHundredAndFortyLines() throws {
        _ = try extents((0..<340).map { ($0, $0, 1) })
        #expect(throws: ControlError.self) { try extents((0..<341).map { ($0, $0, 1) }) }
        #expect(throws: ControlError.self) { try extents((0..<250).map { (1_000_000 + $0, 2_000_000 + $0, 1) }) }
    }
}

@Suite struct SubordinateIDsTests {
    private func ranges(_ text: String) throws -> [Range<UInt32>] {
        try SubordinateIDs.parse(text, file: "/etc/subuid", user: "ann", id: 1000)
    }

    @Test func theUserIsMeantByNameOrNumber() throws {
        #expect(try ranges("ann:10:5\nbob:20:5\n\n# lent\n1000:30:5\n10:40:5") == [10..<15, 30..<35])
        #expect(try ranges("") == [])
    }

    @Test(arguments: [
        "ann:10", "ann:10:5:1", ":10:5", "ann:-1:5", "ann:+1:5", "ann: 1:5", "ann:1:5 ", "ann:1:", "ann::5", "ann",
        "ann:4294967296:1", "ann:4294967295:1", "bob:x:1", "ann:1:0x10", "ann:١:5",
    ])
    func otherLinesAreErrors(line: String) {
        let expected = ControlError("/etc/subuid:2", "expected user:first:count, found \"\(line)\"")
        #expect(throws: expected) { try ranges("ann:1:1\n\(line)\n") }
    }
}
