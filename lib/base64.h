#ifndef LIB_BASE64_H
#define LIB_BASE64_H

/*
 * Base64 as SASL exchanges carry it (RFC 4648 section 4), strictly: the standard
 * alphabet alone, padding where it belongs and nowhere else, unused bits zero.
 * So each octet string has one text, and each text taken is that one.
 *
 * By libowfat (lib/ow.h): a program that uses this is one of OWFAT_PROGRAMS.
 */

#include <stddef.h>
#include <sys/types.h>

/* Octets of the text of so many octets, without a NUL. */
#define BASE64_TEXT(octets) (((octets) + 2) / 3 * 4)

/*
 * Reads text[0..len). Returns the number of octets written into into[0..size),
 * or -1: not base64 in the sense above, or no room. *into is then undefined.
 */
ssize_t base64_read(void *into, size_t size, const char *text, size_t len);

/*
 * Writes octets[0..len) as text with a NUL after it. Returns the length without
 * the NUL, or 0 with *into empty if there is no room.
 */
size_t base64_write(char *into, size_t size, const void *octets, size_t len);

#endif
