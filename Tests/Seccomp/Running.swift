import Foundation

struct Outcome {
    let status: Int32
    let signalled: Bool
    let output: String
}

/// Runs a program to its end, with stdout and stderr in one.
@discardableResult
func run(_ program: String, _ arguments: String...) throws -> Outcome { try run(program, arguments) }

@discardableResult
func run(_ program: String, _ arguments: [String], in directory: URL? = nil) throws -> Outcome {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    if let directory { process.currentDirectoryURL = directory }
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return Outcome(
        status: process.terminationStatus, signalled: process.terminationReason == .uncaughtSignal,
        output: String(decoding: output, as: UTF8.self))
}
