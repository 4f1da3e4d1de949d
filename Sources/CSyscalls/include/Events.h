// Descriptors that become readable when something happens: headers that Glibc's Swift module does not carry.
#pragma once
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
