#ifndef LIB_OW_H
#define LIB_OW_H

/*
 * The one door to libowfat: no other file includes a header of its. libowfat and
 * skalibs share 64 names that mean different things and that the linker takes
 * from whichever archive comes first, without a word; so a program links only
 * build/libowfat_safe.a, whose members are those of the functions listed here
 * and what they need, and tools/check-owfat looks at every program.
 *
 * tools/make-owfat-archive reads the list: each name after "ow:". A function that
 * is not on it does not link.
 *
 * Text to and from other forms (textcode.h). Each returns the octets written, or
 * with a NULL destination those needed; scan_… returns the octets read of a text
 * that ends with a NUL, which the caller compares with its length: scan_base64
 * stops at a blank and takes wrong padding, scan_quotedprintable leaves soft line
 * breaks to the caller.
 *
 * ow: fmt_base64 scan_base64 scan_quotedprintable fmt_hexdump scan_hexdump
 * ow: fmt_jsonescape fmt_xml fmt_html fmt_foldwhitespace
 *
 * Numbers, addresses, times (fmt.h, scan.h).
 *
 * ow: fmt_tohex scan_fromhex fmt_ulong fmt_ulong0 fmt_xlong scan_ulong
 * ow: scan_ulongn scan_xlong scan_xlongn scan_8longn scan_longn scan_uint
 * ow: scan_ushort fmt_iso8601 scan_iso8601 fmt_httpdate fmt_netstring
 * ow: scan_netstring fmt_utf8 fmt_escapecharjson fmt_escapecharxml
 *
 * Left out because they read past the end of their text: scan_jsonescape,
 * scan_cescape, scan_httpdate. Because they need a name that skalibs has too:
 * fmt_quotedprintable, fmt_cescape, fmt_urlencoded, scan_html. Because it takes
 * what RFC 3629 forbids: scan_utf8 (lib/utf8.h is ours).
 *
 * libowfat is under GPL-2 and nothing later: a program that takes something from
 * here is under those terms as a whole, stands in OWFAT_PROGRAMS of the Makefile,
 * and never links OpenSSL or GnuTLS (doc/libraries.md).
 */

/* Its headers call functions pure that store through their arguments, which lets
 * the compiler leave calls out: they are read without that word. And without
 * byte.h, whose names are skalibs' too. */
#pragma push_macro("pure")
#pragma push_macro("BYTE_H")
#define pure
#undef BYTE_H
#define BYTE_H
#include <fmt.h>
#include <scan.h>
#include <textcode.h>
#pragma pop_macro("BYTE_H")
#pragma pop_macro("pure")

#pragma GCC poison scan_jsonescape scan_cescape scan_httpdate
#pragma GCC poison fmt_quotedprintable fmt_cescape fmt_urlencoded scan_html
#pragma GCC poison scan_utf8 scan_utf8_sem

#endif
