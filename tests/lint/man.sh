#!/bin/bash
# man: the pages are what the tables say now, mandoc has nothing to complain of, and every command and option that
# `mtrace help` and `--help` print stands in mtrace.1.
set -u
export LC_ALL=C.UTF-8
cd "$(dirname "$0")/../.." || exit 2
build=${BUILD:-build}
status=0
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

man/generate.sh "$fresh" || exit 1
for page in mtrace.1 mtrace-follow.1 mtrace-gate.1 mtrace-leaks.1 mtrace-supp.1 mtrace-policy.5 libmtrace-options.7 \
	libmtrace-production.7; do
	if ! diff -u "man/$page" "$fresh/$page" | head -20 | grep .; then
		continue
	fi
	echo "man/$page is not what the tables say; run: man/generate.sh"
	status=1
done
for page in man/*.[1-9]; do
	complaints=$(mandoc -Tlint -W warning "$page" 2>&1 | grep -vE 'referenced manual not found|missing date')
	[ -z "$complaints" ] || { echo "$complaints"; status=1; }
	for section in NAME DESCRIPTION "SEE ALSO"; do
		grep -qiE "^\.SH \"?$section" "$page" || { echo "$page: no section $section"; status=1; }
	done
done
for section in EXAMPLES "EXIT STATUS" FILES ENVIRONMENT; do
	for page in man/mtrace.1 man/mtrace-gate.1 man/mtrace-leaks.1 man/libmtrace-options.7; do
		grep -q "^\.Sh $section" "$page" || { echo "$page: no section $section"; status=1; }
	done
done
# The figures of what it costs are those of the page of results, none of them left out.
rows=$(grep -cE '^\| [^|]+ \| [0-9]+ \| [0-9.]+ s' tests/bench/RESULTS.md)
[ "$rows" -gt 0 ] && [ "$(grep -c '^exact [0-9.]*x.*, dormant [0-9.]*x' man/libmtrace-production.7)" = "$rows" ] ||
	{ echo "man/libmtrace-production.7: it has not the $rows rows of tests/bench/RESULTS.md"; status=1; }
shown=$(mandoc -Tutf8 man/mtrace.1 | sed 's/.\x08//g')
for command in $("$build/mtrace" help | awk '/^  [a-z]/ && !/not in this version/ { print $1 }'); do
	grep -q "mtrace $command" <<<"$shown" || { echo "man/mtrace.1: $command is missing"; status=1; }
	for option in $("$build/mtrace" "$command" --help 2>&1 | grep -oE '(^| )--[a-z][a-z-]*' | sort -u); do
		grep -q -e "$option" <<<"$shown" || { echo "man/mtrace.1: $command $option is missing"; status=1; }
	done
done
exit $status
