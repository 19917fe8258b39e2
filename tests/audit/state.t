#!/bin/sh
# No writable data at file scope: what a program knows stands in a struct that is
# handed on. The few that must be (a signal handler has no other way) are listed
# here, as FILE SYMBOL, each with its reason.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh

allowed() {
	cat <<'LIST'
lib/log.c log_program	the name before each line: set once, when main begins
lib/log.c log_gathered	lines on their way to descriptor 2, of a program that asks for it
LIST
}

[ -d build/obj ] || skip_all "nothing is built: make"
allowed | awk '{ print $1, $2 }' | sort >"$work/allowed"
for object in build/obj/*/*.o; do
	file=${object#build/obj/}
	# Only what still has a source.
	[ -e "${file%.o}.c" ] || continue
	objdump -t "$object" | awk -v file="${file%.o}.c" '
		# value flags section size name; "O" marks data.
		$3 == "O" && $4 ~ /^\.(data|bss|tdata|tbss)(\.|$)/ &&
			$4 !~ /^\.data\.rel\.ro/ { print file, $NF }
		$2 == "O" && $3 ~ /^\.(data|bss)|\*COM\*/ &&
			$3 !~ /^\.data\.rel\.ro/ { print file, $NF }'
done | sed 's/\.[0-9]*$//' | grep -v ' __odr_asan\| __asan' | sort -u >"$work/writable"
comm -23 "$work/writable" "$work/allowed" >"$work/found"
none "no writable data at file scope but what is listed" "$work/found"
comm -13 "$work/writable" "$work/allowed" >"$work/found"
none "nothing is listed that is not there" "$work/found"
finish
