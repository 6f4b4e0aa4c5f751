#!/bin/bash
# examples: the output shown in examples/*/README.md is what the commands print. A ```sh block is run as in readme.sh,
# and what it prints must be the ```text block that follows, after what differs from run to run or from machine to
# machine is folded: pids, times, addresses, stack ids, and frames outside the examples' own sources (whether libc has
# debug information), how much a heap grew in a while, and how often more it was exhausted. `UPDATE=1
# tests/lint/examples.sh` writes the real output into the pages; PAGES=jvm-* picks some.
. "$(dirname "$0")/blocks.sh"

# What may differ between two machines or two runs of the same program.
fold() {
	awk '!/^     / || /(leak|cache|host|plugin|leak_module|feed|lookup_test)\.cc?:|(Reports(Test)?|Feed|Writers|Catalog|Sync|Mailer|Push)\.java:|Netty|-Dio/' |
		sed -E 's/\<pid +[0-9]+/pid N/g; s/0x[0-9a-f]+/0xN/g; s/\<[0-9a-f]{16}\>/ID/g; s/[0-9.]+ (ns|us|ms|s|min)\>/N \1/g
			s/tracker +[0-9.]+ [KMG]iB/tracker N/; s/mtrace jvm [0-9]+/mtrace jvm N/
			/NATIVE|java-heap/s/[0-9.]+ ([KMG]i)?B/SIZE/g; /exhausted/s/; [0-9]+ more$//; s/mtrace\.[0-9]+\.[0-9]+\.[0-9]+/SEGMENT/g; s/[[:space:]]+/ /g'
}

# Puts the contents of file $2 in place of the ```text block number $3 of $1.
replace_block() {
	awk -v new="$2" -v at="$3" '
		/^```/ && !inside { inside = 1; n++; print; if (n == at) while ((getline line < new) > 0) print line; next }
		/^```$/ && inside { inside = 0 }
		inside && n == at { next }
		{ print }' "$1" >"$work/page" && cat "$work/page" >"$1"
}

check_page() {
	local page=$1 blocks=$work/$(basename "$(dirname "$1")") block number shown
	mkdir -p "$blocks"
	list_blocks "$page" sh "$blocks"
	list_blocks "$page" text "$blocks"
	[ "$(wc -l <"$page")" -le 30 ] || wrong "$page: more than 30 lines"
	for block in "$blocks"/*.sh; do
		[ -e "$block" ] || { wrong "$page: no command"; return; }
		[ -e "${block%.sh}.reason" ] && echo "not run: $page: $(cat "${block%.sh}.reason")" && continue
		number=$((10#$(basename "$block" .sh) + 1))
		shown=$(printf '%s/%02d.text' "$blocks" $number)
		type_in "$block" NO_COLOR=1 COLUMNS=100 | sed "s|$work/tree/||g" >"$work/output"
		[ -e "$shown" ] || touch "$shown"
		if [ "${UPDATE:-0}" = 1 ]; then
			replace_block "$page" "$work/output" $number
		elif ! diff <(fold <"$shown") <(fold <"$work/output") >"$work/difference"; then
			wrong "$page: not what it prints now (UPDATE=1 tests/lint/examples.sh, and look):"
			head -20 "$work/difference"
		fi
	done
}

fold <<<"pid 1" | grep -q "pid N" || wrong "fold: its script is wrong: it would make all pages alike"
make_scratch "$work/tree" "$root" "$build"
for page in "$root"/examples/${PAGES:-*}/README.md; do
	check_page "$page"
done
exit $status
