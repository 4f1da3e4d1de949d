#pragma once
#include "Events.h"
#include "launch.h"
#include "init.h"
#include "Filters.h"
