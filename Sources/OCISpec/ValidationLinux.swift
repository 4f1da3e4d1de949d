import Documents

extension Linux {
    /// Whether the container has a new namespace of this kind, rather than joining one.
    func hasNew(_ type: LinuxNamespaceType) -> Bool {
        namespaces.contains { $0.type == type && $0.path ?? "" == "" }
    }

    func check(_ log: Log) {
        checkNamespaces(log)
        log.each("devices", devices) { $0.check(log) }
        if let resources { log.at("resources") { resources.check(log) } }
        if let seccomp, !log.isLenient { log.at("seccomp") { seccomp.check(log) } }
        if let rootfsPropagation {
            log.known(
                rootfsPropagation, Known.propagation, "rootfsPropagation", "a propagation of mount_namespaces(7)")
        }
        for (name, paths) in [("maskedPaths", maskedPaths), ("readonlyPaths", readonlyPaths)] {
            log.each(name, paths) {
                log.expect($0.isAbsolute, "an absolute path, found \($0.quoted)")
                // A mount over the root is not seen by who has it for a root already.
                log.expect(!$0.isRoot, "a path below the root, found \($0.quoted)")
            }
        }
        if let cgroupsPath {
            log.expect(!cgroupsPath.hasParentStep, "cgroupsPath", "a path without \"..\", found \(cgroupsPath.quoted)")
        }
        for name in sysctl.keys.sorted() { checkSysctl(name, log) }
        for (name, device) in netDevices.sorted(by: { $0.key < $1.key }) {
            log.at("netDevices") {
                for name in [name, device.name ?? name] {
                    // dev_valid_name() of the kernel: IFNAMSIZ is 16 with the closing zero.
                    let isName =
                        (1...15).contains(name.utf8.count) && name != "." && name != ".."
                        && name.utf8.allSatisfy { $0 > 0x20 && $0 != 0x2f && $0 != 0x3a && $0 != 0x7f }
                    log.expect(isName, name, "the name of a network device, found \(name.quoted)")
                }
                log.expect(
                    namespaces.contains { $0.type == .network }, name, "a network namespace beside it")
            }
        }
        if let flag = personality?.flags.first {
            log.at("personality") { log.expect(false, "flags", "none, since none are defined, found \(flag.quoted)") }
        }
        if let closID = intelRdt?.closID {
            log.at("intelRdt") {
                log.expect(
                    !closID.isEmpty && closID != "." && closID != ".." && !closID.contains("/"), "closID",
                    "the name of one directory, found \(closID.quoted)")
            }
        }
    }

    private func checkNamespaces(_ log: Log) {
        log.each("namespaces", namespaces) { namespace in
            let count = namespaces.count { $0.type == namespace.type }
            log.expect(count == 1, "type", "each kind once, found \(namespace.type.rawValue) again")
            if let path = namespace.path, !path.isEmpty {
                log.expect(path.isAbsolute, "path", "an absolute path, found \(path.quoted)")
            }
        }
        uidMappings.check("uidMappings", log)
        gidMappings.check("gidMappings", log)
        for (name, mappings) in [("uidMappings", uidMappings), ("gidMappings", gidMappings)] {
            if mappings.isEmpty {
                log.expect(!hasNew(.user), name, "a mapping for the new user namespace, found nothing")
            } else {
                let user = namespaces.contains { $0.type == .user }
                log.expect(user, name, "a user namespace beside it")
            }
        }
        for (clock, offset) in timeOffsets.sorted(by: { $0.key < $1.key }) {
            log.at("timeOffsets") {
                log.known(clock, ["monotonic", "boottime"], clock, "a clock of time_namespaces(7)")
                log.expect(hasNew(.time), clock, "a new time namespace beside it")
                let nanoseconds = offset.nanosecs ?? 0
                log.expect(nanoseconds < 1_000_000_000, clock, "less than a second of nanosecs, found \(nanoseconds)")
            }
        }
    }

    /// A sysctl that no namespace of the container's own holds would change the host (namespaces(7)).
    private func checkSysctl(_ name: String, _ log: Log) {
        let dotted = name.split(separator: "/", omittingEmptySubsequences: false).joined(separator: ".")
        let owner: LinuxNamespaceType? =
            if dotted.hasPrefix("net.") {
                .network
            } else if dotted.hasPrefix("fs.mqueue.") || Known.ipcSysctls.contains(dotted) {
                .ipc
            } else if dotted == "kernel.domainname" || dotted == "kernel.hostname" {
                .uts
            } else {
                nil
            }
        log.at("sysctl") {
            guard let owner, !dotted.split(separator: ".", omittingEmptySubsequences: false).contains("") else {
                return log.expect(false, name, "a parameter that a namespace holds: net.*, fs.mqueue.* or System V IPC")
            }
            // One that is joined can be the host's all the same: only a look at it tells, which the launch has.
            log.expect(
                namespaces.contains { $0.type == owner }, name,
                "a \(owner.rawValue) namespace beside it, or it would change the host")
        }
    }
}

extension LinuxDevice {
    fileprivate func check(_ log: Log) {
        log.expect(path.isAbsolute && !path.hasParentStep, "path", "an absolute path, found \(path.quoted)")
        switch type {
        case .all: log.expect(false, "type", "c, u, b or p, found \"a\"")
        case .fifo: break
        case .character, .unbuffered, .block:
            log.expect(major ?? -1 >= 0, "major", "the number of a device")
            log.expect(minor ?? -1 >= 0, "minor", "the number of a device")
            log.expectDevice(major, minor)
        }
        for (name, id) in [("uid", uid), ("gid", gid)] {
            log.expect(id?.isID ?? true, name, "an id below \(UInt32.max)")
        }
        // podman gives the type along with the permission bits, as st_mode has them.
        if let fileMode, !log.isLenient {
            log.expect(fileMode <= 0o7777, "fileMode", "permission bits, found \(fileMode)")
        }
    }
}

extension LinuxResources {
    /// Checks what types cannot say, as ``Spec/validate(file:document:lenient:)`` does for a whole configuration.
    ///
    /// - Parameters:
    ///   - file: the document's name, for the problems.
    ///   - document: the document that the limits were read from, for the places of the problems.
    /// - Throws: everything that is wrong.
    public func validate(file: String, document: Node? = nil) throws(Problems) {
        let log = Log(file: file, document: document)
        check(log)
        try log.finish()
    }

    fileprivate func check(_ log: Log) {
        log.each("devices", devices) { rule in
            let letters = rule.access ?? ""
            log.expect(
                letters.utf8.allSatisfy("rwm".utf8.contains), "access", "letters of rwm, found \(letters.quoted)")
            log.expect(rule.type != .fifo && rule.type != .unbuffered, "type", "a, b or c")
            log.expectDevice(rule.major, rule.minor)
        }
        if let memory { log.at("memory") { memory.check(log) } }
        if let cpu { log.at("cpu") { cpu.check(log) } }
        if let blockIO { log.at("blockIO") { blockIO.check(log) } }
        log.each("hugepageLimits", hugepageLimits) { limit in
            let count = hugepageLimits.count { $0.pageSize == limit.pageSize }
            log.expect(count == 1, "pageSize", "each size once, found \(limit.pageSize.quoted) again")
            let number = limit.pageSize.utf8.dropLast(2)
            let known = ["KB", "MB", "GB"].contains { limit.pageSize.hasSuffix($0) }
            log.expect(
                known && !number.isEmpty && number.allSatisfy(\.isDigit), "pageSize",
                "a size such as 2MB, found \(limit.pageSize.quoted)")
        }
        for name in unified.keys.sorted() {
            log.at("unified") {
                log.expect(
                    name.utf8.contains(UInt8(ascii: ".")) && !name.contains("/") && !name.hasParentStep, name,
                    "a file of cgroups v2 such as memory.high")
            }
        }
    }
}

extension LinuxMemory {
    fileprivate func check(_ log: Log) {
        for (name, bytes) in [("limit", limit), ("reservation", reservation), ("swap", swap)] {
            if let bytes { log.expect(bytes >= -1, name, "a number of bytes, or -1 for no limit, found \(bytes)") }
        }
        if let swap, swap > 0 {
            // Memory and swap together, so never less than memory alone.
            let memory = limit ?? -1
            log.expect(memory > 0, "swap", "a limit of memory beside it")
            log.expect(swap >= memory, "swap", "at least the limit of memory, \(memory), found \(swap)")
        }
        if let swappiness { log.expect(swappiness <= 100, "swappiness", "0 to 100, found \(swappiness)") }
    }
}

extension LinuxCPU {
    fileprivate func check(_ log: Log) {
        let limits: [(String, UInt64?, ClosedRange<UInt64>)] = [
            ("shares", shares, 2...262_144), ("period", period, 1000...1_000_000),
        ]
        for (name, value, range) in limits {
            guard let value, value != 0 else { continue }
            log.expect(range.contains(value), name, "\(range.lowerBound) to \(range.upperBound), found \(value)")
        }
        if let quota, quota > 0 {
            log.expect(quota >= 1000, "quota", "at least 1000 microseconds, found \(quota)")
            log.expect(
                burst ?? 0 <= UInt64(quota), "burst", "at most the quota, \(quota), found \(burst ?? 0)")
        }
        if let idle { log.expect(idle == 0 || idle == 1, "idle", "0 or 1, found \(idle)") }
        log.expect(cpus?.isCPUList ?? true, "cpus", "a list such as 0-3,7, found \((cpus ?? "").quoted)")
        log.expect(mems?.isCPUList ?? true, "mems", "a list such as 0-1, found \((mems ?? "").quoted)")
    }
}

extension LinuxBlockIO {
    fileprivate func check(_ log: Log) {
        func expect(_ weight: UInt16?, _ name: String) {
            guard let weight, weight != 0 else { return }
            log.expect((10...1000).contains(weight), name, "10 to 1000, found \(weight)")
        }
        expect(weight, "weight")
        expect(leafWeight, "leafWeight")
        log.each("weightDevice", weightDevice) {
            expect($0.weight, "weight")
            expect($0.leafWeight, "leafWeight")
            log.expectDevice($0.major, $0.minor)
        }
        let throttles = [
            ("throttleReadBpsDevice", throttleReadBpsDevice), ("throttleWriteBpsDevice", throttleWriteBpsDevice),
            ("throttleReadIOPSDevice", throttleReadIOPSDevice), ("throttleWriteIOPSDevice", throttleWriteIOPSDevice),
        ]
        for (name, devices) in throttles { log.each(name, devices) { log.expectDevice($0.major, $0.minor) } }
    }
}

extension LinuxIDMapping {
    /// Whether `id`, as seen inside, is in the range.
    func maps(_ id: UInt32) -> Bool { id >= containerID && id - containerID < size }
}

extension [LinuxIDMapping] {
    /// What the kernel demands of `/proc/PID/uid_map` (user_namespaces(7)): no empty range, none past the last id, no
    /// overlap on either side, and at most 340 lines.
    func check(_ name: String, _ log: Log) {
        log.expect(count <= 340, name, "at most 340 ranges, found \(count)")
        var earlier: [LinuxIDMapping] = []
        log.each(name, self) { range in
            log.expect(range.size > 0, "size", "at least 1, found 0")
            // The last 32-bit id, (uid_t) -1, stands for "no id" everywhere.
            let most = UInt32.max - Swift.max(range.containerID, range.hostID)
            log.expect(range.size <= most, "size", "at most \(most), so that all ids are below 4294967295")
            log.expect(
                !earlier.contains { overlap($0.containerID, $0.size, range.containerID, range.size) }, "containerID",
                "ids that no range before has, found \(range.containerID)")
            log.expect(
                !earlier.contains { overlap($0.hostID, $0.size, range.hostID, range.size) }, "hostID",
                "ids that no range before has, found \(range.hostID)")
            earlier.append(range)
        }
    }
}

private func overlap(_ one: UInt32, _ oneSize: UInt32, _ other: UInt32, _ otherSize: UInt32) -> Bool {
    one >= other ? one - other < otherSize : other - one < oneSize
}
