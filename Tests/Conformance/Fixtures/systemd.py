"""As much of systemd as a transient scope takes, where none runs: systemd.py SOCKET LOG

Answers StartTransientUnit by a cgroup `carrel/UNIT` in the v2 tree with the unit's processes in it, StopUnit, and
SetUnitProperties; refuses a unit whose name has `refused` in it, and ends the connection at one with `hangup`. Logs each call.
"""
import os
import re
import socket
import struct
import sys

TREE = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"


def text(value):
    return struct.pack("<I", len(value)) + value.encode() + b"\0"


def padded(data, size):
    return data + bytes(-len(data) % size)


def message(kind, serial, fields, signature, body):
    """A whole message; fields are (code, type, value)."""
    header = b""
    for code, form, value in [*fields, (8, "g", signature)]:
        header = padded(header, 8) + bytes([code, 1]) + form.encode() + b"\0"
        header += bytes([len(value)]) + value.encode() + b"\0" if form == "g" else \
            struct.pack("<I", value) if form == "u" else text(value)
    start = struct.pack("<BBBBIII", ord("l"), kind, 0, 1, len(body), serial, len(header))
    return padded(start + header, 8) + body


def serve(link):
    stream = link.makefile("rb")
    assert stream.readline().startswith(b"\0AUTH EXTERNAL ")
    link.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n")
    assert stream.readline() == b"BEGIN\r\n"
    while start := stream.read(16):
        _, _, _, _, length, serial, fields = struct.unpack("<BBBBIII", start)
        header, body = stream.read(fields + -fields % 8), stream.read(length)
        method = re.search(rb"\x03\x01s\0....(\w+)\0", header, re.S)[1].decode()
        unit = body[4:4 + struct.unpack("<I", body[:4])[0]].decode()
        # A number of 64 bits lies at a multiple of eight.
        places = [match.end() for match in re.finditer(rb"Memory(?:Limit|Max)\0\x01t\0", body)]
        limits = [str(struct.unpack_from("<Q", body, place + -place % 8)[0]) for place in places]
        with open(sys.argv[2], "a") as log:
            print(method, unit, *limits, file=log)
        if "hangup" in unit:
            return
        if "refused" in unit:
            answer = [(4, "s", "org.freedesktop.systemd1.TransactionIsDestructive"), (5, "u", serial)]
            link.sendall(message(3, 1, answer, "s", text("not today")))
            continue
        if method == "StartTransientUnit":
            # PIDs: `au` with one member.
            pid = struct.unpack("<I", re.search(rb"PIDs\0\x02au\0\0*\x04\0\0\0(.{4})", body, re.S)[1])[0]
            os.makedirs(f"{TREE}/carrel/{unit}", exist_ok=True)
            with open(f"{TREE}/carrel/{unit}/cgroup.procs", "w") as file:
                file.write(str(pid))
        if method == "SetUnitProperties":
            link.sendall(message(2, 1, [(5, "u", serial)], "", b""))
            continue
        job = f"/org/freedesktop/systemd1/job/{serial}"
        link.sendall(message(2, 1, [(5, "u", serial)], "o", text(job)))
        ended = padded(padded(struct.pack("<I", serial) + text(job), 4) + text(unit), 4) + text("done")
        signal = [(1, "o", "/org/freedesktop/systemd1"), (2, "s", "org.freedesktop.systemd1.Manager"), (3, "s", "JobRemoved")]
        link.sendall(message(4, 2, signal, "uoss", ended))


listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
while True:
    with listener.accept()[0] as link:
        serve(link)
