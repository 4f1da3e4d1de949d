/// The names of the members of all objects that are open, to find one that stands there twice.
struct KeySets {
    /// All names, one behind the other; each open object has a part of `names`.
    private var text: [UInt8] = []
    private var names: [Range<Int>] = []
    private var objects: [Int] = []
    /// The names of an object that has many, by the depth of the object: looking along them would take too long.
    private var many: [Int: Set<[UInt8]>] = [:]

    /// How many names the open objects have.
    var count: Int { names.count }

    mutating func open() { objects.append(names.count) }

    mutating func close() {
        let first = objects.removeLast()
        many[objects.count] = nil
        if first < names.count { text.removeSubrange(names[first].lowerBound...) }
        names.removeSubrange(first...)
    }

    /// Takes a name of the innermost object in; `false` if it has it already.
    mutating func insert(_ name: [UInt8]) -> Bool {
        guard let first = objects.last else { return true }
        let depth = objects.count - 1
        if names.count - first < 16 {
            if names[first...].contains(where: { text[$0].elementsEqual(name) }) { return false }
        } else if many[depth, default: Set(names[first...].map { Array(text[$0]) })].insert(name).inserted == false {
            return false
        }
        names.append(text.count..<text.count + name.count)
        text += name
        return true
    }
}
