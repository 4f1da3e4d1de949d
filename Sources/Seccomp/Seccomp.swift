// Room: Seccomp.
