// All of remuda's public interface.
#pragma once

#include "remuda/embedding_model_manager.h"
#include "remuda/error.h"
#include "remuda/generation_options.h"
#include "remuda/memory_cost.h"
#include "remuda/model_instance.h"
#include "remuda/model_manager.h"
#include "remuda/model_pool.h"
#include "remuda/pool_events.h"
#include "remuda/pool_stats.h"
#include "remuda/precision.h"
#include "remuda/settings.h"
#include "remuda/summarization_model_manager.h"
#include "remuda/version.h"
