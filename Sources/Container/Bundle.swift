import Documents
import Glibc
import OCISpec
import Seccomp
import Syscalls

/// A directory with a configuration, read and checked.
struct Bundle {
    let path: String
    let bytes: [UInt8]
    let node: Node
    let spec: Spec

    init(_ directory: String) throws(RuntimeError) {
        guard let real = realpath(directory, nil) else {
            throw RuntimeError("bundle \(directory): \(String(cString: strerror(errno)))")
        }
        defer { free(real) }
        let path = String(cString: real)
        let file = "\(path)/config.json"
        let bytes = try telling("") { () throws(SystemError) in try readFile(file, limit: 8 << 20) }
        let node = try telling("") { () throws(Problems) in try Node.parse(bytes, file: file) }
        var spec = try telling("") { () throws(Problems) in
            let spec = try Spec(node, file: file)
            try spec.validate(file: file, document: node, lenient: true)
            return spec
        }
        if let root = spec.root?.path {
            let below = root.hasPrefix("/") ? root : "\(path)/\(root)"
            guard let real = realpath(below, nil) else {
                throw RuntimeError("root.path: \(below): \(String(cString: strerror(errno)))")
            }
            defer { free(real) }
            spec.root?.path = String(cString: real)
        }
        for index in spec.mounts.indices {
            // Relative to the bundle, as config.md has it; a name such as `tmpfs` stays.
            let mount = spec.mounts[index]
            guard let source = mount.source, !source.hasPrefix("/"),
                mount.type == "bind" || mount.options.contains(where: { $0 == "bind" || $0 == "rbind" })
            else { continue }
            spec.mounts[index].source = "\(path)/\(source)"
        }
        self.path = path
        self.bytes = bytes
        self.node = node
        self.spec = spec
    }

    func filter(_ seccomp: LinuxSeccomp) throws(RuntimeError) -> FilterProgram {
        try filterProgram(of: seccomp, node["linux"]?["seccomp"])
    }
}

/// The filter of a specification, out of the cache where it was compiled before.
///
/// - Parameter node: the specification's `linux.seccomp`, where it is at hand.
public func filterProgram(of seccomp: LinuxSeccomp, _ node: Node?) throws(RuntimeError) -> FilterProgram {
    let source = Array((node ?? seccomp.node).json().utf8)
    return try telling("linux.seccomp") { () throws(FilterError) in
        try FilterCache(directory: filterCacheDirectory).program(
            for: source, file: "linux.seccomp", reading: .runtime
        ).program
    }
}

private var filterCacheDirectory: String { "\(runtimeDirectory)/carrel/seccomp" }
