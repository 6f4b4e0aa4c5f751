#!/bin/bash
# services: redis, an HTTP server on Netty and a CPython process at work for SERVICE_SECONDS (3600) under exact mode, the first
# two beside untracked twins that are asked the same. In rounds: load on all of them at once; then windows, in which the twins of
# one service are asked in turn at one fixed pace (pace.c); then all forget what they hold, and what the tracker calls live is
# read beside what the service itself says it has: redis its used_memory, the JVM its native memory tracking, CPython libc's
# mallinfo2. What must hold (services.py): the tracker's memory is flat; what it says does not drift from the service's own
# word; the latency that one answer in a thousand exceeds is at most 1.10 times the untracked twin's.
#
# A smaller SERVICE_SECONDS is a trial: what it is too short for is said, not judged. SERVICE_REPORT=FILE: the tables, as a page.
# SERVICE_MUTATE=1 falsifies what was read, and judges however short: every check must fail.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"
. "$tests/lib/jvm.sh"
netty=$BUILD/artifacts/netty-all-4.1.48.Final.jar
pace=$BUILD/tests/soak/pace
jcmd=$java_home/bin/jcmd
seconds=${SERVICE_SECONDS:-3600}
rounds=$((seconds < 240 ? 4 : seconds < 1440 ? seconds / 60 : 24))
round_seconds=$((seconds / rounds))
window_seconds=$((round_seconds < 40 ? 1 : round_seconds / 20))
declare -A pids=() address=() protocol=([redis]=redis [netty]=http) rate=([redis]=10000 [netty]=1000)

# ---- the services: one that is tracked, and its twin ----

# twin SERVICE untracked|tracked COMMAND…: its pid in pids[SERVICE.untracked] or pids[SERVICE.tracked]
twin() {
	local name=$1.$2 how=(runs)
	[ "$2" = tracked ] && how=(preload --)
	shift 2
	in_background "${how[@]}" "$@" >"$work/$name.out" 2>"$work/$name.err"
	pids[$name]=$!
}

cli() { bounded 30 redis-cli -s "${address[redis.$1]}" "${@:2}"; }
answers_ping() { [ "$(cli "$1" ping 2>/dev/null)" = PONG ]; }
says_port() { grep -q '^port ' "$work/netty.$1.out"; }

begin_twins() {
	address[redis.$1]=$work/redis.$1
	mkdir "$work/data.$1"
	twin redis "$1" redis-server --port 0 --unixsocket "${address[redis.$1]}" --save '' --appendonly no --dir "$work/data.$1"
	twin netty "$1" "$java_home/bin/java" -Xmx300m -XX:NativeMemoryTracking=summary -cp "$netty:$work/classes" Http serve
	within 30 answers_ping "$1" && within 60 says_port "$1" || return 1
	address[netty.$1]=$(sed -n 's/^port //p' "$work/netty.$1.out")
}

# What is run in the background has no standard input but what it opens itself.
worker() {
	preload -- /usr/bin/python3 "$tests/soak/worker.py" <"$work/orders" >"$work/answers" 2>"$work/worker.tracked.err" 6>&- 7>&-
}

begin_worker() {
	mkfifo "$work/orders" "$work/answers"
	exec 6<>"$work/answers" 7<>"$work/orders"
	PYTHONMALLOC=malloc GLIBC_TUNABLES=glibc.malloc.tcache_count=0 in_background worker
	pids[worker.tracked]=$!
	order hold && [ -n "$answer" ]
}

# order WORD…: what the worker answers, in $answer
order() {
	echo "$*" >&7
	read -r -t $((round_seconds + 120)) answer <&6 || { answer=; echo "the worker has no answer to $*" >>"$work/wrong"; }
}

# ---- load, and windows ----

# paced SERVICE WHICH RATE SECONDS SEED: what pace says
paced() {
	bounded $(($4 + 120)) "$pace" "${protocol[$1]}" "${address[$1.$2]}" "$3" "$4" "$5" 2>>"$work/wrong" || echo "$1, $2: no answers" >>"$work/wrong"
}

load() {
	local loads=() service which
	for service in redis netty; do
		for which in untracked tracked; do
			paced $service $which 0 "$1" "$2" >>"$work/loads" &
			loads+=($!)
		done
	done
	order work "$1" "$2"
	wait "${loads[@]}"
}

# Two pairs, the tracked twin first in the one and last in the other: what changes meanwhile falls on both alike.
windows() {
	local service=$1 round=$2 n=0 which
	for which in untracked tracked tracked untracked; do
		paced "$service" "$which" "${rate[$service]}" "$window_seconds" "$((round * 2 + n / 2 + 1000))" |
			jq -c --arg service "$service" --arg which "$which" --argjson pair "$((round * 2 + n / 2))" --argjson rate "${rate[$service]}" \
				'. + {service: $service, which: $which, pair: $pair, rate: $rate}' >>"$work/windows"
		n=$((n + 1))
	done
}

# ---- rest, and readings ----

rest_of_redis() { cli "$1" flushall >/dev/null; }
rest_of_netty() { bounded 60 "$jcmd" "${pids[netty.$1]}" GC.run >/dev/null 2>&1; }
rest_of_worker() { [ "$1" = untracked ] || order rest; }

# What the service says that it holds, in bytes.
own_word_of() {
	case $1 in
	redis) cli tracked info memory | tr -d '\r' | sed -n 's/^used_memory://p' ;;
	netty) bounded 60 "$jcmd" "${pids[netty.tracked]}" VM.native_memory summary scale=b | sed -n 's/^ *malloc: \([0-9]*\) #.*/\1/p' ;;
	worker) order hold && echo "${answer#hold }" ;;
	esac
}

# reading SERVICE ROUND: the tracker's word between two of the service's own that agree: it stood still
reading() {
	local service=$1 own after
	after=$(own_word_of "$service")
	for _ in 1 2 3 4 5 6 7 8; do
		own=$after
		bounded 60 "$mtrace" report --json -n 1 "${pids[$service.tracked]}" >"$work/report.json" 2>"$work/report.err" ||
			echo "$service: $(head -c 300 "$work/report.err")" >>"$work/wrong"
		after=$(own_word_of "$service")
		[ "$own" = "$after" ] && break
		sleep 0.2
	done
	jq -c --arg service "$service" --argjson round "$2" --argjson own "${after:-0}" '.processes[0] | {service: $service, round: $round,
		own: $own, live: .totals.live_bytes, allocated_blocks: .totals.alloc_blocks, allocated: .totals.alloc_bytes,
		tracker: .trust.tracker_bytes}' "$work/report.json" >>"$work/readings" 2>>"$work/wrong"
}

rest_and_read() {
	local service which
	for service in redis netty worker; do
		for which in untracked tracked; do
			"rest_of_$service" $which
		done
	done
	sleep 2 # a reference handler frees what the collection found; redis closes its clients
	for service in redis netty worker; do
		reading $service "$1"
	done
}

# ---- the end: how each ended, and what its record says of itself ----

end_all() {
	local which
	for which in untracked tracked; do
		cli $which shutdown nosave 2>/dev/null
		kill -TERM "${pids[netty.$which]}"
	done
	order end
}

# ended SERVICE STATUS: not as it must, or something was left out of its record, or it said something
ended() {
	local status
	wait "${pids[$1.tracked]}"
	status=$?
	[ $status = "$2" ] || echo "ended with $status"
	grep '^libmtrace' "$work/$1.tracked.err"
	bounded 120 "$mtrace" report --json -n 1 "$(segment_of "${pids[$1.tracked]}")" >"$work/report.json" 2>"$work/report.err" || cat "$work/report.err"
	query "$work/report.json" '.processes[0].trust | (.drops | to_entries[] | select(.value != 0) | "drop \(.key) \(.value)"),
		(.unknown_frees + .implicit_frees | select(. > 0) | "\(.) frees that do not match")'
}

if [ ! -e "$netty" ]; then
	fail "the libraries are there" "make soak fetches them; could it not?"
	suite_end
fi
mkdir "$work/classes"
javac --release 17 -g:source,lines -cp "$netty" -d "$work/classes" "$tests/soak/Http.java" >"$work/said" 2>&1 || cat "$work/said"
: >"$work/windows" && : >"$work/readings" && : >"$work/wrong"
begin_twins untracked && begin_twins tracked && begin_worker ||
	{ fail "the services start" "$(tail -c 300 "$work"/*.err)"; suite_end; }

reading_seconds=12
for round in $(seq 0 $((rounds - 1))); do
	load_seconds=$((round_seconds - 8 * window_seconds - reading_seconds))
	load $((load_seconds > 1 ? load_seconds : 1)) "$((round + 1))"
	sleep 1
	windows redis "$round"
	windows netty "$round"
	began=$SECONDS
	rest_and_read "$round"
	reading_seconds=$((SECONDS - began + 1))
done
jq -r 'select(.wrong > 0) | "\(.wrong) answers of \(.requests) wrong"' "$work/loads" "$work/windows" >>"$work/wrong"
verdict "$rounds rounds of load, windows and rest: everybody answers" "$work/wrong"

# What the record of each says after its end: 143 is SIGTERM's, which a JVM ends by as it likes.
end_all
for service in redis:0 netty:143 worker:0; do
	ended "${service%:*}" "${service#*:}" >"$work/said" 2>&1
	verdict "${service%:*}: its end, and a whole record" "$work/said"
done

judged=("$tests/soak/services.py" --seconds "$seconds" --windows "$work/windows" --readings "$work/readings")
[ "${SERVICE_MUTATE:-0}" = 1 ] && judged+=(--mutate)
[ -n "${SERVICE_REPORT:-}" ] && judged+=(--report "$SERVICE_REPORT")
"${judged[@]}" >"$work/verdicts" 2>"$work/said" || fail "services.py" "$(tail -c 500 "$work/said")"
while IFS='|' read -r word name why; do
	case $word in
	holds) pass "$name" ;;
	short) skip "$name" "$why" ;;
	*) fail "$name" "$why" ;;
	esac
done <"$work/verdicts"
suite_end
