// REMUDA_SANITIZED is defined where a sanitizer takes memory beside what is tested, and more than that.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define REMUDA_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define REMUDA_SANITIZED
#endif
#endif
