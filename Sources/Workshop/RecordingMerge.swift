extension Recording {
    /// The union of recordings, with the number of runs that each call and each combination of arguments was seen in.
    ///
    /// - Parameter recordings: at least one; merged ones can be merged again.
    public static func merging(_ recordings: [Recording]) -> Recording? {
        guard var result = recordings.first else { return nil }
        for recording in recordings.dropFirst() { result.merge(recording) }
        return result.sorted
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
