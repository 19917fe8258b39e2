#!/bin/sh
# Each program has a manual page beside its source, and mandoc has nothing to say
# against any page.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh

for page in */*.[1-9]; do
	mandoc -T lint -W warning "$page" >"$work/log" 2>&1
	result "$page" $? "$work/log"
done
for page in */*.[1-9]; do
	grep -q " $page\$" tools/install.table || echo "$page"
done >"$work/found"
none "every page is in tools/install.table" "$work/found"
for program in build/*.map; do
	[ -e "$program" ] || continue
	program=$(basename "$program" .map)
	ls */"$program".[1-9] >"$work/log" 2>&1
	result "$program has a manual page" $? "$work/log"
done
finish
