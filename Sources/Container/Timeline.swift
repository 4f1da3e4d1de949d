import Glibc
import Syscalls

/// When each step of a launch was done: one page that parent and child share, so that a time costs a store and no message.
struct Timeline: @unchecked Sendable {
    private let ends: UnsafeMutablePointer<UInt64>

    init() throws(LaunchError) {
        guard let page = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), page != MAP_FAILED
        else { throw LaunchError(.prepare, SystemError.last("mmap")) }
        ends = page.bindMemory(to: UInt64.self, capacity: 512)
    }

    func mark(_ step: LaunchStep) { ends[Self.index(step)] = monotonicNanoseconds() }

    func end(of step: LaunchStep) -> UInt64? {
        let end = ends[Self.index(step)]
        return end == 0 ? nil : end
    }

    /// The steps that were done, by the time of their end.
    var steps: [(step: LaunchStep, end: UInt64)] {
        LaunchStep.allCases.compactMap { step in end(of: step).map { (step, $0) } }.sorted { $0.1 < $1.1 }
    }

    func free() { munmap(ends, 4096) }

    private static func index(_ step: LaunchStep) -> Int {
        switch step {
        case .prepare: 0
        case .clone: 1
        case .idMap: 2
        case .binds: 3
        case .cgroup: 4
        case .filesystems: 5
        case .mounts: 6
        case .devices: 7
        case .pivot: 8
        case .network: 9
        case .terminal: 10
        case .privileges: 11
        case .landlock: 12
        case .seccomp: 13
        case .exec: 14
        case .hooks: 15
        }
    }
}
