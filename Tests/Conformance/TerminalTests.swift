import Foundation
import Glibc
import Testing

extension Conformance {
    /// The terminal of `run` and `exec` in the foreground, where one side does not take what the other gives.
    @Suite struct TerminalTests {
        private let caller =
            URL(fileURLWithPath: #filePath).deletingLastPathComponent().path
            + "/../Integration/Fixtures/between_pipes.py"

        private func between(_ options: [String], _ bundle: Bundle, _ words: String...) throws -> Outcome {
            try run(["python3", caller] + options + [runtimePath, "--root", bundle.state] + words, limit: 90)
        }

        private func bundle(_ script: String) throws -> Bundle {
            let bundle = try Bundle()
            bundle.change("process") { $0["terminal"] = true }
            bundle.script(script)
            try bundle.write()
            return bundle
        }

        /// The smaller one has ended before the caller reads; what it said last is in the terminal and on the way.
        @Test("a payload that blocks writing blocks nobody, and all it wrote is read", arguments: [80_000, 3_000_000])
        func outputWhileInputIsFull(count: Int) throws {
            let script = "busybox stty raw -echo; echo ready; busybox head -c \(count)"
            let bundle = try bundle(script)
            let outcome = try between(["--feed", "\(count)"], bundle, "run", "--bundle", bundle.path, "c")
            #expect(outcome.output == "same \(count)\n" && outcome.status == 0, "\(outcome)")
            if count > 80_000 { return }
            bundle.change("process") { $0["terminal"] = false }
            bundle.payload("sleep", "1000")
            try bundle.start()
            let inside = try between(
                ["--feed", "\(count)"], bundle, "exec", "--tty", "c", "sh", "-c", script)
            #expect(inside.output == "same \(count)\n" && inside.status == 0, "\(inside)")
            let unsent = try bundle.oci("exec", "--console-socket", "\(bundle.path)/none", "c", "true")
            #expect(unsent.status != 0 && unsent.errors.contains("cannot use console socket"), "\(unsent)")
        }

        @Test("a caller who reads nothing can end the container and the runtime by a signal")
        func signalsWhileOutputIsFull() throws {
            let bundle = try bundle("trap 'exit 7' TERM; echo ready; busybox yes & wait")
            let outcome = try between(["--terminate"], bundle, "run", "--bundle", bundle.path, "c")
            #expect(outcome.status == 7, "\(outcome)")
            #expect(bundle.leftovers(["c"]).isEmpty)
        }
    }
}
