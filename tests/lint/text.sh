#!/bin/bash
# text: what every tracked file must be, whatever its language.
#
# C: indented by tabs, 120 columns and never more than 130 (a tab counts four). Code: no blank at the end of a line, a newline at the
# end of the file. Everywhere: no path of the machine it was written on, no merge marker. Shim: #if only in the rooms that
# know the host (plat*, unwind/) and in the public header. Then, as information, what clang-format would change
# (tables that read better by hand stay by hand) and the ten longest functions of each side.
set -u
export LC_ALL=C.UTF-8
cd "$(dirname "$0")/../.." || exit 2
found=$(mktemp)
lengths=$(mktemp)
trap 'rm -f "$found" "$lengths"' EXIT

list_files() {
	git ls-files -co --exclude-standard 2>/dev/null || find . -type f -not -path './.git/*' -not -path './build/*'
}

# complain WHAT: shows the lines on stdin, if any, and has the suite fail. (It is run at the end of pipelines, in
# processes of its own: a variable would not come back.)
complain() {
	local lines
	lines=$(cat)
	[ -z "$lines" ] && return
	echo "$1" >>"$found"
	head -20 <<<"$lines" | sed "s/\$/   <- $1/"
	[ "$(wc -l <<<"$lines")" -gt 20 ] && echo "… $(wc -l <<<"$lines") in all: $1"
}

mapfile -t files < <(list_files | sed 's|^\./||' | sort | while read -r f; do [ -f "$f" ] && echo "$f"; done)
mapfile -t code < <(printf '%s\n' "${files[@]}" | grep -E '\.(c|h|cc|def|map|mk|sh)$|^Makefile$')
mapfile -t c_code < <(printf '%s\n' "${code[@]}" | grep -E '^(libmtrace|tools)/.*\.[ch]$')
mapfile -t text < <(printf '%s\n' "${files[@]}" | grep -vE '^tests/(compat|golden)/|\.(mtr|gz|zst|png|svg)$')

# wider COLUMNS: FILE:LINE of each line of C that is
wider() {
	local file
	for file in "${c_code[@]}"; do
		expand -t4 "$file" | grep -nE "^.{$1}." | sed "s|^\([0-9]*\):.*|$file:\1|"
	done
}

wider 130 | complain "more than 130 columns"
awk 'FNR == 1 { previous = "" }
	/^(    +[^ *]| +\t)/ && previous ~ /[{;]$/ { print FILENAME ":" FNR ": " $0 }
	{ previous = $0 }' "${c_code[@]}" | complain "indent by tabs"
grep -nE '[[:blank:]]+$' "${code[@]}" | complain "blank at the end of the line"
for file in "${code[@]}"; do
	[ -s "$file" ] && [ -n "$(tail -c1 "$file")" ] && echo "$file"
done | complain "no newline at the end"
grep -nE '(^|[^A-Za-z0-9_.$}-])/(work|root)/[A-Za-z0-9._]' "${text[@]}" | complain "a path of one machine"
grep -nE '^(<<<<<<<|>>>>>>>)( |$)' "${text[@]}" | complain "merge marker"
host=$(uname -n)
[ ${#host} -gt 7 ] && grep -nF "$host" "${text[@]}" | complain "the name of this machine"
grep -nE '^#[[:space:]]*(if|ifdef|ifndef|elif)\b' $(printf '%s\n' "${c_code[@]}" |
	grep -E '^libmtrace/' | grep -vE '/(plat[^/]*|mtrace\.h)$|/unwind/') /dev/null |
	grep -vE '#ifndef MTRACE_[A-Z0-9_]+_H$' | complain "#if outside plat and unwind"

# Brace counting is enough here: a function begins at a { in column 1 and ends at the next } there.
longest_functions() {
	awk 'FNR == 1 { start = 0 }
		/^[a-z].*\(/ { name = $0; gsub(/__attribute__\(\(.*\)\) */, "", name); sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
		/^\{/ { start = FNR }
		/^\}/ && start { print FNR - start - 1, FILENAME ":" start, name; start = 0 }' "$@" | sort -rn
}

describe_functions() {
	local side=$1
	shift
	longest_functions "$@" >"$lengths"
	awk -v side="$side" '{ n[NR] = $1 } END { if (NR) printf "information: %s: %d functions, median %d lines, p90 %d\n",
		side, NR, n[int((NR + 1) / 2)], n[int(NR / 10) + 1] }' "$lengths"
	head -10 "$lengths" | sed 's/^/information:   /'
}

describe_functions shim $(printf '%s\n' "${c_code[@]}" | grep '^libmtrace/')
describe_functions tools $(printf '%s\n' "${c_code[@]}" | grep '^tools/')
echo "information: $(wider 120 | wc -l) lines of C have more than 120 columns"
if command -v clang-format >/dev/null; then
	for file in "${c_code[@]}"; do
		echo "$(clang-format "$file" | diff "$file" - | grep -c '^<') $(wc -l <"$file") $file"
	done | sort -rn | awk '{ changed += $1; lines += $2; if (NR <= 5 && $1) worst = worst " " $3 ":" $1 }
		END { printf "information: clang-format would change %d of %d lines; most in%s\n", changed, lines, worst }'
fi
[ ! -s "$found" ]
