import Glibc
import Syscalls
import SystemPackage

/// What a new process enters a cgroup by. The descriptors are close-on-exec.
public struct CgroupEntry: Sendable {
    /// The directory for `CLONE_INTO_CGROUP`; `nil` where this kernel would kill the child at birth, so that
    /// ``enter()`` moves it instead.
    public let cloneInto: FileDescriptor?
    let files: [FileDescriptor]

    /// Takes the calling process, which has one thread, into what ``cloneInto`` has not: to be called first of all in the
    /// child, with its first user id, and before it makes a cgroup namespace of its own, whose root is where it is then.
    public func enter() throws(SystemError) {
        var zero = UInt8(ascii: "0")
        for file in files { try retrying("write", "tasks of the cgroup") { Glibc.write(file.rawValue, &zero, 1) } }
    }

    /// Closes the descriptors.
    public func close() {
        if let cloneInto { Syscalls.close(cloneInto) }
        files.forEach(Syscalls.close)
    }
}

extension Cgroup {
    /// Opens the ways into the cgroup for a process that is about to be cloned; throws ``CgroupError/frozen(_:)`` where that
    /// would never begin.
    public func entry() throws(CgroupError) -> CgroupEntry {
        if try isFrozen() { throw .frozen(directory) }
        return try entry(directory, directories, isNew: isNew)
    }

    /// The ways into a cgroup in this one, in every hierarchy that has it, for another process of a container.
    public func entry(below: CgroupPath) throws(CgroupError) -> CgroupEntry {
        let names = "/\(below)"
        _ = try kernel { () throws(SystemError) in try status(directory + names, followingLinks: false) }
        return try entry(
            directory + names, directories.mapValues { exists($0 + names) ? $0 + names : $0 }, isNew: false)
    }

    private func entry(
        _ directory: String, _ directories: [String: String], isNew: Bool
    ) throws(CgroupError) -> CgroupEntry {
        let into = try Cgroups.open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        do throws(CgroupError) {
            var files = try tree.entries(in: directories)
            guard try host.killsAtBirth(into, isNew: isNew) else { return CgroupEntry(cloneInto: into, files: files) }
            files.append(try Cgroups.open("\(directory)/cgroup.procs", O_WRONLY))
            close(into)
            return CgroupEntry(cloneInto: nil, files: files)
        } catch {
            close(into)
            throw error
        }
    }

    /// The way in for another process of the container that `process` is of: where the cgroup hands controllers down, it takes
    /// nobody itself (cgroups(7), "No Internal Process Constraint"), and it is the cgroup below in which that one is.
    public func entry(beside process: pid_t) throws(CgroupError) -> CgroupEntry {
        let handsDown = try !read("\(directory)/cgroup.subtree_control").allSatisfy(\.isWhitespace)
        let path = handsDown ? CgroupMembership(try read("/proc/\(process)/cgroup")).path() : ""
        let own = directory.dropFirst(place.mount.utf8.count) + "/"
        guard path.hasPrefix(own) else { return try entry(directory, directories, isNew: isNew) }
        return try entry(below: CgroupPath(oci: String(path.dropFirst(own.count))))
    }
}

extension CgroupHost {
    /// Whether a child that is cloned straight into `cgroup` is killed at birth.
    ///
    /// Kernels before 7.2 compare how often the *caller's* cgroup was killed with how often the target was, and take a
    /// difference for a kill during the fork. The count cannot be read. It is 0 for the root cgroup, which has no
    /// `cgroup.kill`, and for every new one; otherwise a child that does nothing has to try: 0.2 ms.
    func killsAtBirth(_ cgroup: FileDescriptor, isNew: Bool) throws(CgroupError) -> Bool {
        if RunningSystem().version >= (7, 2) { return false }
        if isNew && own.path() == "/" && !exists("\(tree)/cgroup.kill") { return false }
        return try kernel { () throws(SystemError) in
            switch try cloneProcess(into: cgroup) {
            case .child: _exit(0)
            case .parent(let child, let descriptor):
                defer { close(descriptor) }
                // In a cgroup that stands still it comes to no end but this.
                _ = try poll([(descriptor, .readable)], timeout: 100)
                try? pidfdSendSignal(descriptor, SIGKILL)
                return try Syscalls.wait(for: child) != .exited(0)
            }
        }
    }
}
