#!/bin/bash
# schema: every report document is what schema 1 promises (schema.py), field by field, sums included: of recordings and
# segments, of every way to end, of processes that run, of ones that nobody prepared, of runs that saw nothing.
. "$(dirname "$0")/../lib/suite.sh"
check() { "$tests/programs/schema.py" "$@"; }

# document NAME STATUS TARGET OPTIONS…: report --json ends with STATUS and its document is right
document() {
	local name=$1 status=$2 target=$3 got
	shift 3
	bounded 60 "$mtrace" report --json "$target" >"$work/report.json" 2>"$work/err"
	got=$?
	[ $got = "$status" ] && : >"$work/said" || echo "status $got, expected $status: $(head -c 200 "$work/err")" >"$work/said"
	check "$work/report.json" "$@" >>"$work/said"
	verdict "$name" "$work/said"
}

# recorded NAME END PROCESSES COMMAND…: under mtrace run
recorded() {
	local name=$1 end=$2 processes=$3
	shift 3
	traced "$work/rec.mtr" "$@" >"$work/out" 2>"$work/err"
	document "$name" 0 "$work/rec.mtr" --end "$end" --processes "$processes"
}

# left NAME END COMMAND…: in the segment that a plain preload leaves
left() {
	local name=$1 end=$2
	shift 2
	clear_segments
	preload -- "$@" >"$work/out" 2>"$work/err" &
	wait $!
	document "$name" 0 "$(segment_of $!)" --end "$end" --processes 1
} 2>/dev/null

recorded "exit" exit:3 1 sh -c 'exit 3'
recorded "a signal" signal:15 1 sh -c 'kill -TERM $$'
recorded "SIGKILL" killed:9 1 sh -c 'kill -KILL $$'
recorded "abort" signal:6 1 "$victims/victim_truth" "$work/truth" abort
recorded "exec: the last image is the first of the document" exit:0 2 sh -c 'exec ls /'
[ "$(query "$work/report.json" '[.processes[] | [(.exe | split("/") | last), .image, .end.reason] | join(" ")] | join(", ")')" = \
	"ls 1 exit, dash 0 exec" ] && pass "exec: images and ends" || fail "exec: images and ends" "$(query "$work/report.json" '.processes[].end')"
recorded "mappings alone, or first of all" exit:7 1 "$victims/victim_mmap" "$work/truth" exit
recorded "threads" exit:7 1 "$victims/victim_threads" "$work/truth" exit
recorded "pools and marks" exit:7 1 "$victims/victim_pool" "$work/truth" exit
[ "$(query "$work/report.json" '.processes[0].marks | length')" = 2 ] && pass "marks are there" || fail "marks are there"
recorded "plugins" exit:7 1 "$victims/victim_plugin" "$work/truth" exit "$victims/plugin_a.so" "$victims/plugin_b.so"
recorded "forks" exit:0 6 "$victims/victim_fork" "$work/fork" workers
left "left by exit" exit:3 sh -c 'exit 3'
left "left by a signal, which nobody saw" killed:0 sh -c 'kill -TERM $$'
left "left by SIGKILL" killed:0 sh -c 'kill -KILL $$'
left "stacks of 3000 frames" exit:0 "$victims/victim_spin" deep
left "arguments that are no UTF-8" exit:0 sh -c 'exit 0' $'\xff\xfe"\\\n\x01' 'pass\xc3'
left "a million and more in one thread" exit:0 "$victims/victim_spin" wild

# What runs has a ledger, traced or not.
in_background preload -- sleep 100
within 10 has_segment $!
document "it runs" 0 $! --mode exact --end running:0
[ "$(query "$work/report.json" '.processes[0].ledger.rss_bytes > 0')" = true ] && pass "its ledger" || fail "its ledger" "empty"
document "not prepared" 0 $$ --mode outside --end running:0
[ "$(query "$work/report.json" '.processes[0].ledger.rss_bytes > 0')" = true ] && pass "and its ledger" || fail "and its ledger" "empty"

# A run that saw nothing has its document, and is an error all the same.
printf '#include <unistd.h>\nint main(void) { _exit(0); }\n' >"$work/nothing.c"
gcc "$work/nothing.c" -o "$work/nothing"
"$mtrace" run -q -f -o "$work/rec.mtr" --dir "$segments" -- "$work/nothing" 2>/dev/null
document "nothing was allocated" 1 "$work/rec.mtr" --end exit:0 --mode exact
clear_segments
preload mode=off -- true
document "mode=off" 1 "$(find "$segments" -name 'mtrace.*')" --mode off

# The other ways to the same document.
traced "$work/rec.mtr" "$victims/victim_truth" "$work/truth" exit >"$work/out" 2>&1
document "a victim" 0 "$work/rec.mtr" --end exit:7
cp "$work/report.json" "$work/whole.json"
"$mtrace" export --to json -o "$work/export.json" "$work/rec.mtr" && cmp "$work/whole.json" "$work/export.json" >"$work/said" 2>&1
verdict "export --to json is the same document" "$work/said"
"$mtrace" leaks --json "$work/rec.mtr" >"$work/leaks.json" && check --live "$work/leaks.json" >"$work/said"
verdict "leaks --json" "$work/said"
"$mtrace" report --json -n 3 "$work/rec.mtr" >"$work/some.json" && check "$work/some.json" >"$work/said"
[ "$(query "$work/some.json" '.processes[0] | "\(.stacks | length) \(.stacks_left_out)"')" = \
	"3 $(query "$work/whole.json" '.processes[0].stacks | length - 3')" ] || echo "-n 3: $(query "$work/some.json" '.processes[0].stacks_left_out') left out" >>"$work/said"
verdict "-n 3 says how many it leaves out" "$work/said"

# An id is the same in two runs, wherever things were loaded; and two stacks are never one.
traced "$work/rec.mtr" "$victims/victim_truth" "$work/truth" exit >"$work/out" 2>&1
json "$work/rec.mtr" "$work/again.json" >"$work/said"
ids_of() { jq -r '.processes[0].stacks[] | select(any(.frames[]; .function | startswith("truth_"))) | "\(.id) \([.frames[] | "\(.module)+\(.offset)"] | join(" "))"' "$1" | sort; }
ids_of "$work/whole.json" >"$work/ids.1"
ids_of "$work/again.json" >"$work/ids.2"
[ "$(comm -12 "$work/ids.1" "$work/ids.2" | wc -l)" -gt 300 ] || echo "only $(comm -12 "$work/ids.1" "$work/ids.2" | wc -l) stacks in both" >>"$work/said"
sort -u "$work/ids.1" "$work/ids.2" | cut -d' ' -f1 | uniq -d | sed 's/$/ stands for two stacks/' >>"$work/said"
sort -u "$work/ids.1" "$work/ids.2" | cut -d' ' -f2- | sort | uniq -d | sed 's/^/two ids: /' >>"$work/said"
verdict "ids are stable from run to run" "$work/said"

# The check must be able to fail.
traced "$work/rec.mtr" sh -c 'exit 0' 2>"$work/err"
document "a small one" 0 "$work/rec.mtr" --end exit:0
cp "$work/report.json" "$work/small.json"
# breach WORDS FILTER: the document changed by FILTER is found out by a line with WORDS
breach() {
	jq -c "$2" "$work/small.json" >"$work/changed.json"
	check "$work/changed.json" >"$work/said"
	grep -qF -- "$1" "$work/said" && pass "noticed: $1" || fail "noticed: $1" "$(head -c 200 "$work/said")"
}
breach "schema: 2" '.schema = 2'
breach "peak_live_bytes is missing" 'del(.processes[0].totals.peak_live_bytes)'
breach 'pid: "1"' '.processes[0].pid = "1"'
breach "in_tracker: 0" '.processes[0].end.in_tracker = 0'
breach "stacks add up to live_blocks" '.processes[0].totals |= (.live_blocks += 1 | .alloc_blocks += 1)'
breach "which by_kind does not have" 'first(.processes[0].stacks[]).kind = "pool"'
breach "do not add up to rss_bytes" '.processes[0].ledger.rss_bytes += 1'
breach "is there twice" '.processes[0].stacks[1].id = .processes[0].stacks[0].id'
breach "unsettled_stacks is missing" 'del(.processes[0].trust.unsettled_stacks)'
breach "stacks are unsettled" '.processes[0].trust.unsettled_stacks = 1'
breach "an event of stack" '.processes[0].events += [{sequence: 99999, time_ns: 1, kind: "map", stack: "0123456789abcdef"}] |
	.processes[0].ring |= (.kept += 1 | .written += 1)'
breach "events are not in order" '.processes[0].events |= reverse'
breach "ring: does not add up" '.processes[0].ring.overwritten += 1'
breach "language" 'first(.processes[0].stacks[]).frames[0].language = "c"'
suite_end
