"""Runs a static program in a container of another runtime, as root with all capabilities, behind a seccomp profile.

    foreign_runtime.py runc|crun|podman PROFILE PROGRAM DIRECTORY
"""
import json, os, shutil, subprocess, sys

runtime, profile, program, place = sys.argv[1:5]
root = place + "/root"
for name in ["dev", "proc", "tmp", "etc", "sys"]:
    os.makedirs(f"{root}/{name}", exist_ok=True)
shutil.copy(program, root + "/program")

# crun refuses a hybrid host whose v2 tree has a controller.
files = "/sys/fs/cgroup/unified/cgroup.controllers"
quiet = ["unshare", "-m", "sh", "-c", f"if [ -e {files} ]; then mount --bind /dev/null {files}; fi; exec \"$@\"", "sh"]
if runtime == "podman":
    command = [
        "podman", "--root", place + "/store", "--runroot", place + "/run", "--storage-driver", "vfs",
        "--cgroup-manager", "cgroupfs", "--runtime", "crun", "run", "--rm", "--cgroups=disabled", "--network=none",
        "--ulimit", "nofile=512:512", "--ulimit", "nproc=512:512", "--cap-add", "SYS_ADMIN", "--security-opt", "no-new-privileges", "--security-opt",
        "seccomp=" + profile, "--rootfs", root, "/program", "foreign",
    ]
else:
    bundle = f"{place}/{runtime}"
    os.makedirs(bundle, exist_ok=True)
    if os.path.exists(bundle + "/config.json"):
        os.unlink(bundle + "/config.json")
    subprocess.run([runtime, "spec"], cwd=bundle, check=True)
    config = json.load(open(bundle + "/config.json"))
    capabilities = ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_NET_RAW", "CAP_NET_ADMIN"]
    config["root"] = {"path": root, "readonly": True}
    config["process"].update(
        terminal=False, args=["/program", "foreign"],
        capabilities={kind: capabilities for kind in ("bounding", "effective", "permitted")})
    config["process"]["rlimits"] = []
    config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "cgroup"]
    config["linux"].pop("resources", None)
    config["mounts"] = [m for m in config["mounts"] if m["type"] != "cgroup"]
    config["linux"]["seccomp"] = json.load(open(profile))
    json.dump(config, open(bundle + "/config.json", "w"))
    command = [runtime, "--root", f"{place}/{runtime}-state", "run", "--bundle", bundle, f"carrel-{os.getpid()}"]
sys.exit(subprocess.run(quiet + command, stdin=subprocess.DEVNULL).returncode)
