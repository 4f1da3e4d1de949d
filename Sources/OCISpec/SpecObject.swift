/// An object of the OCI runtime specification: a Swift value whose properties carry the names of its JSON members.
/// Lists, maps and flags that the specification lets be absent are empty or false here.
public protocol SpecObject: Sendable, Equatable {
}
