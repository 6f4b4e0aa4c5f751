#!/bin/bash
# killed: SIGKILL at random instants under full load, from outside, KILLS times (50; `make soak` does more): the record
# may be off by the one event that each thread had under way, and by nothing else.
. "$(dirname "$0")/../lib/suite.sh"
kills=${KILLS:-50}
RANDOM=${SEED:-$$}
echo "seed $RANDOM" >"$work/seed"
good=0

is_at_work() {
	[ -s "$work/truth" ] && has_segment "$1"
}

for n in $(seq "$kills"); do
	victim=victim_truth
	[ $((n % 2)) = 0 ] && victim=victim_truth_cxx
	rm -f "$work/truth"
	clear_segments
	preload -- "$victims/$victim" "$work/truth" load 8 0 "$n" >"$work/out" 2>&1 &
	pid=$!
	background+=($pid)
	within 10 is_at_work $pid
	sleep "0.$(printf %03d $((RANDOM % 300)))"
	kill -KILL $pid
	wait $pid 2>/dev/null
	segment=$(segment_of $pid)
	if [ $((n % 5)) = 0 ]; then # a copy has holes where the segment has zeros, and must say the same
		cp --sparse=always "$segment" "$work/copy"
		segment=$work/copy
	fi
	if json "$segment" "$work/report.json" >"$work/said" &&
		compare_truth "$work/truth" "$work/report.json" --end killed >"$work/said"; then
		good=$((good + 1))
	else
		fail "kill $n" "$(head -c 1000 "$work/said")"
		[ -n "${KEEP_FAILED:-}" ] && mkdir -p "$KEEP_FAILED" && cp "$work/truth" "$work/report.json" "$segment" "$KEEP_FAILED/"
	fi
done 2>/dev/null
[ $good = "$kills" ] && pass "$good kills at random instants, every record right" || fail "$good of $kills right" ""

# Under mtrace run, which has to tell a kill from an end.
for n in 1 2 3 4 5; do
	rm -f "$work/truth" "$work/rec.mtr"
	traced "$work/rec.mtr" "$victims/victim_truth" "$work/truth" load >"$work/out" 2>"$work/err" &
	runner=$!
	background+=($runner)
	within 10 test -s "$work/truth"
	sleep 0.2
	pid=$(od -An -tu4 -j8 -N4 "$work/truth" | tr -d ' ')
	kill -KILL "$pid"
	wait $runner 2>/dev/null
	status=$?
	[ $status = 137 ] || fail "mtrace run of a killed victim: status" "$status"
	agrees "killed under mtrace run ($n)" "$work/rec.mtr" "$work/truth" --end killed
done 2>/dev/null
suite_end
