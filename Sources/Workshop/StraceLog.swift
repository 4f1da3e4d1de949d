import Documents
import OCISpec
import Seccomp

extension Recording {
    /// Reads what `strace -f` has written, as a recording of one run.
    ///
    /// Values of arguments are read where they are numbers (`strace -X raw`) or well-known names; a call with others is
    /// counted as unlisted, so that nothing is narrowed by half the truth. strace does not tell who refused a call, so all
    /// count as allowed: record on a host without a filter.
    ///
    /// - Parameters:
    ///   - file: the log's name, for the problems.
    ///   - environment: where it was made; the log does not say.
    /// - Throws: every line that is none of strace's, and names that are no calls.
    public init(
        strace bytes: [UInt8], file: String, environment: RecordedEnvironment
    ) throws(Problems) {
        var log = StraceLog(file: file, recording: Recording(source: .strace, environment: environment))
        for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            log.read(line, number: index + 1)
        }
        if log.recording.calls.isEmpty {
            // Not a log at all: that is one mistake, not one a line.
            throw Problems([
                Problem(file: file, mark: nil, message: "expected a recording, or lines of strace; found neither")
            ])
        }
        if !log.problems.isEmpty { throw Problems(log.problems) }
        log.recording.executables = Set(log.executables).sorted().map { RecordedExecutable(path: $0) }
        self = log.recording.sorted
    }
}

private struct StraceLog {
    let file: String
    var recording: Recording
    var executables: [String] = []
    var problems: [Problem] = []

    /// One line: `[pid 12] openat(AT_FDCWD, "x", O_RDONLY) = 3`, with or without process and time before it.
    mutating func read(_ bytes: ArraySlice<UInt8>, number: Int) {
        var rest = bytes
        trim(&rest)
        if rest.isEmpty { return }
        if rest.starts(with: Array("[pid".utf8)), let end = rest.firstIndex(of: UInt8(ascii: "]")) {
            rest = rest[(end + 1)...]
            trim(&rest)
        }
        // The process with -o, and the time with -t, -r or -ttt.
        while let first = rest.first, isDigit(first) {
            guard
                let end = rest.firstIndex(where: { !isDigit($0) && $0 != UInt8(ascii: ":") && $0 != UInt8(ascii: ".") })
            else { break }
            rest = rest[end...]
            trim(&rest)
        }
        // Signals, ends of processes, strace's own words, and the second half of a call whose first half was counted.
        for prefix in ["---", "+++", "strace:", "<...", "<detached"] where rest.starts(with: Array(prefix.utf8)) {
            return
        }
        guard let open = rest.firstIndex(of: UInt8(ascii: "(")), rest[..<open].allSatisfy(isName),
            open > rest.startIndex
        else { return report(number, "expected a line of strace, such as close(3) = 0") }
        count(String(decoding: rest[..<open], as: UTF8.self), arguments(rest[(open + 1)...]), number)
    }

    private mutating func count(_ name: String, _ words: [String], _ number: Int) {
        let number = number
        var name = name
        // Numbers that strace knows no name of.
        if name.hasPrefix("syscall_0x"), let value = UInt32(name.dropFirst(10), radix: 16) {
            name = CallTable.name(of: value, on: architecture) ?? "syscall_\(value)"
        }
        guard CallTable.isName(name) || name.hasPrefix("syscall_") else {
            let near = nearest(name, in: CallTable.names(on: architecture)).map { "; did you mean \($0)?" } ?? ""
            return report(number, "expected the name of a system call, found \(name)\(near)")
        }
        if name == "execve", let path = words.first, path.hasPrefix("\""), path.hasSuffix("\""), path.utf8.count > 1 {
            executables.append(String(path.dropFirst().dropLast()))
        }
        var scalars: [RecordedScalar] = []
        let wanted = EnumerableArguments.of(name)
        for argument in wanted {
            // strace writes clone's arguments by name, and leaves out those that a command does not take.
            let word =
                name == "clone"
                ? words.first { $0.hasPrefix("flags=") }.map { String($0.dropFirst(6)) }
                : argument.index < words.count ? words[argument.index] : nil
            guard let word, let value = StraceWords.value(of: word, in: name, argument.index) else { break }
            scalars.append(
                RecordedScalar(index: UInt32(argument.index), mask: argument.mask, value: value & argument.mask))
        }
        let isWhole = scalars.count == wanted.count
        recording.add(name, count: 1, scalars: isWhole ? scalars : [])
        if !isWhole, let index = recording.calls.firstIndex(where: { $0.name == name }) {
            recording.calls[index].unlisted += 1
        }
    }

    private var architecture: Architecture {
        CallTable.named(recording.environments[0].architecture) ?? .native
    }

    /// The words between commas, up to the closing bracket; strings and nested brackets are one word.
    private func arguments(_ bytes: ArraySlice<UInt8>) -> [String] {
        var words: [String] = []
        var (depth, isQuoted, start) = (0, false, bytes.startIndex)
        var index = bytes.startIndex
        func add(_ end: Int) {
            var word = bytes[start..<end]
            trim(&word)
            words.append(String(decoding: word, as: UTF8.self))
        }
        while index < bytes.endIndex {
            let byte = bytes[index]
            if isQuoted {
                if byte == UInt8(ascii: "\\") { index += 1 } else if byte == UInt8(ascii: "\"") { isQuoted = false }
            } else {
                switch byte {
                case UInt8(ascii: "\""): isQuoted = true
                case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
                case UInt8(ascii: ")") where depth == 0:
                    add(index)
                    return words
                case UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
                case UInt8(ascii: ",") where depth == 0:
                    add(index)
                    start = index + 1
                default: break
                }
            }
            index += 1
        }
        // <unfinished ...>: the last word may be cut.
        add(min(index, bytes.endIndex))
        return words
    }

    private func trim(_ bytes: inout ArraySlice<UInt8>) {
        while let first = bytes.first, first == 0x20 || first == 0x09 { bytes.removeFirst() }
        while let last = bytes.last, last == 0x20 || last == 0x0d { bytes.removeLast() }
    }
    private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
    private func isName(_ byte: UInt8) -> Bool {
        isDigit(byte) || byte == UInt8(ascii: "_") || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
    }

    private mutating func report(_ line: Int, _ message: String) {
        if problems.count < 20 {
            problems.append(Problem(file: file, mark: Mark(line: line, column: 1), message: message))
        }
    }
}

/// What strace's words stand for.
private enum StraceWords {
    /// The value of a word such as `SOCK_STREAM|SOCK_CLOEXEC`, `0x5401` or `TCGETS`; `nil` where a part is not known.
    static func value(of word: String, in call: String, _ index: Int) -> UInt64? {
        // What -v and -yy add behind a word.
        let bare = word.split(separator: " ", maxSplits: 1).first.map(String.init) ?? word
        var value: UInt64 = 0
        for part in bare.split(separator: "|") {
            guard let number = number(String(part)) ?? names[String(part)] else { return nil }
            value |= number
        }
        return bare.isEmpty ? nil : value
    }

    private static func number(_ text: String) -> UInt64? {
        if text.hasPrefix("0x") { return UInt64(text.dropFirst(2), radix: 16) }
        if text.hasPrefix("0") && text != "0" { return UInt64(text, radix: 8) }
        return UInt64(text) ?? Int64(text).map { UInt64(bitPattern: $0) }
    }

    private static let names: [String: UInt64] = [
        "AF_UNSPEC": 0, "AF_UNIX": 1, "AF_LOCAL": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16, "AF_PACKET": 17,
        "AF_ALG": 38, "AF_VSOCK": 40, "SOCK_STREAM": 1, "SOCK_DGRAM": 2, "SOCK_RAW": 3, "SOCK_SEQPACKET": 5,
        "SOCK_CLOEXEC": 0x80000, "SOCK_NONBLOCK": 0x800, "IPPROTO_IP": 0, "IPPROTO_ICMP": 1, "IPPROTO_TCP": 6,
        "IPPROTO_UDP": 17, "IPPROTO_ICMPV6": 58, "NETLINK_ROUTE": 0, "NETLINK_AUDIT": 9,
        "CLONE_VM": 0x100, "CLONE_FS": 0x200, "CLONE_FILES": 0x400, "CLONE_SIGHAND": 0x800, "CLONE_PIDFD": 0x1000,
        "CLONE_PTRACE": 0x2000, "CLONE_VFORK": 0x4000, "CLONE_PARENT": 0x8000, "CLONE_THREAD": 0x10000,
        "CLONE_NEWNS": 0x20000, "CLONE_SYSVSEM": 0x40000, "CLONE_SETTLS": 0x80000, "CLONE_PARENT_SETTID": 0x100000,
        "CLONE_CHILD_CLEARTID": 0x200000, "CLONE_DETACHED": 0x400000, "CLONE_UNTRACED": 0x800000,
        "CLONE_CHILD_SETTID": 0x1000000, "CLONE_NEWCGROUP": 0x2000000, "CLONE_NEWUTS": 0x4000000,
        "CLONE_NEWIPC": 0x8000000, "CLONE_NEWUSER": 0x1000_0000, "CLONE_NEWPID": 0x2000_0000,
        "CLONE_NEWNET": 0x4000_0000, "CLONE_IO": 0x8000_0000, "CLONE_NEWTIME": 0x80, "SIGCHLD": 17,
        "F_DUPFD": 0, "F_GETFD": 1, "F_SETFD": 2, "F_GETFL": 3, "F_SETFL": 4, "F_GETLK": 5, "F_SETLK": 6,
        "F_SETLKW": 7, "F_SETOWN": 8, "F_GETOWN": 9, "F_SETSIG": 10, "F_GETSIG": 11, "F_OFD_GETLK": 36,
        "F_OFD_SETLK": 37, "F_OFD_SETLKW": 38, "F_DUPFD_CLOEXEC": 1030, "F_SETPIPE_SZ": 1031, "F_GETPIPE_SZ": 1032,
        "F_ADD_SEALS": 1033, "F_GET_SEALS": 1034,
        "PR_SET_PDEATHSIG": 1, "PR_GET_PDEATHSIG": 2, "PR_GET_DUMPABLE": 3, "PR_SET_DUMPABLE": 4, "PR_SET_NAME": 15,
        "PR_GET_NAME": 16, "PR_GET_SECCOMP": 21, "PR_SET_SECCOMP": 22, "PR_CAPBSET_READ": 23, "PR_CAPBSET_DROP": 24,
        "PR_SET_SECUREBITS": 28, "PR_SET_CHILD_SUBREAPER": 36, "PR_SET_NO_NEW_PRIVS": 38, "PR_GET_NO_NEW_PRIVS": 39,
        "PR_CAP_AMBIENT": 47, "PR_SET_VMA": 0x5356_4d41, "ARCH_SET_FS": 0x1002, "ARCH_GET_FS": 0x1003,
        "TCGETS": 0x5401, "TCSETS": 0x5402, "TCSETSW": 0x5403, "TCSETSF": 0x5404, "SNDCTL_TMR_TIMEBASE": 0x5401,
        "TIOCSCTTY": 0x540e, "TIOCGPGRP": 0x540f, "TIOCSPGRP": 0x5410, "TIOCSTI": 0x5412, "TIOCGWINSZ": 0x5413,
        "TIOCSWINSZ": 0x5414, "FIONREAD": 0x541b, "FIONBIO": 0x5421, "TIOCNOTTY": 0x5422, "TIOCGPTN": 0x8004_5430,
        "TIOCSPTLCK": 0x4004_5431, "TIOCGPTPEER": 0x5441, "FIONCLEX": 0x5450, "FIOCLEX": 0x5451,
        "FICLONE": 0x4004_9409, "BTRFS_IOC_CLONE": 0x4004_9409,
        "PER_LINUX": 0, "ADDR_NO_RANDOMIZE": 0x40000, "S_IFREG": 0x8000, "S_IFIFO": 0x1000, "S_IFSOCK": 0xc000,
        "S_IFCHR": 0x2000, "S_IFBLK": 0x6000, "SECCOMP_SET_MODE_FILTER": 1, "SECCOMP_GET_ACTION_AVAIL": 2,
        "PTRACE_TRACEME": 0,
    ]
}
