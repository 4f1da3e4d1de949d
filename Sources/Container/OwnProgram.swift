import CSyscalls
import Glibc
import Syscalls
import SystemPackage

/// Goes on as the same program from a read-only clone of the mount that it is on, which no mount namespace shows.
///
/// Until its execve(2) a container's process is this program, and one with root's rights in there could open
/// `/proc/PID/exe` and, once no one executes it any more, write it (CVE-2019-5736). The clone stays read-only whatever a
/// container may do to its own mounts. A program that its user may not write needs none of it, nor does one on a
/// file system that is read-only altogether.
///
/// - Parameter words: the arguments of main(3), of which the new program gets its own.
/// - Throws: `RuntimeError` where the program could be written and cannot be protected.
public func protectOwnProgram(
    _ words: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) throws(RuntimeError) {
    var found = statvfs()
    guard statvfs("/proc/self/exe", &found) == 0, found.f_flag & UInt(ST_RDONLY) == 0 else { return }
    // faccessat(2) with the effective ids: what root of a container without a user namespace would be let do.
    if faccessat(AT_FDCWD, "/proc/self/exe", W_OK, AT_EACCESS) != 0, errno != ETXTBSY { return }
    do throws(SystemError) {
        let clone = try cloneMount("/proc/self/exe", withSubmounts: false)
        defer { close(clone) }
        try setMountAttributes(clone, setting: .readOnly, withSubmounts: false, named: "/proc/self/exe")
        // The clone's own path is "/": the name is where the program is on the host.
        let name = words[0]
        words[0] = strdup(try readLink("/proc/self/exe"))
        _ = "".withCString {
            carrel_syscall(
                Int(SYS_execveat), Int(clone.rawValue), Int(bitPattern: $0), Int(bitPattern: words),
                Int(bitPattern: environ), 0x1000, 0)
        }
        words[0] = name
        throw SystemError.last("execveat", "/proc/self/exe")
    } catch {
        // An ordinary user's containers have a user namespace of theirs, where the program is nobody's.
        if geteuid() != 0 { return }
        throw RuntimeError("the runtime's own program cannot be protected (CVE-2019-5736): \(error)")
    }
}

/// The directory that the running program is in, also behind ``protectOwnProgram(_:)``.
public func programDirectory() throws(SystemError) -> String {
    var program = try readLink("/proc/self/exe")
    if program == "/", let name = CommandLine.unsafeArgv[0] { program = String(cString: name) }
    guard let slash = program.lastIndex(of: "/") else { return "/" }
    return String(program[..<slash])
}
