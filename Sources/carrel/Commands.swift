import Options

// What there is to say about every command. Nothing here is touched by a command that is not asked for.

private let running: StaticString = "Run"
private let looking: StaticString = "Inspect"
private let steering: StaticString = "Control"
let host: StaticString = "Profiles and host"
private let shell: StaticString = "Shell"

private let aSession = Operand("SESSION", completing: sessionNames)
private let selection: StaticString = "[OPTIONS] SESSION | --tenant TENANT | --profile PROFILE | --image IMAGE | --all"
/// What is said of tables that are wide.
let narrow: StaticString =
    "Columns that a terminal has no room for are left out; through `| cat` all of them are there."
private let selectors: [Option] = [.allTenant, .allProfile, .allImage, .all]
let runOptions: [Option] = [
    .profile, .tenant, .workdir, .session, .report, .detach, .tty, .passFD, .wait, .curve,
    .image, .mount, .memory, .memoryHigh, .swap, .pids, .cpus, .openFiles, .tmp, .timeout, .idle, .cpuTime, .grace,
    .seccomp,
    .explain, .network, .env,
]
/// Those of them that a configuration shows.
private let specOptions: [Option] = [
    .profile, .tenant, .workdir, .session, .tty, .image, .mount, .memory, .swap, .pids, .cpus, .openFiles, .tmp,
    .seccomp, .env,
]

extension Command {
    static let run = Command(
        "run", in: running, takesProgram: true, options: runOptions, "Run a program in a session of its own",
        details: [
            """
            Boxes a program as its profile says, gives it this command's standard input, output and error, waits for its \
            end, and ends as it did. All that the session leaves is its report (`carrel report`), its place in the \
            ledger and the audit log, and what it wrote to its workdir and its tenant's config directory.
            """,
            """
            A control that the profile asks for and this host cannot give is a refusal to start: `carrel doctor` tells \
            what is missing and how to mend it. SIGINT and SIGTERM end the session in order. Should carrel be killed \
            itself, the session dies with it.
            """,
        ],
        examples: [
            Example(
                "An agent on a working tree, with bounds",
                "carrel run --profile claude-code --tenant acme --workdir ./repo --memory 2GiB -- claude -p 'fix the test'"
            ),
            Example("A shell to look around in", "carrel run --tty -- sh"),
            Example(
                "A program of the working tree, in the background",
                "carrel run --detach --session s-42 --profile python --workdir . --report r.json -- ./agent"),
        ])

    static let spec = Command(
        "spec", in: running, takesProgram: true, options: specOptions, "Print the OCI configuration of a session",
        details: [
            """
            Prints what `carrel run` would start with these options, as the `config.json` of the OCI runtime \
            specification. What OCI has no field for is in annotations, `dev.carrel.*`. Nothing is started, and nothing \
            is made in the workdir: protected files that do not exist are left out. Time limits, the way out and all else \
            that is the supervisor's to hold are not in it, and `spec` has no such options.
            """
        ],
        examples: [Example("What a profile comes to", "carrel spec --profile strict -- true")])

    static let ps = Command(
        "ps", in: looking, options: [.json, .names], "List the live sessions", details: [narrow])

    static let stats = Command(
        "stats", in: looking, operands: [Operand("SESSION", completing: sessionNames, isOptional: true)],
        options: [.json], "Show what live sessions use",
        details: [
            """
            Memory, processes and CPU time as the kernel counts them for the session's cgroup. A figure that this host \
            does not count is shown as `-`. The bar is the peak's part of the limit.
            """, narrow,
        ])

    static let logs = Command(
        "logs", in: looking, operands: [aSession], options: [.follow], "Print what a detached session has written",
        details: [
            """
            Standard output and error of a session that was started with `--detach`, as they were written, as far as \
            the profile's `limits.log` keeps them. They are the session's own bytes: control characters come as they are.
            """,
            """
            They stay when the session is over, until another of its name starts or somebody removes them: \
            Docs/Reports.md tells how.
            """,
        ])

    static let exec = Command(
        "exec", in: steering, operands: [aSession], takesProgram: true, options: [.tty, .setEnv],
        "Run another program in a live session",
        details: [
            """
            The program has the ids, the filter, the limits and the environment of the session's own. It ends with the \
            session, and with this command, should that be killed.
            """
        ],
        examples: [Example("Look around", "carrel exec --tty s-42 -- sh")])

    static let pause = Command(
        "pause", in: steering, operands: [Operand("SESSION", completing: sessionNames, isOptional: true)],
        options: [.json] + selectors, synopsis: selection, "Freeze sessions: no CPU time, and memory stays")

    static let resume = Command(
        "resume", in: steering, operands: [Operand("SESSION", completing: sessionNames, isOptional: true)],
        options: [.json] + selectors, synopsis: selection, "Let paused sessions go on")

    static let kill = Command(
        "kill", in: steering, operands: [Operand("SESSION", completing: sessionNames, isOptional: true)],
        options: [Option.signal, .killGrace, .hold, .json] + selectors, synopsis: selection, "End sessions",
        details: [
            """
            Returns when nothing of the sessions is left. A tenant's sessions, or all, die by one write to the cgroup \
            above them, together with what they are forking at that moment. Who did it is in the audit log and in \
            each report.
            """
        ],
        examples: [
            Example("At once", "carrel kill s-42"),
            Example("Asked first", "carrel kill s-42 --signal TERM --grace 10s"),
            Example("A tenant, who starts nothing more until the release", "carrel kill --tenant acme --hold"),
        ])

    static let release = Command(
        "release", in: steering, operands: [Operand("SESSION", isOptional: true)], options: [.json] + selectors,
        synopsis: selection,
        "Allow new starts again after kill --hold",
        details: ["Ends with 1 where there was no such hold."])

    static let wait = Command(
        "wait", in: looking, operands: [aSession], options: [.json], "Wait for a session's end, and end as it did",
        details: ["With `--json` the end is printed too: the status, and the report's `exit` (Docs/Reports.md)."])

    static let report = Command(
        "report", in: looking, operands: [aSession], options: [.json], "Show the report of a session that is over",
        details: [
            """
            What ran, how it ended, what it used against its limits, and where the launch spent its time. Where a name \
            was used again, it is the report of the newest session. Docs/Reports.md describes the JSON.
            """
        ])

    static let doctor = Command(
        "doctor", in: host, options: [.json], "Tell what this host gives, and how to mend what is missing",
        details: ["Ends with 1 where something is missing that sessions need."])

    static let profileCheck = Command(
        "profile check", in: host, operands: [Operand("FILE", completing: .file, isRepeatable: true)], options: [.json],
        "Check profiles whole: every error with its line",
        details: [
            "Prints every problem of every file as `FILE:LINE:COLUMN: FIELD: MESSAGE`. Ends with 1 where there is one."
        ])

    static let profileShow = Command(
        "profile show", in: host, operands: [Operand("PROFILE", completing: profileNames)], options: [.json],
        "Print a profile with all its values, and where each is from")

    static let profileList = Command("profile list", in: host, options: [.json, .names], "List the profiles")

    static let auditVerify = Command(
        "audit verify", in: host, options: [.noted, .json], "Check the audit log's chain of hashes",
        details: [
            """
            Finds records that were changed, dropped, put elsewhere, doubled or slipped in. Ends with 1 where there is \
            one. Whoever may write the log can write all of it anew: note the head that this prints where they cannot, \
            and give it to a later check as `--head`.
            """
        ],
        examples: [Example("All since a noted head", "carrel audit verify --head 1042:9f86d081884c7d65...")])

    static let auditLog = Command(
        "audit log", in: host, options: [.json], "Print the audit log: who decided what, and when",
        details: ["One decision a line, the oldest first. `carrel audit verify` says whether it can be believed."])

    static let auditRotate = Command(
        "audit rotate", in: host, options: [.keep], "Put the audit log aside, and go on in a new file",
        details: [
            """
            The log becomes the archive `audit.jsonl.N`, N the number of its last record. The chain of hashes goes on in \
            the new file, and `audit verify` checks both, with what is left of earlier archives. For cron, or a timer.
            """
        ],
        examples: [Example("Each month, for a year", "carrel audit rotate --keep 12")])

    static let completions = Command(
        "completions", in: shell, operands: [Operand("SHELL", completing: .words("bash zsh fish"))],
        "Print completions for bash, zsh or fish",
        examples: [
            Example("bash", "source <(carrel completions bash)"),
            Example("zsh, in a directory of fpath", "carrel completions zsh > ~/.zfunc/_carrel"),
            Example("fish", "carrel completions fish | source"),
        ])

    static let man = Command(
        "man", in: shell,
        operands: [Operand("COMMAND", isOptional: true, isRepeatable: true)],
        options: [.into, .markdown], "Print a manual page",
        examples: [Example("Read about a command", "carrel man run | man -l -")])

    static let supervise = Command(
        "supervise", operands: [Operand("STATE"), Operand("SESSION"), Operand("DESCRIPTORS")],
        "Go on as the supervisor of a session, called by carrel-init", isHidden: true)
}
