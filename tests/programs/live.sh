#!/bin/bash
# live: 64 threads that allocate and free at full speed, and reports of their process taken meanwhile and where they stand
# still, each held against what the process itself counts. See live.py for what must hold.
. "$(dirname "$0")/../lib/suite.sh"
rounds=${LIVE_ROUNDS:-2}
reports=${LIVE_REPORTS:-2}

# The victim gives way to the reports a little: 64 threads on two processors would leave them a thirtieth of the time.
live() {
	local options=()
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	bounded 120 "$tests/programs/live.py" "${options[@]}" "$mtrace" "$work/truth" "$rounds" "$reports" \
		nice -n 5 env LD_PRELOAD="$shim" MTRACE_OPTIONS="dir=$segments" "$victims/victim_live" "$work/truth" "$@" \
		>"$work/said" 2>"$work/figures"
}

# holds NAME UNSETTLED PATHS SHAPE: at most UNSETTLED stacks of a report may be said to have changed too fast.
holds() {
	live --unsettled "$2" -- "$3" "$4" || [ -s "$work/said" ] || tail -c 600 "$work/figures" >"$work/said"
	verdict "$1" "$work/said"
	tail -1 "$work/figures"
}

# 128 rows: each has its place in every thread's tallies. 4096: four to a place, so that tallies are folded all the time,
# and rows are added while reports are taken. In turns: of three rows in four nothing changes but where their counts are,
# so that a report must be exact there. Fighting: sixteen rows, four places, no rest ever.
holds "128 paths" 12 128 even
holds "4096 paths" 400 4096 even
holds "4096 paths in turns" 400 4096 turns
holds "16 paths that fight over four tallies" 16 4096 fight

# The comparison itself must be able to fail.
rounds=1 reports=1
for what in more less live drop; do
	live --unsettled 12 --mutate "$what" -- 128 even
	[ $? = 1 ] && [ -s "$work/said" ] && pass "noticed: $what" || fail "noticed: $what" "$(head -c 300 "$work/said")"
done
suite_end
