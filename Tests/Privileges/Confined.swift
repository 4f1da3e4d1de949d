import Glibc
import Privileges
import Syscalls

/// Runs `command` under an allowlist of `executables`.
func confined(
    to executables: [String], closing programDirectories: [String] = LandlockPolicy.usualProgramDirectories,
    scopes: Landlock.Scopes = [], namespaces: Namespaces = [], run command: [String],
    after setUp: () throws -> Void = {}
) throws -> Outcome {
    let policy = LandlockPolicy(executables: executables, programDirectories: programDirectories, scopes: scopes)
    try policy.check()
    return try inChild(namespaces: namespaces, run: command) {
        try setUp()
        try setNoNewPrivileges()
        try policy.restrict()
        return ""
    }
}

func copy(_ source: String, to target: String) throws {
    try withOpen(target, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o755) { file throws(SystemError) in
        try writeAll(try readFile(source), to: file)
    }
    chmod(target, 0o755)
}

func script(_ text: String, at path: String) throws {
    try withOpen(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o755) { file throws(SystemError) in
        try writeAll(text.utf8, to: file)
    }
    chmod(path, 0o755)
}
