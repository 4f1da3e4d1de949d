#!/usr/bin/python3
"""Runs COMMAND on a kernel that lacks some system calls.

    without.py CALL[:ARGUMENT:VALUE][=ERROR]... -- COMMAND [ARGUMENT...]

Each CALL fails with ERROR (ENOSYS where none is given), if an argument is named only where it has that value: `prctl:0:38=EINVAL`
is a kernel without no_new_privs. A seccomp filter does it, so it holds for everything that COMMAND starts.
"""

import ctypes
import errno
import os
import sys


class Comparison(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("operator", ctypes.c_int), ("mask", ctypes.c_uint64), ("value", ctypes.c_uint64)]


MASKED_EQUAL = 7
library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_init.restype = ctypes.c_void_p
library.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]
library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
library.seccomp_load.argtypes = [ctypes.c_void_p]

split = sys.argv.index("--")
context = library.seccomp_init(0x7FFF0000)  # SCMP_ACT_ALLOW
# SCMP_FLTATR_CTL_NNP: not for root, whose COMMAND may need to set it itself.
library.seccomp_attr_set(context, 3, 0 if os.geteuid() == 0 else 1)
for word in sys.argv[1:split]:
    condition, _, name = word.partition("=")
    call, *comparison = condition.split(":")
    number = library.seccomp_syscall_resolve_name(call.encode())
    if number < 0:
        sys.exit(f"without: there is no call {call}")
    rules = (Comparison * 1)()
    if comparison:
        rules[0] = Comparison(int(comparison[0], 0), MASKED_EQUAL, 0xFFFFFFFF, int(comparison[1], 0))
    failure = 0x00050000 | getattr(errno, name or "ENOSYS")  # SCMP_ACT_ERRNO
    if library.seccomp_rule_add_array(context, failure, number, 1 if comparison else 0, rules) != 0:
        sys.exit(f"without: {word} cannot be a rule")
if library.seccomp_load(context) != 0:
    sys.exit("without: the filter cannot be loaded")
os.execvp(sys.argv[split + 1], sys.argv[split + 1:])
