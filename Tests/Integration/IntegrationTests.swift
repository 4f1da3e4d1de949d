import Testing

/// All integration tests, one after the other: they measure times, fill memory and count what is left on the host.
@Suite(.serialized) enum Integration {}
