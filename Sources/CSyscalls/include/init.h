// The C library for carrel-init: Embedded Swift has no Glibc module.
#pragma once

#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
