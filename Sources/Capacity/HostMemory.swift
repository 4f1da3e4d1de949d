import Glibc
import Syscalls

/// What the host itself says of its memory.
public enum HostMemory {
    /// All of it, in bytes (sysconf(3)).
    public static var total: UInt64 {
        UInt64(max(0, sysconf(Int32(_SC_PHYS_PAGES)))) * UInt64(max(0, sysconf(Int32(_SC_PAGESIZE))))
    }

    /// What can be had without swapping, in bytes: `MemAvailable` of proc_meminfo(5); `nil` where it cannot be read.
    public static var available: UInt64? {
        guard let text = try? readText("/proc/meminfo") else { return nil }
        for line in text.split(separator: "\n") where line.hasPrefix("MemAvailable:") {
            return line.split(separator: " ").dropFirst().first.flatMap { UInt64($0) }.map { $0 << 10 }
        }
        return nil
    }

    /// The part of the last ten seconds, in percent, in which some task waited for memory: `some avg10` of
    /// `/proc/pressure/memory` (PSI); `nil` where the kernel does not count it.
    public static var pressure: Double? {
        guard let text = try? readText("/proc/pressure/memory"), let first = text.split(separator: "\n").first,
            let field = first.split(separator: " ").dropFirst().first, field.hasPrefix("avg10=")
        else { return nil }
        return Double(field.dropFirst(6))
    }

    /// What is kept from sessions where nobody says: 2 GiB, on small hosts an eighth.
    public static func reserve(of total: UInt64) -> UInt64 { min(2 << 30, total / 8) }
}
