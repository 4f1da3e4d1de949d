import Documents
import Records

// A plan for programs: JSON and CSV. Sizes in bytes.

extension CapacityPlan {
    /// The plan as a document: `carrel.capacity/1`.
    public var node: Node {
        [
            "schema": "carrel.capacity/1", "profile": Node(.string(measurements.profile)),
            "command": Node(.sequence(measurements.command.map { Node(.string($0)) })),
            "runs": count(measurements.runs.count), "clipped": count(measurements.peaks.clipped),
            "leftOut": count(measurements.leftOut), "unfinished": measurements.unfinishedNode,
            "campaigns": Node(.sequence(measurements.campaigns.map { Node(.string($0)) })),
            "limitBytes": bytes(measurements.limit), "sharedBytes": bytes(measurements.shared),
            "overheadBytes": bytes(question.overhead), "riskPerDay": Node(.number(question.risk)),
            "ceiling": Self.node(ceiling), "guide": Self.node(guide),
            "shortfall": shortfall.map { Node(.string($0)) } ?? nil,
            "quantiles": Node(.sequence(quantiles.map(\.node))),
            "parametric": Node(.sequence(parametric.map(\.node))), "unseen": Node(.number(unseen)),
            "leaks": Node(.sequence(measurements.leaks.map { Node(.string($0.session)) })),
            "hosts": Node(.sequence(rows.map { node(of: $0) })),
            "notes": Node(
                .sequence((measurements.notes + [shortCurves].compactMap { $0 }).map { Node(.string($0)) })),
        ]
    }

    private func node(of row: Row) -> Node {
        func sessions(_ number: Int?) -> Node {
            guard let number else { return nil }
            let needed = stress(number)
            return [
                "sessions": count(number), "stressBytes": bytes(needed),
                "stressFits": needed.map { Node(.bool($0 <= row.host)) } ?? nil,
            ]
        }
        return [
            "hostBytes": bytes(row.host), "guide": sessions(row.guide), "ceiling": sessions(row.ceiling),
            "overcommit": sessions(row.overcommit), "overcommitAssured": sessions(row.overcommitAssured),
            "riskOfCeilingPerDay": row.riskOfCeiling.map { Node(.number($0)) } ?? nil,
            "sensitivity": Node(
                .sequence(
                    sensitivity(host: row.host).flatMap { line in
                        line.cells.map { cell -> Node in
                            [
                                "overheadBytes": bytes(line.overhead), "ceilingBytes": bytes(cell.ceiling),
                                "sessions": count(cell.sessions),
                            ]
                        }
                    })),
        ]
    }

    private static func node(_ ceiling: Ceiling?) -> Node {
        ceiling.map {
            ["bytes": bytes($0.bytes), "basis": Node(.string($0.basis)), "isBound": Node(.bool($0.isBound))]
        } ?? nil
    }

    /// The table of hosts, one line each, titles first (RFC 4180).
    public var csv: String {
        var text =
            "host_bytes,overhead_bytes,shared_bytes,ceiling_bytes,guide_bytes,sessions_guide,sessions_ceiling,"
            + "sessions_overcommit,sessions_overcommit_assured,risk_per_day,risk_of_ceiling_per_day,"
            + "stress_guide_bytes,stress_ceiling_bytes,stress_overcommit_bytes\r\n"
        func cell(_ value: Double?) -> String { value.map { decimal($0, 0) } ?? "" }
        func cell(_ value: Int?) -> String { value.map(String.init) ?? "" }
        for row in rows {
            var cells = [
                cell(row.host), cell(question.overhead), cell(measurements.shared), cell(ceiling?.bytes),
                cell(guide?.bytes),
                cell(row.guide), cell(row.ceiling), cell(row.overcommit), cell(row.overcommitAssured),
            ]
            cells += [question.risk.description, row.riskOfCeiling?.description ?? ""]
            cells += [row.guide, row.ceiling, row.overcommit].map { number in cell(number.flatMap { stress($0) }) }
            text += cells.joined(separator: ",") + "\r\n"
        }
        return text
    }
}

extension OrderStatistics.Quantile {
    var node: Node {
        [
            "quantile": Node(.number(quantile)), "estimateBytes": bytes(estimate), "lowerBytes": bytes(lower),
            "upperBytes": bytes(upper), "clipped": Node(.bool(isClipped)), "runsNeeded": count(runsNeeded),
        ]
    }
}

extension ToleranceBound {
    var node: Node {
        [
            "distribution": Node(.string(distribution.rawValue)), "quantile": Node(.number(quantile)),
            "boundBytes": bytes(bound), "andersonDarling": Node(.number(statistic)), "fit": Node(.number(fit)),
            "refused": Node(.bool(isRefused)),
        ]
    }
}

extension Measurements {
    /// The runs that are no measurements.
    var unfinishedNode: Node {
        Node(
            .sequence(
                unfinished.map { kind -> Node in
                    [
                        "how": Node(.string(kind.how.rawValue)),
                        "status": kind.status.map { Node(.integer($0)) } ?? nil,
                        "runs": count(kind.runs), "session": Node(.string(kind.session)), "peakBytes": bytes(kind.peak),
                    ]
                }))
    }

    /// The runs as a document.
    public var node: Node {
        [
            "profile": Node(.string(profile)), "command": Node(.sequence(command.map { Node(.string($0)) })),
            "campaigns": Node(.sequence(campaigns.map { Node(.string($0)) })), "limitBytes": bytes(limit),
            "sharedBytes": bytes(shared), "leftOut": count(leftOut), "unfinished": unfinishedNode,
            "quantiles": Node(.sequence([0.5, 0.9, 0.95, 0.99].map { peaks.quantile($0).node })),
            "runs": Node(
                .sequence(
                    runs.map { run -> Node in
                        [
                            "session": Node(.string(run.session)), "how": Node(.string(run.how.rawValue)),
                            "seconds": Node(.number(run.seconds)), "peakBytes": bytes(run.peak),
                            "clipped": Node(.bool(run.isClipped)), "residentPeakBytes": bytes(run.resident),
                            "curve": run.summary.map { curve -> Node in
                                [
                                    "highestBytes": Node(.integer(curve.highestBytes)),
                                    "anonBytes": integer(curve.anonBytes), "fileBytes": integer(curve.fileBytes),
                                    "shmemBytes": integer(curve.shmemBytes), "kernelBytes": integer(curve.kernelBytes),
                                    "growthBytesPerHour": integer(curve.growthBytesPerHour),
                                    "leak": Node(.bool(curve.isLeak)), "samples": Node(.integer(curve.samples)),
                                    "costNanoseconds": Node(.integer(curve.costNanoseconds)),
                                ]
                            } ?? nil,
                        ]
                    })),
            "notes": Node(.sequence(notes.map { Node(.string($0)) })),
        ]
    }
}

private func integer(_ value: Int64?) -> Node { value.map { Node(.integer($0)) } ?? nil }
private func count(_ value: Int) -> Node { Node(.integer(Int64(value))) }
private func bytes(_ value: Double?) -> Node {
    value.flatMap { Int64(exactly: $0.rounded()) }.map { Node(.integer($0)) } ?? nil
}
