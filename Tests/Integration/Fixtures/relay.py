#!/usr/bin/python3
"""Listens on 127.0.0.1:PORT and joins every connection to a Unix socket.

    relay.py PORT SOCKET_PATH -- COMMAND [ARGUMENT...]

Runs COMMAND once the port accepts connections and ends with its status. For a session without a network: the
socket's file is in its workdir and its server outside.
"""

import socket
import subprocess
import sys
import threading


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        sink.close()


def serve(listener, path):
    while True:
        client, _ = listener.accept()
        upstream = socket.socket(socket.AF_UNIX)
        try:
            upstream.connect(path)
        except OSError as error:
            print(f"relay: {path}: {error}", file=sys.stderr)
            client.close()
            continue
        threading.Thread(target=pump, args=(client, upstream), daemon=True).start()
        threading.Thread(target=pump, args=(upstream, client), daemon=True).start()


port, path = int(sys.argv[1]), sys.argv[2]
listener = socket.create_server(("127.0.0.1", port))
threading.Thread(target=serve, args=(listener, path), daemon=True).start()
sys.exit(subprocess.run(sys.argv[sys.argv.index("--") + 1:]).returncode)
