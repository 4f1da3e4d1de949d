import Documents
import Syscalls

/// Where profiles, filters and images are found: `session/NAME.yaml`, `seccomp/NAME.json` and the directory `images/NAME` of
/// each directory in turn.
///
/// Whoever can write a profile can loosen every session that uses it. So what has a name, and the directory that it lies
/// in, count only if root or the caller owns them and nobody else can write to them.
public struct ProfileCatalog: Sendable {
    /// The directories, the first that has a name winning.
    public let directories: [String]

    /// A catalog of these directories.
    public init(directories: [String]) { self.directories = directories }

    /// The names of all profiles, sorted.
    public var names: [String] { names(in: directories.map { $0 + "/session" }, ending: ".yaml") }

    func names(in places: [String], ending: String) -> [String] {
        var names: Set<String> = []
        for place in places {
            for file in (try? list(place)) ?? [] where file.hasSuffix(ending) {
                names.insert(String(file.dropLast(ending.count)))
            }
        }
        return names.sorted()
    }
}

/// The documents of one profile and of all that it extends.
struct ProfileChain {
    struct Link {
        let file: String
        let document: Node
    }

    /// The profile asked for, then what it extends.
    private(set) var links: [Link] = []
    private let catalog: ProfileCatalog
    private let reader: ProfileReader
    private static let longest = 8

    init(_ name: String, _ catalog: ProfileCatalog, _ reader: ProfileReader) {
        self.catalog = catalog
        self.reader = reader
        var next: (name: String, mark: Mark?)? = (name, nil)
        while let (name, mark) = next {
            next = nil
            guard let file = find(name, mark), let document = read(file, mark), hasFields(document) else { return }
            links.append(Link(file: file, document: document))
            guard let parent = document["extends"] else { return }
            next = reader.text(parent, "extends").map { ($0, parent.mark) }
        }
    }

    /// The file of a profile: a path if the name has a slash or `.yaml`, otherwise found in the catalog. What a file says of
    /// its parent is relative to it: a path, and a name is looked for beside it first.
    private func find(_ name: String, _ mark: Mark?) -> String? {
        if name.utf8.contains(UInt8(ascii: "/")) || name.hasSuffix(".yaml") {
            return links.isEmpty ? name : reader.beside(name)
        }
        var places = catalog.directories.map { $0 + "/session" }
        if let child = links.last?.file { places.insert(directory(of: child), at: 0) }
        if isPlainName(name) {
            for place in places {
                let file = "\(place)/\(name).yaml"
                if exists(file) { return file }
            }
        }
        let hint = nearest(name, in: catalog.names(in: places, ending: ".yaml")).map { "; did you mean \($0)?" } ?? ""
        return refuse(
            mark,
            "expected the name of a profile in \(places.joined(separator: ", ")), found \(Node(.string(name)).json())\(hint)",
            named: name)
    }

    private func read(_ file: String, _ mark: Mark?) -> Node? {
        guard !links.contains(where: { $0.file == file }) else {
            let chain = (links.map(\.file) + [file]).joined(separator: " extends ")
            return refuse(mark, "expected no circle; \(chain)")
        }
        guard links.count < Self.longest else {
            return refuse(mark, "expected at most \(Self.longest - 1) profiles in a row, found more")
        }
        let content: [UInt8]
        do throws(Distrust) {
            content = try trustedContent(file)
        } catch {
            return refuse(mark, error.message, named: file)
        }
        reader.open(file: file)
        return reader.document(content)
    }

    /// Whether there are fields to read; those of another version are read as of this one, which the profile is refused by.
    private func hasFields(_ document: Node) -> Bool {
        guard document.entries != nil else {
            reader.refuse(document, "", "a map of fields")
            return false
        }
        reader.checkVersion(of: document)
        return true
    }

    /// Notes what is wrong with the way to a profile: at the child's `extends`, or of the name that was asked for.
    private func refuse<Value>(_ mark: Mark?, _ message: String, named name: String = "") -> Value? {
        if links.isEmpty { reader.open(file: name) }
        reader.note(mark, links.isEmpty ? "" : "extends", message)
        return nil
    }
}
