#!/bin/bash
# kills: KILLS (10 000) programs at work killed at random instants, or as many as there is time for in KILL_SECONDS (600), by
# LANES (2) at a time; the record of each against the program's own truth: nothing is off but the one event that each
# thread had under way. What they are at: blocks of 8 threads on hundreds of stacks, and of C++; marks, by threads that
# allocate and by threads that map; the ring. New processes all: their tables grow from nothing each time.
#
# SEED=n repeats the instants (it is printed). KILLS_MUTATE=1 falsifies the truth: every kill must then be wrong.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"
kills=${KILLS:-10000} lanes=${LANES:-2} seconds=${KILL_SECONDS:-600} seed=${SEED:-$$}
kinds=(truth truth_cxx marks maps news)
mutate=()
[ "${KILLS_MUTATE:-0}" = 1 ] && mutate=(--mutate)
echo "seed $seed"

# Each lane has a directory of its own for what it writes, and one for segments.
begin_lane() {
	work=$work/lane.$1 segments=$segments/lane.$1
	mkdir -p "$work" "$segments"
	RANDOM=$((seed + $1))
}

# launch KIND N: the program in the background, its pid in $pid, when it is at work
launch() {
	rm -f "$work"/truth*
	clear_segments
	case $1 in
	truth | truth_cxx) preload -- "$victims/victim_$1" "$work/truth" load 8 0 "$2" >/dev/null 2>&1 & ;;
	marks) preload epoch=63 -- "$victims/victim_marks" "$work/truth" load 8 6 500 >/dev/null 2>&1 & ;;
	maps) preload epoch=63 -- "$victims/victim_marks" "$work/truth" load 3 6 60 mmap >/dev/null 2>&1 & ;;
	news) preload keep=20 -- "$victims/victim_news" "$work/truth" flood 4 >/dev/null 2>&1 & ;;
	esac
	pid=$!
	within 20 test -s "$work/truth" && within 20 has_segment $pid || return 1
	case $1 in marks | maps) within 20 test -s "$work/truth.r6" ;; esac
}

# compare KIND SEGMENT: what is wrong
compare() {
	local n
	json "$2" "$work/report.json" || return
	case $1 in
	news) "$tests/programs/news.py" "$work/truth" "$work/report.json" ${mutate[0]:+--mutate lose} ;;
	*) compare_truth "$work/truth" "$work/report.json" --end killed "${mutate[@]}" ;;
	esac
	case $1 in marks | maps) ;; *) return ;; esac
	for n in 1 6; do
		json "$2@r$n" "$work/report.json" && compare_truth "$work/truth.r$n" "$work/report.json"
	done
}

# Kills until there are enough, or the time is over: a line for each in $work/kills, what was wrong in $work/wrong.
kill_in_lane() {
	local n=0 kind
	begin_lane "$1"
	while [ $SECONDS -lt "$seconds" ] && [ $n -lt $(((kills + lanes - 1) / lanes)) ]; do
		kind=${kinds[$((n % ${#kinds[@]}))]}
		launch "$kind" "$RANDOM" || echo "$kind did not start" >>"$work/wrong"
		sleep "0.$(printf %03d $((RANDOM % 120)))"
		kill -KILL "$pid"
		wait "$pid" 2>/dev/null
		compare "$kind" "$(segment_of "$pid")" >"$work/said" 2>&1
		[ -s "$work/said" ] && sed "s/^/$kind, kill $n: /" "$work/said" >>"$work/wrong"
		n=$((n + 1))
		echo "$kind" >>"$work/kills"
	done
	clear_segments
} 2>/dev/null

looking=()
for lane in $(seq "$lanes"); do
	in_background kill_in_lane "$lane"
	looking+=($!)
done
wait "${looking[@]}"
cat "$work"/lane.*/wrong >"$work/said" 2>/dev/null
done=$(cat "$work"/lane.*/kills | wc -l)
[ "$done" -gt 0 ] || echo "no kills" >>"$work/said"
verdict "$done kills in $SECONDS s ($(cat "$work"/lane.*/kills | sort | uniq -c | awk '{ printf "%s%s %d", c, $2, $1; c = ", " }'))" "$work/said"
suite_end
