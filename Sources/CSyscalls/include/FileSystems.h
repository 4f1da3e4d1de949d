// statfs(2): a header that Glibc's Swift module does not carry.
#pragma once
#include <sys/statfs.h>
