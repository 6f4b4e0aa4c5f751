#!/bin/bash
# redis: redis-server (Debian's links jemalloc, and writes every usable byte of its blocks) under redis-benchmark,
# recorded by mtrace run and by a plain preload that is killed: keys survive, BGSAVE's fork works, our live bytes
# agree with redis's own used_memory.
. "$(dirname "$0")/../lib/suite.sh"
socket=$work/redis.sock
cli() { bounded 30 redis-cli -s "$socket" "$@"; }

# start COMMAND…: a server on a socket file, no port at all; its pid in $server (what runs it in $runner).
start() {
	rm -f "$socket" "$work/redis.pid"
	in_background "$@" redis-server --port 0 --unixsocket "$socket" --save '' --appendonly no --dir "$work" \
		--pidfile "$work/redis.pid" --daemonize no >"$work/log" 2>"$work/err"
	runner=$!
	local n
	for n in $(seq 300); do
		[ -S "$socket" ] && [ "$(cli ping 2>/dev/null)" = PONG ] && break
		kill -0 $runner 2>/dev/null || break
		sleep 0.05
	done
	server=$(cli info server 2>/dev/null | tr -d '\r' | sed -n 's/^process_id://p')
	[ -n "$server" ] || { fail "$1 starts" "$(tail -c 400 "$work/err" "$work/log")"; suite_end; }
}

load() {
	bounded 60 redis-benchmark -s "$socket" -q -t set,get,lpush,hset,sadd,zadd -n "${REDIS_REQUESTS:-60000}" -c 20 -P 16 \
		-r 20000 -d 100 >"$work/bench" 2>&1
}

# Values that can be checked afterwards.
plant() {
	for n in $(seq 2000); do
		echo "SET planted:$n value-$n-$(printf %0100d "$n")"
	done | cli >/dev/null
}

check_planted() {
	local bad
	bad=$(for n in $(seq 2000); do echo "GET planted:$n"; done | cli | awk '
		{ sub(/^"/, ""); sub(/"$/, ""); want = sprintf("value-%d-%0100d", NR, NR) } $0 != want { bad++ } END { print bad + 0 (NR == 2000 ? "" : " short") }')
	[ "$bad" = 0 ] && pass "$1: the keys survive" || fail "$1: the keys survive" "$bad wrong"
}

start traced "$work/rec.mtr"
plant
load && pass "redis-benchmark ends well" || fail "redis-benchmark" "$(tail -c 300 "$work/bench")"
check_planted "under load"
cli bgsave >/dev/null
has_saved() {
	[ "$(cli info persistence | tr -d '\r' | sed -n 's/^rdb_bgsave_in_progress://p')" = 0 ]
}
within 10 has_saved
cli info persistence | grep -q 'rdb_last_bgsave_status:ok' && bounded 30 redis-check-rdb "$work/dump.rdb" >"$work/said" 2>&1 &&
	pass "BGSAVE by a forked child" || fail "BGSAVE" "$(tail -3 "$work/said")"
rm -f "$work/dump.rdb"
used=$(cli info memory | tr -d '\r' | sed -n 's/^used_memory://p')
json "$server" "$work/live.json" >"$work/said"
live=$(query "$work/live.json" '.processes[0].totals.live_bytes')
if [ "${live:-0}" -le "$used" ] && [ "${live:-0}" -ge $((used / 2)) ]; then
	pass "live bytes $live, redis's own count with its allocator's rounding $used"
else
	fail "live bytes" "ours $live, redis says $used"
fi
cli shutdown nosave
wait $runner
status=$?
[ $status = 0 ] && pass "exit status" || fail "exit status" "$status: $(tail -c 300 "$work/err")"
trusted "trust box" "$work/rec.mtr"
query "$work/report.json" '[.processes[0].stacks[].frames[].function] | unique | .[]' >"$work/functions"
for f in createStringObject aeMain main; do
	grep -qx "$f" "$work/functions" && pass "stacks name $f" || fail "stacks name $f" "no such function in the report"
done

# Killed under load, nobody reading.
start preload --
plant
load &
loader=$!
sleep 0.7
kill -KILL "$server"
wait $loader $runner 2>/dev/null
segment=$(segment_of "$server")
json "$segment" "$work/report.json" >"$work/said" && trust_of "$work/report.json" | grep -v 'live is' >"$work/said"
verdict "killed under load: the record is whole" "$work/said"
[ "$(query "$work/report.json" '.processes[0].end.reason')" = killed ] && pass "killed is what it says" ||
	fail "killed is what it says" "$(query "$work/report.json" '.processes[0].end')"
suite_end
