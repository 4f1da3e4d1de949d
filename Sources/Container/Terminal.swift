import CSyscalls
import Glibc
import Syscalls
import SystemPackage

/// The two ends of a container's own terminal.
struct Terminal {
    /// For the supervisor: what is typed goes in, what is shown comes out.
    let controller: FileDescriptor
    /// For the payload.
    let payload: FileDescriptor
}

extension LaunchPlan {
    /// Opens a terminal of the container's own devpts, where the specification asks for one.
    ///
    /// The ptmx is verified before it is used, and the peer opened by descriptor: an image or a racing mount could put
    /// something else in either's place (CVE-2025-52565).
    ///
    /// - Parameter root: mounts it at /dev/console in there, by descriptor, as OCI has it.
    func openTerminal(in root: RootAssembly? = nil) throws(LaunchError) -> Terminal? {
        guard wantsTerminal else { return nil }
        return try during(.terminal) { () throws(SystemError) in
            let directory = try open("/dev/pts", O_PATH | O_DIRECTORY | O_NOFOLLOW)
            defer { close(directory) }
            let controller = try open("ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW, at: directory)
            let found = try status(controller)
            guard try fileSystemKind(controller) == .devpts,
                found.st_ino == 2, found.st_rdev == UInt64(5 << 8 | 2)
            else { throw SystemError("verify ptmx", "/dev/pts/ptmx", errno: .noSuchAddressOrDevice) }
            try unlockPeer(of: controller)
            let payload = try openPeer(of: controller)
            if let size = consoleSize {
                try setWindowSize(
                    of: controller,
                    to: WindowSize(rows: UInt16(clamping: size.height), columns: UInt16(clamping: size.width)))
            }
            // The peer belongs to who runs on it, as login(1) would have it.
            try checking("fchown", "terminal") { fchown(payload.rawValue, identity.uid, gid_t.max) }
            if let root, runtime != nil {
                let console = try cloneMount("", at: payload, withSubmounts: false)
                defer { close(console) }
                try root.attach(console, at: "/dev/console", isDirectory: false, followingLinks: false)
            }
            return Terminal(controller: controller, payload: payload)
        }
    }
}
