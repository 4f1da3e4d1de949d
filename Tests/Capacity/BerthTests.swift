import Documents
import Foundation
import Synchronization
import Testing

@testable import Capacity

/// A path of its own for a test, gone with it.
final class Scratch: Sendable {
    let path = NSTemporaryDirectory() + "carrel-capacity-" + UUID().uuidString
    init() { try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false) }
    deinit { try? FileManager.default.removeItem(atPath: path) }
}

private func berth(_ holder: Int32, _ bytes: UInt64, tenant: String = "acme", end: Int64 = 0) -> Berth {
    Berth(holder: holder, bytes: bytes, tenant: Berth.Name(tenant), since: 1000, expectedEnd: end)
}

@Suite struct BerthTests {
    @Test func oneHolderALineUntilTheHostIsFull() throws {
        let scratch = Scratch()
        let book = BerthBook(scratch.path + "/berths")
        let bounds = BerthBounds(capacity: 10)
        for holder in 1...3 {
            #expect(
                try book.take(berth(Int32(holder), 3, end: 2000 + Int64(holder)), bounds, isGone: { _ in false }) == nil
            )
        }
        let refusal = try #require(try book.take(berth(4, 3), bounds, isGone: { _ in false }))
        #expect(
            refusal
                == BerthRefusal(
                    reason: .hostMemory, asked: 3, used: 9, capacity: 10, sessions: 3, waiting: 0, nextEnd: 2001))
        try book.release(holder: 2)
        #expect(try book.take(berth(4, 3), bounds, isGone: { _ in false }) == nil)
        #expect(try book.berths().map(\.holder) == [1, 4, 3])
    }

    /// Between the look at a dead holder's slot and its removal the slot could be given to another.
    @Test func whatADeadHolderHadIsGivenBackUnderTheLock() throws {
        let scratch = Scratch()
        let book = BerthBook(scratch.path + "/berths")
        #expect(try book.take(berth(.max, 3), BerthBounds(capacity: 10), isGone: { _ in false }) == nil)
        let other = open(book.path, O_RDWR | O_CLOEXEC)
        defer { close(other) }
        try #require(flock(other, LOCK_EX) == 0)
        let released = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            try? book.release(holder: .max)
            released.signal()
        }
        #expect(released.wait(timeout: .now() + 0.2) == .timedOut)
        #expect(try book.berths().count == 1)
        flock(other, LOCK_UN)
        #expect(released.wait(timeout: .now() + 20) == .success)
        #expect(try book.berths().isEmpty)
    }

    @Test func aDamagedBookIsReadAllTheSame() throws {
        let scratch = Scratch()
        let book = BerthBook(scratch.path + "/berths")
        let bounds = BerthBounds(capacity: 10)
        #expect(try book.take(berth(1, 3), bounds, isGone: { _ in false }) == nil)
        var bytes = try Data(contentsOf: URL(fileURLWithPath: book.path))
        // The ticket, and all figures of many slots: as high as they can be.
        bytes.replaceSubrange(8..<16, with: Data(repeating: 0xff, count: 8))
        for _ in 0..<40 {
            var slot = berth(2, .max, end: .max)
            slot.since = .min
            bytes += Data(slot.slot)
        }
        try bytes.write(to: URL(fileURLWithPath: book.path))
        #expect(try book.berths().allSatisfy { $0.holder == 1 || $0.expectedEnd > $0.since })
        #expect(try book.take(berth(3, 3), bounds, isGone: { _ in false })?.reason == .hostMemory)
        _ = try book.queue(berth(3, 3))
        #expect(try book.take(berth(3, 3), bounds, isGone: { $0.holder == 2 }) == nil)
    }

    @Test func theDeadGiveBackWhenTheHostIsFull() throws {
        let scratch = Scratch()
        let book = BerthBook(scratch.path + "/berths")
        let bounds = BerthBounds(capacity: 2)
        for holder: Int32 in 1...2 { _ = try book.take(berth(holder, 1), bounds, isGone: { _ in false }) }
        #expect(try book.take(berth(3, 1), bounds, isGone: { $0.holder == 1 }) == nil)
        #expect(try Set(book.berths().map(\.holder)) == [2, 3])
    }

    @Test func ofTwoHundredAtOnceExactlyFiftyHaveABerth() throws {
        let scratch = Scratch()
        let book = BerthBook(scratch.path + "/berths")
        let taken = Mutex(0)
        DispatchQueue.concurrentPerform(iterations: 200) { index in
            let answer = Result {
                try book.take(berth(Int32(index + 1), 7), BerthBounds(capacity: 355), isGone: { _ in false })
            }
            if case .success(nil) = answer { taken.withLock { $0 += 1 } }
        }
        #expect(taken.withLock { $0 } == 50)
        #expect(try book.berths().count == 50)
    }

    @Test func aTenantHasItsOwnBounds() throws {
        var bounds = BerthBounds(capacity: 100, tenantMemory: 10, tenantSessions: 3)
        let others = [berth(1, 8), berth(2, 50, tenant: "other", end: 9)]
        #expect(bounds.refusal(of: berth(3, 2), beside: others) == nil)
        #expect(bounds.refusal(of: berth(3, 3), beside: others)?.reason == .tenantMemory)
        #expect(bounds.refusal(of: berth(3, 3), beside: others)?.nextEnd == nil)
        bounds.tenantSessions = 1
        #expect(bounds.refusal(of: berth(3, 1), beside: others)?.reason == .tenantSessions)
        #expect(bounds.refusal(of: berth(3, 1, tenant: "third"), beside: others) == nil)
    }

    @Test func aSessionLargerThanTheHostHasItAlone() {
        let bounds = BerthBounds(capacity: 10)
        #expect(bounds.refusal(of: berth(1, 64), beside: []) == nil)
        #expect(bounds.refusal(of: berth(1, 64), beside: [berth(2, 1)])?.reason == .hostMemory)
        #expect(bounds.refusal(of: berth(1, 1), beside: [berth(2, 64)])?.reason == .hostMemory)
    }

    @Test func whoWaitsIsNotOvertaken() throws {
        let scratch = Scratch()
        let book = BerthBook(scratch.path + "/berths")
        let bounds = BerthBounds(capacity: 10)
        _ = try book.take(berth(1, 6), bounds, isGone: { _ in false })
        let first = try book.queue(berth(2, 6))
        let second = try book.queue(berth(3, 1))
        #expect(first < second)
        // There is room for the second and for a newcomer, but not for the first.
        #expect(try book.take(berth(3, 1), bounds, ticket: second, isGone: { _ in false })?.reason == .queue)
        #expect(try book.take(berth(4, 1), bounds, isGone: { _ in false })?.reason == .queue)
        #expect(try book.take(berth(2, 6), bounds, ticket: first, isGone: { _ in false })?.reason == .hostMemory)
        try book.release(holder: 1)
        #expect(try book.take(berth(3, 1), bounds, ticket: second, isGone: { _ in false })?.reason == .queue)
        #expect(try book.take(berth(2, 6), bounds, ticket: first, isGone: { _ in false }) == nil)
        #expect(try book.take(berth(3, 1), bounds, ticket: second, isGone: { _ in false }) == nil)
        #expect(try book.berths().allSatisfy { $0.kind == .taken })
    }

    @Test func whoWaitsForItsTenantHoldsUpNobodyElse() throws {
        let scratch = Scratch()
        let book = BerthBook(scratch.path + "/berths")
        let bounded = BerthBounds(capacity: 10, tenantSessions: 1)
        _ = try book.take(berth(1, 1), bounded, isGone: { _ in false })
        let ticket = try book.queue(berth(2, 1))
        #expect(try book.take(berth(2, 1), bounded, ticket: ticket, isGone: { _ in false })?.reason == .tenantSessions)
        #expect(try book.take(berth(3, 1, tenant: "other"), BerthBounds(capacity: 10), isGone: { _ in false }) == nil)
    }

    @Test func aFileThatIsNoBookIsRefused() throws {
        let scratch = Scratch()
        let path = scratch.path + "/berths"
        try String(repeating: "x", count: 200).write(toFile: path, atomically: false, encoding: .utf8)
        #expect(throws: (any Error).self) {
            try BerthBook(path).take(berth(1, 1), BerthBounds(capacity: 10), isGone: { _ in false })
        }
    }

    @Test func manyBerthsAreAllRead() throws {
        let scratch = Scratch()
        let book = BerthBook(scratch.path + "/berths")
        for holder in 1...700 {
            #expect(try book.take(berth(Int32(holder), 1), BerthBounds(capacity: 700), isGone: { _ in false }) == nil)
        }
        #expect(try book.take(berth(701, 1), BerthBounds(capacity: 700), isGone: { _ in false })?.sessions == 700)
        #expect(try Set(book.berths().map(\.holder)) == Set(1...700))
    }
}

@Suite struct PinTests {
    private let hosts = (1...10).map { PinHost(name: "host-\($0)", berths: $0 <= 5 ? 100 : 200) }
    private let sessions = (0..<6000).map { "s-\($0)" }

    @Test func sessionsAreSpreadByBerths() {
        let pin = HostPin(hosts)
        var counts: [String: Int] = [:]
        for session in sessions { counts[pin.host(for: session)?.name ?? "", default: 0] += 1 }
        for host in hosts {
            let share = 6000.0 * Double(host.berths) / 1500
            let found = Double(counts[host.name] ?? 0)
            #expect(abs(found - share) < 5 * share.squareRoot(), "\(host.name): \(found) of \(share)")
        }
    }

    @Test func onlyTheSessionsOfAHostThatGoesMove() {
        let before = HostPin(hosts)
        let after = HostPin(hosts.filter { $0.name != "host-7" })
        for session in sessions {
            let old = before.host(for: session)?.name
            if old != "host-7" { #expect(after.host(for: session)?.name == old) }
        }
        let more = HostPin(hosts + [PinHost(name: "host-11", berths: 150)])
        let moved = sessions.filter { more.host(for: $0)?.name != before.host(for: $0)?.name }
        #expect(moved.allSatisfy { more.host(for: $0)?.name == "host-11" })
        // Its share is 150 of 1,650 berths: 545 of 6,000 sessions.
        #expect((425...665).contains(moved.count), "\(moved.count)")
    }

    @Test func noHostIsAboveItsBound() {
        var pin = HostPin((1...5).map { PinHost(name: "h\($0)", berths: 40) }, factor: 1.1)
        for session in sessions.prefix(200) {
            guard let host = pin.host(for: session), let index = pin.hosts.firstIndex(of: host) else { continue }
            #expect(host.sessions < pin.bound(of: host))
            pin.hosts[index].sessions += 1
        }
        #expect(pin.hosts.map(\.sessions) == [40, 40, 40, 40, 40])
        #expect(pin.host(for: "one more") == nil)
    }

    private func problems(_ text: String) -> [String] {
        do throws(Problems) {
            _ = try HostPin(Array(text.utf8), file: "hosts.yaml")
            return []
        } catch { return error.list.map(\.description) }
    }

    @Test func aFileOfHostsIsReadWhole() throws {
        let text =
            "version: 1\nfactor: 1.5\nhosts:\n  - {name: a, berths: 60, sessions: 12}\n  - {name: b, berths: 0, draining: true}\n"
        let pin = try HostPin(Array(text.utf8), file: "hosts.yaml")
        #expect(pin.factor == 1.5)
        #expect(
            pin.hosts == [
                PinHost(name: "a", berths: 60, sessions: 12), PinHost(name: "b", berths: 0, isDraining: true),
            ])
    }

    /// Every error at once: where, which field, what is expected, what was found, and what was probably meant.
    @Test func everyErrorOfAFileOfHostsIsTold() {
        let text = """
            verson: 1
            factor: 0.5
            hosts:
              - {name: a, berth: 60, sessions: many}
              - {name: a, berths: 060, draining: yes}
              - build-3
              - {name: "", berths: -1}
            """
        #expect(
            problems(text) == [
                "hosts.yaml:1:1: verson: unknown; the fields here are version, factor, hosts; did you mean version?",
                "hosts.yaml:1:1: version: expected 1, found nothing",
                "hosts.yaml:2:9: factor: expected a number from 1 to 1000, found 0.5",
                "hosts.yaml:4:5: hosts[0].berths: expected a whole number from 0 to 1000000, found nothing",
                "hosts.yaml:4:15: hosts[0].berth: unknown; the fields here are name, berths, sessions, draining; did you mean "
                    + "berths?",
                "hosts.yaml:4:36: hosts[0].sessions: expected a whole number from 0 to 1000000, found \"many\"",
                "hosts.yaml:5:12: hosts[1].name: expected each host once, found \"a\"",
                "hosts.yaml:5:23: hosts[1].berths: expected no leading zero, found 060; octal is written 0o755",
                "hosts.yaml:5:38: hosts[1].draining: expected true or false, found \"yes\"",
                "hosts.yaml:6:5: hosts[2]: expected a map of name, berths, sessions, draining, found \"build-3\"",
                "hosts.yaml:7:12: hosts[3].name: expected a name, found \"\"",
                "hosts.yaml:7:24: hosts[3].berths: expected a whole number from 0 to 1000000, found -1",
            ])
        #expect(problems("[]") == ["hosts.yaml:1:1: expected a map of version, factor, hosts, found a list"])
        #expect(
            problems("version: 1\nhosts: []") == [
                "hosts.yaml:2:8: hosts: expected a list of one host or more, found a list"
            ])
        #expect(problems("version: 1\nhosts: {a: 1")[0].hasPrefix("hosts.yaml:2:13: hosts: while parsing"))
    }

    @Test func aDrainingHostTakesNone() {
        var pin = HostPin(hosts)
        pin.hosts[3].isDraining = true
        for session in sessions.prefix(500) { #expect(pin.host(for: session)?.name != "host-4") }
    }
}
