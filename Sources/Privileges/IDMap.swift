import Glibc
import OCISpec
import Syscalls

/// Which ids inside a user namespace are which outside (user_namespaces(7)).
public struct IDMap: Sendable, Equatable {
    /// The user ids.
    public let users: IDExtents
    /// The group ids.
    public let groups: IDExtents
    /// Who writes it.
    let writer: Writer

    enum Writer: Sendable, Equatable {
        /// This process, privileged over the parent namespace.
        case root
        /// This process, which needs no privilege to map its own ids, once setgroups(2) is denied.
        case owner
        /// newuidmap(1) and newgidmap(1), found here.
        case helpers(users: String, groups: String)
    }

    /// Whether setgroups(2) is denied inside, for good.
    public var deniesSetgroups: Bool { writer == .owner }

    /// The mappings of an OCI specification, to be written by root directly, by an ordinary user directly if they are
    /// the user's own two ids alone, and else through newuidmap(1).
    ///
    /// - Throws: `ControlError` for extents that are empty, overlap or end beyond the largest id, and for an ordinary
    ///   user's map of other ids where newuidmap(1) is not installed.
    public init(users: IDExtents, groups: IDExtents) throws(ControlError) {
        self.users = users
        self.groups = groups
        if geteuid() == 0 {
            writer = .root
        } else if users.isOnly(geteuid()) && groups.isOnly(getegid()) {
            writer = .owner
        } else if let users = Self.helper("newuidmap"), let groups = Self.helper("newgidmap") {
            writer = .helpers(users: users, groups: groups)
        } else {
            throw ControlError(
                "linux.uidMappings", "an ordinary user can map only itself without newuidmap and newgidmap",
                fix: "install them (Debian: uidmap)")
        }
    }

    init(users: IDExtents, groups: IDExtents, writer: Writer) {
        self.users = users
        self.groups = groups
        self.writer = writer
    }

    /// The caller's own two ids as `uid` and `gid` inside, and no other.
    public static func own(uid: uid_t, gid: gid_t) throws(ControlError) -> IDMap {
        try IDMap(
            users: IDExtents([IDExtent(inside: uid, outside: geteuid(), count: 1)], "linux.uidMappings"),
            groups: IDExtents([IDExtent(inside: gid, outside: getegid(), count: 1)], "linux.gidMappings"))
    }

    /// The caller's own ids as `uid` and `gid` inside, so that the caller's files are the session's, and around them,
    /// up to 65536 ids in all, the subordinate ids that /etc/subuid and /etc/subgid give the caller; `nil` where they
    /// give none or where newuidmap(1) is not installed.
    ///
    /// - Throws: `ControlError` for a file that cannot be read or has a line that is not `user:first:count`.
    public static func subordinate(uid: uid_t, gid: gid_t) throws(ControlError) -> IDMap? {
        guard helper("newuidmap") != nil, helper("newgidmap") != nil else { return nil }
        let user = try SubordinateIDs.userName(geteuid())
        let userRanges = try SubordinateIDs.read("/etc/subuid", user: user, id: geteuid())
        let groupRanges = try SubordinateIDs.read("/etc/subgid", user: user, id: geteuid())
        if userRanges.isEmpty || groupRanges.isEmpty { return nil }
        return try IDMap(
            users: .around(uid, outside: geteuid(), userRanges, "linux.uidMappings"),
            groups: .around(gid, outside: getegid(), groupRanges, "linux.gidMappings"))
    }

    /// Writes the map of the user namespace of `pid`, a child that waits for it and is not to be made undumpable
    /// before: its /proc files would then be root's.
    ///
    /// - Throws: `ControlError` with the file or the helper that failed, and why.
    public func write(pid: pid_t) throws(ControlError) {
        switch writer {
        case .root, .owner:
            do throws(SystemError) {
                // Before the group map, else the kernel refuses that (CVE-2014-8989).
                if writer == .owner { try writeControl("deny", to: "/proc/\(pid)/setgroups") }
                try writeControl(users.text, to: "/proc/\(pid)/uid_map")
                try writeControl(groups.text, to: "/proc/\(pid)/gid_map")
            } catch {
                throw ControlError("user namespace", "\(error)", fix: "see `carrel doctor`")
            }
        case .helpers(let userHelper, let groupHelper):
            // Both at once: they write different files, and each costs a program start.
            let first = try MapHelper(userHelper, pid: pid, users)
            let second = Result { () throws(ControlError) in try MapHelper(groupHelper, pid: pid, groups) }
            try first.finish()
            try second.get().finish()
        }
    }

    /// Where an installed helper is. Never by PATH: the caller's environment does not choose a program that maps ids.
    private static func helper(_ name: String) -> String? {
        ["/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/", "/run/wrappers/bin/"].lazy.map { $0 + name }
            .first { access($0, X_OK) == 0 }
    }
}
