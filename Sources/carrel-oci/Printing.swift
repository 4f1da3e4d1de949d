import Container
import Documents
import Glibc
import Options
import Syscalls

func printList(_ call: Call) throws(RuntimeError) {
    let root = call.root
    if call.words.has(.quiet) {
        for name in try root.names() { print(name) }
        return
    }
    // One that is deleted meanwhile is none.
    var reports: [Node] = []
    for name in try root.names() {
        guard let container = try? RuntimeContainer.find(name, in: root) else { continue }
        reports.append(container.report)
        container.close()
    }
    if call.words[.format] == "json" {
        print(Node(.sequence(reports)).json())
        return
    }
    let rows =
        [["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]]
        + reports.map { report in
            ["id", "pid", "status", "bundle", "created", "owner"].map { key in
                report[key]?.string ?? report[key]?.int.map { String($0) } ?? ""
            }
        }
    let widths = rows[0].indices.map { column in rows.map { $0[column].utf8.count }.max() ?? 0 }
    for row in rows {
        var line = ""
        for (cell, width) in zip(row, widths) {
            line += cell + String(repeating: " ", count: width - cell.utf8.count + 3)
        }
        print(line)
    }
}

func printProcesses(_ call: Call) throws(RuntimeError) {
    let processes = try call.container().processes()
    if call.words[.format] == "json" {
        print("[" + processes.map { String($0) }.joined(separator: ",") + "]")
        return
    }
    let options = call.words.program.isEmpty ? ["-ef"] : call.words.program
    let lines: [Substring]
    do throws(SystemError) {
        let ps = try spawn("ps", options)
        defer { close(ps.output) }
        lines = String(decoding: try readAll(ps.output, named: "ps"), as: UTF8.self).split(separator: "\n")
        _ = try wait(for: ps.pid)
    } catch { throw RuntimeError("\(error)") }
    guard let names = lines.first, let column = names.split(separator: " ").firstIndex(of: "PID") else {
        throw RuntimeError("ps \(options.joined(separator: " ")): expected options that show the column PID")
    }
    print(names)
    for line in lines.dropFirst() {
        let fields = line.split(separator: " ")
        if column < fields.count, let pid = pid_t(fields[column]), processes.contains(pid) { print(line) }
    }
}

func printEvents(_ call: Call) throws(RuntimeError) {
    let container = try call.container()
    if call.words.has(.stats) {
        print(try container.statistics().json())
        return
    }
    let interval = call.words[.interval].map { $0.hasSuffix("s") ? String($0.dropLast()) : $0 }
    guard let seconds = Int(interval ?? "5"), (1...86_400).contains(seconds) else {
        throw RuntimeError("--interval \(interval ?? ""): expected seconds from 1 to 86400")
    }
    try container.follow(interval: seconds) { event in
        print(event.json())
        fflush(nil)
    }
}
