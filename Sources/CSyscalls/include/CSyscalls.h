#pragma once
#include "Events.h"
