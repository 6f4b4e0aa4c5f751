#!/bin/bash
# truth: a victim that knows its own blocks, against our record of it, to the byte per call path, for every ending;
# recorded by `mtrace run`, and left in the segment by a plain preload that nobody read. See victims/truth.h.
. "$(dirname "$0")/../lib/suite.sh"

# ENDING | exit status | as mtrace run saw it | as the dead segment says it
endings="
exit         7   exit:7    exit:7
return       6   exit:6    exit:6
_exit        8   exit:8    exit:8
quick_exit   9   exit:9    exit:9
pthread_exit 0   exit:0    exit:0
abort        134 signal:6  killed
segv         139 signal:11 killed
overflow     139 signal:11 killed
term         143 signal:15 killed
kill         137 killed    killed"

# check NAME TARGET TRUTH END [OPTION…]: reports TARGET and compares; the report stays in $work/NAME.json.
check() {
	local name=$1 target=$2 truth=$3 end=$4
	shift 4
	agrees "$name" "$target" "$truth" --end "$end" "$@"
	rm -f "$target"
}

run_recorded() {
	local victim=$1 ending=$2 status=$3 end=$4 got
	bounded 60 "$victims/$victim" "$work/untracked" "$ending" >"$work/out.plain" 2>"$work/err.plain"
	traced "$work/rec.mtr" "$victims/$victim" "$work/truth" "$ending" >"$work/out" 2>"$work/err"
	got=$?
	if [ $got != "$status" ]; then
		fail "$victim $ending: exit status" "$got, expected $status: $(tail -c 300 "$work/err")"
	elif ! cmp -s "$work/out.plain" "$work/out"; then
		fail "$victim $ending: output" "differs from the untracked run's"
	else
		pass "$victim $ending: exit status and output"
	fi
	check "$victim $ending, recorded" "$work/rec.mtr" "$work/truth" "$end" --stacks 300
}

run_preloaded() {
	local victim=$1 ending=$2 status=$3 end=$4 pid got
	preload -- "$victims/$victim" "$work/truth" "$ending" >"$work/out" 2>"$work/err" &
	pid=$!
	wait $pid 2>/dev/null
	got=$?
	[ $got = "$status" ] || fail "$victim $ending, preloaded: exit status" "$got: $(tail -c 300 "$work/err")"
	check "$victim $ending, preloaded" "$(segment_of $pid)" "$work/truth" "$end" --stacks 300
}

while read -r ending status end dead; do
	[ -n "$ending" ] || continue
	for victim in victim_truth victim_truth_cxx; do
		run_recorded $victim "$ending" "$status" "$end"
		run_preloaded $victim "$ending" "$status" "$dead"
	done
done <<<"$endings" 2>/dev/null

# More threads than processors, more events.
preload -- "$victims/victim_truth" "$work/truth" exit 24 20000 7 >/dev/null 2>&1 &
wait $!
check "24 threads, half a million events" "$(segment_of $!)" "$work/truth" exit:7 --stacks 300

# A copy has holes where the segment has zeros, and says the same.
preload -- "$victims/victim_truth" "$work/truth" kill >/dev/null 2>&1 &
wait $! 2>/dev/null
cp --sparse=always "$(segment_of $!)" "$work/copy"
check "a sparse copy of a dead segment" "$work/copy" "$work/truth" killed --stacks 300

# The comparison itself must be able to fail.
traced "$work/rec.mtr" "$victims/victim_truth" "$work/truth" exit >/dev/null 2>&1
json "$work/rec.mtr" "$work/report.json"
if compare_truth "$work/truth" "$work/report.json" --mutate >"$work/said"; then
	fail "a truth that is off by one byte is noticed" "it is not"
else
	pass "a truth that is off by one byte is noticed"
fi
jq '.processes[0].totals.live_blocks += 1' "$work/report.json" >"$work/changed.json"
if compare_truth "$work/truth" "$work/changed.json" >/dev/null; then
	fail "totals that are off by one block are noticed" "they are not"
else
	pass "totals that are off by one block are noticed"
fi
suite_end
