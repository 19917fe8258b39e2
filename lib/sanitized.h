#ifndef LIB_SANITIZED_H
#define LIB_SANITIZED_H

/*
 * SANITIZED is 1 in a build with AddressSanitizer, which maps terabytes and makes
 * calls of its own: what limits memory or calls is left out of it.
 */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#endif
