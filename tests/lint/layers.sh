#!/bin/bash
# layers: checks the include graph of libmtrace/ and tools/ against layers.txt. Prints each edge that it forbids.
# Also: a file without a room, and a header of the other side. `layers.sh DIR` looks at another tree (its own test).
set -u
table=$(cd "$(dirname "$0")" && pwd)/layers.txt
cd "${1:-$(dirname "$0")/../..}" || exit 2

list_edges() {
	find libmtrace tools -name '*.[ch]' | sort | while read -r file; do
		grep -n '^#[[:space:]]*include "' "$file" | sed 's/:[^"]*"\([^"]*\)".*/ \1/' | while read -r line header; do
			echo "$file $line $(locate "$file" "$header")"
		done
	done
}

# The path of a quoted header, from the root: beside the file, else on the -I paths of its side.
locate() {
	local file=$1 header=$2 place
	for place in "$(dirname "$file")" libmtrace tools; do
		[ -e "$place/$header" ] && echo "$place/$header" && return
	done
	echo "$header"
}

list_edges | awk -v table="$table" '
	function side(path) { return path ~ /^libmtrace\// ? "shim" : path ~ /^tools\// ? "tools" : "" }
	function room(path, part, n, name) {
		n = split(path, part, "/")
		if (n > 2) return part[2]
		name = part[n]
		sub(/\.[a-z]+$/, "", name)
		if (side(path) == "shim") { sub(/_.*/, "", name); return name }
		return name ~ /^cmd_|^mtrace$|^options$|^show$/ ? "cmd" : "base"
	}
	BEGIN {
		while ((getline row < table) > 0) {
			split(row, f, " ")
			if (row ~ /^(shim|tools) /) { n = split(row, f, " "); for (i = 3; i <= n; i++) layer[f[1], f[i]] = f[2] }
			if (row ~ /^pure /) pure[f[2], f[3]] = 1
			if (row ~ /^allow /) allowed[f[2], f[3]] = 1
		}
	}
	function bad(why) { print $1 ":" $2 ": " why; found++ }
	{
		edges++
		if ($3 ~ /\.def$|^libmtrace\/format\.h$/) next
		s = side($1); from = room($1); to = room($3)
		if (!((s, from) in layer)) { bad("room " from " is not in layers.txt"); next }
		if (from == to) next
		if (side($3) != s) { bad(from " includes " $3 ", which belongs to the other side"); next }
		if (!((s, to) in layer)) { bad("room " to " is not in layers.txt"); next }
		if ((from, to) in allowed || layer[s, to] < layer[s, from]) next
		if (layer[s, to] == layer[s, from] && (s, layer[s, to]) in pure) next
		bad(from " (layer " layer[s, from] ") may not include " $3 " (layer " layer[s, to] ")")
	}
	END {
		if (!edges) { print "layers: no include found: wrong directory?"; exit 2 }
		exit found > 0
	}'
