/// What an unquoted YAML scalar means (YAML 1.2.2, section 10.3.2, the core schema).
enum Scalar {
    /// The value, or why the text is not accepted.
    static func resolve(_ text: String) -> Result<Node.Content, Refusal> {
        switch text {
        case "", "~", "null", "Null", "NULL": return .success(.null)
        case "true", "True", "TRUE": return .success(.bool(true))
        case "false", "False", "FALSE": return .success(.bool(false))
        default: break
        }
        switch text.utf8.first! {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
            return number(text)
        default: return .success(.string(text))
        }
    }

    /// Why a scalar is not accepted.
    struct Refusal: Error {
        let message: String
    }

    private static func number(_ text: String) -> Result<Node.Content, Refusal> {
        if text.hasPrefix("0x") { return radix(text, 16) }
        if text.hasPrefix("0o") { return radix(text, 8) }
        var rest = Substring(text).utf8
        if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") { rest.removeFirst() }
        switch String(Substring(rest)) {
        case ".inf", ".Inf", ".INF": return .failure(Refusal(message: "expected a finite number, found \(text)"))
        default: break
        }
        switch text {
        case ".nan", ".NaN", ".NAN": return .failure(Refusal(message: "expected a finite number, found \(text)"))
        default: break
        }
        let whole = digits(&rest)
        if rest.isEmpty && whole > 0 { return integer(text, digits: whole) }
        var fraction = 0
        if rest.first == UInt8(ascii: ".") {
            rest.removeFirst()
            fraction = digits(&rest)
        }
        if whole + fraction == 0 { return .success(.string(text)) }
        if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
            rest.removeFirst()
            if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") { rest.removeFirst() }
            if digits(&rest) == 0 { return .success(.string(text)) }
        }
        guard rest.isEmpty, let value = Double(text) else { return .success(.string(text)) }
        guard value.isFinite else { return .failure(Refusal(message: "expected a finite number, found \(text)")) }
        return .success(.number(value))
    }

    private static func integer(_ text: String, digits count: Int) -> Result<Node.Content, Refusal> {
        // 0755 is 755 in YAML 1.2, 493 in YAML 1.1 and an error in JSON: whoever wrote it is asked which.
        if count > 1, text.utf8[text.utf8.index(text.utf8.endIndex, offsetBy: -count)] == UInt8(ascii: "0") {
            return .failure(Refusal(message: "expected no leading zero, found \(text); octal is written 0o755"))
        }
        return whole(Int64(text), UInt64(text), text)
    }

    private static func radix(_ text: String, _ radix: Int) -> Result<Node.Content, Refusal> {
        let digits = text.dropFirst(2)
        guard let first = digits.utf8.first, first != UInt8(ascii: "+"), first != UInt8(ascii: "-"),
            digits.utf8.allSatisfy({ Character(Unicode.Scalar($0)).hexDigitValue.map { $0 < radix } ?? false })
        else { return .success(.string(text)) }
        return whole(Int64(digits, radix: radix), UInt64(digits, radix: radix), text)
    }

    private static func whole(_ signed: Int64?, _ unsigned: UInt64?, _ text: String) -> Result<Node.Content, Refusal> {
        if let signed { return .success(.integer(signed)) }
        if let unsigned { return .success(.unsigned(unsigned)) }
        return .failure(Refusal(message: "expected a whole number of at most 64 bits, found \(text)"))
    }

    /// Skips decimal digits and says how many there were.
    private static func digits(_ text: inout Substring.UTF8View) -> Int {
        let rest = text.drop { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
        defer { text = rest }
        return text.count - rest.count
    }
}
