/// Why a scalar is not accepted.
struct Refusal: Error {
    let message: String
}

/// What an unquoted scalar means (YAML 1.2.2, section 10.3.2, the core schema). JSON's numbers are a part of it.
func meaning(of text: String) throws(Refusal) -> Node.Content {
    switch text {
    case "", "~", "null", "Null", "NULL": return .null
    case "true", "True", "TRUE": return .bool(true)
    case "false", "False", "FALSE": return .bool(false)
    case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", ".nan", ".NaN", ".NAN":
        throw Refusal(message: "expected a finite number, found \(text)")
    default: break
    }
    switch text.utf8.first! {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
        return try number(text) ?? .string(text)
    default: return .string(text)
    }
}

/// The number that `text` is, or `nil` if it is text that only starts like one (`10.0.0.1`, `-v`, `2GiB`).
private func number(_ text: String) throws(Refusal) -> Node.Content? {
    if text.hasPrefix("0x") { return try integer(text, radix: 16) }
    if text.hasPrefix("0o") { return try integer(text, radix: 8) }
    var rest = Substring(text).utf8
    skip(oneOf: "+-", &rest)
    let leadingZero = rest.first == UInt8(ascii: "0")
    let whole = skipDigits(&rest)
    if rest.isEmpty && whole > 0 {
        // 0755 is 755 in YAML 1.2, 493 in YAML 1.1 and an error in JSON: whoever wrote it is asked which.
        if leadingZero && whole > 1 {
            throw Refusal(message: "expected no leading zero, found \(text); octal is written 0o755")
        }
        return try integer(text, Int64(text), UInt64(text))
    }
    let fraction = skip(oneOf: ".", &rest) ? skipDigits(&rest) : 0
    if whole + fraction == 0 { return nil }
    if skip(oneOf: "eE", &rest) {
        skip(oneOf: "+-", &rest)
        if skipDigits(&rest) == 0 { return nil }
    }
    guard rest.isEmpty, let value = Double(text) else { return nil }
    guard value.isFinite else { throw Refusal(message: "expected a finite number, found \(text)") }
    return .number(value)
}

/// `0x1F` or `0o17`: no sign, neither before nor behind the prefix.
private func integer(_ text: String, radix: Int) throws(Refusal) -> Node.Content? {
    let digits = text.dropFirst(2)
    guard !digits.isEmpty, digits.allSatisfy({ $0.isASCII && $0.hexDigitValue ?? radix < radix }) else { return nil }
    return try integer(text, Int64(digits, radix: radix), UInt64(digits, radix: radix))
}

private func integer(_ text: String, _ signed: Int64?, _ unsigned: UInt64?) throws(Refusal) -> Node.Content {
    if let signed { return .integer(signed) }
    if let unsigned { return .unsigned(unsigned) }
    throw Refusal(message: "expected a whole number of at most 64 bits, found \(text)")
}

@discardableResult
private func skip(oneOf characters: StaticString, _ text: inout Substring.UTF8View) -> Bool {
    guard let first = text.first,
        characters.withUTF8Buffer({ $0.contains(first) })
    else { return false }
    text.removeFirst()
    return true
}

/// Skips decimal digits and says how many there were.
private func skipDigits(_ text: inout Substring.UTF8View) -> Int {
    var count = 0
    while let first = text.first, first >= UInt8(ascii: "0"), first <= UInt8(ascii: "9") {
        text.removeFirst()
        count += 1
    }
    return count
}
