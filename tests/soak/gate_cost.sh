#!/bin/bash
# gate_cost: the whole of `mtrace gate` on a minute of redis under load takes at most 1.3 times as long as the same work
# untracked: from the server's start to its end, the page written. GATE_COST_PAIRS=3 pairs, of which the median counts;
# GATE_COST_SECONDS=60 is how long the untracked work is to be, and every pair says how long it was.
. "$(dirname "$0")/../lib/suite.sh"
export MTRACE_OPTIONS="dir=$segments"
socket=$work/socket
steps=28
redis=(redis-server --port 0 --unixsocket "$socket" --save '' --appendonly no --dir "$work")
cli="redis-cli -s $socket"
ready="$cli ping 2>/dev/null | grep -q PONG"

# load REQUESTS: the command of one step
load() {
	echo "redis-benchmark -s $socket -q -t set,get,lpush,hset,sadd,zadd -n $1 -c 20 -P 16 -r 400 -d 100 >/dev/null && $cli del mylist >/dev/null"
}

milliseconds() { echo $(($(date +%s%N) / 1000000)); }

# untracked REQUESTS STEPS: milliseconds
untracked() {
	local began server
	rm -f "$socket"
	began=$(milliseconds)
	"${redis[@]}" >"$work/out" 2>&1 &
	server=$!
	until bash -c "$ready"; do sleep 0.1; done
	for ((i = 0; i < $2; i++)); do bash -c "$(load "$1")"; done
	kill -TERM "$server"
	wait "$server"
	echo $(($(milliseconds) - began))
}

# gated REQUESTS: milliseconds, and the status in $work/status
gated() {
	local began
	rm -f "$socket"
	began=$(milliseconds)
	bounded 600 "$mtrace" gate --ready "$ready" --load "$(load "$1")" --phase warmup:4 --phase work:$((steps - 4)) -- "${redis[@]}" \
		>"$work/out" 2>"$work/err"
	echo $? >"$work/status"
	echo $(($(milliseconds) - began))
}

# What 20 steps of so many requests take longer than 4: starting and ending redis is not among it.
few=$(untracked 20000 4)
more=$(untracked 20000 20)
requests=$((20000 * 16 * 1000 * ${GATE_COST_SECONDS:-60} / (more - few) / steps))
for ((pair = 1; pair <= ${GATE_COST_PAIRS:-3}; pair++)); do
	plain=$(untracked "$requests" "$steps")
	tracked=$(gated "$requests")
	expect "pair $pair: the gate passes" 0 "$(cat "$work/status")"
	echo "        pair $pair: $plain ms untracked, $tracked ms under the gate: $((tracked * 100 / plain)) in a hundred"
	echo $((tracked * 100 / plain)) >>"$work/ratios"
done
median=$(sort -n "$work/ratios" | sed -n "$(((${GATE_COST_PAIRS:-3} + 1) / 2))p")
[ "$median" -le 130 ] && pass "the median is $median in a hundred, bound 130" || fail "the median" "$median in a hundred, bound 130"
suite_end
