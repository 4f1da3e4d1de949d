#!/usr/bin/python3
"""Runs COMMAND on a new terminal of 123 columns and 45 rows and copies what it prints.

    on_a_terminal.py [--type TEXT] [--resize COLUMNS ROWS] COMMAND...

Once the command has printed "ready", TEXT is typed and the window resized. Ends with the command's status.
"""

import fcntl
import os
import pty
import struct
import sys
import termios

arguments, text, size = sys.argv[1:], None, None
while arguments[0].startswith("--"):
    if arguments[0] == "--type":
        text, arguments = arguments[1].encode().decode("unicode_escape").encode("latin-1"), arguments[2:]
    else:
        size, arguments = (int(arguments[2]), int(arguments[1])), arguments[3:]


def resize(descriptor, rows, columns):
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


pid, terminal = pty.fork()
if pid == 0:
    resize(0, 45, 123)
    os.execvp(arguments[0], arguments)
printed = b""
while True:
    try:
        data = os.read(terminal, 4096)
    except OSError:
        break
    if not data:
        break
    printed += data
    sys.stdout.buffer.write(data.replace(b"\r\n", b"\n"))
    sys.stdout.flush()
    if b"ready" in printed:
        printed = b""
        if size:
            resize(terminal, *size)
        if text:
            os.write(terminal, text)
status = os.waitpid(pid, 0)[1]
sys.exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
