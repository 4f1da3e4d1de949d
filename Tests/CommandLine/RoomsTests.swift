import Foundation
import Testing

/// The table of rooms in Docs/Architecture.md against what the sources import.
@Suite struct RoomsTests {
    /// The rooms as the document lists them, the highest first.
    static let order: [String] = {
        let text = (try? String(contentsOfFile: repository + "/Docs/Architecture.md", encoding: .utf8)) ?? ""
        let table = text.components(separatedBy: "| room | question").last?.components(separatedBy: "\n\n").first ?? ""
        return table.split(separator: "\n").compactMap { line in
            line.hasPrefix("| `") ? line.dropFirst(3).prefix { $0 != "`" }.description : nil
        }
    }()

    /// What the files of a room import.
    static func imports(of room: String) throws -> Set<String> {
        let directory = "\(repository)/Sources/\(room)"
        var found: Set<String> = []
        for file in try FileManager.default.contentsOfDirectory(atPath: directory) where file.hasSuffix(".swift") {
            let text = try String(contentsOfFile: "\(directory)/\(file)", encoding: .utf8)
            for line in text.split(separator: "\n") {
                let words = line.split(separator: " ").drop { $0.hasPrefix("@") }
                if words.first == "import", let name = words.last { found.insert(String(name)) }
            }
        }
        return found
    }

    @Test func everyRoomIsInTheTable() throws {
        let sources = try FileManager.default.contentsOfDirectory(atPath: repository + "/Sources")
        // System libraries are modules of a header alone.
        #expect(Set(sources.filter { !$0.hasPrefix("CLib") }) == Set(Self.order))
        #expect(Set(Self.order).count == Self.order.count)
    }

    @Test(arguments: order) func aRoomImportsRoomsBelowItAlone(room: String) throws {
        let place = try #require(Self.order.firstIndex(of: room))
        for name in try Self.imports(of: room) {
            guard let other = Self.order.firstIndex(of: name) else { continue }
            #expect(other > place, "\(room) imports \(name), which stands above it")
        }
    }
}
