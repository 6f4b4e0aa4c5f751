#!/bin/bash
# generate: makes the pages of man/*.in in the directory given (default man) from these and from the tables that the
# programs themselves use, so that no page can drift from them.
#
# Those of commands need a built mtrace ($BUILD/mtrace); tests/lint/man.sh compares the result with what is committed.
set -eu
export LC_ALL=C.UTF-8
cd "$(dirname "$0")/.."
out=${1:-man}
build=${BUILD:-build}
version=$(sed -n 's/^VERSION := *//p' Makefile)
table=$(mktemp)
trap 'rm -f "$table"' EXIT

# Rows of a .def file, one a line, tab-separated: the compiler's own preprocessor reads it.
rows() {
	printf '#define X(...) @ROW __VA_ARGS__\n#include "%s"\n' "$1" | gcc -E -P -x c -Ilibmtrace -Itools - |
		tr '\n' ' ' | sed 's/@ROW /\n/g' | sed -n 's/[[:space:]]*$//; /./p'
}

# fill FILE NAME=PIECE-FILE…: puts each piece in place of the line @NAME@.
fill() {
	local file=$1 piece script="s/@VERSION@/$version/"
	shift
	for piece in "$@"; do
		script+=$'\n'"/^@${piece%%=*}@\$/{"$'\n'"r ${piece#*=}"$'\n'"d"$'\n'"}"
	done
	sed "$script" "man/$file.in" >"$out/$file"
}

# What is special to mdoc: a backslash, a control character at the start of a line, an ellipsis.
escape='
	function text(s) { gsub(/\\/, "\\e", s); gsub(/…/, "...", s); gsub(/–/, "\\(en", s)
		return s ~ /^[.'"'"']/ ? "\\&" s : s }
	function words(s) { s = text(s); gsub(/"/, "\\(dq", s); return "\"" s "\"" }
	function sentence(s) { s = text(s); s = toupper(substr(s, 1, 1)) substr(s, 2); return s ~ /[.?!]$/ ? s : s "." }'

commands() {
	awk -F'\t' "$escape"'
		$1 == "command" { shown = $4 == "present"; if (!shown) next
			if (open) print ".El"
			open = 0
			print ".It Ic " words($5); print sentence($6) }
		$1 == "option" && shown {
			if (!open) print ".Bl -tag -width Ds -compact"
			open = 1
			name = $3; sub(/^-/, "", name)
			print ".It Fl " name ($4 == "" ? "" : ($4 ~ /^\[/ ? " Ns " : " Ar ") words($4)); print sentence($5) }
		END { if (open) print ".El" }' "$table"
}

# options_of COMMAND
options_of() {
	awk -F'\t' -v command="$1" "$escape"'
		$1 == "option" && $2 == command {
			name = $3; sub(/^-/, "", name)
			print ".It Fl " name ($4 == "" ? "" : ($4 ~ /^\[/ ? " Ns " : " Ar ") words($4)); print sentence($5) }' "$table"
}

# Kinds of records: the line, and the fields of its object.
records() {
	rows ring.def |
		sed 's/^\([a-z_]*\), \([0-9]*\), \([A-Z]*\), "\(.*\)", "\(.*\)", "\(.*\)", "\(.*\)", "\(.*\)"$/\1\t\4\t\5\t\6\t\7\t\8/' |
		awk -F'\t' "$escape"'{
			line = $2; gsub(/[][]/, "", line)
			fields = ""
			for (i = 3; i <= 6; i++) {
				sub(/:.*/, "", $i)
				if ($i != "" && $i != "prefix") fields = fields (fields == "" ? "" : ", ") $i
			}
			print ".It Cm " $1; print text(line)
			if (fields != "") print ".br" ORS "Fields: " fields "." }'
}

absent_commands() {
	awk -F'\t' '$1 == "command" && $4 == "absent" { names[++n] = $2 }
		END { for (i = 1; i <= n; i++) print ".Cm " names[i] (i < n ? " ," : " .") }' "$table"
}

options() {
	rows options.def | sed 's/^\([A-Z]*\), \([a-z_]*\), "\(.*\)", \([0-9]*\), \([0-9]*\), "\(.*\)"$/\1\t\2\t\3\t\4\t\5\t\6/' |
		awk -F'\t' "$escape"'
		function size(n) { return n % 1073741824 == 0 ? n / 1073741824 "g" : n % 1048576 == 0 ? n / 1048576 "m" : n "" }
		{
			value = $1 == "CHOICE" ? $6 : $1 == "SIZE" ? "size" : $1 == "NUMBER" ? "number" : "text"
			help = $6
			if ($1 == "CHOICE") { sub(/.*: /, "", value); sub(/: [^:]*$/, "", help) }
			print ".It Cm " $2 " Ns = Ns Ar " words(value)
			print sentence(help)
			if ($1 == "NUMBER") print "From " $4 " to " $5 "."
			if ($1 == "SIZE") print "From " size($4) " to " size($5) "."
			if ($3 != "") print "Default " $3 "."
		}'
}

counters() {
	rows counters.def | sed 's/^\([a-z_]*\), "\(.*\)"$/\1\t\2/' |
		awk -F'\t' "$escape"'{ print ".It Cm " $1; print sentence($2) }'
}

# Suppressions that every gate has: pattern, bound, reason.
built_in() {
	rows gate/suppressions_builtin.def | sed 's/^"\(.*\)", \(.*\), "\(.*\)"$/\1\t\2\t\3/; s/(\([0-9]*\)) \* 1024ull \* 1024)/\1 MiB/; s/(\([0-9]*\)) \* 1024ull)/\1 KiB/; s/\t(\([0-9]* [KM]iB\)/\t\1/' |
		awk -F'\t' "$escape"'{
			print ".It Cm " words("leak:" $1)
			print sentence($3)
			if ($2 != "UINT64_MAX") print "At most " $2 "." }'
}

# What tracking costs, of the page of results: a row each, the day and machine, the start-up.
bench=tests/bench/RESULTS.md
costs() {
	awk -F' *[|] *' '/^\| workload \| pairs/ { inside = 1; next }
		inside && !/^\|/ { exit }
		inside && $5 ~ /[0-9]x/ { gsub(/\*/, "", $5); gsub(/\*/, "", $9); print ".It \"" $2 "\"" ORS "exact " $5 ", dormant " $9 }' $bench
}

measured() {
	grep -q '^\*\*Indications only' $bench && echo "Indications: too few pairs were run to judge by them all."
	sed -n 's/^\(Source: [^;]*\);.*/\1./p; s/^Machine: \(.*[^.]\)\.*$/On: \1./p' $bench
}

start_up() {
	awk -F' *[|] *' '/^\| shim preloaded/ { sub(/;.*/, "", $4); gsub(/\*/, "", $4); print "Starting a program takes " $4 " more." }' $bench
}

[ -x "$build/mtrace" ] || { echo "generate: $build/mtrace is not built; run: make" >&2; exit 2; }
"$build/mtrace" help --man-table >"$table"
pieces=$(mktemp -d)
trap 'rm -rf "$table" "$pieces"' EXIT
commands >"$pieces/commands"
absent_commands >"$pieces/absent"
options >"$pieces/options"
counters >"$pieces/counters"
options_of follow >"$pieces/follow"
records >"$pieces/records"
fill mtrace-follow.1 "OPTIONS=$pieces/follow" "RECORDS=$pieces/records"
fill mtrace.1 "COMMANDS=$pieces/commands" "ABSENT=$pieces/absent"
options_of leaks >"$pieces/leaks"
fill mtrace-leaks.1 "OPTIONS=$pieces/leaks"
options_of gate >"$pieces/gate"
fill mtrace-gate.1 "OPTIONS=$pieces/gate"
options_of supp >"$pieces/supp"
fill mtrace-supp.1 "OPTIONS=$pieces/supp"
built_in >"$pieces/built_in"
fill mtrace-policy.5 "BUILT_IN=$pieces/built_in"
fill libmtrace-options.7 "OPTIONS=$pieces/options" "COUNTERS=$pieces/counters"
costs >"$pieces/costs"
measured >"$pieces/measured"
start_up >"$pieces/start"
fill libmtrace-production.7 "COSTS=$pieces/costs" "MEASURED=$pieces/measured" "START=$pieces/start"
