import Glibc
import OCISpec
import Syscalls

/// The ids that the process runs with, as seen inside its user namespace.
public struct Identity: Sendable, Equatable {
    /// Real, effective, saved and filesystem user id.
    public let uid: uid_t
    /// Real, effective, saved and filesystem group id.
    public let gid: gid_t
    /// The supplementary groups; `nil` where the user namespace does not let them be set.
    public let groups: [gid_t]?
    /// The file mode creation mask; `nil`: unchanged.
    public let umask: mode_t?

    /// The ids of an OCI process under `map`; `nil` where there is no new user namespace.
    ///
    /// A map made by the caller itself, of its own id alone, must deny setgroups(2): leaving a group can open what a
    /// file denies to that group (CVE-2014-8989). The caller's supplementary groups then *remain*, without a name
    /// inside, and still count on every file that is mounted: nothing but the choice of mounts holds against that.
    ///
    /// - Throws: `ControlError` for an id that `map` does not hold, for supplementary groups where the map denies them,
    ///   for a mask of more than the nine permission bits.
    public init(_ user: User, map: IDMap?) throws(ControlError) {
        if let map {
            if !map.users.holds(user.uid) {
                throw ControlError("process.user.uid", "\(user.uid) is not in the map of user ids (\(map.users))")
            }
            for gid in [user.gid] + user.additionalGids where !map.groups.holds(gid) {
                throw ControlError("process.user.gid", "\(gid) is not in the map of group ids (\(map.groups))")
            }
            if map.deniesSetgroups && !user.additionalGids.isEmpty {
                throw ControlError(
                    "process.user.additionalGids", "an unprivileged map of one id denies setgroups",
                    fix: "give the user subordinate ids in /etc/subuid and /etc/subgid")
            }
        }
        if let mask = user.umask, mask > 0o777 {
            throw ControlError("process.user.umask", "expected 0 to 0777, found 0\(String(mask, radix: 8))")
        }
        uid = user.uid
        gid = user.gid
        groups = map?.deniesSetgroups == true ? nil : user.additionalGids
        umask = user.umask
    }

    /// Takes on the ids: groups first, the user last, since that one takes the right to the others away.
    public func assume() throws(SystemError) {
        if let groups { try setSupplementaryGroups(groups) }
        try setGroupIDs(gid)
        try setUserIDs(uid)
        if let umask { _ = Glibc.umask(umask) }
    }
}
