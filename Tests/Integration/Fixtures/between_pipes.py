#!/usr/bin/python3
"""Runs COMMAND between two pipes, as a caller who feeds it and is in no hurry to read.

    between_pipes.py [--feed BYTES] [--after FILE | --terminate] COMMAND...

Once the command has said "ready" it is fed, and nothing is read, until it takes no more and says no more for a second; with
--after, until FILE exists. Then everything is read. With --terminate nothing is read at all: the command gets SIGTERM until
it has ended. Says whether what came back is what was fed, and how much; ends with the command's status, or, where that has
not come to an end in a minute, with 99.
"""

import fcntl
import os
import random
import select
import signal
import struct
import subprocess
import sys
import termios
import time

arguments, count, file, terminates = sys.argv[1:], 0, None, False
while arguments[0].startswith("--"):
    option = arguments.pop(0)
    if option == "--feed":
        count = int(arguments.pop(0))
    elif option == "--after":
        file = arguments.pop(0)
    else:
        terminates = True
data = random.Random(1).randbytes(count)
command = subprocess.Popen(arguments, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def stuck(signal, frame):
    command.kill()
    sys.exit(99)


signal.signal(signal.SIGALRM, stuck)
signal.alarm(60)

greeting = b""
while not greeting.endswith(b"ready\n") and not greeting.endswith(b"ready\r\n"):
    byte = command.stdout.read(1)
    if not byte:
        sys.exit(98)
    greeting += byte

os.set_blocking(command.stdin.fileno(), False)
fed = 0


def feed():
    global fed
    try:
        fed += os.write(command.stdin.fileno(), data[fed : fed + 65536])
    except BlockingIOError:
        return
    except BrokenPipeError:
        fed = count
    if fed == count:
        command.stdin.close()


def state():
    return fed, struct.unpack("i", fcntl.ioctl(command.stdout, termios.FIONREAD, bytes(4)))[0]


before, since = state(), time.monotonic()
while time.monotonic() - since < 1:
    if fed < count:
        feed()
    if state() != before:
        before, since = state(), time.monotonic()
    time.sleep(0.001)
while file and not os.path.exists(file):
    time.sleep(0.01)
while terminates and command.poll() is None:
    command.terminate()
    time.sleep(0.2)
if terminates:
    sys.exit(command.returncode)

back = b""
while True:
    readable, _, _ = select.select([command.stdout], [command.stdin] if fed < count else [], [])
    if fed < count:
        feed()
    if readable:
        some = command.stdout.read(65536)
        if not some:
            break
        back += some
same = back[:count] == data[: len(back)]
print("same" if same else "different", min(len(back), count))
sys.exit(command.wait())
