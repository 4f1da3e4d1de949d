/// Values of arguments that stand in for each other, as calls do (`SiblingCalls`).
enum SiblingArguments {
    /// For calls with one enumerable argument: values that come together.
    private static let values: [String: [Set<UInt64>]] = [
        "fcntl": [
            // F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_SETPIPE_SZ, F_GETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS;
            // F_GETLK, F_SETLK, F_SETLKW, their 64-bit twins, and those of open file descriptions
            [0, 1, 2, 3, 4, 1030, 1031, 1032, 1033, 1034, 5, 6, 7, 12, 13, 14, 36, 37, 38],
            // F_SETOWN, F_GETOWN, F_SETSIG, F_GETSIG, F_SETOWN_EX, F_GETOWN_EX
            [8, 9, 10, 11, 15, 16],
        ],
        "ioctl": [
            // TCGETS, TCSETS, TCSETSW, TCSETSF, TCFLSH, TIOCGPGRP, TIOCSPGRP, TIOCOUTQ, TIOCGWINSZ, TIOCSWINSZ, FIONREAD,
            // FIONBIO, FIONCLEX, FIOCLEX, TCGETS2: what isatty, libuv and readline ask of a descriptor
            [
                0x5401, 0x5402, 0x5403, 0x5404, 0x540b, 0x540f, 0x5410, 0x5411, 0x5413, 0x5414, 0x541b, 0x5421, 0x5450,
                0x5451, 0x802c_542a,
            ],
            // TIOCSCTTY, TIOCNOTTY, TIOCGPTN, TIOCSPTLCK, TIOCGPTLCK, TIOCGPTPEER: pseudo-terminals
            [0x540e, 0x5422, 0x8004_5430, 0x4004_5431, 0x8004_5439, 0x5441],
            // FICLONE, FICLONERANGE, FS_IOC_FIEMAP: cp
            [0x4004_9409, 0x4020_940d, 0xc020_660b],
        ],
        "prctl": [
            // PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_NAME, PR_GET_NAME,
            // PR_CAPBSET_READ, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_SET_VMA, PR_SET_THP_DISABLE, PR_GET_THP_DISABLE
            [1, 2, 3, 4, 15, 16, 23, 38, 39, 41, 42, 0x5356_4d41]
        ],
        // ARCH_SET_FS, ARCH_GET_FS, ARCH_CET_STATUS and its successor, which every start of a glibc program asks
        "arch_prctl": [[0x1002, 0x1003, 0x3001, 0x5005]],
        // PER_LINUX and the question, which setarch asks before
        "personality": [[0, 0xffff_ffff]],
        // S_IFREG, also as 0, and FIFOs and sockets; devices need CAP_MKNOD and stay apart
        "mknod": [[0, 0x1000, 0x8000, 0xc000]],
        "mknodat": [[0, 0x1000, 0x8000, 0xc000]],
    ]

    /// The combinations that are allowed because this one was seen, itself first.
    static func siblings(of seen: [RecordedScalar], in call: String) -> [[RecordedScalar]] {
        if call == "socket" { return [seen] + sockets(seen) }
        guard seen.count == 1, let scalar = seen.first,
            let family = values[call]?.first(where: { $0.contains(scalar.value) })
        else { return [seen] }
        return [seen]
            + family.subtracting([scalar.value]).sorted().map {
                [RecordedScalar(index: scalar.index, mask: scalar.mask, value: $0)]
            }
    }

    /// An internet socket of the other family, and the protocol told or left to the type: which, getaddrinfo decides.
    private static func sockets(_ seen: [RecordedScalar]) -> [[RecordedScalar]] {
        guard seen.count == 3, [2, 10].contains(seen[0].value) else { return [] }
        let protocols: [UInt64: UInt64] = [1: 6, 2: 17]
        guard let usual = protocols[seen[1].value], [0, usual].contains(seen[2].value) else { return [] }
        var result: [[RecordedScalar]] = []
        for family in [2, 10] as [UInt64] {
            for number in [0, usual] {
                var other = seen
                other[0] = RecordedScalar(index: 0, mask: seen[0].mask, value: family)
                other[2] = RecordedScalar(index: 2, mask: seen[2].mask, value: number)
                if other != seen { result.append(other) }
            }
        }
        return result
    }
}
