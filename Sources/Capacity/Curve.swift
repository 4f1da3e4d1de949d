import Cgroups
import Documents
import Glibc
import Records
import Syscalls
import SystemPackage

/// One session's memory over its life: `carrel.curve/1`, JSON Lines. The first line says what the columns are; each
/// further line is one look, an array of whole numbers or `null`.
public struct Curve: Sendable, Equatable {
    /// One look.
    public struct Point: Sendable, Equatable {
        /// Milliseconds since the watch began.
        public var milliseconds: Int64
        /// Bytes charged.
        public var bytes: UInt64
        /// What they were made of.
        public var split: MemorySplit?
        /// Microseconds of waiting for memory so far (PSI).
        public var stall: UInt64?
        /// The sum of the processes' resident sets.
        public var residentSum: UInt64?

        /// A look.
        public init(milliseconds: Int64, bytes: UInt64) {
            self.milliseconds = milliseconds
            self.bytes = bytes
        }
    }

    /// The looks, in order.
    public var points: [Point]

    /// A curve of these looks.
    public init(_ points: [Point] = []) { self.points = points }

    static let header =
        #"{"schema":"carrel.curve/1","columns":["milliseconds","bytes","anon","file","shmem","kernel","stallMicroseconds","#
        + #""residentSum"]}"# + "\n"

    /// Reads a curve; lines that are not whole are passed over.
    public init?(_ bytes: [UInt8]) {
        var points: [Point] = []
        let lines = bytes.split(separator: UInt8(ascii: "\n"))
        guard let first = lines.first, first.elementsEqual(Self.header.utf8.dropLast()) else { return nil }
        for line in lines.dropFirst() {
            guard let values = try? Node.parse(Array(line), file: "curve").elements, values.count == 8,
                let time = values[0].int, let bytes = values[1].uint
            else { continue }
            var point = Point(milliseconds: time, bytes: bytes)
            if let anon = values[2].uint, let file = values[3].uint, let shmem = values[4].uint,
                let kernel = values[5].uint
            {
                point.split = MemorySplit(anon: anon, file: file, shmem: shmem, kernel: kernel)
            }
            point.stall = values[6].uint
            point.residentSum = values[7].uint
            points.append(point)
        }
        self.points = points
    }
}

extension Curve {
    /// Whether it is what a report tells of. It is not where a later session of the same name has written over it, or where
    /// looks could not be written.
    func isWhole(_ summary: Report.Curve) -> Bool {
        points.count == summary.samples && points.map(\.bytes).max() ?? 0 == summary.highestBytes
    }
}

extension Curve.Point {
    /// The look as a line of the file.
    var line: String {
        func text(_ value: UInt64?) -> String { value.map(String.init) ?? "null" }
        return "[\(milliseconds),\(bytes),\(text(split?.anon)),\(text(split?.file)),\(text(split?.shmem)),"
            + "\(text(split?.kernel)),\(text(stall)),\(text(residentSum))]\n"
    }
}

/// Watches one session's memory, at its own cost, which it counts too.
public final class CurveRecorder {
    /// Tells when it is time to look; for the supervisor's epoll(7).
    public let timer: FileDescriptor
    private let meter: MemoryMeter
    private let path: String
    private let start = monotonicNanoseconds()
    private var pending: [UInt8] = []
    private var summary: Report.Curve
    private var times: [Double] = []
    private var values: [Double] = []
    private var hasFile = false

    /// Begins to watch.
    ///
    /// - Parameters:
    ///   - path: where the curve is written.
    ///   - name: the same, as the report tells it.
    ///   - interval: nanoseconds from one look to the next.
    public init(_ cgroup: Cgroup, path: String, name: String, interval: UInt64) throws(CgroupError) {
        meter = try cgroup.memoryMeter()
        self.path = path
        summary = Report.Curve(file: name, intervalNanoseconds: Int64(interval))
        do throws(SystemError) {
            timer = try timerFD()
            try timerFDSet(timer, nanoseconds: 1, interval: interval)
        } catch { throw .system(error) }
    }

    /// Looks, if it is time to.
    public func look() {
        let before = monotonicNanoseconds(CLOCK_THREAD_CPUTIME_ID)
        _ = try? takeCount(timer)
        let now = monotonicNanoseconds()
        guard let reading = meter.read(withProcesses: true) else { return }
        var point = Curve.Point(milliseconds: Int64((now - start) / 1_000_000), bytes: reading.bytes)
        point.split = reading.split
        point.stall = reading.stall
        point.residentSum = reading.residentSum
        note(point)
        pending += Array(point.line.utf8)
        if pending.count >= 4096 { flush() }
        summary.costNanoseconds += Int64(monotonicNanoseconds(CLOCK_THREAD_CPUTIME_ID) - before)
    }

    private func note(_ point: Curve.Point) {
        summary.samples += 1
        summary.residentSumBytes = [summary.residentSumBytes, point.residentSum.map { Int64($0) }].compactMap { $0 }
            .max()
        times.append(Double(point.milliseconds) / 1000)
        values.append(Double(point.bytes))
        guard Int64(point.bytes) > summary.highestBytes else { return }
        summary.highestBytes = Int64(point.bytes)
        summary.anonBytes = point.split.map { Int64($0.anon) }
        summary.fileBytes = point.split.map { Int64($0.file) }
        summary.shmemBytes = point.split.map { Int64($0.shmem) }
        summary.kernelBytes = point.split.map { Int64($0.kernel) }
    }

    /// What cannot be written (a full disk) is lost: a session does not stop for its curve.
    private func flush() {
        let flags = O_WRONLY | O_CREAT | O_NOFOLLOW | (hasFile ? O_APPEND : O_TRUNC)
        try? withOpen(path, flags) { file throws(SystemError) in
            try writeAll((hasFile ? [] : Array(Curve.header.utf8)) + pending, to: file)
        }
        hasFile = true
        pending = []
    }

    /// Writes the rest, and tells what the curve comes to.
    public func finish() -> Report.Curve {
        let before = monotonicNanoseconds(CLOCK_THREAD_CPUTIME_ID)
        flush()
        if let growth = Growth(seconds: times, bytes: values) {
            summary.growthBytesPerHour = Int64(growth.bytesPerHour)
            summary.isLeak = growth.isLeak
        }
        close(timer)
        summary.costNanoseconds += Int64(monotonicNanoseconds(CLOCK_THREAD_CPUTIME_ID) - before)
        return summary
    }
}
