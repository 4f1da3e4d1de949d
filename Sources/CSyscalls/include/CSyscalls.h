#pragma once
#include "Events.h"
#include "FileSystems.h"
#include "launch.h"
#include "init.h"
#include "Filters.h"
#include "Landlock.h"
#include "Credentials.h"
