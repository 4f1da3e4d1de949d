"""A corpus of calls that `agent-default` refuses, made by real programs, and what `carrel seccomp explain` says of them.

    denied_calls.py CARREL DIRECTORY PROFILE

For every case: explain names the call, its arguments and the program; and with the change that it proposes applied to
the profile, the same program gets from the kernel what it gets behind no filter at all. Prints what is wrong, and last
the number of cases.
"""
import json, os, re, socket, subprocess, sys

carrel, place, profile = sys.argv[1:4]
here = os.path.dirname(os.path.abspath(__file__))

# The numbers are the C library's headers', not carrel's.
numbers = {}
for line in open("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"):
    found = re.match(r"#define __NR_(\w+) (\d+)", line)
    if found:
        numbers[found[1]] = int(found[2])
numbers.update(statmount=457, listmount=458, open_tree_attr=467, listns=470)

cases = []


def case(call, *arguments, path=None):
    """Each argument: what is given, and what explain shall say of it; None: anything."""
    cases.append({"call": call, "words": [a[0] for a in arguments], "texts": [a[1] for a in arguments], "path": path})


def i(value, text=""):
    return (f"i:{value}", str(value) if text == "" else text)


def s(text):
    return (f"s:{text}", json.dumps(text))


null = ("i:0", "NULL")


def pointer(data="00" * 64):
    return (f"b:{data}", None)


here_fd = ("i:0xffffffffffffff9c", "AT_FDCWD")

# Mounts.
for flags, text in [
    (0, "0"), (1, "MS_RDONLY"), (2 | 4 | 8, "MS_NOSUID|MS_NODEV|MS_NOEXEC"), (4096, "MS_BIND"),
    (4096 | 16384, "MS_BIND|MS_REC"), (32 | 1, "MS_RDONLY|MS_REMOUNT"), (8192, "MS_MOVE"),
    (16384 | (1 << 18), "MS_REC|MS_PRIVATE"), (1 << 20, "MS_SHARED"), (1024 | 2048, "MS_NOATIME|MS_NODIRATIME"),
]:
    case("mount", s("none"), s("/mnt"), s("tmpfs"), i(flags, text), null, path="/mnt")
case("mount", s("/dev/sda1"), s("/home/agent"), s("ext4"), i(0), pointer("646174613d6f72646572656400"), path="/home/agent")
case("mount", s("proc"), s("here/proc"), s("proc"), i(0), null, path="/workspace/here/proc")
for flags, text in [(0, "0"), (2, "MNT_DETACH"), (1, "MNT_FORCE"), (8, "UMOUNT_NOFOLLOW"), (2 | 8, "MNT_DETACH|UMOUNT_NOFOLLOW")]:
    case("umount2", s("/proc"), i(flags, text), path="/proc")
case("pivot_root", s("/tmp"), s("/tmp/old"), path="/tmp")
case("pivot_root", s("."), s("."), path="/workspace/.")
case("chroot", s("/tmp"), path="/tmp")
case("chroot", s("deep/down"), path="/workspace/deep/down")
case("fsopen", s("ext4"), i(1))
case("fsopen", s("overlay"), i(0))
for command, text in enumerate(["FSCONFIG_SET_FLAG", "FSCONFIG_SET_STRING", "FSCONFIG_SET_BINARY", "FSCONFIG_SET_PATH"]):
    case("fsconfig", i(0, None), i(command, text), s("source"), pointer(), i(0))
case("fsmount", i(9), i(1), i(0))
case("fspick", here_fd, s("/"), i(0), path="/")
case("move_mount", here_fd, s("/tmp/a"), here_fd, s("/tmp/b"), i(0), path="/tmp/a")
for flags, text in [(1, "OPEN_TREE_CLONE"), (1 | 0x8000, "OPEN_TREE_CLONE|AT_RECURSIVE"), (0x80000, "OPEN_TREE_CLOEXEC")]:
    case("open_tree", here_fd, s("/usr"), i(flags, text), path="/usr")
case("open_tree_attr", here_fd, s("/usr/lib"), i(1, "OPEN_TREE_CLONE"), null, i(0), path="/usr/lib")
case("mount_setattr", here_fd, s("/etc"), i(0x8000, "0x8000"), pointer(), i(32), path="/etc")
case("statmount", pointer(), pointer(), i(64), i(0))
case("listmount", pointer(), pointer(), i(8), i(0))
case("listns", pointer(), pointer(), i(8), i(0))

# Namespaces.
new = {
    "CLONE_NEWNS": 0x20000, "CLONE_NEWCGROUP": 0x2000000, "CLONE_NEWUTS": 0x4000000, "CLONE_NEWIPC": 0x8000000,
    "CLONE_NEWUSER": 0x10000000, "CLONE_NEWPID": 0x20000000, "CLONE_NEWNET": 0x40000000,
}
for name, value in new.items():
    case("unshare", i(value, name))
    case("clone", i(value | 17, f"0x11|{name}"), i(0), null, null, i(0))
    case("setns", i(99), i(value, name))
case("unshare", i(0x10020000, "CLONE_NEWNS|CLONE_NEWUSER"))
case("clone", i(0x30000000 | 17, "0x11|CLONE_NEWUSER|CLONE_NEWPID"), i(0), null, null, i(0))
case("clone3", pointer("00" * 88), i(88))

# Sockets: the names are Python's.
allowed = {0, socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}
families = {}
for name in dir(socket):
    value = getattr(socket, name)
    if re.fullmatch(r"AF_\w+", name) and isinstance(value, int) and value < 46:
        families.setdefault(int(value), name)
families.update({15: "AF_KEY", 7: "AF_BRIDGE", 40: "AF_VSOCK", 38: "AF_ALG", 44: "AF_XDP", 26: "AF_LLC"})
for value, name in sorted(families.items()):
    if value in allowed:
        continue
    case("socket", i(value, name), i(3, "SOCK_RAW"), i(0))
case("socket", i(40, "AF_VSOCK"), i(1, "SOCK_STREAM"), i(0))
case("socket", i(38, "AF_ALG"), i(5 | 0x80000, "SOCK_SEQPACKET|SOCK_CLOEXEC"), i(0))
case("socket", i(17, "AF_PACKET"), i(2 | 0x800, "SOCK_DGRAM|SOCK_NONBLOCK"), i(768))
case("socket", i(0x1234_5678_0000_0028, "AF_VSOCK"), i(2, "SOCK_DGRAM"), i(0))
for protocol in [2, 4, 6, 7, 9, 12, 15, 16]:
    case("socket", i(16, "AF_NETLINK"), i(3, "SOCK_RAW"), i(protocol))
case("socket", i(2, "AF_INET"), i(1, "SOCK_STREAM"), i(132))
case("socket", i(2, "AF_INET"), i(6, "SOCK_DCCP"), i(33))
case("socketpair", i(2, "AF_INET"), i(1, "SOCK_STREAM"), i(0), pointer())

# Terminals and personalities.
case("ioctl", i(0, None), i(0x5412, "TIOCSTI"), pointer("78"))
case("ioctl", i(0, None), i(0x541C, "TIOCLINUX"), pointer("0200"))
case("ioctl", i(0, None), i(0x5423, "TIOCSETD"), pointer("03000000"))
case("ioctl", i(0, None), i(0x7_0000_5412, "TIOCSTI"), pointer("79"))
case("personality", i(0x400000, "READ_IMPLIES_EXEC"))
case("personality", i(0x440000, "ADDR_NO_RANDOMIZE|READ_IMPLIES_EXEC"))

# Keys, programs in the kernel, page faults, io_uring.
for option, text in enumerate([
    "KEYCTL_GET_KEYRING_ID", "KEYCTL_JOIN_SESSION_KEYRING", "KEYCTL_UPDATE", "KEYCTL_REVOKE", "KEYCTL_CHOWN",
    "KEYCTL_SETPERM", "KEYCTL_DESCRIBE", "KEYCTL_CLEAR", "KEYCTL_LINK", "KEYCTL_UNLINK", "KEYCTL_SEARCH", "KEYCTL_READ",
]):
    case("keyctl", i(option, text), i(0), i(0), i(0), i(0))
case("add_key", s("user"), s("secret"), pointer("6b6579"), i(3), i(0xFFFF_FFFD, "KEY_SPEC_SESSION_KEYRING"))
case("add_key", s("keyring"), s("mine"), null, i(0), i(0xFFFF_FFFE, "KEY_SPEC_PROCESS_KEYRING"))
case("request_key", s("user"), s("absent"), s("callout"), i(0xFFFF_FFFC, "KEY_SPEC_USER_KEYRING"))
for command, text in enumerate([
    "BPF_MAP_CREATE", "BPF_MAP_LOOKUP_ELEM", "BPF_MAP_UPDATE_ELEM", "BPF_MAP_DELETE_ELEM", "BPF_MAP_GET_NEXT_KEY",
    "BPF_PROG_LOAD", "BPF_OBJ_PIN", "BPF_OBJ_GET", "BPF_PROG_ATTACH", "BPF_PROG_DETACH", "BPF_PROG_TEST_RUN",
]):
    case("bpf", i(command, text), pointer(), i(48))
case("perf_event_open", pointer("00" * 128), i(0), i(0xFFFF_FFFF, "-1"), i(0xFFFF_FFFF, "-1"), i(0))
case("userfaultfd", i(0, "0"))
case("userfaultfd", i(1, "UFFD_USER_MODE_ONLY"))
case("userfaultfd", i(0x80800, "O_NONBLOCK|O_CLOEXEC"))
case("io_uring_setup", i(8), pointer("00" * 120))
case("io_uring_setup", i(4096), pointer("00" * 120))
case("io_uring_enter", i(99), i(1), i(0), i(1), null, i(0))
for opcode in range(3):
    case("io_uring_register", i(99), i(opcode), null, i(0))

# The kernel and the host.
case("init_module", pointer("7f454c46"), i(4), s("debug=1"))
case("finit_module", i(99), s("force=1"), i(1))
case("delete_module", s("nf_tables"), i(0x800, "0x800"))
case("kexec_load", i(0), i(0), null, i(0))
case("kexec_file_load", i(99), i(98), i(5), s("init"), i(0))
for command, text in [(0x01234567, "LINUX_REBOOT_CMD_RESTART"), (0x4321FEDC, "LINUX_REBOOT_CMD_POWER_OFF"), (0, "LINUX_REBOOT_CMD_CAD_OFF")]:
    case("reboot", i(0xFEE1DEAD, None), i(0x28121969, None), i(command, text), null)
case("swapon", s("/swapfile"), i(0), path="/swapfile")
case("swapoff", s("/dev/zram0"), path="/dev/zram0")
case("acct", s("/var/log/pacct"), path="/var/log/pacct")
for kind, text in [(3, "SYSLOG_ACTION_READ_ALL"), (10, "SYSLOG_ACTION_SIZE_BUFFER"), (5, "SYSLOG_ACTION_CLEAR")]:
    case("syslog", i(kind, text), null, i(0))
case("sethostname", s("elsewhere"), i(9))
case("setdomainname", s("example.org"), i(11))
case("settimeofday", pointer(), null)
case("clock_settime", i(0, "CLOCK_REALTIME"), pointer())
case("clock_settime", i(1, "CLOCK_MONOTONIC"), pointer())
case("clock_adjtime", i(0, "CLOCK_REALTIME"), pointer("ff" + "00" * 255))
case("adjtimex", pointer("ff" + "00" * 255))
case("iopl", i(3))
case("ioperm", i(0x80), i(1), i(1))
case("quotactl", i(0x800002, "0x800002"), s("/dev/sda1"), i(0), null)
case("quotactl_fd", i(0, None), i(0x800002), i(0), null)
case("vhangup")
case("lookup_dcookie", i(1), pointer(), i(64))
case("modify_ldt", i(0), null, i(0))
case("modify_ldt", i(1), pointer(), i(16))
case("sysfs", i(1), pointer("6578743400"), i(0))
case("ustat", i(2049, None), pointer())
case("uselib", s("/lib/libc.so"))
case("remap_file_pages", i(0, None), i(0), i(0), i(0), i(0))

# Other processes, placement, handles, watches.
for kind, text in [(0, "KCMP_FILE"), (1, "KCMP_VM"), (2, "KCMP_FILES")]:
    case("kcmp", i(1), i(1), i(kind, text), i(0), i(0))
case("pidfd_getfd", i(99), i(0, None), i(0))
case("process_madvise", i(99), null, i(0), i(4), i(0))
case("process_mrelease", i(99), i(0))
for mode, text in [(0, "MPOL_DEFAULT"), (1, "MPOL_PREFERRED"), (3, "MPOL_INTERLEAVE")]:
    case("set_mempolicy", i(mode, text), null, i(0))
case("mbind", i(0, None), i(4096), i(2, "MPOL_BIND"), null, i(0), i(0))
case("set_mempolicy_home_node", i(0, None), i(4096), i(0), i(0))
case("migrate_pages", i(0), i(0), null, null)
case("move_pages", i(0), i(0), null, null, null, i(0))
case("memfd_secret", i(0))
case("name_to_handle_at", here_fd, s("/etc/passwd"), pointer("00" * 128), pointer(), i(0))
case("open_by_handle_at", here_fd, pointer("00" * 16), i(0o2000000, "O_RDONLY|O_CLOEXEC"))
for flags, text in [(0, "0"), (4, "FAN_CLASS_CONTENT"), (0x200, "FAN_REPORT_FID"), (0x600, "FAN_REPORT_FID|FAN_REPORT_DIR_FID")]:
    case("fanotify_init", i(flags, text), i(0))
case("fanotify_mark", i(99), i(1), i(0x20, "0x20"), here_fd, s("/"), path="/")

# ---------------------------------------------------------------------------------------------------------------------

work = f"{place}/work"
os.makedirs(work, exist_ok=True)
for name in ["denied.py", "denied.pl"]:
    with open(f"{here}/{name}") as source, open(f"{work}/{name}", "w") as copy:
        copy.write(source.read())
subprocess.run(["gcc", "-O", "-o", f"{work}/denied", f"{here}/denied.c"], check=True)
everything = f"{place}/everything.json"
with open(everything, "w") as file:
    json.dump({"defaultAction": "SCMP_ACT_ALLOW"}, file)

programs = [
    ([os.path.realpath("/usr/bin/python3"), "/workspace/denied.py"], os.path.realpath("/usr/bin/python3")),
    (["/usr/bin/perl", "/workspace/denied.pl"], os.path.realpath("/usr/bin/perl")),
    (["/workspace/denied"], "/workspace/denied"),
]
failures = []


def fits(register):
    return int(register[2:], 0) < 1 << 63


def program(number):
    # perl's integers are signed, and its strings are not where a pointer may be absent.
    words = cases[number]["words"]
    choice = number % 3
    if choice == 1 and not all(fits(w) for w in words if w[0] == "i"):
        choice = 2
    return programs[choice]


def command(number):
    return program(number)[0] + [str(numbers[cases[number]["call"]])] + cases[number]["words"]


def run(options, which):
    """Runs cases in one session; their results, by number."""
    with open(f"{work}/run.sh", "w") as script:
        for number in which:
            words = " ".join("'" + w + "'" for w in command(number))
            script.write(f'echo "{number} $({words})"\n')
    ended = subprocess.run(
        [carrel, "run", "-P", "claude-code", "--network", "none", "-w", work] + options + ["--", "sh", "run.sh"],
        capture_output=True, text=True, cwd=place)
    results = {}
    for line in ended.stdout.splitlines():
        words = line.split()
        results[int(words[0])] = tuple(words[1:])
    if ended.returncode != 0 or set(results) != set(which):
        failures.append(f"a session ended with {ended.returncode}: {ended.stderr}")
    return results


def explained(session):
    out = subprocess.run([carrel, "seccomp", "explain", session, "--json"], capture_output=True, text=True)
    return json.loads(out.stdout)


def matches(case, found):
    texts = [a["text"] for a in found["arguments"]]
    return found["call"] == case["call"] and len(texts) == len(case["texts"]) and all(
        wanted is None or text == wanted or text.startswith(wanted + "<")
        for text, wanted in zip(texts, case["texts"])
    )


def patched(document, patch):
    """RFC 6902, by whoever did not write the patch."""
    document = json.loads(json.dumps(document))
    for operation in patch:
        *way, last = operation["path"].strip("/").split("/")
        target = document
        for step in way:
            target = target[int(step)] if isinstance(target, list) else target[step]
        if operation["op"] == "remove":
            del target[int(last)]
        elif last == "-":
            target.append(operation["value"])
        else:
            raise ValueError(operation)
    return document


everyone = list(range(len(cases)))
base = json.load(open(profile))
free = run(["--seccomp", everything], everyone)
refused, denials = {}, []
for start in range(0, len(cases), 100):
    part = everyone[start : start + 100]
    refused.update(run(["--seccomp", profile, "--explain", "-s", f"corpus-{start}"], part))
    report = explained(f"corpus-{start}")
    if report["unexplained"]:
        failures.append(f"not looked at: {report['unexplained']}")
    denials += report["calls"]
for number, case in enumerate(cases):
    if refused.get(number, ("", ""))[1] not in ("1", "38"):
        failures.append(f"{number} {case}: it was not refused: {refused.get(number)}")
    found = [d for d in denials if matches(case, d) and d["executable"] == program(number)[1]]
    if not found:
        near = [(d["text"], d["executable"]) for d in denials if d["call"] == case["call"]]
        failures.append(f"{number} {case} by {program(number)[1]}: found {near}")
        continue
    denial = found[0]
    if case["path"] is not None and denial["path"] != case["path"]:
        failures.append(f"{number} {case}: the path is {denial['path']}")
    if str(denial["errno"]) != refused[number][1]:
        failures.append(f"{number} {case}: the errno was {refused[number]}, not {denial['errno']}")
    if not denial["risk"]["reason"] or not denial["command"]:
        failures.append(f"{number} {case}: {denial}")
    wider = f"{place}/wider.json"
    with open(wider, "w") as file:
        json.dump(patched(base, denial["patch"]), file)
    now = run(["--seccomp", wider, "--explain", "-s", f"wider-{number}"], [number])
    if now.get(number) != free.get(number):
        failures.append(f"{number} {case}: with {denial['patch']} it is {now.get(number)}, free {free.get(number)}")
    left = [d["text"] for d in explained(f"wider-{number}")["calls"] if matches(case, d)]
    if left:
        failures.append(f"{number} {case}: still refused with {denial['patch']}: {left}")
for failure in failures:
    print(failure)
print(len(cases), "cases")
