import Documents
import OCISpec
import Seccomp
import Syscalls

// The file of a recording.

extension Recording {
    /// Reads a recording.
    ///
    /// - Parameter file: the document's name, for the problems.
    /// - Throws: everything that is wrong, each with its place.
    public init(reading bytes: [UInt8], file: String) throws(Problems) {
        let node = try Node.parse(bytes, file: file)
        if let version = node["version"], version.uint != UInt64(Self.currentVersion) {
            let message = "expected \(Self.currentVersion), found \(version.json()): recorded by another carrel"
            throw Problems([Problem(file: file, mark: version.mark, field: "version", message: message)])
        }
        let recording = try Recording(node, file: file)
        let log = Log(file: file, document: node)
        recording.check(log)
        try log.finish()
        self = recording
    }

    /// The file's text: the same for the same recording, in whatever order it was gathered.
    public var text: String { sorted.node.json(pretty: true) + "\n" }

    /// The recording with all its lists in order.
    var sorted: Recording {
        var result = self
        result.environments.sort {
            ($0.architecture, $0.kernel, $0.libc, $0.system ?? "", $0.image ?? "")
                < ($1.architecture, $1.kernel, $1.libc, $1.system ?? "", $1.image ?? "")
        }
        result.runIDs.sort()
        result.commands.sort { $0.words.lexicographicallyPrecedes($1.words) }
        result.executables = Set(executables).sorted {
            ($0.path, $0.identity ?? "") < ($1.path, $1.identity ?? "")
        }
        result.calls.sort { $0.name < $1.name }
        for index in result.calls.indices {
            result.calls[index].denied.sort { $0.errno < $1.errno }
            result.calls[index].arguments.sort { left, right in
                left.scalars.lexicographicallyPrecedes(right.scalars) {
                    ($0.index, $0.value, $0.mask) < ($1.index, $1.value, $1.mask)
                }
            }
        }
        return result
    }

    /// What all counts together come to at most, in a recording that is read: whole numbers that every reader of JSON keeps, and
    /// far enough below 64 bits for any number of recordings to be added up.
    static let mostCounted: UInt64 = 1 << 53

    /// Whether the counts are no more than that, so that adding them up is safe.
    private var isCountable: Bool {
        var left = Self.mostCounted
        func take(_ counts: UInt64...) -> Bool {
            for count in counts {
                if count > left { return false }
                left -= count
            }
            return true
        }
        return take(runs, lost, foreign) && commands.allSatisfy { take($0.runs) }
            && calls.allSatisfy { call in
                take(call.allowed, call.runs, call.unlisted) && call.denied.allSatisfy { take($0.count) }
                    && call.arguments.allSatisfy { take($0.allowed, $0.denied, $0.runs) }
            }
    }

    /// What the types cannot say.
    private func check(_ log: Log) {
        if !isCountable { return log.expect(false, "counts that are at most \(Self.mostCounted) together") }
        log.expect(runs > 0, "runs", "at least 1")
        log.expect(!environments.isEmpty, "environments", "at least one")
        var names: Set<String> = []
        log.each("environments", environments) {
            log.expect(
                CallTable.named($0.architecture) != nil, "architecture",
                "x86_64 or aarch64, found \($0.architecture.quoted)")
        }
        log.each("calls", calls) { call in
            log.expect(names.insert(call.name).inserted, "name", "each call once, found \(call.name.quoted) again")
            log.expect(
                CallTable.isName(call.name) || call.hasNoName, "name",
                "the name of a system call, found \(call.name.quoted)")
            log.expect((1...max(1, runs)).contains(call.runs), "runs", "1 to \(runs), found \(call.runs)")
            log.expect(call.count > 0, "a call that was made, found counts of 0")
            log.each("arguments", call.arguments) { seen in
                log.expect((1...max(1, call.runs)).contains(seen.runs), "runs", "1 to \(call.runs), found \(seen.runs)")
                log.expect(!seen.scalars.isEmpty, "scalars", "at least one")
                var last: UInt32?
                log.each("scalars", seen.scalars) { scalar in
                    log.expect(scalar.index <= 5, "index", "0 to 5, found \(scalar.index)")
                    if let last {
                        log.expect(scalar.index > last, "index", "one above \(last), found \(scalar.index)")
                    }
                    last = scalar.index
                    log.expect(
                        scalar.value & ~scalar.mask == 0, "value",
                        "bits of the mask \(scalar.mask) alone, found \(scalar.value)")
                }
            }
        }
    }
}

extension RecordedCall {
    /// Whether it stands for a number that has no name here: `syscall_NUMBER`.
    var hasNoName: Bool { name.hasPrefix("syscall_") && UInt32(name.dropFirst(8)) != nil }
}
