#!/bin/sh
# Each header compiles alone, and twice, with gcc and with clang.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh

for header in */*.h; do
	printf '#include "%s"\n#include "%s"\n' "$header" "$header" \
		>"$work/alone.c"
	for compiler in gcc clang; do
		$compiler -std=c11 -D_GNU_SOURCE -I. -Wall -Wextra -Werror \
			-fsyntax-only "$work/alone.c" >"$work/log" 2>&1
		result "$header compiles alone with $compiler" $? "$work/log"
	done
done
finish
