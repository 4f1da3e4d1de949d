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
        case bind(path: String, withSubmounts: Bool, throughLinks: Bool)
        /// A new instance of a filesystem.
        case filesystem(type: String, options: [(key: String, value: String?)])
        /// What is mounted there already, with other attributes.
        case remount
    }

    /// Attributes to give to a mount, and to take away.
    struct Change: Equatable {
        var setting: MountAttributes = []
        var clearing: MountAttributes = []
        var isEmpty: Bool { setting.isEmpty && clearing.isEmpty }
    }

    let destination: String
    let source: Source
    /// Of the mount itself.
    let change: Change
    /// Of the mount and all below it: the options that begin with `r`.
    let changeOfAll: Change
    let propagation: MountPropagation?
    /// Whether the propagation is that of all mounts below, too.
    let propagatesAll: Bool
    let uidMappings: [LinuxIDMapping]
    let gidMappings: [LinuxIDMapping]
    /// The option `idmap` without mappings: the container's own, where the filesystem can; the ids of a read-only tree
    /// are for show, so a filesystem that cannot is no reason to refuse.
    let wantsContainerIDs: Bool
    /// `ridmap`: mounts below are id-mapped, too.
    let mapsAll: Bool
    /// `tmpcopyup`: a tmpfs begins with what it hides.
    let copiesUp: Bool
    /// The SELinux label of all that is in a filesystem of the container's own (OCI `linux.mountLabel`).
    var label: String?

    var isBind: Bool { if case .bind = source { true } else { false } }
    /// Whether the container makes it itself.
    var isOwn: Bool { if case .filesystem = source { true } else { false } }

    /// Whether it is the kernel's own view of itself, which an image must not be able to have put elsewhere.
    var isKernelView: Bool {
        if case .filesystem(let type, _) = source { type == "proc" || type == "sysfs" } else { false }
    }

    /// - Parameter recursing: whether each attribute is of all mounts below a recursive bind, as sessions are to have it;
    ///   otherwise only those whose name says so, as OCI has it.
    /// - Throws: an option that is not known, so that none is dropped without a word.
    init(_ mount: Mount, recursing: Bool = true) throws(LaunchError) {
        var here = Change()
        var below = Change()
        var bind: Bool? = mount.type == "bind" ? true : nil
        var recursive = false
        var remount = false
        var propagation: MountPropagation?
        var propagatesAll = recursing
        var wantsContainerIDs = false
        var mapsAll = false
        var copiesUp = false
        var throughLinks = true
        var data: [(key: String, value: String?)] = []
        for option in mount.options {
            if let attribute = Self.attributes[option] {
                attribute.apply(to: &here)
                continue
            }
            if option.utf8.first == UInt8(ascii: "r"), let attribute = Self.attributes[String(option.dropFirst())] {
                attribute.apply(to: &below)
                continue
            }
            switch option {
            case "defaults", "async", "nomand", "silent", "loud", "norelatime", "nolazytime", "noiversion",
                "nostrictatime", "rnorelatime", "rnostrictatime":
                break
            case "bind": bind = true
            case "rbind":
                bind = true
                recursive = true
            case "remount": remount = true
            case "private", "rprivate": propagation = .private
            case "slave", "rslave": propagation = .slave
            case "shared", "rshared": propagation = .shared
            case "unbindable", "runbindable": propagation = .unbindable
            case "idmap", "ridmap":
                wantsContainerIDs = mount.uidMappings.isEmpty
                mapsAll = option == "ridmap"
            case "tmpcopyup": copiesUp = true
            case Extensions.mountWithoutLinks: throughLinks = false
            default:
                let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                data.append((String(parts[0]), parts.count == 2 ? String(parts[1]) : nil))
            }
            if option.utf8.first == UInt8(ascii: "r"),
                ["rprivate", "rslave", "rshared", "runbindable"].contains(option)
            {
                propagatesAll = true
            }
        }
        if recursing {
            below.setting.formUnion(here.setting)
            below.clearing = here.clearing.union(below.clearing).intersection(.accessTimeMask)
            here = Change()
        }
        destination = Self.normalized(mount.destination)
        change = here
        changeOfAll = below
        self.propagation = propagation
        self.propagatesAll = propagatesAll
        uidMappings = mount.uidMappings
        gidMappings = mount.gidMappings
        self.wantsContainerIDs = wantsContainerIDs
        self.mapsAll = mapsAll || recursing
        self.copiesUp = copiesUp
        if !throughLinks && bind != true {
            throw LaunchError(
                .prepare, nil,
                "mount \(mount.destination): option \(Extensions.mountWithoutLinks) is for a bind mount alone")
        }
        if copiesUp && (mount.type != "tmpfs" || recursing) {
            throw LaunchError(.prepare, nil, "mount \(mount.destination): option tmpcopyup is for a tmpfs alone")
        }
        if remount {
            guard !recursing else {
                throw LaunchError(.prepare, nil, "mount \(mount.destination): option remount is not supported")
            }
            if let own = data.first {
                throw LaunchError(
                    .prepare, nil, "mount \(mount.destination): option \(own.key) cannot be changed by a remount")
            }
            source = .remount
        } else if bind == true {
            guard let path = mount.source else {
                throw LaunchError(.prepare, nil, "mount \(mount.destination): a bind mount needs a source")
            }
            // Ids that crun reads out of the option; nobody's files shall be seen as another's.
            if let own = data.first(where: { $0.key == "idmap" || $0.key == "ridmap" }) {
                throw LaunchError(
                    .prepare, nil,
                    "mount \(mount.destination): option \(own.key)=...: expected \(own.key), with uidMappings and gidMappings"
                )
            }
            // Options of a superblock mean nothing to a bind mount, and mount(2) takes them without a word. The last are what
            // podman and buildah hand on of `--volume`, and have done themselves.
            let general = [
                "sync", "dirsync", "lazytime", "mand", "iversion", "copy", "nocopy", "z", "Z", "U",
            ]
            if let unknown = data.first(where: { recursing || $0.value == nil && !general.contains($0.key) }) {
                throw LaunchError(
                    .prepare, nil, "mount \(mount.destination): a bind mount has no option \(unknown.key)")
            }
            source = .bind(path: path, withSubmounts: recursive, throughLinks: throughLinks)
        } else {
            guard let type = mount.type, !type.isEmpty, type != "none" else {
                throw LaunchError(.prepare, nil, "mount \(mount.destination): no type, and neither bind nor rbind")
            }
            guard mount.uidMappings.isEmpty, mount.gidMappings.isEmpty, recursing || !wantsContainerIDs else {
                throw LaunchError(.prepare, nil, "mount \(mount.destination): only bind mounts can be id-mapped here")
            }
            // What /proc/mounts shows as its source.
            if !recursing, let name = mount.source, !name.isEmpty { data.append(("source", name)) }
            // A cgroup namespace of the session's own makes this its own subtree (cgroup_namespaces(7)).
            source = .filesystem(type: type == "cgroup" && recursing ? "cgroup2" : type, options: data)
        }
    }

    /// `path` without empty names, `.`, `..` and a slash at its end: what is compared with it, such as `/dev`, is written so.
    private static func normalized(_ path: String) -> String {
        var names: [String] = []
        for name in path.utf8.split(separator: 0x2f).map({ String(Substring($0)) }) where name != "." {
            if name == ".." { _ = names.popLast() } else { names.append(name) }
        }
        return "/" + names.joined(separator: "/")
    }

    // MARK: Attributes by name

    private enum Attribute {
        case set(MountAttributes)
        case clear(MountAttributes)
        case time(MountAttributes)

        func apply(to change: inout Change) {
            switch self {
            case .set(let attribute):
                change.setting.insert(attribute)
                change.clearing.remove(attribute)
            case .clear(let attribute):
                change.setting.remove(attribute)
                change.clearing.insert(attribute)
            case .time(let mode):
                change.setting.subtract([.noAccessTime, .strictAccessTime])
                change.clearing.insert(.accessTimeMask)
                change.setting.insert(mode)
            }
        }
    }

    private static let attributes: [String: Attribute] = [
        "ro": .set(.readOnly), "rw": .clear(.readOnly), "nosuid": .set(.noSetuid), "suid": .clear(.noSetuid),
        "nodev": .set(.noDevices), "dev": .clear(.noDevices), "noexec": .set(.noExec), "exec": .clear(.noExec),
        "nosymfollow": .set(.noSymlinkFollow), "symfollow": .clear(.noSymlinkFollow),
        "nodiratime": .set(.noDirectoryAccessTime), "diratime": .clear(.noDirectoryAccessTime),
        "noatime": .time(.noAccessTime), "strictatime": .time(.strictAccessTime), "relatime": .time([]),
        "atime": .time([]),
    ]

    /// What gives a mount the options that mountinfo shows of another, and no more.
    static func change(to options: String) -> Change {
        var change = Change()
        for case .set(let attribute) in attributes.values { change.clearing.insert(attribute) }
        change.clearing.insert(.accessTimeMask)
        let names = options.split(separator: ",").map(String.init)
        // Without any of its options this is the one that is not shown.
        if !names.contains("relatime") && !names.contains("noatime") { change.setting.insert(.strictAccessTime) }
        for name in names where name != "rw" { attributes[name]?.apply(to: &change) }
        return change
    }

    /// All options that are known, in order; what is no option here is one of the filesystem's own.
    static var optionNames: [String] {
        let others = [
            "bind", "rbind", "remount", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable",
            "runbindable", "idmap", "ridmap", "tmpcopyup", "defaults", "async", "sync", "dirsync", "lazytime",
            "nolazytime", "mand", "nomand", "silent", "loud", "iversion", "noiversion", "norelatime", "nostrictatime",
            "rnorelatime", "rnostrictatime",
        ]
        return (attributes.keys + attributes.keys.map { "r" + $0 } + others).sorted()
    }

    // MARK: Making it

    /// What a new filesystem is made with at once; that it is read-only waits until other mounts have found a place in it.
    var initialAttributes: MountAttributes {
        let all = change.setting.union(changeOfAll.setting)
        return finalAttributes.isEmpty ? all : all.subtracting(.readOnly)
    }

    /// What is left to set on a filesystem of the container's own once everything is mounted.
    var finalAttributes: MountAttributes { isOwn ? change.setting.intersection(.readOnly) : [] }

    /// The mount, detached, with all its attributes: whoever holds the descriptor only has to attach it.
    ///
    /// Locked flags stay, since only the named bits are touched.
    ///
    /// - Parameters:
    ///   - userNamespace: the map of an id-mapped mount.
    ///   - inherited: the propagation where the specification says nothing of it.
    func make(
        userNamespace: FileDescriptor?, inherited: MountPropagation? = nil
    ) throws(SystemError) -> FileDescriptor {
        switch source {
        case .remount: throw SystemError("mount", destination, errno: .invalidArgument)
        case .filesystem(let type, let options):
            let options = (type == "overlay" ? Self.splittingLayers(options) : options) + labelOptions(type)
            let mount = try makeFilesystem(type, options: options, attributes: initialAttributes)
            guard type == "mqueue", let label else { return mount }
            do throws(SystemError) {
                let top = try open(".", O_RDONLY | O_DIRECTORY, at: mount)
                defer { close(top) }
                try setExtendedAttribute("security.selinux", of: top, to: label)
            } catch {
                close(mount)
                throw error
            }
            return mount
        case .bind(let path, let withSubmounts, let throughLinks):
            let mount = try cloneMount(path, withSubmounts: withSubmounts, throughLinks: throughLinks)
            do throws(SystemError) {
                try apply(to: mount, userNamespace, inherited, withSubmounts: withSubmounts, named: path)
            } catch {
                close(mount)
                throw error
            }
            return mount
        }
    }

    /// The options of an overlay, with its layers one by one (Linux 6.7) where they are longer together than the 255 bytes that
    /// fsconfig(2) takes: so long are the paths by which engines mount an image, or a volume to be written to for a while.
    private static func splittingLayers(_ options: [(key: String, value: String?)]) -> [(key: String, value: String?)] {
        var split: [(key: String, value: String?)] = []
        for option in options {
            let layers = option.key == "lowerdir" ? layers(of: option.value ?? "") : []
            // An empty one says that data alone follows, which has another option.
            if option.value?.utf8.count ?? 0 > 255 && !layers.isEmpty && !layers.contains("") {
                split += layers.map { ("lowerdir+", $0) }
            } else {
                split.append(option)
            }
        }
        return split
    }

    /// The paths in `lowerdir=`: a colon is between two, and a character after a backslash is one of the path.
    private static func layers(of value: String) -> [String] {
        var layers: [[UInt8]] = [[]]
        var isEscaped = false
        for byte in value.utf8 {
            let isLiteral = isEscaped
            isEscaped = byte == UInt8(ascii: "\\") && !isLiteral
            if isEscaped { continue }
            if byte == UInt8(ascii: ":") && !isLiteral {
                layers.append([])
            } else {
                layers[layers.count - 1].append(byte)
            }
        }
        return layers.map { String(decoding: $0, as: UTF8.self) }
    }

    /// What gives a filesystem its label as it is made (mount(8), "context"). mqueue has no such option; those that are one for
    /// the whole kernel keep what the policy says of them.
    private func labelOptions(_ type: String) -> [(key: String, value: String?)] {
        guard let label, !["proc", "sysfs", "mqueue", "cgroup", "cgroup2"].contains(type) else { return [] }
        return [("context", label)]
    }

    /// Sets the attributes on a mount: those of all below, and then its own.
    private func apply(
        to mount: FileDescriptor, _ userNamespace: FileDescriptor?, _ inherited: MountPropagation?,
        withSubmounts: Bool, named name: String
    ) throws(SystemError) {
        var here = change
        var all = changeOfAll
        if userNamespace != nil {
            if mapsAll { all.setting.insert(.idMap) } else { here.setting.insert(.idMap) }
        }
        let propagation = propagation ?? inherited
        let propagatesAll = self.propagation == nil || self.propagatesAll
        if !all.isEmpty || propagation != nil && propagatesAll {
            try setMountAttributes(
                mount, setting: all.setting, clearing: all.clearing, propagation: propagatesAll ? propagation : nil,
                userNamespace: all.setting.contains(.idMap) ? userNamespace : nil, withSubmounts: withSubmounts,
                named: name)
        }
        if !here.isEmpty || propagation != nil && !propagatesAll {
            try setMountAttributes(
                mount, setting: here.setting, clearing: here.clearing, propagation: propagatesAll ? nil : propagation,
                userNamespace: here.setting.contains(.idMap) ? userNamespace : nil, withSubmounts: false, named: name)
        }
    }

    /// Changes what is mounted at `target` (the option `remount`).
    func remount(_ target: FileDescriptor) throws(SystemError) {
        try apply(to: target, nil, nil, withSubmounts: true, named: destination)
    }

    /// Gives an attached filesystem what the specification has for it beyond its making: its propagation, and that it is
    /// read-only.
    func finish(_ mount: FileDescriptor) throws(SystemError) {
        if finalAttributes.isEmpty && propagation == nil { return }
        try setMountAttributes(
            mount, setting: finalAttributes, propagation: propagation, withSubmounts: false, named: destination)
    }
}
