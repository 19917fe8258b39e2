#!/bin/sh
# Each program has a manual page beside its source, each command that is installed
# has one of its name, mandoc has nothing to say against any page, and pages refer
# to pages that there are.
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

# NAME SECTION of each page that is installed, links too.
sed -n 's|^share/man/man[0-9]/\([^ ]*\)\.\([0-9]\) .*|\1 \2|p' \
	tools/install.table | sort >"$work/installed"
sed -n -e '\|^libexec/service/|d' -e 's|^[a-z]*bin/\([^ /]*\) .*|\1|p' \
	-e 's|^libexec/\([^ /]*\) .*|\1|p' tools/install.table | sort -u |
	while read -r name; do
		grep -q "^$name [18]\$" "$work/installed" || echo "$name"
	done >"$work/found"
none "each command that is installed has a page of its name" "$work/found"
# Pages of other packages.
cat >>"$work/installed" <<'LIST'
fail2ban 1
flock 2
inetd 8
maildir 5
svscan 8
tcprules 1
tcpserver 1
LIST
grep -Hn '^\.\(It \)\?Xr ' */*.[1-9] | while IFS=: read -r page line words; do
	echo "$words" | grep -o '[^ ]* [1-8]\b' | while read -r name section; do
		grep -qxF "$name $section" "$work/installed" ||
			echo "$page line $line: there is no $name($section)"
	done
done >"$work/found"
none "pages refer to pages that there are" "$work/found"
sed -n '/^tools="/,/"$/p' tools/keepmail | tr -d '"' | sed 's/^tools=//' |
	tr ' ' '\n' | while read -r name; do
		grep -q "^\.It.* *Xr $name [18]" tools/keepmail.8 || echo "$name"
	done >"$work/found"
none "keepmail(8) names each tool" "$work/found"
finish
