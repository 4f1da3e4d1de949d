import Foundation

/// The source tree that these tests are of.
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path

/// The program under test: the one that make has built, or the one that was built along with the tests.
let carrelPath: String =
    ProcessInfo.processInfo.environment["CARREL_BIN"]
    ?? Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") }?.bundleURL.deletingLastPathComponent()
    .appendingPathComponent("carrel").path ?? repository + "/.build/debug/carrel"

struct Outcome: CustomStringConvertible {
    let status: Int32
    let output: String
    let errors: String

    var description: String { "status \(status)\n\(output)\(errors)" }
}

/// Runs a program to its end, with the tree's profiles and a state directory of its own.
func call(_ program: String, _ arguments: [String], _ environment: [String: String] = [:]) throws -> Outcome {
    let state = FileManager.default.temporaryDirectory.path + "/carrel-test-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: state) }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    var variables = ProcessInfo.processInfo.environment
    variables["CARREL_STATE"] = state
    variables["CARREL_PROFILES"] = repository + "/Profiles"
    variables["PATH"] =
        URL(fileURLWithPath: carrelPath).deletingLastPathComponent().path + ":" + (variables["PATH"] ?? "")
    variables["TERM"] = "xterm"
    variables["NO_COLOR"] = nil
    process.environment = variables.merging(environment) { $1 }
    let output = Pipe()
    let errors = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try Data().write(to: errors)
    defer { try? FileManager.default.removeItem(at: errors) }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = try FileHandle(forWritingTo: errors)
    try process.run()
    let written = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return Outcome(
        status: process.terminationStatus, output: String(decoding: written, as: UTF8.self),
        errors: try String(contentsOf: errors, encoding: .utf8))
}

func carrel(_ arguments: String...) throws -> Outcome { try call(carrelPath, arguments) }

func isInstalled(_ program: String) -> Bool {
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").contains {
        FileManager.default.isExecutableFile(atPath: "\($0)/\(program)")
    }
}

/// Hands a file with this content to `body`.
func withFile<Result>(_ content: String, _ body: (String) throws -> Result) throws -> Result {
    let path = FileManager.default.temporaryDirectory.path + "/carrel-test-\(UUID().uuidString).txt"
    try content.write(toFile: path, atomically: false, encoding: .utf8)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
}
