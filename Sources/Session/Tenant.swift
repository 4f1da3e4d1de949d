import Glibc
import OCISpec
import Privileges
import Syscalls

/// Whose session it is, and the range of host ids that belongs to no other tenant.
public struct Tenant: Sendable {
    /// The tenant's name.
    public let name: String
    /// Where the tenant's own files of Carrel are.
    public let path: String
    /// The first of the 65,536 user and group ids of the tenant's sessions; `nil` for an ordinary user, whose sessions
    /// all run as that user, with the user's subordinate ids (subuid(5)) around where there are any.
    public let firstID: UInt32?

    static let rangeSize: UInt32 = 65_536
    /// The upper end of what 32-bit signed programs take as an id, above the ranges of useradd(8) and systemd
    /// (systemd.io/UIDS-GIDS: 0x70000000 to 0x7ffffffe are used by nobody).
    private static let firstRange: UInt32 = 0x7000_0000
    private static let rangeCount: UInt32 = 4095

    /// The tenant's config directory on the host, made on first use.
    public var configDirectory: String { path + "/config" }

    /// Finds a tenant, or makes it: its directories, and for a root caller its range.
    ///
    /// A range is written down once and never given to another tenant, not even when its tenant is removed: files of its
    /// ids may be anywhere.
    public static func open(_ name: String, in state: StateDirectory) throws(SessionError) -> Tenant {
        try checkName(name, of: "tenant")
        let path = state["tenants/\(name)"]
        let isRoot = geteuid() == 0
        if let first = try? readRange(path), isRoot || first == nil {
            return Tenant(name: name, path: path, firstID: first)
        }
        try telling("tenant \(name)") { () throws(SystemError) in
            try makeDirectory(path, mode: 0o700)
            try makeDirectory(path + "/config", mode: 0o700)
        }
        let first = isRoot ? try allocate(name, path, state) : nil
        if first == nil {
            try telling("tenant \(name)") { () throws(SystemError) in try replaceFile(path + "/ids", with: "own\n".utf8)
            }
        }
        return Tenant(name: name, path: path, firstID: first)
    }

    /// The recorded range: `.some(nil)` where the tenant runs on its owner's own id.
    private static func readRange(_ path: String) throws(SystemError) -> UInt32?? {
        let text = try readText(path + "/ids")
        if text == "own\n" { return .some(nil) }
        guard let first = UInt32(text.dropLast()) else { throw SystemError("read", path + "/ids", errno: .ioError) }
        return .some(first)
    }

    private static func allocate(
        _ name: String, _ path: String, _ state: StateDirectory
    ) throws(SessionError) -> UInt32 {
        try withLock(state["ids"]) { file throws(SessionError) in
            // Another call may have been first.
            if let found = try? readRange(path), let first = found { return first }
            let text = try telling("ids") { () throws(SystemError) in try readAll(file, named: state["ids"]) }
            let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
            // One line a range, in order: the table is its own counter, and tells whose files an id's are.
            guard lines.count < rangeCount else {
                throw SessionError(
                    "all \(rangeCount) ranges of ids are given", fix: "use another CARREL_STATE, on another host")
            }
            let first = firstRange + UInt32(lines.count) * rangeSize
            try telling("ids") { () throws(SystemError) in
                // The table first: a range that is written and not used is lost, one that is used twice is a breach.
                let line = "\(first) \(name)\n"
                try checking("lseek", "ids") { lseek(file.rawValue, 0, SEEK_END) }
                try writeAll((text.last.map { $0 == 0x0a } ?? true ? line : "\n" + line).utf8, to: file, named: "ids")
                try checking("fsync", "ids") { fsync(file.rawValue) }
                do throws(SystemError) {
                    try replaceFile(path + "/ids", with: "\(first)\n".utf8)
                } catch {
                    // Nobody has it: each try on a full disk would take another.
                    try? truncate(file, to: text.count, named: "ids")
                    throw error
                }
            }
            return first
        }
    }

    /// The id maps of the tenant's sessions.
    ///
    /// - Parameters:
    ///   - uid: the session's user inside.
    ///   - gid: the session's group inside.
    /// - Throws: ``SessionError`` for an /etc/subuid or /etc/subgid that cannot be understood.
    func maps(
        uid: UInt32, gid: UInt32
    ) throws(SessionError) -> (users: [LinuxIDMapping], groups: [LinuxIDMapping]) {
        if let firstID {
            let all = LinuxIDMapping(containerID: 0, hostID: firstID, size: Self.rangeSize)
            return ([all], [all])
        }
        let map: IDMap
        do throws(ControlError) {
            if let lent = try IDMap.subordinate(uid: uid, gid: gid) {
                map = lent
            } else {
                map = try IDMap.own(uid: uid, gid: gid)
            }
        } catch { throw SessionError("\(error)") }
        func mappings(_ extents: IDExtents) -> [LinuxIDMapping] {
            extents.list.map { LinuxIDMapping(containerID: $0.inside, hostID: $0.outside, size: $0.count) }
        }
        return (mappings(map.users), mappings(map.groups))
    }

    /// The map under which what `owner` owns on disk is the session's own, and new files become the owner's.
    func ownerMaps(
        ownerUID: UInt32, ownerGID: UInt32, uid: UInt32, gid: UInt32
    ) -> (users: [LinuxIDMapping], groups: [LinuxIDMapping]) {
        guard let firstID else { return ([], []) }
        return (
            [LinuxIDMapping(containerID: ownerUID, hostID: firstID + uid, size: 1)],
            [LinuxIDMapping(containerID: ownerGID, hostID: firstID + gid, size: 1)]
        )
    }
}
