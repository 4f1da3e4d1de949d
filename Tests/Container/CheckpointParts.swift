import Testing

@testable import Container

@Suite struct CheckpointPartsTests {
    @Test("a message of criu's protocol comes back as it was written, numbers below zero and empty text too")
    func roundTrip() throws {
        var inner = ProtocolBuffer()
        inner.add(1, "pre-resume")
        inner.add(2, 4711)
        var message = ProtocolBuffer()
        message.add(1, 6)
        message.add(5, inner)
        message.add(7, -22)
        message.add(9, "")
        message.add(68, true)
        // protobuf.dev, "Encoding": 150 is 96 01.
        var example = ProtocolBuffer()
        example.add(1, 150)
        #expect(example.bytes == [0x08, 0x96, 0x01])
        let read = try #require(ProtocolBuffer(message.bytes))
        #expect(read.number(1) == 6 && read.number(7) == -22 && read.number(68) == 1)
        #expect(read.text(9) == "" && read.text(1) == nil && read.number(3) == nil)
        #expect(read.message(5)?.text(1) == "pre-resume" && read.message(5)?.number(2) == 4711)
    }

    @Test("what is cut off or no message is none, and is read without a trap")
    func damaged() throws {
        var message = ProtocolBuffer()
        message.add(1, 300)
        message.add(9, "criu says why")
        for length in 1..<message.bytes.count where length != 3 {
            #expect(ProtocolBuffer(Array(message.bytes.prefix(length))) == nil, "\(length)")
        }
        let claims: [UInt8] = [0x4a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]
        #expect(ProtocolBuffer(claims) == nil)
        #expect(ProtocolBuffer([UInt8](repeating: 0xff, count: 40)) == nil)
        for first in UInt8.min...UInt8.max { _ = ProtocolBuffer([first, 0x80, 0x01, 0x02]) }
    }

    @Test("the options of a mount are given to another, and no more")
    func options() {
        let one = MountPlan.change(to: "ro,nosuid,relatime")
        #expect(one.setting == [.readOnly, .noSetuid])
        #expect(one.clearing.isSuperset(of: [.noDevices, .noExec, .accessTimeMask]))
        #expect(MountPlan.change(to: "rw,nodev,noatime").setting == [.noDevices, .noAccessTime])
        // strictatime is what is not shown.
        #expect(MountPlan.change(to: "rw").setting == [.strictAccessTime])
    }
}
