import Documents

extension Report {
    /// The report as a document: every member is always there, in the same order, `null` where nothing is known.
    public var node: Node {
        let command = Node(.sequence(command.map { Node(.string($0)) })).cut(to: 16 << 10)
        return [
            "schema": text(Self.schema),
            "session": text(session),
            "tenant": text(tenant),
            "host": ["name": text(host.name), "bootId": text(host.bootID)],
            "carrel": text(carrel),
            "profile": ["name": text(profile.name), "sha256": text(profile.sha256)],
            "image": text(image),
            "command": command,
            "started": text(started.description),
            "ended": text(ended.description),
            "exit": exit.node,
            "limits": ["asked": limitsAsked.node, "inForce": limitsInForce.node],
            "cgroups": text(cgroups),
            "controlsAbsent": list(absent) { ["name": text($0.name), "reason": text($0.reason)] },
            "usage": usage.node,
            "pressure": pressure.map {
                ["cpu": stall($0.cpu), "memory": stall($0.memory), "io": stall($0.io)]
            } ?? nil,
            "egress": egress?.node ?? nil,
            "curve": curve?.node ?? nil,
            "campaign": campaign?.node ?? nil,
            "throttled": list(throttled) {
                [
                    "resource": text($0.resource.rawValue), "by": text($0.by.rawValue), "times": integer($0.times),
                    "stalledMicroseconds": integer($0.stalledMicroseconds),
                ]
            },
            "launch": list(launch) { ["phase": text($0.name), "microseconds": integer($0.microseconds)] },
            "denials": denials,
            "notes": list(notes, text),
        ]
    }

    /// Reads a report back; members that this version does not know are passed over, so that the format can grow.
    ///
    /// - Parameters:
    ///   - node: the document.
    ///   - file: its name, for the problems.
    /// - Throws: every member that is missing or of the wrong kind.
    public init(_ node: Node, file: String) throws(Problems) {
        let reader = Reader(file: file)
        let top = Members(node, "", reader)
        let schema = top.text("schema")
        if reader.problems.isEmpty && schema != Self.schema {
            throw Problems([
                Problem(
                    file: file, mark: node["schema"]?.mark, field: "schema",
                    message: "expected \(Self.schema), found \(schema)")
            ])
        }
        let host = top.mapping("host")
        let profile = top.mapping("profile")
        let limits = top.mapping("limits")
        self.init(
            session: top.text("session"), tenant: top.text("tenant"),
            host: Host(name: host.text("name"), bootID: host.text("bootId")), carrel: top.text("carrel"),
            profile: Profile(name: profile.text("name"), sha256: profile.text("sha256")), image: top.text("image"),
            command: top.list("command", of: "a string") { $0.string }, started: top.time("started"),
            ended: top.time("ended"), exit: Exit(top.mapping("exit")),
            limitsAsked: Limits(limits.mapping("asked")), limitsInForce: Limits(limits.mapping("inForce")),
            cgroups: top.text("cgroups"),
            absent: top.mappings("controlsAbsent").map { Absence(name: $0.text("name"), reason: $0.text("reason")) },
            usage: Usage(top.mapping("usage")),
            pressure: top.mapping(optional: "pressure").map {
                Pressure(cpu: stall($0, "cpu"), memory: stall($0, "memory"), io: stall($0, "io"))
            },
            egress: top.mapping(optional: "egress").map { Egress($0) },
            launch: top.mappings("launch").map {
                Phase($0.text("phase"), microseconds: $0.integer("microseconds"))
            },
            denials: node["denials"] ?? nil,
            notes: top.list("notes", of: "a string") { $0.string })
        curve = top.mapping(optional: "curve").map { Curve($0) }
        campaign = top.mapping(optional: "campaign").map { Campaign($0) }
        // Reports of earlier versions have none.
        throttled = (node["throttled"] == nil ? [] : top.mappings("throttled")).compactMap { members in
            guard let resource = members.name("resource", of: Throttle.Resource.allCases),
                let by = members.name("by", of: Exit.Level.allCases)
            else { return nil }
            return Throttle(
                resource, by: by, times: members.integer("times"),
                stalledMicroseconds: members.integer(optional: "stalledMicroseconds"))
        }
        if !reader.problems.isEmpty { throw Problems(reader.problems) }
    }
}

extension Report.Exit {
    var node: Node {
        [
            "how": text(how.rawValue), "status": integer(status), "signal": integer(signal), "why": text(why),
            "by": by?.node ?? nil, "limit": limit.map { text($0.rawValue) } ?? nil,
        ]
    }

    init(_ members: Members) {
        self.init(
            how: members.name("how", of: How.allCases) ?? .failed, status: members.integer(optional: "status"),
            signal: members.integer(optional: "signal"), why: members.text("why"),
            by: members.mapping(optional: "by").map {
                Report.Actor(uid: $0.integer("uid"), pid: $0.integer("pid"), comm: $0.text("comm"))
            })
        limit = members.optional("limit", "one of session, tenant, host") { $0.string.flatMap(Level.init(rawValue:)) }
    }
}

extension Report.Actor {
    /// The process as a document, in reports and in the audit log.
    public var node: Node { ["uid": integer(uid), "pid": integer(pid), "comm": text(comm)] }
}

extension Report.Limits {
    var node: Node {
        [
            "memoryBytes": integer(memoryBytes), "swapBytes": integer(swapBytes), "pids": integer(pids),
            "cpus": cpus.map { Node(.number($0)) } ?? nil, "openFiles": integer(openFiles),
            "tmpfs": list(tmpfs) { ["path": text($0.path), "sizeBytes": integer($0.sizeBytes)] },
            "wallClockNanoseconds": integer(wallClockNanoseconds), "idleNanoseconds": integer(idleNanoseconds),
            "graceNanoseconds": integer(graceNanoseconds), "memoryHighBytes": integer(memoryHighBytes),
            "cpuTimeNanoseconds": integer(cpuTimeNanoseconds), "ceilingBytes": integer(ceilingBytes),
            "recycleNanoseconds": integer(recycleNanoseconds),
        ]
    }

    init(_ members: Members) {
        self.init(
            memoryBytes: members.integer(optional: "memoryBytes"), swapBytes: members.integer(optional: "swapBytes"),
            pids: members.integer(optional: "pids"), cpus: members.optional("cpus", "a number") { $0.number },
            openFiles: members.integer(optional: "openFiles"),
            tmpfs: members.mappings("tmpfs").map {
                Report.Tmpfs(path: $0.text("path"), sizeBytes: $0.integer("sizeBytes"))
            },
            wallClockNanoseconds: members.integer(optional: "wallClockNanoseconds"),
            idleNanoseconds: members.integer(optional: "idleNanoseconds"),
            graceNanoseconds: members.integer(optional: "graceNanoseconds"))
        memoryHighBytes = members.integer(optional: "memoryHighBytes")
        cpuTimeNanoseconds = members.integer(optional: "cpuTimeNanoseconds")
        ceilingBytes = members.integer(optional: "ceilingBytes")
        recycleNanoseconds = members.integer(optional: "recycleNanoseconds")
    }
}

extension Report.Usage {
    var node: Node {
        [
            "memoryPeakBytes": integer(memoryPeakBytes), "residentPeakBytes": integer(residentPeakBytes),
            "pageCacheBytes": integer(pageCacheBytes), "memoryClipped": Node(.bool(memoryClipped)),
            "oomKills": integer(oomKills), "cpuNanoseconds": integer(cpuNanoseconds),
            "cpuUserNanoseconds": integer(cpuUserNanoseconds), "cpuSystemNanoseconds": integer(cpuSystemNanoseconds),
            "pidsPeak": integer(pidsPeak), "pidsLimitHits": integer(pidsLimitHits),
        ]
    }

    init(_ members: Members) {
        self.init(
            memoryPeakBytes: members.integer(optional: "memoryPeakBytes"),
            memoryClipped: members.required("memoryClipped", "true or false") { $0.bool } ?? false,
            oomKills: members.integer(optional: "oomKills"),
            cpuNanoseconds: members.integer(optional: "cpuNanoseconds"),
            cpuUserNanoseconds: members.integer(optional: "cpuUserNanoseconds"),
            cpuSystemNanoseconds: members.integer(optional: "cpuSystemNanoseconds"),
            pidsPeak: members.integer(optional: "pidsPeak"), pidsLimitHits: members.integer(optional: "pidsLimitHits"))
        residentPeakBytes = members.integer(optional: "residentPeakBytes")
        pageCacheBytes = members.integer(optional: "pageCacheBytes")
    }
}

extension Report.Egress {
    /// It as a document.
    public var node: Node {
        [
            "requests": integer(requests), "denied": integer(denied), "bytesUp": integer(bytesUp),
            "bytesDown": integer(bytesDown), "microdollars": integer(microdollars), "tokens": integer(tokens),
            "softMarks": integer(softMarks),
        ]
    }

    init(_ members: Members) {
        self.init(
            requests: members.integer("requests"), denied: members.integer("denied"),
            bytesUp: members.integer("bytesUp"), bytesDown: members.integer("bytesDown"),
            microdollars: members.integer("microdollars"), tokens: members.integer("tokens"),
            softMarks: members.integer(optional: "softMarks") ?? 0)
    }
}

private func stall(_ stall: Report.Pressure.Stall?) -> Node {
    guard let stall else { return nil }
    return [
        "someMicroseconds": integer(stall.someMicroseconds), "fullMicroseconds": integer(stall.fullMicroseconds),
    ]
}

private func stall(_ members: Members, _ name: String) -> Report.Pressure.Stall? {
    members.mapping(optional: name).map {
        Report.Pressure.Stall(
            someMicroseconds: $0.integer("someMicroseconds"), fullMicroseconds: $0.integer("fullMicroseconds"))
    }
}

private func text(_ value: String) -> Node { Node(.string(value.withoutNUL)) }
private func integer(_ value: Int64?) -> Node { value.map { Node(.integer($0)) } ?? nil }
private func list<Element>(_ elements: [Element], _ node: (Element) -> Node) -> Node {
    Node(.sequence(elements.map(node)))
}
