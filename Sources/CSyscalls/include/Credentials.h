// What a process may do and who it is: headers that Glibc's Swift module does not carry.
#pragma once
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statfs.h>
