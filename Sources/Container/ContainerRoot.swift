import Glibc
import OCISpec
import Syscalls
import SystemPackage

// Where the root of a container of the OCI runtime differs from a session's: its mount namespace can be another's, or the
// host's, so that the tree is mounted over the root filesystem's own directory there until `delete`; its devices are nodes of its own, and its propagation is for the specification to say.

extension LaunchPlan {
    /// Cuts the ties of a new mount namespace to the host's, which the kernel does only for one that is in a new user
    /// namespace, or goes into the one that is joined.
    func secludeMounts() throws(LaunchError) {
        guard runtime != nil else { return }
        try during(.filesystems) { () throws(SystemError) in
            try joined.enterMount()
            guard namespaces.contains(.mount) else { return }
            let top = try open("/", O_PATH | O_DIRECTORY)
            defer { close(top) }
            try setMountAttributes(top, propagation: inheritedPropagation, withSubmounts: true, named: "/")
        }
    }

    /// The devices in `root`, the working directory, and at last that it is read-only.
    func makeDevices(in root: RootAssembly) throws(SystemError) {
        guard runtime != nil else {
            if makesDevices { try root.makeDevices() }
            return
        }
        if makesDevices {
            try root.makeNodes(
                spec.linux?.devices ?? [], binding: hasUserNamespace,
                isMounted: mounts.contains { $0.destination == "/dev" && $0.isOwn }, hasConsole: wantsTerminal)
        }
        if let directory = try? openOrMake(process.cwd, in: root.root, isDirectory: true, throughLinks: true) {
            close(directory)
        }
        if rootReadOnly {
            try setMountAttributes(root.root, setting: .readOnly, withSubmounts: false, named: "root")
        }
    }

    /// Makes the assembled tree the root.
    func changeRoot(to root: inout RootAssembly) throws(LaunchError) {
        try during(.pivot) { () throws(SystemError) in
            guard let runtime else { return try root.pivot() }
            guard namespaces.contains(.mount), runtime.pivots else {
                try Syscalls.changeRoot(to: root.root)
                try checking("chdir", "/") { chdir("/") }
                return
            }
            try root.pivot()
            guard let name = spec.linux?.rootfsPropagation, !name.isEmpty else { return }
            let propagation: MountPropagation =
                switch name {
                case "shared", "rshared": .shared
                case "slave", "rslave": .slave
                case "unbindable", "runbindable": .unbindable
                default: .private
                }
            try setMountAttributes(
                root.root, propagation: propagation, withSubmounts: name.utf8.first == UInt8(ascii: "r"), named: "/")
        }
    }
}
