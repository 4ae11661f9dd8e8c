// What snapshot() sees of pools.
#include "remuda/snapshot.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "remuda/embedding_model_manager.h"
#include "remuda/model_pool.h"
#include "remuda/pool_snapshot.h"

namespace remuda {
namespace {

std::vector<std::string> names(const std::vector<PoolStats>& pools) {
  std::vector<std::string> found;
  for (const PoolStats& pool : pools) found.push_back(pool.name);
  return found;
}

TEST(Snapshot, HasThePoolsOfManagersAndOthersInTheOrderOfTheirMaking) {
  using Names = std::vector<std::string>;
  const Names before = names(snapshot().pools);
  const auto since = [&before] {
    const Names all = names(snapshot().pools);
    EXPECT_EQ(names(snapshot_pools()), all);
    return Names(all.begin() + static_cast<std::ptrdiff_t>(before.size()), all.end());
  };
  const Settings settings;
  const auto fallbacks = std::make_shared<std::atomic<uint64_t>>(3);
  const auto make = [] { return std::make_unique<ModelInstance>(ModelMetadata()); };
  auto first = std::make_unique<EmbeddingModelManager>(settings);
  ModelPool<ModelInstance> own({.name = "own", .fallbacks = fallbacks}, make);
  EmbeddingModelManager second(settings);
  EXPECT_EQ(since(), (Names{settings.embedding_model, "own", settings.embedding_model}));

  const auto lease = own.acquire();
  const PoolStats now = snapshot().pools.at(before.size() + 1);
  EXPECT_EQ(now.in_use, 1);
  EXPECT_EQ(now.fallbacks, 3u);
  first.reset();
  second.close();
  EXPECT_EQ(since(), Names{"own"});
}

}  // namespace
}  // namespace remuda
