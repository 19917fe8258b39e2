#!/bin/sh
# What must not stand in the source: calls that bring trouble, marks of unfinished
# work, files that hold two ideas, another layout than clang-format's, and the
# name of any one machine's folders.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh

folders="lib queue smtpd remote local pop3d tools tls mail setup tests/unit tests/fuzz"
# shellcheck disable=SC2046,SC2086 # words are wanted
set -- $(find $folders -name '*.[ch]')

grep -nE '(^|[^_[:alnum:]])(popen|system|strcpy|strcat|sprintf|vsprintf|gets|alloca|mktemp|tmpnam|getwd)[[:space:]]*\(' \
	"$@" >"$work/found"
none "no popen, system, strcpy and their kind" "$work/found"

grep -nE '(^|[^_[:alnum:]])(TODO|FIXME|XXX|HACK)([^[:alnum:]]|$)' "$@" | grep -v 'XXXXXX' \
	>"$work/found"
none "no marks of unfinished work" "$work/found"

wc -l "$@" | awk '$2 != "total" && $1 > 600' >"$work/found"
none "no file above 600 lines" "$work/found"

grep -nE '^typedef (struct|union)[^(;]*(\{|;)' "$@" >"$work/found"
none "no typedef for a struct" "$work/found"

# libowfat's headers stand bare in the include path; only lib/ow.h may take them.
grep -nE '^#include <(textcode|scan|fmt|buffer|stralloc|str|byte|case|cdb|open|io|dns|socket|ip4|ip6|array|critbit|ndelay|mmap|errmsg|rangecheck|isset|tai|taia|uint16|uint32|uint64|libowfat/.*)\.h>' \
	"$@" | grep -v '^lib/ow\.h:' >"$work/found"
none "libowfat's headers only in lib/ow.h" "$work/found"

clang-format --dry-run --Werror "$@" >"$work/found" 2>&1
result "clang-format finds nothing to change" $? "$work/found"

# Folders of one machine, written in pieces so that this file does not match.
machine="/wo""rk/|/fa""rm/|\.libr""ary"
if git rev-parse --git-dir >"$work/git" 2>&1; then
	git ls-files -z | xargs -0 grep -nIE "$machine" >"$work/found"
else
	find . -path ./build -prune -o -type f -print0 |
		xargs -0 grep -nIE "$machine" >"$work/found"
fi
none "no folder of one machine is named" "$work/found"

find tests -name '*.t' ! -perm -100 >"$work/found"
none "every test can be run" "$work/found"
finish
