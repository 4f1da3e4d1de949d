import Glibc

/// The six devices of a container, by their numbers in Documentation/admin-guide/devices.txt.
public let usualDevices: [(name: String, major: UInt32, minor: UInt32)] = [
    ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0),
]

/// The links that a container's /dev has (OCI runtime-spec, config-linux.md, "Dev symbolic links").
public let usualLinks = [
    (name: "fd", target: "/proc/self/fd"), (name: "stdin", target: "/proc/self/fd/0"),
    (name: "stdout", target: "/proc/self/fd/1"), (name: "stderr", target: "/proc/self/fd/2"),
    (name: "ptmx", target: "pts/ptmx"),
]

/// A device number as the kernel takes and tells it (makedev(3)).
public func makeDevice(_ major: UInt32, _ minor: UInt32) -> dev_t {
    dev_t(major & 0xfff) << 8 | dev_t(minor & 0xff) | dev_t(minor & ~0xff) << 12
}
