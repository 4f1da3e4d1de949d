extension Recording {
    /// The union of recordings, with the number of runs that each call and each combination of arguments was seen in.
    ///
    /// - Parameter recordings: at least one; merged ones can be merged again.
    public static func merging(_ recordings: [Recording]) -> Recording? {
        guard var result = recordings.first else { return nil }
        for recording in recordings.dropFirst() { result.merge(recording) }
        return result.sorted
    }

    /// The first run that is in two of the recordings, by the place of both; `nil` where each run is in one alone. Counted
    /// twice, what a run alone has shown would look as if two had.
    public static func repeated(in recordings: [Recording]) -> (first: Int, second: Int)? {
        var places: [String: Int] = [:]
        for (index, recording) in recordings.enumerated() {
            for id in recording.runIDs {
                if let first = places.updateValue(index, forKey: id) { return (first, index) }
            }
        }
        return nil
    }

    private mutating func merge(_ other: Recording) {
        if source != other.source { source = .mixed }
        for environment in other.environments where !environments.contains(environment) {
            environments.append(environment)
        }
        for command in other.commands {
            if let found = commands.firstIndex(where: { $0.words == command.words }) {
                commands[found].runs += command.runs
            } else {
                commands.append(command)
            }
        }
        executables += other.executables
        runs += other.runs
        runIDs += other.runIDs
        lost += other.lost
        foreign += other.foreign
        var places: [String: Int] = [:]
        for (index, call) in calls.enumerated() { places[call.name] = index }
        for call in other.calls {
            if let place = places[call.name] { calls[place].merge(call) } else { calls.append(call) }
        }
    }
}

extension RecordedCall {
    fileprivate mutating func merge(_ other: RecordedCall) {
        allowed += other.allowed
        runs += other.runs
        unlisted += other.unlisted
        for denial in other.denied { addDenial(denial) }
        for seen in other.arguments { addArguments(seen, runs: seen.runs) }
    }
}
