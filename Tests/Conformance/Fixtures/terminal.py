"""Runs a command on a terminal of its own: types ^C once it says `ready`, prints what it shows, and ends as it does.

usage: terminal.py COMMAND...
"""
import os, pty, sys

pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
shown = b""
typed = False
while True:
    try:
        some = os.read(terminal, 4096)
    except OSError:
        break
    if not some:
        break
    shown += some
    if b"ready" in shown and not typed:
        typed = True
        os.write(terminal, b"\x03")
sys.stdout.write(shown.decode().replace("\r\n", "\n"))
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)
