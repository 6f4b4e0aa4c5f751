#!/bin/bash
# tracker: what the trust box says that the tracker itself takes is held against what the kernel counts: the file's blocks,
# and the anonymous memory of a process that is traced less that of the same process untraced.
. "$(dirname "$0")/../lib/suite.sh"
stack_kib=12 # of a thread's own stack, that our frames touch beyond its own
image_kib=64 # the library's own data, and the loader's about it

anonymous_of() {
	awk '/^Anonymous:/ { print $2 }' "/proc/$1/smaps_rollup"
}

# parked TRACED THREADS DEPTH: the victim stands still, its pid in $pid; `let_go` ends it. It waits for a pipe to end.
parked() {
	local n
	rm -f "$work/held" "$work/said"
	mkfifo "$work/held"
	clear_segments
	if [ "$1" = traced ]; then
		preload -- "$victims/victim_parked" "$2" "$3" <"$work/held" >"$work/said" &
	else
		runs "$victims/victim_parked" "$2" "$3" <"$work/held" >"$work/said" &
	fi
	pid=$!
	background+=("$pid")
	exec 9>"$work/held"
	for n in $(seq 3000); do
		[ -s "$work/said" ] && return
		sleep 0.01
	done
	fail "the victim" "it did not stand still"
}

let_go() {
	exec 9>&-
	wait "$pid"
}

figure() {
	query "$1" ".processes[0].trust.$2"
}

# A bound that says nothing is not wanted either: three times what is there, at most.
compare() {
	local threads=$1 depth=$2 untraced more said
	parked untraced "$threads" "$depth"
	untraced=$(anonymous_of "$pid")
	let_go
	parked traced "$threads" "$depth"
	more=$(($(anonymous_of "$pid") - untraced))
	: >"$work/wrong"
	json "$pid" "$work/live.json" >>"$work/wrong"
	said=$(($(figure "$work/live.json" tracker_private_bytes) >> 10))
	[ $((said + image_kib + stack_kib * threads)) -ge "$more" ] || echo "at most $said KiB are said, $more KiB are there" >>"$work/wrong"
	[ "$said" -le $((3 * more + 128)) ] || echo "$said KiB are said, only $more KiB are there" >>"$work/wrong"
	local file=$(($(stat -c '%b * %B' "$(segment_of "$pid")"))) all=$(figure "$work/live.json" tracker_bytes)
	[ $((all - file)) = "$(figure "$work/live.json" tracker_private_bytes)" ] || echo "$all in all, the file has $file" >>"$work/wrong"
	verdict "$threads threads, $depth deep: $more KiB, at most $said KiB said" "$work/wrong"
}

compare 1 1
compare 1 1000
compare 64 1
compare 64 200
compare 64 1500

# Of the last one, killed.
kill -KILL "$pid"
wait "$pid" 2>/dev/null
exec 9>&-
json "$(segment_of "$pid")" "$work/dead.json" >"$work/wrong"
for what in tracker_bytes tracker_private_bytes; do
	[ "$(figure "$work/live.json" $what)" = "$(figure "$work/dead.json" $what)" ] || echo "$what has changed" >>"$work/wrong"
done
verdict "the same after its death" "$work/wrong"
"$mtrace" report -n 1 "$(segment_of "$pid")" >"$work/text"
grep -Eq '^  tracker +[0-9.]+ MiB of memory for all this, at most [0-9.]+ MiB of it private to the process$' "$work/text" &&
	pass "the trust box" || fail "the trust box" "$(grep tracker "$work/text")"
traced "$work/rec.mtr" "$victims/victim_parked" 1 1 </dev/null >"$work/said" 2>"$work/text"
json "$work/rec.mtr" "$work/rec.json" >"$work/wrong"
[ "$(figure "$work/rec.json" tracker_private_bytes)" -gt 65536 ] || echo "$(figure "$work/rec.json" tracker_private_bytes)" >>"$work/wrong"
verdict "a recording keeps it" "$work/wrong"
suite_end
