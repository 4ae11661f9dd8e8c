// Linked into every unit test, so that none of them, however it is started, reads or fills the cache of the person who
// runs it.
#include <cstdlib>

namespace {

[[maybe_unused]] const int kCacheIsTheBuilds = setenv("XDG_CACHE_HOME", REMUDA_TEST_CACHE_HOME, 1);

}  // namespace

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
// The standard library is not built for the thread sanitizer, which so doesn't see how it counts the references to an
// exception that several threads have, and takes the last one's freeing it for a race with another's reading it. This
// leaves out what such libraries themselves read and free, and nothing of ours.
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "ignore_noninstrumented_modules=1"; }
#endif
#endif
