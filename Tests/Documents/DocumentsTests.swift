import Testing

@testable import Documents

/// Reads `text`, which must be a good document.
private func read(_ text: String) throws -> Node { try Node.parse(Array(text.utf8), file: "t") }

/// What is wrong with `text`, one line each.
private func problems(_ text: String) -> String { problems(Array(text.utf8)) }

private func problems(_ bytes: [UInt8]) -> String {
    do {
        let node = try Node.parse(bytes, file: "t")
        return "no problem: \(node.json())"
    } catch {
        return error.description
    }
}

@Suite struct Reading {
    @Test func keepsOrderAndMarks() throws {
        let node = try read("b: 1\na:\n  - x\n  - {c: true}\n")
        #expect(node == ["b": 1, "a": ["x", ["c": true]]])
        #expect(node.entries?.map(\.key) == ["b", "a"])
        #expect(node.mark == Mark(line: 1, column: 1))
        #expect(node["a"]?.elements?[1].mark == Mark(line: 4, column: 5))
        #expect(node.entries?[1].keyMark == Mark(line: 2, column: 1))
    }

    @Test func marksJSONInCharacters() throws {
        let node = try read("{\"é\": 1,\n\t\"b\" : [2, \"x\"]}")
        #expect(node["é"]?.mark == Mark(line: 1, column: 7))
        #expect(node["b"]?.elements?[1].mark == Mark(line: 2, column: 12))
    }

    @Test(
        arguments: [
            ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("Yes", "Yes"), ("y", "y"), ("1_000", "1_000"),
            ("0b11", "0b11"), ("1:30", "1:30"), ("10.0.0.1", "10.0.0.1"), ("2GiB", "2GiB"), ("0x", "0x"),
            ("0xZZ", "0xZZ"), ("-0x5", "-0x5"), ("0x-5", "0x-5"), ("0o8", "0o8"), ("1e", "1e"), (".", "."), ("+", "+"),
            ("nan", "nan"), ("inf", "inf"), ("0x1p4", "0x1p4"), ("tRUE", "tRUE"), ("2026-01-02", "2026-01-02"),
            ("'12'", "12"), ("\"true\"", "true"), ("!!str 12", "12"), ("|\n  12", "12"), ("<<", "<<"),
        ])
    func stringsOfTheCoreSchema(_ text: String, _ value: String) throws {
        #expect(try read("a: \(text)")["a"]?.content == .string(value))
    }

    @Test(
        arguments: [
            ("12", .integer(12)), ("-12", .integer(-12)), ("+12", .integer(12)), ("0", .integer(0)),
            ("-0", .integer(0)),
            ("0x1F", .integer(31)), ("0o755", .integer(493)), ("0xFFFFFFFFFFFFFFFF", .unsigned(.max)),
            ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
            ("9223372036854775808", .unsigned(1 << 63)), ("18446744073709551615", .unsigned(.max)),
            ("1.5", .number(1.5)), ("1.", .number(1)), (".5", .number(0.5)), ("-1e3", .number(-1000)),
            ("1E+2", .number(100)), ("true", .bool(true)), ("FALSE", .bool(false)), ("null", .null), ("~", .null),
            ("", .null), ("Null", .null),
        ] as [(String, Node.Content)])
    func otherScalarsOfTheCoreSchema(_ text: String, _ content: Node.Content) throws {
        #expect(try read("a: \(text)")["a"]?.content == content)
        #expect(try read("{\"a\": \(text) }")["a"]?.content == content)
    }

    @Test(arguments: [
        ("a: 0755", "t:1:4: a: expected no leading zero, found 0755; octal is written 0o755"),
        ("[{\"a\": 007}]", "t:1:8: [0].a: expected no leading zero, found 007; octal is written 0o755"),
        ("a: 18446744073709551616", "t:1:4: a: expected a whole number of at most 64 bits, found 18446744073709551616"),
        ("a: -9223372036854775809", "t:1:4: a: expected a whole number of at most 64 bits, found -9223372036854775809"),
        ("a: 0x10000000000000000", "t:1:4: a: expected a whole number of at most 64 bits, found 0x10000000000000000"),
        ("a: 1e999", "t:1:4: a: expected a finite number, found 1e999"),
        ("a: .inf", "t:1:4: a: expected a finite number, found .inf"),
        ("[-.INF]", "t:1:2: [0]: expected a finite number, found -.INF"),
        ("a: .nan", "t:1:4: a: expected a finite number, found .nan"),
        ("a: 1\nb: 2\na: 3", "t:3:1: a: expected each name once; it stands in line 1 already"),
        ("{\"a\": 1,\n \"a\": 2}", "t:2:2: a: expected each name once; it stands in line 1 already"),
        ("{\"a\": 1,\n \"\\u0061\": 2}", "t:2:2: a: expected each name once; it stands in line 1 already"),
        ("a: ! 1", "t:1:4: a: expected no tag but !!str on a scalar, found !"),
        ("a: {b: !foo 1}", "t:1:8: a.b: expected no tag but !!str on a scalar, found !foo"),
        ("a: !!binary aGk=", "t:1:4: a: expected no tag but !!str on a scalar, found tag:yaml.org,2002:binary"),
        (
            "!!python/object:os.system {}",
            "t:1:1: expected no tag but !!str on a scalar, found tag:yaml.org,2002:python/object:os.system"
        ),
        ("[1]: 2", "t:1:1: expected a name, found a list or mapping"),
        ("a: &x b\n*x : 2", "t:2:1: expected a name, found an alias"),
        ("a: *x", "t:1:4: a: expected an anchor &x that ends before the alias *x"),
        ("a: &x [*x]", "t:1:8: a[0]: expected an anchor &x that ends before the alias *x"),
        ("a: \"x\\0y\"", "t:1:4: a: expected a string without NUL"),
        ("{\"a\": \"x\\u0000y\"}", "t:1:7: a: expected a string without NUL"),
        ("[\"\\ud83d\"]", "t:1:2: [0]: expected a pair of surrogates, found half of one"),
        (
            "[\"\\ude00\\ud83d\"]",
            "t:1:2: [0]: expected a pair of surrogates, found half of one\nt:1:2: [0]: expected a pair of surrogates, found half of one"
        ),
        ("", "t:1:1: expected a document, found none"),
        ("# nothing but a comment\n", "t:1:1: expected a document, found none"),
        ("a: 1\n---\nb: 2\n", "t:2:1: expected one document, found another"),
        ("{}\n---\n{}\n", "t:2:1: expected one document, found another"),
    ])
    func refuses(_ text: String, _ message: String) {
        #expect(problems(text) == message)
    }

    @Test func tellsAllProblemsAtOnce() {
        let found = problems("a: 0755\nb: !x 1\na: 2\nc: 1e999\n").split(separator: "\n").map { $0.prefix(4) }
        #expect(found == ["t:1:", "t:2:", "t:3:", "t:4:"])
    }

    @Test(arguments: [
        ("a: b\n c: d", "t:2:3"), ("a: [1, 2", "t:1:9"), ("a: \"x", "t:1:6"), ("\ta: 1", "t:1:1"), ("a: @x", "t:1:4"),
        ("{\"a\": 1\n \"b\": 2}", "t:2:"), ("{\"a\" 1}", "t:1:"), ("[1, 2", "t:1:6: expected"),
        ("[1, 2\n", "t:2:1"), ("{\"a\": 1} x", "t:1:10: expected the end of the document"), ("[\"\\q\"]", "t:1:"),
        ("{\"e\": \"\\ud83d\\ude00\",\n \"a\": }{", "t:2:"), ("{\"a\": 1}}", "t:1:9"), ("[\"\\u12\"]", "t:1:"),
    ])
    func namesThePlaceOfASyntaxError(_ text: String, _ place: String) {
        #expect(problems(text).hasPrefix(place), "\(problems(text))")
    }

    @Test func refusesWhatIsNotUTF8WithItsPlace() {
        #expect(problems(Array("a: 1\nbé: ".utf8) + [0xFF]) == "t:2:5: expected UTF-8, found the byte 0xFF")
        #expect(problems(Array("[\"".utf8) + [0xC0, 0x80, 0x22, 0x5D]).contains("expected UTF-8"))
        #expect(problems(Array("[\"".utf8) + [0xED, 0xA0, 0x80, 0x22, 0x5D]).contains("expected UTF-8"))
        #expect(problems([0xFF, 0xFE, 0x61, 0x00]).contains("expected UTF-8"))  // UTF-16 with its BOM
        #expect(problems(Array("a: x".utf8) + [0x00]).hasPrefix("t:1:5: control characters"))
        #expect(problems(Array("a: \"x".utf8) + [0x00, 0x22]).hasPrefix("t:1:"))
        #expect(problems(Array("[\"x".utf8) + [0x00, 0x22, 0x5D]).hasPrefix("t:1:"))
    }

    @Test func boundsDepth() throws {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[a, ", "]"), ("{a: ", "}")] {
            let good = String(repeating: open, count: 64) + "1" + String(repeating: close, count: 64)
            #expect(try read(good).kind != "")
            let bad = String(repeating: open, count: 65) + "1" + String(repeating: close, count: 65)
            #expect(problems(bad).contains("expected at most 64 levels, found more"))
            #expect(problems(String(repeating: open, count: 100_000)).contains("expected at most 64 levels"))
        }
        let block = (0..<70).map { String(repeating: " ", count: $0) + "a:" }.joined(separator: "\n")
        #expect(problems(block).contains("expected at most 64 levels"))
    }

    @Test func boundsWhatAliasesRepeat() throws {
        #expect(
            try read("a: &x [1, {b: 2}]\nc: [*x, *x]") == ["a": [1, ["b": 2]], "c": [[1, ["b": 2]], [1, ["b": 2]]]])
        var laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
        for level in 1..<10 {
            laughs +=
                "a\(level): &a\(level) [\(Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", "))]\n"
        }
        #expect(problems(laughs).contains("expected aliases that repeat at most 100000 nodes, found more"))
        // Depth by aliases: each level wraps the one before.
        var deep = "a0: &a0 [1]\n"
        for level in 1..<80 { deep += "a\(level): &a\(level) [*a\(level - 1)]\n" }
        #expect(problems(deep).contains("expected at most 64 levels"))
    }

    @Test func readsTheJSONThatLibyamlCannot() throws {
        #expect(
            try read("[\"\\ud83d\\uDE00 \\/ \\b\\f\\n\\r\\t\\\" \\\\ \\u00e9\"]") == ["😀 / \u{8}\u{C}\n\r\t\" \\ é"])
        let name = String(repeating: "n", count: 5000)
        #expect(try read("{\"\(name)\"\n:\t1}")[name] == 1)
        #expect(try read("\t\r\n {\n\t\"a\"\t:\t[\t]\n}\n\t\n") == ["a": []])
        #expect(try read("[\"\u{7F}\u{85}\u{2028}\u{FFFE}\u{9B}\"]") == ["\u{7F}\u{85}\u{2028}\u{FFFE}\u{9B}"])
        #expect(try read("{}") == .init(.mapping([])))
    }

    @Test func readsYAMLThatLooksLikeJSON() throws {
        #expect(try read("{a: b, 'c': [d, 1]} # so") == ["a": "b", "c": ["d", 1]])
        #expect(try read("{\"a\": \"x\n  y\", }") == ["a": "x y"])
        #expect(try read("\u{FEFF}{\"a\": 1}") == ["a": 1])
    }

    @Test func manyNamesAreNotSlow() throws {
        let text = "{" + (0..<100_000).map { "\"k\($0)\":\($0)" }.joined(separator: ",") + "}"
        #expect(try read(text).entries?.count == 100_000)
        #expect(problems("{" + (0..<100).map { "\"k\($0 % 99)\":0" }.joined(separator: ",") + "}").contains(" k0: "))
    }
}

@Suite struct Writing {
    @Test func writesCompactAndPretty() {
        let node: Node = ["b": 1, "a": [nil, true, "x", [:], []], "n": Node(.number(0.1)), "u": Node(.unsigned(.max))]
        #expect(node.json() == #"{"b":1,"a":[null,true,"x",{},[]],"n":0.1,"u":18446744073709551615}"#)
        #expect(
            (["a": [1, ["b": 2]], "c": []] as Node).json(pretty: true)
                == "{\n  \"a\": [\n    1,\n    {\n      \"b\": 2\n    }\n  ],\n  \"c\": []\n}")
    }

    @Test func escapesWhatMovesATerminalOrALine() {
        #expect(
            (["\u{1B}[2J\n\r\t\u{8}\u{C}\u{0}\u{7F}\u{85}\u{9B}\u{2028}\u{2029}\"\\ é€😀\u{A0}\u{2027}"] as Node).json()
                == #"["\u001b[2J\n\r\t\b\f\u0000\u007f\u0085\u009b\u2028\u2029\"\\ é€😀"#
                + "\u{A0}\u{2027}\"]")
        #expect((["a\nb": 1] as Node).json() == #"{"a\nb":1}"#)
    }

    @Test func everyCharacterComesBack() throws {
        var text = ""
        for value in UInt32(1)...0x10FFFF where value < 0x3000 || value > 0x10F000 || value % 257 == 0 {
            if let scalar = Unicode.Scalar(value) { text.unicodeScalars.append(scalar) }
        }
        let node = Node(.mapping([.init(key: text, value: Node(.string(text)))]))
        for json in [node.json(), node.json(pretty: true)] {
            let back = try read(json)
            #expect(Array(back.entries![0].key.utf8) == Array(text.utf8))
            #expect(Array(back.entries![0].value.string!.utf8) == Array(text.utf8))
        }
        #expect(!node.json().utf8.contains { $0 < 0x20 || $0 == 0x7F })
    }

    @Test(arguments: [0.1, 1e300, -1e-300, .leastNonzeroMagnitude, 1, 1e16, 123456789.125] as [Double])
    func numbersComeBack(_ value: Double) throws {
        #expect(try read("[\(Node(.number(value)).json())]").elements?[0].number == value)
    }

    @Test func infinitiesAreNull() {
        #expect(Node(.number(.infinity)).json() == "null")
        #expect(Node(.number(.nan)).json() == "null")
    }
}

@Suite struct Values {
    @Test func accessorsAreStrict() {
        let node: Node = ["i": -1, "s": "1", "b": true, "z": nil]
        #expect(node["i"]?.int == -1 && node["i"]?.uint == nil && node["i"]?.number == -1 && node["i"]?.string == nil)
        #expect(node["s"]?.int == nil && node["s"]?.string == "1")
        #expect(node["b"]?.bool == true && node["b"]?.int == nil)
        #expect(node["z"]?.isNull == true && node["y"] == nil)
        #expect(Node(.unsigned(.max)).uint == .max && Node(.unsigned(.max)).int == nil)
        #expect(node.elements == nil && node["s"]?["x"] == nil)
    }

    @Test func equalityIgnoresMarks() throws {
        #expect(try read("a: [1]") == read("\n\n{\"a\": [\n1]}"))
        #expect(try read("a: [1]") != read("a: [2]"))
    }

    @Test func problemsTellPlaceAndField() {
        let problem = Problem(file: "f", mark: Mark(line: 3, column: 7), field: "limits.memory", message: "expected")
        #expect(problem.description == "f:3:7: limits.memory: expected")
        #expect(Problem(file: "f", mark: nil, message: "m").description == "f: m")
        #expect(Problems([problem, problem]).description.split(separator: "\n").count == 2)
    }

    @Test(
        arguments: [
            ("memroy", "memory"), ("Memory", "memory"), ("pid", "pids"), ("wallclock", "wallClock"), ("xyz", nil),
            ("", nil),
            ("swpa", "swap"), ("memory", "memory"),
        ] as [(String, String?)])
    func suggestsTheNearestName(_ name: String, _ expected: String?) {
        #expect(nearest(name, in: ["memory", "swap", "pids", "wallClock", "idle"]) == expected)
    }
}
