import Foundation
import Seccomp

/// libseccomp as an oracle: in a process of its own with a time limit, since some rule sets keep it busy for ever.
final class Oracle: Sendable {
    enum Answer {
        case program([UInt8])
        /// It takes no such rules, or found the time too short.
        case refused(String)
    }

    private let directory: URL
    private var program: String { directory.appendingPathComponent("oracle").path }

    init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("carrel-oracle-\(UUID())")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
        let source = directory.appendingPathComponent("oracle.c")
        try Self.source.write(to: source, atomically: true, encoding: .utf8)
        let compiler = Process()
        compiler.executableURL = URL(fileURLWithPath: "/usr/bin/cc")
        compiler.arguments = ["-O1", "-w", "-o", program, source.path, "-lseccomp"]
        try compiler.run()
        compiler.waitUntilExit()
    }
    deinit { try? FileManager.default.removeItem(at: directory) }

    /// The filter of rules `ACTION NUMBER [INDEX OP A B]...`, one a line, with this default.
    func compile(_ rules: [String], byDefault: UInt32, optimize: Int) throws -> Answer {
        let input = directory.appendingPathComponent("rules-\(UUID())")
        let output = directory.appendingPathComponent("program-\(UUID())")
        defer { for file in [input, output] { try? FileManager.default.removeItem(at: file) } }
        try (["\(byDefault) \(optimize)"] + rules + [""]).joined(separator: "\n").write(
            to: input, atomically: false, encoding: .utf8)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/timeout")
        process.arguments = ["-s", "KILL", "2", program, input.path, output.path]
        try process.run()
        process.waitUntilExit()
        if process.terminationReason == .uncaughtSignal || process.terminationStatus == 137 {
            return .refused("no end")
        }
        guard process.terminationStatus == 0 else { return .refused("status \(process.terminationStatus)") }
        return .program([UInt8](try Data(contentsOf: output)))
    }

    private static let source = #"""
        #include <errno.h>
        #include <fcntl.h>
        #include <seccomp.h>
        #include <stdio.h>
        #include <string.h>

        int main(int count, char **words) {
            FILE *in = fopen(words[1], "r");
            char line[4096];
            unsigned by_default, optimize;
            if (!in || !fgets(line, sizeof line, in) || sscanf(line, "%u %u", &by_default, &optimize) != 2) return 100;
            scmp_filter_ctx filter = seccomp_init(by_default);
            if (!filter) return 101;
            seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
            if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, optimize)) return 102;
            while (fgets(line, sizeof line, in)) {
                unsigned action, index, op;
                int number, used, at = 0;
                struct scmp_arg_cmp args[6];
                unsigned n = 0;
                unsigned long long a, b;
                if (sscanf(line, "%u %d%n", &action, &number, &at) < 2) continue;
                while (n < 6 && sscanf(line + at, "%u %u %llu %llu%n", &index, &op, &a, &b, &used) == 4) {
                    args[n].arg = index, args[n].op = op, args[n].datum_a = a, args[n].datum_b = b;
                    n++, at += used;
                }
                int result = seccomp_rule_add_array(filter, action, number, n, args);
                // A rule that is there already, or that says what the default says.
                if (result && result != -EEXIST && result != -EACCES) return -result;
            }
            int out = open(words[2], O_CREAT | O_TRUNC | O_WRONLY, 0600);
            return out < 0 || seccomp_export_bpf(filter, out) ? 103 : 0;
        }
        """#
}
