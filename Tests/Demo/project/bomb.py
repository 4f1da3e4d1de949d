"""Forks until it may not, and tells how far it came."""
import os
import sys
import time

children = 0
try:
    while children < 10_000:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        children += 1
except BlockingIOError:
    sys.exit(f"stopped after {children} forks: {os.strerror(11)}")
