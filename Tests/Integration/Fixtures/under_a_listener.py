"""Runs a command behind a filter that allows everything and has a listener: a tree of tasks can have one only."""
import ctypes, os, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
allow = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7FFF0000))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 1, ctypes.addressof(allow)))
listener = libc.syscall(317, 1, 8, program)
if listener < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
# Closed, it would be no listener any more.
os.set_inheritable(listener, True)
os.execv(sys.argv[1], sys.argv[1:])
