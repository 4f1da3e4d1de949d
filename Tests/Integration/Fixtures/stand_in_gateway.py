#!/usr/bin/python3
"""Takes sessions' listeners as the gateway does, and says on each connection what it was: for the handing-over alone.

    stand_in_gateway.py STATE_DIRECTORY [--send FILE] [--version NUMBER]

Each TCP connection is answered with "KIND LOCAL-ADDRESS PORT", each datagram with the same. What FILE holds, one JSON object a
line, is sent to the supervisor when it is there (together with the first answer, if it is there by then), and FILE removed. What
comes from supervisors is written to STATE/gateway/heard.jsonl.
"""

import array
import json
import os
import select
import socket
import sys
import threading
import time

state = sys.argv[1]
options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
script = options.get("--send")
version = int(options.get("--version", 2))
place = state + "/gateway"
os.makedirs(place, mode=0o700, exist_ok=True)
for name in ("ca.pem", "bundle.pem"):
    with open(f"{place}/{name}", "w") as file:
        file.write(f"# {name} of the stand-in\n")
    os.chmod(f"{place}/{name}", 0o644)
path = place + "/control.sock"
if os.path.exists(path):
    os.unlink(path)
control = socket.socket(socket.AF_UNIX)
control.bind(path + ".new")
os.chmod(path + ".new", 0o600)
control.listen(64)
os.rename(path + ".new", path)
heard = open(place + "/heard.jsonl", "a", buffering=1)


def serve(kind, listener):
    if listener.type == socket.SOCK_DGRAM:
        while True:
            try:
                data, client = listener.recvfrom(512)
            except OSError:
                return
            listener.sendto(f"{kind} {len(data)}".encode(), client)
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        name = client.getsockname()
        client.sendall(f"{kind} {name[0]} {name[1]}\n".encode() if name else f"{kind}\n".encode())
        client.close()


def attend(connection):
    buffer, descriptors, live = b"", [], []
    while True:
        ready, _, _ = select.select([connection], [], [], 0.05)
        if not ready:
            if live and script and os.path.exists(script):
                with open(script) as file:
                    lines = file.read()
                os.unlink(script)
                connection.sendall(lines.encode())
            continue
        data, control_data, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(253 * 4))
        for level, kind, payload in control_data:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array.array("i")
                numbers.frombytes(payload[: len(payload) - len(payload) % 4])
                descriptors += numbers
        if not data:
            break
        buffer += data
        while b"\n" in buffer:
            line, buffer = buffer.split(b"\n", 1)
            heard.write(line.decode() + "\n")
            message = json.loads(line)
            if message["type"] == "hello":
                names = {"anthropic": "dummy-of-" + (message["session"] or "")}
                reply = {"type": "hello", "version": version, "ca": place + "/ca.pem", "bundle": place + "/bundle.pem", "dummies": names}
            elif message["type"] == "open":
                live = [socket.socket(fileno=number) for number in descriptors]
                assert len(live) == len(message["listeners"]), (len(live), message["listeners"])
                for listener, made in zip(message["listeners"], live):
                    threading.Thread(target=serve, args=(listener["kind"], made), daemon=True).start()
                reply = {"type": "ready", "dummies": {}}
                if script and os.path.exists(script):
                    with open(script) as file:
                        told = file.read()
                    os.unlink(script)
                    connection.sendall((json.dumps(reply) + "\n" + told).encode())
                    continue
            elif message["type"] == "close":
                connection.sendall(b'{"type":"usage","requests":3,"denied":1,"bytesUp":10,"bytesDown":20,"microdollars":30,"tokens":40}\n')
                break
            elif message["type"] in ("budget", "raise"):
                reply = {"type": "answer", "answer": {"session": message["session"], "microdollars": message.get("microdollars", 7)}}
            else:
                reply = {"type": "refused", "why": "the stand-in knows nothing of it", "fix": None}
            connection.sendall((json.dumps(reply) + "\n").encode())
        else:
            continue
        break
    connection.close()
    for listener in live:
        listener.close()


while True:
    accepted, _ = control.accept()
    threading.Thread(target=attend, args=(accepted,), daemon=True).start()
