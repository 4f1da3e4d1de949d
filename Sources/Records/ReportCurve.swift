import Documents

extension Report {
    /// What a session's memory did over its life, where it was watched: the curve itself is a file of the state directory.
    public struct Curve: Sendable, Equatable {
        /// Where the curve is, relative to the state directory.
        public var file: String
        /// How often the session was looked at.
        public var samples: Int64
        /// The time from one look to the next.
        public var intervalNanoseconds: Int64
        /// Processor time that all looking together took.
        public var costNanoseconds: Int64
        /// The most that was seen at once; the true peak is in the usage.
        public var highestBytes: Int64
        /// The part of that which was memory of programs alone.
        public var anonBytes: Int64?
        /// The part of that which was page cache.
        public var fileBytes: Int64?
        /// The part of that which was tmpfs and shared memory.
        public var shmemBytes: Int64?
        /// The part of that which was the kernel's own.
        public var kernelBytes: Int64?
        /// The highest sum of the processes' resident sets that was seen.
        public var residentSumBytes: Int64?
        /// How fast it grew after its first third; `nil` where it was too short to tell.
        public var growthBytesPerHour: Int64?
        /// Whether that is certain and much.
        public var isLeak: Bool

        /// A curve that has not begun.
        public init(file: String, intervalNanoseconds: Int64) {
            self.file = file
            self.intervalNanoseconds = intervalNanoseconds
            samples = 0
            costNanoseconds = 0
            highestBytes = 0
            isLeak = false
        }
    }

    /// The campaign of measurements that a session was one run of.
    public struct Campaign: Sendable, Equatable {
        /// Its name.
        public var name: String
        /// Which of its runs, from 1; 0 for one that only warmed the page cache, and is no measurement.
        public var run: Int64
        /// Whether it only warmed the page cache: the first toucher of an image's pages is charged for them.
        public var isWarmUp: Bool { run == 0 }

        /// A run of a campaign.
        public init(name: String, run: Int64) {
            self.name = name
            self.run = run
        }
    }
}

extension Report.Curve {
    var node: Node {
        func integer(_ value: Int64?) -> Node { value.map { Node(.integer($0)) } ?? nil }
        return [
            "file": Node(.string(file)), "samples": integer(samples),
            "intervalNanoseconds": integer(intervalNanoseconds),
            "costNanoseconds": integer(costNanoseconds), "highestBytes": integer(highestBytes),
            "anonBytes": integer(anonBytes), "fileBytes": integer(fileBytes), "shmemBytes": integer(shmemBytes),
            "kernelBytes": integer(kernelBytes), "residentSumBytes": integer(residentSumBytes),
            "growthBytesPerHour": integer(growthBytesPerHour), "leak": Node(.bool(isLeak)),
        ]
    }

    init(_ members: Members) {
        self.init(file: members.text("file"), intervalNanoseconds: members.integer("intervalNanoseconds"))
        samples = members.integer("samples")
        costNanoseconds = members.integer("costNanoseconds")
        highestBytes = members.integer("highestBytes")
        anonBytes = members.integer(optional: "anonBytes")
        fileBytes = members.integer(optional: "fileBytes")
        shmemBytes = members.integer(optional: "shmemBytes")
        kernelBytes = members.integer(optional: "kernelBytes")
        residentSumBytes = members.integer(optional: "residentSumBytes")
        growthBytesPerHour = members.optional("growthBytesPerHour", "a whole number from -2^60 to 2^60") { node in
            node.int.flatMap { -(1 << 60)...1 << 60 ~= $0 ? $0 : nil }
        }
        isLeak = members.required("leak", "true or false") { $0.bool } ?? false
    }
}

extension Report.Campaign {
    var node: Node { ["name": Node(.string(name)), "run": Node(.integer(run))] }

    init(_ members: Members) { self.init(name: members.text("name"), run: members.integer("run")) }
}
