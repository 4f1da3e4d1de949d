import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// One entry of the specification's `mounts`, its options taken apart (OCI runtime-spec, config.md, "Mounts";
/// mount(8) for the names).
struct MountPlan {
    /// What is mounted.
    enum Source {
        /// A part of the host's tree.
        case bind(path: String, withSubmounts: Bool)
        /// A new instance of a filesystem.
        case filesystem(type: String, options: [(key: String, value: String?)])
    }

    let destination: String
    let source: Source
    let setting: MountAttributes
    let clearing: MountAttributes
    let propagation: MountPropagation?
    let uidMappings: [LinuxIDMapping]
    let gidMappings: [LinuxIDMapping]
    /// The option `idmap` without mappings: the container's own, where the filesystem can; the ids of a read-only tree
    /// are for show, so a filesystem that cannot is no reason to refuse.
    let wantsContainerIDs: Bool

    var isBind: Bool { if case .bind = source { true } else { false } }

    /// - Throws: an option that is not known, so that none is dropped without a word.
    init(_ mount: Mount) throws(LaunchError) {
        var setting: MountAttributes = []
        var clearing: MountAttributes = []
        var bind: Bool? = mount.type == "bind" ? true : nil
        var recursive = false
        var propagation: MountPropagation?
        var wantsContainerIDs = false
        var data: [(key: String, value: String?)] = []
        for option in mount.options {
            switch option {
            case "defaults", "async", "nomand", "loud", "norelatime", "diratime": break
            case "bind": bind = true
            case "rbind":
                bind = true
                recursive = true
            case "ro", "rro": setting.insert(.readOnly)
            case "rw", "rrw": setting.remove(.readOnly)
            case "nosuid", "rnosuid": setting.insert(.noSetuid)
            case "suid", "rsuid": setting.remove(.noSetuid)
            case "nodev", "rnodev": setting.insert(.noDevices)
            case "dev", "rdev": setting.remove(.noDevices)
            case "noexec", "rnoexec": setting.insert(.noExec)
            case "exec", "rexec": setting.remove(.noExec)
            case "nosymfollow", "rnosymfollow": setting.insert(.noSymlinkFollow)
            case "symfollow", "rsymfollow": setting.remove(.noSymlinkFollow)
            case "nodiratime", "rnodiratime": setting.insert(.noDirectoryAccessTime)
            case "noatime", "rnoatime":
                clearing.insert(.accessTimeMask)
                setting.insert(.noAccessTime)
            case "strictatime", "rstrictatime":
                clearing.insert(.accessTimeMask)
                setting.insert(.strictAccessTime)
            case "relatime", "rrelatime", "atime", "ratime":
                clearing.insert(.accessTimeMask)
                setting.subtract([.noAccessTime, .strictAccessTime])
            case "private", "rprivate": propagation = .private
            case "slave", "rslave": propagation = .slave
            case "shared", "rshared": propagation = .shared
            case "unbindable", "runbindable": propagation = .unbindable
            case "idmap", "ridmap": wantsContainerIDs = mount.uidMappings.isEmpty
            case "tmpcopyup", "remount", "mand":
                throw LaunchError(.prepare, nil, "mount \(mount.destination): option \(option) is not supported")
            default:
                let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                data.append((String(parts[0]), parts.count == 2 ? String(parts[1]) : nil))
            }
        }
        destination = mount.destination
        self.setting = setting
        self.clearing = clearing
        self.propagation = propagation
        uidMappings = mount.uidMappings
        gidMappings = mount.gidMappings
        self.wantsContainerIDs = wantsContainerIDs
        if bind == true {
            guard let path = mount.source else {
                throw LaunchError(.prepare, nil, "mount \(mount.destination): a bind mount needs a source")
            }
            if let unknown = data.first {
                throw LaunchError(
                    .prepare, nil, "mount \(mount.destination): a bind mount has no option \(unknown.key)")
            }
            source = .bind(path: path, withSubmounts: recursive)
        } else {
            guard let type = mount.type, !type.isEmpty, type != "none" else {
                throw LaunchError(.prepare, nil, "mount \(mount.destination): no type, and neither bind nor rbind")
            }
            guard mount.uidMappings.isEmpty, mount.gidMappings.isEmpty else {
                throw LaunchError(.prepare, nil, "mount \(mount.destination): only bind mounts can be id-mapped here")
            }
            // A cgroup namespace of the session's own makes this its own subtree (cgroup_namespaces(7)).
            source = .filesystem(type: type == "cgroup" ? "cgroup2" : type, options: data)
        }
    }

    /// The mount, detached, with all its attributes: whoever holds the descriptor only has to attach it.
    ///
    /// Locked flags stay, since only the named bits are touched. A recursive bind takes its attributes on every mount
    /// in it, stricter than the specification's `ro`.
    ///
    /// - Parameter userNamespace: the map of an id-mapped mount.
    func make(userNamespace: FileDescriptor?) throws(SystemError) -> FileDescriptor {
        switch source {
        case .filesystem(let type, let options):
            return try makeFilesystem(type, options: options, attributes: setting)
        case .bind(let path, let withSubmounts):
            let mount = try cloneMount(path, withSubmounts: withSubmounts)
            var setting = setting
            if userNamespace != nil { setting.insert(.idMap) }
            if !setting.isEmpty || !clearing.isEmpty || propagation != nil {
                do throws(SystemError) {
                    try setMountAttributes(
                        mount, setting: setting, clearing: clearing, propagation: propagation,
                        userNamespace: userNamespace, withSubmounts: withSubmounts, named: path)
                } catch {
                    close(mount)
                    throw error
                }
            }
            return mount
        }
    }
}
