import Capacity
import Documents

extension MeasureOutcome {
    /// The outcome as a document: `carrel.measure/1`.
    public var node: Node {
        var node: Node = [
            "schema": "carrel.measure/1", "campaign": Node(.string(campaign)), "peakOfSumBytes": Node(count: peakOfSum),
            "baseBytes": Node(count: base), "startSeconds": Node(.number(startSeconds)),
            "admissionCeilingBytes": Node(count: ceiling?.bytes),
        ]
        for entry in measurements.node.entries ?? [] { node.append(entry.key, entry.value) }
        return node
    }
}

extension Carrel.Validation {
    /// The validation as a document: `carrel.validation/1`.
    public var node: Node {
        func bytes(_ value: Double) -> Node { Node(.integer(Int64(value.rounded()))) }
        return [
            "schema": "carrel.validation/1", "sessions": Node(.integer(Int64(sessions))),
            "predictedBytes": bytes(predictedTotal), "predictedLowBytes": bytes(predicted.low + Double(base)),
            "predictedHighBytes": bytes(predicted.high + Double(base)), "measuredBytes": Node(count: measured),
            "error": Node(.number(error)), "baseBytes": Node(count: base), "sumOfPeaksBytes": bytes(sumOfPeaks),
            "calibration": calibration.node, "together": together.node,
        ]
    }
}
