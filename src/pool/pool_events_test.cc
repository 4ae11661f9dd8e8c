// What a pool says while it works: events, the debug log, leaks.
#include <gmock/gmock.h>

#include <mutex>
#include <vector>

#include "base/log.h"
#include "pool/pool_test_support.h"

namespace remuda::pool_test {
namespace {

using std::chrono::nanoseconds;
using testing::ElementsAre;
using testing::HasSubstr;

// The events of a pool as lines, without what differs from run to run.
class Recorder {
 public:
  std::function<void(const PoolEvent&)> hook() {
    return [this](const PoolEvent& event) {
      EXPECT_GE(event.duration, nanoseconds(0));
      std::string line(to_string(event.kind));
      if (!event.label.empty()) line += " " + std::string(event.label);
      if (event.reason) line += " " + std::string(to_string(*event.reason));
      if (!event.detail.empty()) line += " " + std::string(event.detail);
      const std::lock_guard lock(mutex_);
      lines_.push_back(line);
      last_ = event.instance_id;
    };
  }

  std::vector<std::string> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(lines_, {});
  }
  uint64_t last_instance() {
    const std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
  uint64_t last_ = 0;
};

TEST(PoolEvents, TellTheLifeOfAnInstance) {
  std::atomic<int> live{0};
  Recorder recorder;
  Pool pool({.max_instances = 1,
             .is_healthy = [](ModelInstance& instance) { return instance.metadata().use_count < 2; },
             .max_waiting = 0,
             .on_event = recorder.hook()},
            counting_factory(live));
  {
    const Lease<Counted> lease = pool.acquire({.label = "a"});
    EXPECT_EQ(recorder.last_instance(), lease->metadata().id);
    EXPECT_THROW(pool.acquire({.label = "b"}), Overloaded);
  }
  pool.acquire();
  EXPECT_THAT(recorder.take(),
              ElementsAre("create", "acquire a", "overload b", "release a", "acquire", "release", "destroy unhealthy"));
  pool.acquire({.destroy_after_use = true});
  pool.acquire().discard();
  EXPECT_THAT(recorder.take(), ElementsAre("create", "acquire", "release", "destroy after_use", "create", "acquire",
                                           "release", "destroy discarded"));
}

TEST(PoolEvents, ARefusalBeforeThePoolIsOneOfThePools) {
  std::atomic<int> live{0};
  Recorder recorder;
  Pool pool({.on_event = recorder.hook()}, counting_factory(live));
  pool.count_overload("c");
  EXPECT_THAT(recorder.take(), ElementsAre("overload c"));
  EXPECT_EQ(pool.get_pool_stats().overloaded, 1u);
}

TEST(PoolEvents, NameTheReasonOfEveryEnd) {
  std::atomic<int> live{0};
  Recorder recorder;
  Pool pool({.max_instances = 4, .idle_ttl = milliseconds(1), .min_idle = 3, .on_event = recorder.hook()},
            counting_factory(live));
  pool.warm_up();
  recorder.take();
  pool.evict_idle(std::chrono::steady_clock::time_point::max());
  pool.shrink(1);
  pool.cleanup();
  EXPECT_THAT(recorder.take(), ElementsAre("destroy evicted", "destroy shrunk", "destroy cleanup"));
  Pool small({.max_instances = 2, .max_uses = 2, .on_event = recorder.hook()}, counting_factory(live));
  small.acquire();
  small.acquire();
  {
    const Lease<Counted> a = small.acquire();
    const Lease<Counted> b = small.acquire();
  }
  recorder.take();
  small.resize(1);
  small.close();
  EXPECT_THAT(recorder.take(), ElementsAre("destroy resized", "destroy closed"));
  Pool brief({.idle_ttl = milliseconds(1), .on_event = recorder.hook()}, counting_factory(live));
  brief.acquire();
  wait_for(brief, [](const PoolStats& stats) { return stats.destroyed == 1; });
  EXPECT_THAT(recorder.take(), ElementsAre("create", "acquire", "release", "destroy idle"));
}

TEST(PoolEvents, TellWhatDidNotCome) {
  Recorder recorder;
  Pool pool({.on_event = recorder.hook()}, []() -> std::unique_ptr<Counted> { throw std::runtime_error("no disk"); });
  EXPECT_THROW(pool.acquire(), std::runtime_error);
  EXPECT_THAT(recorder.take(), ElementsAre("create_failed no disk"));
  std::atomic<int> live{0};
  Pool full({.max_instances = 1, .on_event = recorder.hook()}, counting_factory(live));
  const Lease<Counted> held = full.acquire();
  recorder.take();
  EXPECT_THROW(full.acquire({.timeout = milliseconds(1), .label = "late"}), TimeoutError);
  EXPECT_THROW(full.acquire({.label = "gone", .cancelled = [] { return true; }}), Error);
  EXPECT_THAT(recorder.take(), ElementsAre("timeout late", "cancel gone"));
}

TEST(PoolEvents, AHookMayCallThePoolAndWhatItThrowsIsLoggedAndDropped) {
  std::atomic<int> live{0};
  Pool* self = nullptr;
  int calls = 0;
  Pool pool({.name = "noisy",
             .on_event =
                 [&](const PoolEvent&) {
                   ++calls;
                   if (self != nullptr) self->get_pool_stats();  // Would hang under the lock.
                   if (calls % 2 == 0) throw 7;
                   throw std::runtime_error("hook is broken");
                 }},
            counting_factory(live));
  self = &pool;
  testing::internal::CaptureStderr();
  EXPECT_NO_THROW(pool.acquire());
  EXPECT_NO_THROW(pool.acquire({.destroy_after_use = true}));
  EXPECT_NO_THROW(pool.cleanup());
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("pool noisy: on_event failed for event=create"));
  EXPECT_THAT(log, HasSubstr("hook is broken"));
  EXPECT_GE(calls, 6);
  EXPECT_EQ(live, 0);
}

TEST(PoolEvents, AreOneLineOfTheDebugLog) {
  std::atomic<int> live{0};
  Pool pool({.name = "herd"}, counting_factory(live));
  testing::internal::CaptureStderr();
  log::set_level(log::Level::kDebug);
  const std::string id = std::to_string(pool.acquire({.label = "two\nlines \"quoted\""})->metadata().id);
  pool.evict_idle(std::chrono::steady_clock::time_point::max());
  log::set_level(log::Level::kWarning);
  pool.acquire();
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("pool herd: event=create instance=" + id + " ms="));
  EXPECT_THAT(log, HasSubstr("label=\"two\\nlines \\\"quoted\\\"\" ms="));
  EXPECT_THAT(log, HasSubstr("pool herd: event=release instance=" + id + " thread="));
  EXPECT_THAT(log, HasSubstr("pool herd: event=destroy instance=" + id + " reason=evicted ms="));
  EXPECT_EQ(std::ranges::count(log, '\n'), 4) << log;
}

TEST(PoolLeaks, AreReportedWhileNobodyCalls) {
  std::atomic<int> live{0};
  Recorder recorder;
  Pool pool({.leak_threshold = milliseconds(20), .on_event = recorder.hook()}, counting_factory(live));
  const Lease<Counted> held = pool.acquire({.label = "forgetful"});
  testing::internal::CaptureStderr();
  std::vector<std::string> events;
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (std::ranges::find(events, "leak forgetful") == events.end()) {
    ASSERT_LT(std::chrono::steady_clock::now(), end);
    std::this_thread::sleep_for(milliseconds(1));
    std::ranges::move(recorder.take(), std::back_inserter(events));
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("forgetful; was it forgotten?"));
  EXPECT_EQ(pool.get_pool_stats().leaks, 1);
}

TEST(PoolLeaks, ThereIsAReportOfThoseBeyondTheThresholdTheOldestFirst) {
  std::atomic<int> live{0};
  Pool pool({.max_instances = 3, .leak_threshold = milliseconds(30)}, counting_factory(live));
  Lease<Counted> old = pool.acquire({.label = "old"});
  std::this_thread::sleep_for(milliseconds(5));
  const Lease<Counted> younger = pool.acquire({.label = "younger"});
  std::this_thread::sleep_for(milliseconds(35));
  const Lease<Counted> fresh = pool.acquire({.label = "fresh"});
  std::vector<LeakReport> leaks = pool.leaks();
  ASSERT_GE(leaks.size(), 2);  // A slow machine may have let the third grow old too.
  EXPECT_EQ(leaks[0].label, "old");
  EXPECT_EQ(leaks[0].instance_id, old->metadata().id);
  EXPECT_GE(leaks[0].age, milliseconds(40));
  EXPECT_EQ(leaks[0].thread, leaks[1].thread);
  EXPECT_NE(leaks[0].thread, 0);
  EXPECT_EQ(leaks[1].label, "younger");
  old.release();
  EXPECT_EQ(pool.leaks().front().label, "younger");
}

}  // namespace
}  // namespace remuda::pool_test
