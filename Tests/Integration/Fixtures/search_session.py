#!/usr/bin/python3
"""Looks for NEEDLE in all that a session has, from outside: prints where it is, and last how many bytes were looked through.

    search_session.py PID NEEDLE

PID is the session's PID 1 as the host numbers it. Memory, environment, command lines, names of open files of every process of
its cgroup, and the content of every file below its writable places, /etc and /run.
"""

import os
import sys

first, needle = sys.argv[1], sys.argv[2].encode()
with open(f"/proc/{first}/cgroup") as file:
    session = file.read()
looked = 0


def look(where, data):
    global looked
    looked += len(data)
    if needle in data:
        print(where)


def memory(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            fields = line.split()
            if "r" not in fields[1] or fields[-1] in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            start, end = (int(number, 16) for number in fields[0].split("-"))
            tail = b""
            for at in range(start, end, 8 << 20):
                try:
                    data = os.pread(memory.fileno(), min(8 << 20, end - at), at)
                except OSError:
                    tail = b""
                    continue
                look(f"memory of {pid} {line.strip()}", tail + data)
                tail = data[-len(needle):]


for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{pid}/cgroup") as file:
            # PID 1 is not dumpable, and execs nothing of the session's.
            if file.read() != session or pid == first:
                continue
        for name in ("environ", "cmdline"):
            with open(f"/proc/{pid}/{name}", "rb") as file:
                look(f"{name} of {pid}", file.read())
        for number in os.listdir(f"/proc/{pid}/fd"):
            look(f"descriptor {number} of {pid}", os.readlink(f"/proc/{pid}/fd/{number}").encode())
        memory(pid)
    except (FileNotFoundError, ProcessLookupError):
        continue

root = f"/proc/{first}/root"
for place in ("tmp", "home", "workspace", "etc", "run", "dev/shm", "var"):
    for directory, _, names in os.walk(f"{root}/{place}"):
        for name in names:
            path = f"{directory}/{name}"
            if os.path.islink(path) or not os.path.isfile(path) or os.path.getsize(path) > 64 << 20:
                continue
            with open(path, "rb") as file:
                look(path.removeprefix(root), file.read())
print("looked through", looked)
