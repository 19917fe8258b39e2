#!/bin/sh
# libowfat comes in by one door: every program that is built was linked without
# the shared library, without the whole archive, without a name that skalibs has
# too, and never beside a TLS library; and the check that says so can say no.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
export LC_ALL=C

# --- the programs ------------------------------------------------------------

found=
for map in build/*.map; do
	[ -s "$map" ] || continue
	found=1
	sh tools/check-owfat "${map%.map}" "$map" >"$work/log" 2>&1
	result "$(basename "$map" .map) has libowfat by the door, or not at all" \
		$? "$work/log"
done
[ -n "$found" ] || skip "programs" "nothing is built: make"

# GPL-2 holds for those programs alone that the Makefile and the table name.
for map in build/*.map; do
	! grep -q 'libowfat_safe\.a(' "$map" 2>/dev/null ||
		basename "$map" .map
done | sort >"$work/taken"
sed -n 's/^OWFAT_PROGRAMS = *//p' Makefile | tr -s ' ' '\n' | sed '/^$/d' |
	sort >"$work/listed"
comm -23 "$work/taken" "$work/listed" >"$work/found"
none "who takes from it stands in OWFAT_PROGRAMS" "$work/found"

# OpenSSL is in those programs alone that the Makefile names, and shared.
for map in build/*.map; do
	[ -s "$map" ] || continue
	! grep -qE '/lib(ssl|crypto)\.(a|so[.0-9]*)' "$map" ||
		basename "$map" .map
done | sort >"$work/taken"
sed -n 's/^TLS_PROGRAMS = *//p' Makefile | tr -s ' ' '\n' | sed '/^$/d' |
	sort >"$work/listed"
[ -s "$work/listed" ]
result "TLS_PROGRAMS names some" $?
[ -z "$found" ] || {
	diff "$work/listed" "$work/taken" >"$work/found"
	none "OpenSSL is in TLS_PROGRAMS and nowhere else" "$work/found"
}
grep -lE '/lib(ssl|crypto)\.a' build/*.map >"$work/found" 2>/dev/null
none "no program has OpenSSL's archives" "$work/found"

# --- the archive -------------------------------------------------------------

safe=$work/libowfat_safe.a
sh tools/make-owfat-archive "$safe" >"$work/log" 2>&1
result "libowfat_safe.a can be made" $? "$work/log"
sh tools/check-owfat --archive "$safe" >"$work/log" 2>&1
result "it has no name of skalibs'" $? "$work/log"
sed -n 's/^ \* ow: *//p' lib/ow.h | tr ' ' '\n' | sort >"$work/wanted"
nm -g --defined-only "$safe" 2>/dev/null | awk 'NF == 3 { print $3 }' |
	sort -u >"$work/defined"
comm -23 "$work/wanted" "$work/defined" >"$work/found"
none "it has what lib/ow.h lists" "$work/found"

# --- the source --------------------------------------------------------------

# Which names are headers of libowfat's, the package says; what skalibs or libc
# has by the same name stands elsewhere in the include path.
{
	dpkg-query -L libowfat-dev 2>/dev/null |
		sed -n 's|^/usr/include/\(.*\.h\)$|\1|p'
	echo textcode.h
} | sort -u | sed 's/\./\\./g' >"$work/headers"
find lib queue smtpd remote local pop3d tools tls mail setup tests -name '*.[ch]' \
	! -path lib/ow.h -exec grep -nE \
	"^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]((libowfat/)?($(paste -sd'|' "$work/headers")))[>\"]" \
	{} + >"$work/found"
none "only lib/ow.h includes its headers" "$work/found"

# --- the check can fail ------------------------------------------------------

cat >"$work/user.c" <<'TEXT'
#include "lib/ow.h"
int
main(int argc, char **argv)
{
	char text[FMT_ULONG + 4];

	return fmt_ulong(text, (unsigned long)argc) + fmt_base64(text, argv[0], 1)
		> 8;
}
TEXT
cat >"$work/banned.c" <<'TEXT'
#include <stddef.h>
size_t str_chr(const char *, int);
size_t fmt_urlencoded(char *, const char *, size_t);
int
main(int argc, char **argv)
{
	char text[100];

	return (int)fmt_urlencoded(text, argv[0], (size_t)argc) > 8;
}
TEXT
cat >"$work/door.c" <<'TEXT'
#include "lib/ow.h"
size_t (*banned)(const char *, char *, size_t *) = scan_jsonescape;
TEXT

# link NAME ARGUMENT…: links user.c; the check's answer is link's status.
link() {
	program=$work/$1
	shift
	gcc -I. -D_GNU_SOURCE -o "$program" "$work/user.c" \
		-Wl,-Map="$program.map" "$@" >"$work/log" 2>&1 || return 99
	sh tools/check-owfat "$program" "$program.map" >>"$work/log" 2>&1
}
# refused NAME STATUS: passes if the check said no, and not something else.
refused() {
	[ "$2" -eq 111 ]
	result "$1" $? "$work/log"
}

link good "$safe" -l:libskarnet.a
result "a good link passes" $? "$work/log"
"$work/good"
result "and the program runs" $?
link whole -l:libowfat.a
refused "the whole archive is refused" $?
link shared -lowfat
refused "the shared library is refused" $?
: | gcc -shared -o "$work/libcrypto.so.3" -Wl,-soname,libcrypto.so.3 -xc -
link tls "$safe" -Wl,--no-as-needed "$work/libcrypto.so.3"
refused "libowfat beside a TLS library is refused" $?
link plain -l:libskarnet.a -Wl,--unresolved-symbols=ignore-all
result "a program without libowfat passes" $? "$work/log"

(cd "$work" && ar x "$(gcc -print-file-name=libowfat.a)" stralloc_append.o &&
	cp "$safe" spoiled.a && ar r spoiled.a stralloc_append.o) \
	>"$work/log" 2>&1
sh tools/check-owfat --archive "$work/spoiled.a" >>"$work/log" 2>&1
refused "an archive with a name of skalibs' is refused" $?

gcc -o "$work/banned" "$work/banned.c" "$safe" >"$work/log" 2>&1
[ $? -ne 0 ]
result "a function that is not listed does not link" $? "$work/log"
gcc -I. -D_GNU_SOURCE -fsyntax-only "$work/door.c" >"$work/log" 2>&1
[ $? -ne 0 ]
result "one that reads too far does not compile" $? "$work/log"
finish
