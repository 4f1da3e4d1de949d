#pragma once
// getopt_long(3), which the Glibc module leaves out.
#include <getopt.h>
