#!/bin/sh
# `make install` puts down what tools/install.table says, with those modes and (as
# root) owners, and nothing else; no regular file is set-uid or set-gid.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh

# In a folder of its own: other paths are other programs, and build/ is in use.
make -j2 install BUILD="$work/build" DESTDIR="$work/root" PREFIX=/usr \
	LIBEXEC=/usr/libexec/keepmail >"$work/log" 2>&1 </dev/null
result "make install works" $? "$work/log"

if [ "$(id -u)" -eq 0 ]; then
	form='%P %u %g %m'
else
	form='%P - - %m'
fi
# A row a file, sorted; links by their target.
grep -v '^#' tools/install.table | while read -r path owner group mode source; do
	case $path in
	libexec/*) path=usr/libexec/keepmail/${path#*/} ;;
	*) path=usr/$path ;;
	esac
	if [ "$mode" = link ]; then
		echo "$path -> $source"
	elif [ "$(id -u)" -eq 0 ]; then
		echo "$path $owner $group ${mode#0}"
	else
		echo "$path - - ${mode#0}"
	fi
done | sort >"$work/expected"
{
	find "$work/root" -type f -printf "$form\n"
	find "$work/root" -type l -printf '%P -> %l\n'
} | sort >"$work/got"
diff "$work/expected" "$work/got" >"$work/found"
result "what is installed is what the table says" $? "$work/found"

find "$work/root" -type f -perm /6000 >"$work/found"
none "no regular file is set-uid or set-gid" "$work/found"
find "$work/root" ! -type l -perm /022 >"$work/found"
none "nothing is writable for group or others" "$work/found"
grep -rIl '@LIBEXEC@\|@HOME@\|@SENDMAIL@' "$work/root" >"$work/found"
none "no mark is left unreplaced" "$work/found"

# Every program of the build is in the table.
for map in build/*.map; do
	program=$(basename "$map" .map)
	grep -q " build/$program\$" tools/install.table || echo "$program"
done >"$work/found"
none "every program is in the table" "$work/found"
finish
