import ctypes, errno, os, socket, struct, sys

libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    """A system call by its number: its result, or the name of its error."""
    ctypes.set_errno(0)
    wide = [ctypes.c_char_p(a) if isinstance(a, bytes) else ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    result = ctypes.c_long(libc.syscall(ctypes.c_long(number), *wide)).value
    return result if result != -1 else errno.errorcode[ctypes.get_errno()]


def attempt(action, *arguments):
    """What an action answers, or the name of the error that it meets."""
    try:
        return action(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
