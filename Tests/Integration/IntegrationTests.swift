import Testing

/// All integration tests, one after the other: they measure times, fill memory and count what is left on the host.
@Suite(
    .serialized,
    .enabled(
        if: Host.landlock >= 6,
        "the shipped profiles ask for Landlock's scopes (Linux 6.12), and this kernel has not got them: no session starts"
    ))
enum Integration {}
