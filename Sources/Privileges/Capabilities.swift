import CLibcap
import Glibc
import OCISpec
import Syscalls

/// The five capability sets of a process (capabilities(7)).
///
/// The launch sequence gives them in three steps, since each needs what the next takes away:
/// 1. `limitBounding()` needs `CAP_SETPCAP` and nothing else, so it can come first of all: at the start of the child,
///    while the parent still writes the id maps. (41 calls, 45-50 µs on the machine where this was written: the one
///    part of dropping privileges that costs anything, since the kernel copies the credentials for each.)
/// 2. `holdThroughIDs()` needs `CAP_SETPCAP` for the secure bits, and must come before `Identity.assume()`, which
///    otherwise empties the sets of a process that leaves user id 0.
/// 3. `apply()` comes after `Identity.assume()`, which needs `CAP_SETUID` and `CAP_SETGID`.
public struct Capabilities: Sendable, Equatable {
    /// What no program executed can exceed. Bit n is capability n.
    public private(set) var bounding: UInt64 = 0
    /// What is in force.
    public private(set) var effective: UInt64 = 0
    /// What can be put in force.
    public private(set) var permitted: UInt64 = 0
    /// What a file's inheritable set can add to, over execve(2). Nothing unless asked for by name: a set that is not
    /// empty lets files give capabilities back (CVE-2022-27650).
    public private(set) var inheritable: UInt64 = 0
    /// What is kept over execve(2) of an ordinary file.
    public private(set) var ambient: UInt64 = 0

    /// No capability in any set.
    public static let none = Capabilities()

    private init() {}

    /// The sets of an OCI process; `nil` is `none`.
    ///
    /// - Throws: `ControlError` naming the set for a name that is no capability of this kernel, and for sets that no
    ///   process can have: effective beyond permitted, ambient beyond permitted or inheritable, inheritable beyond
    ///   bounding.
    ///
    /// - Parameter clipping: leaves out what no process can have, instead.
    public init(_ sets: LinuxCapabilities?, clipping: Bool = false) throws(ControlError) {
        guard let sets else { return }
        bounding = try Self.mask(sets.bounding, "bounding")
        effective = try Self.mask(sets.effective, "effective")
        permitted = try Self.mask(sets.permitted, "permitted")
        inheritable = try Self.mask(sets.inheritable, "inheritable")
        ambient = try Self.mask(sets.ambient, "ambient")
        if clipping {
            effective &= permitted
            inheritable &= bounding
            ambient &= permitted & inheritable
            return
        }
        try Self.within("effective", effective, "permitted", permitted)
        try Self.within("ambient", ambient, "permitted", permitted)
        try Self.within("ambient", ambient, "inheritable", inheritable)
        try Self.within("inheritable", inheritable, "bounding", bounding)
    }

    /// Of `names` what the calling thread is permitted, in force, and nothing else.
    public init(keeping names: [String]) throws(ControlError) {
        let own = cap_get_proc()
        defer { cap_free(UnsafeMutableRawPointer(own)) }
        for value in Self.values(try Self.mask(names, "permitted")) {
            var flag = CAP_CLEAR
            if cap_get_flag(own, value, CAP_PERMITTED, &flag) == 0 && flag == CAP_SET { permitted |= 1 << value }
        }
        effective = permitted
    }

    /// For a process that hands signals on: `CAP_KILL`, where it is permitted, since whom they are for may have become
    /// another user by then; and nothing else.
    public var forSignals: Capabilities {
        var kept = Capabilities.none
        kept.permitted = permitted & 1 << 5
        kept.effective = kept.permitted
        return kept
    }

    /// Drops from the bounding set what is not in `bounding`.
    public func limitBounding() throws(SystemError) {
        for value in 0..<cap_max_bits() where bounding & 1 << value == 0 {
            try checking("prctl", "PR_CAPBSET_DROP \(value)") { cap_drop_bound(value) }
        }
    }

    /// Where all sets are to be empty, locks the secure bits such that user id 0 means nothing any more: executing a
    /// program as root, or becoming root, gives no capability. Otherwise only keeps the permitted set through
    /// `Identity.assume()`: a container of the OCI kind may well rely on its root.
    public func holdThroughIDs() throws(SystemError) {
        if self == .none {
            try checking("prctl", "PR_SET_SECUREBITS") { cap_set_secbits(Self.lockedBits) }
        } else {
            try setKeepCapabilities(true)
        }
    }

    /// Replaces the effective, permitted, inheritable and ambient sets of the calling thread.
    ///
    /// - Parameter keepingAdmin: leaves `CAP_SYS_ADMIN` permitted and effective until it is called again without: a filter
    ///   needs it where `no_new_privs` is not set (seccomp(2)).
    public func apply(keepingAdmin: Bool = false) throws(SystemError) {
        let admin: UInt64 = keepingAdmin ? 1 << 21 : 0
        guard let sets = cap_init() else { throw SystemError.last("capset") }
        defer { cap_free(UnsafeMutableRawPointer(sets)) }
        for (flag, mask) in [
            (CAP_EFFECTIVE, effective | admin), (CAP_PERMITTED, permitted | admin), (CAP_INHERITABLE, inheritable),
        ] where mask != 0 {
            let values = Self.values(mask)
            try checking("cap_set_flag") { cap_set_flag(sets, flag, Int32(values.count), values, CAP_SET) }
        }
        // capset(2) itself takes from the ambient set what is not both permitted and inheritable.
        try checking("capset") { cap_set_proc(sets) }
        if inheritable == 0 { return }
        try checking("prctl", "PR_CAP_AMBIENT_CLEAR_ALL") { cap_reset_ambient() }
        for value in Self.values(ambient) {
            try checking("prctl", "PR_CAP_AMBIENT_RAISE \(value)") { cap_set_ambient(value, CAP_SET) }
        }
    }

    /// The names of all capabilities that libcap or the kernel knows, `CAP_CHOWN` first.
    public static let names: [String] = values(.max).compactMap { value in
        let text = cap_to_name(value)
        defer { cap_free(text) }
        // One without a name is told by its number.
        return text.map { String(cString: $0).uppercased() }.flatMap { $0.hasPrefix("CAP_") ? $0 : nil }
    }

    /// `NOROOT`, `NO_SETUID_FIXUP` and `NO_CAP_AMBIENT_RAISE` set, `KEEP_CAPS` clear, and all four locked
    /// (`linux/securebits.h`, whose macros Swift does not import).
    static let lockedBits: UInt32 = 0b1110_1111

    private static func mask(_ names: [String], _ set: String) throws(ControlError) -> UInt64 {
        var mask: UInt64 = 0
        for name in names {
            var value: cap_value_t = -1
            // libcap also takes lower case, and numbers where it has no name; the specification has neither.
            guard name.hasPrefix("CAP_"), name.utf8.allSatisfy({ $0 == 0x5F || (0x41...0x5A).contains($0) }),
                cap_from_name(name, &value) == 0, value < cap_max_bits()
            else { throw ControlError("process.capabilities.\(set)", "\(name) is no capability of this kernel") }
            mask |= 1 << value
        }
        return mask
    }

    private static func within(
        _ name: String, _ mask: UInt64, _ outerName: String, _ outer: UInt64
    ) throws(ControlError) {
        guard let value = values(mask & ~outer).first else { return }
        let text = cap_to_name(value)
        defer { cap_free(text) }
        let missing = text.map { String(cString: $0).uppercased() } ?? "\(value)"
        throw ControlError(
            "process.capabilities.\(name)", "\(missing) is not in \(outerName) too, which the kernel demands")
    }

    private static func values(_ mask: UInt64) -> [cap_value_t] {
        (0..<64).filter { mask & 1 << $0 != 0 }
    }
}
