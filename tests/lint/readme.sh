#!/bin/bash
# readme: every command of README.md runs. Each ```sh block is run by bash -e in a scratch directory that looks like a
# built clone, with 60 seconds; <!-- not run: REASON --> before a block leaves it out, and is printed.
# README.zh-CN.md must have the very same blocks; links to files of the tree must lead somewhere.
. "$(dirname "$0")/blocks.sh"

check_blocks() {
	local block ran=0
	for block in "$work"/en/*.sh; do
		if [ -e "${block%.sh}.reason" ]; then
			echo "not run: $(head -1 "$block"): $(cat "${block%.sh}.reason")"
		elif type_in "$block" >"$work/log"; then
			ran=$((ran + 1))
		else
			wrong "README.md: this fails with status $?: $(tr '\n' ';' <"$block")"
			tail -5 "$work/log"
		fi
	done
	[ $ran -gt 0 ] || wrong "README.md: no command was run"
}

check_links() {
	local target
	grep -oE '\]\([^)#]+' "$root/$1" | cut -c3- | grep -vE '^(https?|mailto):' | while read -r target; do
		[ -e "$root/$target" ] || echo "$1: a link to $target, which is not there"
	done
}

mkdir -p "$work/en" "$work/zh"
make_scratch "$work/tree" "$root" "$build"
list_blocks "$root/README.md" sh "$work/en"
list_blocks "$root/README.zh-CN.md" sh "$work/zh"
cat "$work"/en/*.sh >"$work/en.all" 2>/dev/null
cat "$work"/zh/*.sh >"$work/zh.all" 2>/dev/null
diff "$work/en.all" "$work/zh.all" >"$work/difference" || wrong "README.zh-CN.md has other commands: $(head -5 "$work/difference")"
[ "$(wc -l <"$root/README.md")" -le 200 ] || wrong "README.md has more than 200 lines"
check_blocks
for readme in README.md README.zh-CN.md; do
	broken=$(check_links $readme)
	[ -z "$broken" ] || wrong "$broken"
done
exit $status
