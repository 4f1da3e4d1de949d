import Foundation
import Testing

extension Integration {
    /// What a session may cost, by the benchmarks with small numbers; `make bench` measures with the full ones.
    @Suite(
        .enabled(
            if: Host.isRoot && ["bwrap", "crun", "hyperfine", "busybox"].allSatisfy(Host.has),
            "needs root, bwrap, crun, hyperfine and busybox-static"))
    struct Bars {
        static func bench(_ arguments: [String]) -> Outcome {
            Command(
                [Host.python, Host.repository + "/Tests/Benchmarks/bench", "--check"] + arguments,
                environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CARREL_BIN": Host.carrel]
            ).finish(within: 300)
        }

        @Test(arguments: [
            ["start", "--runs", "90"], ["resident", "--sessions", "100"], ["flat", "--sessions", "60", "--runs", "90"],
            ["leaks", "--sessions", "100"],
        ])
        func isKept(arguments: [String]) {
            let outcome = Self.bench(arguments)
            #expect(outcome.status == 0, "\(outcome)")
        }
    }
}
