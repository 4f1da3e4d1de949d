#include <sys/prctl.h>
#include <linux/securebits.h>
#include <sys/capability.h>
