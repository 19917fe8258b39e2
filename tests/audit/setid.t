#!/bin/sh
# No regular file of the suite is set-uid or set-gid, in the tree or as installed
# (tests/audit/install.t looks at those).
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh

find . -path ./.git -prune -o -type f -perm /6000 -print >"$work/found"
none "no set-uid or set-gid file in the tree" "$work/found"
awk '!/^#/ && NF && $4 ~ /^[4-7]...$/' tools/install.table >"$work/found"
none "none in tools/install.table" "$work/found"
grep -nE 'chmod[^#]*([ugo+]*[+=][rwx]*s|[0 ][4267][0-7][0-7][0-7])' \
	tools/install tools/make-users >"$work/found"
none "no tool makes one" "$work/found"
finish
