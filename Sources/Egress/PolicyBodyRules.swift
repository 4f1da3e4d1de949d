import EgressPolicy

/// What a policy says of bodies; `Metering` has a type of the same name.
typealias PolicyBodyRules = MessagesBodyRules
