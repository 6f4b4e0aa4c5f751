#!/bin/bash
# quickstart: a real redis-server with a leaking module, under libmtrace, killed; then what the record says.
#
# Run by `make quickstart`, which installs and builds first. Listens on loopback only, on a random port, in a
# directory of its own; ends what it started by pid; keeps only $BUILD/quickstart.mtr. About ten seconds.
set -u
cd "$(dirname "$0")/.." || exit 2
build=${BUILD:-build}
here=$(pwd)
recording=$build/quickstart.mtr
sessions=20000
scratch=$(mktemp -d)
tracer= server=

finish() {
	[ -n "$server" ] && kill -KILL "$server" 2>/dev/null
	[ -n "$tracer" ] && kill -TERM "$tracer" 2>/dev/null
	rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM

give_up() {
	echo "quickstart: $1" >&2
	sed 's/^/  redis: /' "$scratch/redis.log" 2>/dev/null | tail -5 >&2
	sed 's/^/  mtrace: /' "$scratch/mtrace.log" 2>/dev/null | tail -5 >&2
	exit 1
}

say() {
	printf '\n\033[1m$ %s\033[0m\n' "$*"
}
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n$ %s\n' "$*"; }

redis() {
	timeout 20 redis-cli -h 127.0.0.1 -p "$port" "$@"
}

# Starts the server under mtrace on a port that may be taken already; sets port, tracer and server.
start_server() {
	port=$((20000 + RANDOM % 30000))
	printf '%s\n' "bind 127.0.0.1" "port $port" 'save ""' "appendonly no" "loadmodule $module" >"$scratch/redis.conf"
	(cd "$scratch" && exec "$tracer_path" run -f -o "$recording_path" -- redis-server redis.conf) \
		>"$scratch/redis.log" 2>"$scratch/mtrace.log" </dev/null &
	tracer=$!
	for _ in $(seq 100); do
		server=$(redis info server 2>/dev/null | sed -n 's/^process_id:\([0-9]*\).*/\1/p')
		[ -n "$server" ] && grep -q "Ready to accept connections" "$scratch/redis.log" && return 0
		kill -0 "$tracer" 2>/dev/null || break
		sleep 0.1
	done
	server= tracer=
	return 1
}

# Opens and closes that many sessions, ten at a time as ten users would.
drive() {
	awk -v n="$sessions" 'BEGIN {
		for (i = 0; i < n; i++) { print "session.open user" i; if (i >= 10) print "session.close user" i - 10 }
		for (i = n - 10; i < n; i++) print "session.close user" i
	}' | redis >"$scratch/replies"
	grep -c '^1$' "$scratch/replies"
}

used_memory() {
	redis info memory | sed -n 's/^used_memory_human:\([^ ]*\).*/\1/p' | tr -d '\r'
}

resident_memory() {
	awk '/^VmRSS/ { printf "%.1f MiB\n", $2 / 1024 }' "/proc/$server/status"
}

for tool in redis-server redis-cli; do
	command -v "$tool" >/dev/null || give_up "$tool is not installed; run: make deps-quickstart"
done
absolute() {
	case $1 in /*) echo "$1" ;; *) echo "$here/$1" ;; esac
}
tracer_path=$(absolute "$build/mtrace")
recording_path=$(absolute "$recording")
module=$(absolute "$build/examples/leak_module.so")

say "mtrace run -o $recording -- redis-server redis.conf        # which has: loadmodule leak_module.so"
started=
for _ in 1 2 3 4 5; do
	start_server && started=1 && break
done
[ -n "$started" ] || give_up "redis-server did not start"
echo "redis-server is pid $server, on 127.0.0.1:$port, resident $(resident_memory), used_memory $(used_memory)"

say "redis-cli: $sessions times SESSION.OPEN, then SESSION.CLOSE"
done_commands=$(drive)
[ "$done_commands" = $((2 * sessions)) ] || give_up "redis answered $done_commands of $((2 * sessions)) commands"
echo "all closed; resident $(resident_memory), and redis says used_memory $(used_memory): who holds the rest?"

say "kill -KILL $server        # as the kernel does when memory is short; nobody was watching"
kill -KILL "$server"
wait "$tracer"
status=$?
server= tracer=
sed "s|$recording_path|$recording|g" "$scratch/mtrace.log"
[ "$status" = 137 ] || give_up "mtrace run ended with status $status, not 137 (128 + SIGKILL)"
[ -s "$recording" ] || give_up "$recording was not written"

say "mtrace leaks -n 1 $recording"
"$build/mtrace" leaks -n 1 "$recording" | tee "$scratch/leaks"
grep -q history_new "$scratch/leaks" || give_up "the guilty function, history_new in leak_module.c, is not in that list"

cat <<EOF

The first stack is the answer: session_open keeps a history that session_close never frees
(examples/redis-leak/leak_module.c). What to type next:

  $build/mtrace report $recording                the whole report: how far to trust it, totals, stacks
  $build/mtrace report --by module $recording    the same memory by library
  $build/mtrace run -- YOUR-PROGRAM ARGS…     your own program, then: $build/mtrace leaks last
EOF
