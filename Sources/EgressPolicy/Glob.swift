/// Whether a sequence is one that a pattern with wildcards means.
///
/// Of several wildcards only the last that was met can have to take more: what the ones before it took is as good as any
/// other way. So the time is that of the lengths' product, whatever a session puts into a name or a path.
///
/// - Parameters:
///   - isWildcard: whether an element of the pattern stands for any number of elements.
///   - least: how many elements a wildcard stands for at least.
///   - begins: whether a wildcard may begin at an element.
///   - matches: whether an element is the one that an element of the pattern means.
func globMatches<Element, Pattern>(
    _ text: ArraySlice<Element>, _ pattern: ArraySlice<Pattern>, isWildcard: (Pattern) -> Bool, least: Int = 0,
    begins: (Element) -> Bool = { _ in true }, matches: (Element, Pattern) -> Bool
) -> Bool {
    var (place, wanted) = (text.startIndex, pattern.startIndex)
    /// Behind the last wildcard, and where what follows it was tried last.
    var again: (place: Int, wanted: Int)?
    while place < text.endIndex || wanted < pattern.endIndex {
        if wanted < pattern.endIndex, isWildcard(pattern[wanted]) {
            if least == 0 || place + least <= text.endIndex && begins(text[place]) {
                wanted += 1
                place += least
                again = (place, wanted)
                continue
            }
        } else if wanted < pattern.endIndex, place < text.endIndex, matches(text[place], pattern[wanted]) {
            wanted += 1
            place += 1
            continue
        }
        guard let last = again, last.place < text.endIndex else { return false }
        (place, wanted) = (last.place + 1, last.wanted)
        again = (place, wanted)
    }
    return true
}
