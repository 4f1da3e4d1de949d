import Container
import Documents
import Glibc
import Options

/// Where messages go: standard error, and the file of `--log`, a line each, as callers of runc read it.
enum Journal {
    nonisolated(unsafe) private static var path: String?
    nonisolated(unsafe) private static var isJSON = false

    static func configure(_ words: Words) {
        path = words[.log]
        isJSON = words[.logFormat] == "json"
    }

    /// Adds one line to the file; a file that cannot be written is no reason to fail.
    static func error(_ message: String) {
        guard let path, let file = fopen(path, "ae") else { return }
        defer { fclose(file) }
        let time = Timestamp.now.description
        let line: String
        if isJSON {
            let node: Node = ["level": "error", "msg": Node(.string(message)), "time": Node(.string(time))]
            line = node.json()
        } else {
            line = "time=\"\(time)\" level=error msg=\(Node(.string(message)).json())"
        }
        fputs(line + "\n", file)
    }
}

/// Tells why the command failed.
func tell(_ error: RuntimeError) {
    Journal.error(error.description)
    let line = "carrel-oci: \(error)\n"
    _ = line.withCString { write(2, $0, strlen($0)) }
}
