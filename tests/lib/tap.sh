# TAP for tests in shell: source it with the tree's top as the current folder.
#
#   result NAME STATUS [FILE]   one result; on failure FILE is shown
#   skip NAME WHY
#   skip_all WHY
#   finish                      the plan; exits

tap_count=0
tap_failed=0

result() {
	tap_count=$((tap_count + 1))
	if [ "$2" -eq 0 ]; then
		echo "ok $tap_count - $1"
		return
	fi
	tap_failed=$((tap_failed + 1))
	echo "not ok $tap_count - $1"
	[ -z "${3:-}" ] || sed 's/^/# /' "$3"
}

# none NAME FILE: passes if the file is empty; else its lines are the failure.
none() {
	if [ -s "$2" ]; then
		result "$1" 1 "$2"
	else
		result "$1" 0
	fi
}

skip() {
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - $1 # SKIP $2"
}

skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}

finish() {
	echo "1..$tap_count"
	exit $((tap_failed > 0))
}

# A folder for the test's own files; it goes when the test ends.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
