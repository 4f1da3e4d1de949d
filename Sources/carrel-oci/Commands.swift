import Options

extension Option {
    static let version = Option("version", letter: "v", "Print the version and exit")
    static let root = Option("root", takes: "DIRECTORY", completing: .directory, "Where containers are kept")
    static let log = Option("log", takes: "FILE", completing: .file, "Add errors to this file, too")
    static let logFormat = Option(
        "log-format", takes: "FORMAT", completing: .choices("text json"), "How lines of the log are written")
    static let debug = Option("debug", "Accepted; there is nothing more to tell")
    static let systemdCgroup = Option(
        "systemd-cgroup", "Have systemd make cgroups, as transient scopes: `linux.cgroupsPath` is SLICE:PREFIX:NAME")
    static let cgroupManager = Option(
        "cgroup-manager", takes: "NAME", completing: .choices("cgroupfs systemd disabled"),
        "Who makes the cgroups: `cgroupfs` is this program itself; `disabled`, nobody")
    static let rootless = Option(
        "rootless", takes: "WHETHER", completing: .choices("true false auto"), "Accepted; it is seen by itself")

    static let bundle = Option(
        "bundle", letter: "b", takes: "DIRECTORY", completing: .directory, "The directory of `config.json`")
    static let pidFile = Option("pid-file", takes: "FILE", completing: .file, "Write the process number there")
    static let consoleSocket = Option(
        "console-socket", takes: "SOCKET", completing: .file, "Send the terminal to this Unix socket")
    static let preserveFDs = Option("preserve-fds", takes: "COUNT", "Pass descriptors from 3 on to the process")
    static let noPivot = Option("no-pivot", "Stack the root on the old one instead of pivot_root(2)")
    static let noNewKeyring = Option("no-new-keyring", "Keep the caller's session keyring")
    static let noSubreaper = Option("no-subreaper", isHidden: true, "Accepted")
    static let detach = Option("detach", letter: "d", "Return when the process runs")
    static let keep = Option("keep", "Keep the container when its process has ended")
    static let all = Option("all", letter: "a", "All processes of the container")
    static let force = Option("force", letter: "f", "Kill it first; one that is gone is no error")
    static let format = Option(
        "format", letter: "f", takes: "FORMAT", completing: .choices("table json"), "How to print")
    static let quiet = Option("quiet", letter: "q", "Names only")
    static let process = Option(
        "process", letter: "p", takes: "FILE", completing: .file, "The process as JSON, as in `config.json`")
    static let tty = Option("tty", letter: "t", "Give it a terminal")
    static let user = Option("user", letter: "u", takes: "UID[:GID]", "Its ids")
    static let additionalGids = Option(
        "additional-gids", letter: "g", takes: "GID", isRepeatable: true, "One more group")
    static let cwd = Option("cwd", takes: "DIRECTORY", "Its working directory")
    static let env = Option("env", letter: "e", takes: "NAME=VALUE", isRepeatable: true, "One more variable")
    static let cap = Option("cap", letter: "c", takes: "NAME", isRepeatable: true, "One more capability")
    static let noNewPrivs = Option("no-new-privs", "No program can gain privileges")
    static let apparmor = Option("apparmor", takes: "PROFILE", "Its AppArmor profile")
    static let processLabel = Option("process-label", takes: "LABEL", "Its SELinux label")
    static let cgroup = Option("cgroup", takes: "PATH", "A cgroup in the container's own, to be in instead of that")
    static let ignorePaused = Option("ignore-paused", "Also where the container is paused; it then waits")
    static let stats = Option("stats", "Print once what is used, and exit")
    static let interval = Option("interval", takes: "SECONDS", "How often to print; 5 seconds by default")

    static let imagePath = Option(
        "image-path", takes: "DIRECTORY", completing: .directory, "Where criu's files are; `checkpoint` by default")
    static let workPath = Option(
        "work-path", takes: "DIRECTORY", completing: .directory, "Where criu's log goes; beside its files by default")
    static let parentPath = Option(
        "parent-path", takes: "DIRECTORY", completing: .directory, "An earlier `--pre-dump`, relative to --image-path")
    static let leaveRunning = Option("leave-running", "The container goes on")
    static let preDump = Option("pre-dump", "Write memory alone, for a later checkpoint to be quicker")
    static let tcpEstablished = Option("tcp-established", "Connections of TCP go on")
    static let extUnixSk = Option("ext-unix-sk", "Unix sockets with a peer outside are connected again")
    static let fileLocks = Option("file-locks", "Locks of files are taken again")
    static let linkRemap = Option("link-remap", "Files that were removed while open get a name for the time being")
}

extension Operand {
    static let container = Operand("CONTAINER", completing: .answers(of: "list --quiet"))
}

extension Command {
    static let root = Command(
        "", options: [.root, .log, .logFormat, .debug, .systemdCgroup, .cgroupManager, .rootless, .version],
        "run containers by the OCI runtime specification")

    static let create = Command(
        "create", in: "Life cycle", operands: [Operand("CONTAINER")],
        options: [.bundle, .consoleSocket, .pidFile, .noPivot, .noNewKeyring, .preserveFDs],
        "Make a container that waits for `start`")
    static let start = Command("start", in: "Life cycle", operands: [.container], "Start a created container's process")
    static let run = Command(
        "run", in: "Life cycle", operands: [Operand("CONTAINER")],
        options: [
            .bundle, .consoleSocket, .pidFile, .noPivot, .noNewKeyring, .preserveFDs, .detach, .keep, .noSubreaper,
        ],
        "Make a container, start it, and take it away at its end")
    static let kill = Command(
        "kill", in: "Life cycle", operands: [.container, Operand("SIGNAL", isOptional: true)],
        options: [.all],
        "Send a signal, `SIGTERM` by default")
    static let delete = Command(
        "delete", in: "Life cycle", operands: [.container], options: [.force], "Take a stopped container away")
    static let exec = Command(
        "exec", in: "Life cycle", operands: [.container], takesProgram: true, programIsOptional: true,
        options: [
            .process, .tty, .user, .additionalGids, .cwd, .env, .cap, .noNewPrivs, .apparmor, .processLabel, .detach,
            .pidFile, .consoleSocket, .preserveFDs, .cgroup, .ignorePaused,
        ], synopsis: "[OPTIONS] CONTAINER PROGRAM [ARGUMENTS]", "Run a program in a container")
    static let pause = Command("pause", in: "Life cycle", operands: [.container], "Hold all its processes still")
    static let resume = Command("resume", in: "Life cycle", operands: [.container], "Let them go on")

    static let checkpoint = Command(
        "checkpoint", in: "Life cycle", operands: [.container],
        options: [
            .imagePath, .workPath, .parentPath, .leaveRunning, .preDump, .tcpEstablished, .extUnixSk, .fileLocks,
            .linkRemap,
        ], "Write a container's processes down by criu, and end them")
    static let restore = Command(
        "restore", in: "Life cycle", operands: [Operand("CONTAINER")],
        options: [
            .imagePath, .workPath, .bundle, .pidFile, .detach, .tcpEstablished, .extUnixSk, .fileLocks, .noPivot,
            .noNewKeyring, .noSubreaper,
        ], "Make a container whose processes go on where they were written down")

    static let state = Command("state", in: "Inspect", operands: [.container], "Print a container's state as JSON")
    static let list = Command(
        "list", in: "Inspect", options: [.format, .quiet], "List the containers")
    static let ps = Command(
        "ps", in: "Inspect", operands: [.container], takesProgram: true, programIsOptional: true,
        operandsEndOptions: true, options: [.format], synopsis: "[OPTIONS] CONTAINER [OPTIONS OF PS]",
        "List a container's processes")
    static let events = Command(
        "events", in: "Inspect", operands: [.container], options: [.stats, .interval],
        "Print what it uses, and when it runs out of memory")
    static let features = Command("features", in: "Inspect", "Print what this runtime can do, as JSON")
}
