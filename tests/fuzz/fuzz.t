#!/bin/sh
# Each fuzz target over its corpus, and then a short while (or as the arguments
# say, which go to libFuzzer: tests/fuzz/fuzz.t -max_total_time=600).
cd "$(dirname "$0")/../.." || exit 1
[ $# -gt 0 ] || set -- -runs=50000 -max_total_time=5
[ -n "$(ls build/fuzz/fuzz_* 2>/dev/null)" ] || {
	echo "1..0 # SKIP no fuzz targets: make fuzz-targets"
	exit 0
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0 failed=0
for target in build/fuzz/fuzz_*; do
	case $target in
	*.*) continue ;;
	esac
	name=${target##*/fuzz_}
	count=$((count + 1))
	mkdir "$work/$name"
	corpus=tests/fuzz/corpus/$name
	[ -d "$corpus" ] || corpus=
	# New inputs go to the first folder, not into the tree.
	if "$target" "$work/$name" $corpus -artifact_prefix="$work/$name/" \
		-timeout=10 -rss_limit_mb=1024 "$@" >"$work/log" 2>&1; then
		echo "ok $count - $name"
	else
		failed=$((failed + 1))
		echo "not ok $count - $name"
		tail -n 40 "$work/log" | sed 's/^/# /'
		for input in "$work/$name"/crash-* "$work/$name"/timeout-* \
			"$work/$name"/oom-* "$work/$name"/leak-*; do
			[ ! -e "$input" ] || {
				echo "# input, in base64:"
				base64 "$input" | sed 's/^/# /'
			}
		done
	fi
done
echo "1..$count"
[ $failed -eq 0 ]
