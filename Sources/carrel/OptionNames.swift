import Options

// Every option of every command, once.

private let controls: StaticString = "Limits and controls, instead of the profile's"
private let choosing: StaticString = "Which sessions"

/// The names of live sessions, for completion.
let sessionNames = Completion.answers(of: "ps --names")
/// The names of profiles, for completion.
let profileNames = Completion.answers(of: "profile list --names")

extension Option {
    // What is run.
    static let profile = Option(
        "profile", letter: "P", takes: "PROFILE", completing: profileNames,
        "How the session is boxed: a profile's name, or the path of a profile's file. Without it: `default`")
    static let tenant = Option(
        "tenant", letter: "T", takes: "TENANT",
        "Whose session it is: two tenants share nothing that can be written, nor anything secret. Without it: `default`"
    )
    static let workdir = Option(
        "workdir", letter: "w", takes: "DIRECTORY", completing: .directory,
        "The working tree that the session sees at the profile's `workdir.target` (`/workspace`). Without it: none")
    static let session = Option(
        "session", letter: "s", takes: "NAME",
        "The session's name, unique on this host while it runs. Without it one is made up")
    static let report = Option(
        "report", letter: "r", takes: "FILE", completing: .file, "Writes the report, as JSON, to this file as well")
    static let detach = Option(
        "detach", letter: "d", "Starts the session, prints its name and returns; its output goes to `carrel logs`")
    static let tty = Option("tty", letter: "t", "Gives the session a terminal of its own, tied to this one")
    static let passFD = Option(
        "pass-fd", takes: "NUMBER", isRepeatable: true,
        "Lets the session keep an open descriptor of the caller, beside 0, 1 and 2")

    // What of the profile the command line sets.
    static let image = Option(
        "image", takes: "IMAGE", completing: .directory, under: controls,
        "The root: `host`, or a prepared directory, by its path or its name")
    static let memory = Option(
        "memory", letter: "m", takes: "SIZE", under: controls,
        "The most memory, for example `2GiB`. What comes up against it is ended, and its report says `oom`")
    static let swap = Option("swap", takes: "SIZE", under: controls, "The most swap beside the memory")
    static let pids = Option("pids", takes: "NUMBER", under: controls, "The most processes and threads at one time")
    static let cpus = Option("cpus", takes: "NUMBER", under: controls, "The most CPU time, in CPUs: `1.5`, or `none`")
    static let openFiles = Option("open-files", takes: "NUMBER", under: controls, "The most open files of a process")
    static let tmp = Option("tmp", takes: "SIZE", under: controls, "The size of `/tmp`, which counts as memory")
    static let timeout = Option(
        "timeout", takes: "DURATION", under: controls,
        "The longest time from start to end, for example `30m` or `1h30m`, or `none`")
    static let idle = Option(
        "idle", takes: "DURATION", under: controls, "The longest time without progress, or `none`")
    static let cpuTime = Option(
        "cpu-time", takes: "DURATION", under: controls, "The most processor time in all, or `none`")
    static let memoryHigh = Option(
        "memory-high", takes: "SIZE", under: controls,
        "Where the kernel begins to slow the session down instead of giving it more memory, or `none`")
    static let grace = Option(
        "grace", takes: "DURATION", under: controls, "The time between SIGTERM and SIGKILL at the end of those")
    static let seccomp = Option(
        "seccomp", takes: "FILTER", completing: .file, under: controls,
        "The system call filter: a filter's name, or the path of an OCI seccomp file")
    static let explain = Option(
        "explain", under: controls, "Writes down every call that the filter refuses, for `carrel seccomp explain`")
    static let mount = Option(
        "mount", takes: "SOURCE:TARGET[:rw]", completing: .file, isRepeatable: true, under: controls,
        "Shows a path of the host inside, beside the profile's `mounts`; read-only without `:rw`")
    static let network = Option(
        "network", takes: "NETWORK", completing: .choices("none gateway"), under: controls,
        "`none`, or `gateway`. No option opens the host's network")
    static let env = Option(
        "env", letter: "e", takes: "NAME[=VALUE]", isRepeatable: true, under: controls,
        "Sets a variable, or passes the caller's value on")

    // Live sessions.
    static let allTenant = Option("tenant", letter: "T", takes: "TENANT", under: choosing, "All sessions of a tenant")
    static let allProfile = Option(
        "profile", letter: "P", takes: "PROFILE", completing: profileNames, under: choosing, "All sessions of a profile"
    )
    static let allImage = Option("image", takes: "IMAGE", under: choosing, "All sessions of an image")
    static let all = Option("all", under: choosing, "All sessions")
    static let signal = Option(
        "signal", takes: "SIGNAL", completing: .words("TERM INT HUP QUIT USR1 USR2 KILL"),
        "Sends this signal first and kills what is left after `--grace`. Without it nothing is asked: SIGKILL at once")
    static let killGrace = Option(
        "grace", takes: "DURATION", "How long the signal has. Without it: `10s`; with it and no `--signal`: `TERM`")
    static let hold = Option(
        "hold", "Refuses every new start at this level until `carrel release`, so that nothing comes back meanwhile")
    static let follow = Option("follow", letter: "f", "Goes on with what the session writes, until it is over")
    static let setEnv = Option(
        "env", letter: "e", takes: "NAME=VALUE", isRepeatable: true, "Adds a variable to the session's environment")

    // How things are shown.
    static let json = Option("json", "Prints JSON")
    static let names = Option("names", isHidden: true, "Prints names alone, one a line")
    static let noted = Option(
        "head", takes: "NUMBER:HASH",
        "A place in the chain that was noted down elsewhere: proves that all before it is as it was")
    static let keep = Option(
        "keep", takes: "NUMBER", "How many archives are kept, the oldest being removed. Without it: all")
    static let markdown = Option("markdown", isHidden: true, "Prints the reference of all commands as Markdown")
    static let into = Option(
        "into", takes: "DIRECTORY", completing: .directory, "Writes all pages into a directory instead")
    static let version = Option("version", letter: "V", "Print the version and exit")
}
