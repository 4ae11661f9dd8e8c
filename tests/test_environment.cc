// Linked into every unit test, so that none of them, however it is started, reads or fills the cache of the person who
// runs it.
#include <cstdlib>

namespace {

[[maybe_unused]] const int kCacheIsTheBuilds = setenv("XDG_CACHE_HOME", REMUDA_TEST_CACHE_HOME, 1);

}  // namespace
