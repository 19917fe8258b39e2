#!/bin/sh
# What doc/privileges.md says that each program may be, its source says too: user,
# group and groups besides of every `static const struct role`. And the users and
# groups of that page are those that tools/make-users creates.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
export LC_ALL=C

# The rows of a table in the page: cells with "|" between, no blanks or marks. A
# table is named by the first cell of its head and the number of its cells.
rows() {
	awk -F '|' -v name="$1" '
		/^\|/ && $2 ~ "^ *" name " *$" && NF > 3 { inside = 1; next }
		!/^\|/ { inside = 0 }
		inside && !/^\|[-| ]*$/ {
			for (i = 2; i < NF; i++) {
				gsub(/^ +| +$|`/, "", $i)
				printf "%s%s", $i, i < NF - 1 ? "|" : "\n"
			}
		}' doc/privileges.md
}
# Names with commas between, one order.
sorted() {
	tr ',' '\n' | tr -d ' ' | sed '/^$/d' | sort | paste -sd, -
}

# --- roles -------------------------------------------------------------------

# The roles in a source: program|user|group|groups.
source_roles() {
	perl -0777 -ne '
		s{/\*.*?\*/}{}gs;
		while (/static const struct role \w+ = \{(.*?)\n\};/gs) {
			my $role = $1;
			my %text;
			for my $member ("program", "user", "group") {
				$text{$member} = $1
					if $role =~ /\.$member\s*=\s*"([^"]*)"/;
			}
			my $groups = "";
			$groups = join ",", $1 =~ /"\??([^"]*)"/g
				if $role =~ /\.groups\s*=\s*\{([^}]*)\}/;
			printf "%s|%s|%s|%s\n", map { $_ // "" }
				@text{"program", "user", "group"}, $groups;
		}' "$@"
}
find lib queue smtpd remote local pop3d tools tls mail setup -name '*.c' \
	-exec grep -l '^static const struct role ' {} + >"$work/sources"
# shellcheck disable=SC2046 # words are wanted
[ ! -s "$work/sources" ] || source_roles $(cat "$work/sources") >"$work/roles"
[ -s "$work/roles" ]
result "roles are found in the source" $?

rows program >"$work/table"
[ -s "$work/table" ]
result "roles are found in doc/privileges.md" $?

while IFS='|' read -r program user group groups; do
	row=$(grep "^$program|" "$work/table")
	if [ -z "$row" ]; then
		echo "the page has no row for it" >"$work/log"
		result "$program" 1 "$work/log"
		continue
	fi
	runs_as=$(echo "$row" | cut -d'|' -f2)
	besides=$(echo "$row" | cut -d'|' -f3 | sed 's/^–$//' | sorted)
	{
		[ "$runs_as" = "$user:$group" ] ||
			{ [ "$runs_as" = root ] && [ "$user" = root ]; } ||
			echo "user: page $runs_as, source $user:$group"
		[ "$besides" = "$(echo "$groups" | sorted)" ] ||
			echo "groups: page $besides, source $groups"
	} >"$work/found"
	none "$program is what the page says" "$work/found"
done <"$work/roles"

# A program with a source and a row has a role, whatever its table looks like.
make -pn 2>"$work/log" >"$work/variables"
cut -d'|' -f1 "$work/table" | while read -r program; do
	case $program in
	*\ *) continue ;;
	esac
	main=$(sed -n "s/^$program = \([^ ]*\)\.o.*/\1.c/p" "$work/variables")
	[ -n "$main" ] && [ -e "$main" ] || continue
	grep -q "^$program|" "$work/roles" || echo "$program ($main)"
done >"$work/found"
none "each program of the page takes its role" "$work/found"

# --- users and groups --------------------------------------------------------

rows user | awk -F '|' '{ print $1, $2 }' | sort >"$work/page"
sed -n "/<<'TABLE'/,/^TABLE/p" tools/make-users | grep '^_keep-' |
	tr -s ' ' | sort >"$work/made"
cut -d' ' -f1,2 "$work/made" | diff "$work/page" - >"$work/found"
result "the page's users are those that make-users creates" $? "$work/found"

# And have the groups that their program's role names.
while read -r user primary others; do
	role=$(awk -F '|' -v user="$user" '$2 == user' "$work/roles" | head -n 1)
	[ -n "$role" ] || continue
	wanted=$(echo "$role" | tr '|' ',' | cut -d, -f3- | sorted)
	has=$(echo "$primary,$others" | sorted)
	# The primary group of a user need not be that of its role.
	[ "$wanted" = "$has" ] || echo "$user: role $wanted, make-users $has"
done <"$work/made" >"$work/found"
none "make-users puts each user into its role's groups" "$work/found"
finish
