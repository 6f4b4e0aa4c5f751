#!/bin/bash
# launch: what a launcher hides from a peer: env X=1 prog, sh -c 'exec prog', chains of exec, and mtrace run itself:
# stdin, stdout, cwd, argv[0], environment, signals.
. "$(dirname "$0")/../lib/suite.sh"
victim=$victims/victim_truth

# followed NAME COMMAND…: processes[0] is the victim, and right
followed() {
	local name=$1
	shift
	traced "$work/rec.mtr" "$@" >"$work/out" 2>"$work/err"
	[ $? = 7 ] || fail "$name: exit status" "$(tail -c 300 "$work/err")"
	json "$work/rec.mtr" "$work/report.json" >"$work/said" &&
		compare_truth "$work/truth" "$work/report.json" --end exit:7 --stacks 300 >"$work/said"
	[ "$(query "$work/report.json" '.processes[0].exe | split("/") | last')" = victim_truth ] ||
		echo "processes[0] is $(query "$work/report.json" '.processes[0].exe')" >>"$work/said"
	verdict "$name" "$work/said"
}
followed "directly" "$victim" "$work/truth" exit
followed "env X=1" env X=1 "$victim" "$work/truth" exit
followed "sh -c exec" sh -c "exec '$victim' '$work/truth' exit"
followed "bash -c exec, through env and nice" bash -c "exec env Y=2 nice -n 1 '$victim' '$work/truth' exit"

# transparent NAME COMMAND…: output and status with and without
transparent() {
	local name=$1 plain status
	shift
	printf 'one\ntwo\n' | (cd /usr && bounded 30 "$@") >"$work/out.plain" 2>"$work/err.plain"
	plain=${PIPESTATUS[1]}
	printf 'one\ntwo\n' | (cd /usr && traced "$work/rec.mtr" "$@") >"$work/out" 2>"$work/err"
	status=${PIPESTATUS[1]}
	like_untracked "$name" "$status" "$plain"
}
transparent "stdin and stdout" sort -r
transparent "working directory" pwd -P
transparent "argv[0]" bash -c 'exec -a other-name bash -c "echo \$0 \$1" ' x
transparent "descriptors" bash -c 'ls /proc/self/fd | wc -l'
transparent "signal dispositions" grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status
transparent "a status of 200" sh -c 'exit 200'
transparent "a status by signal" sh -c 'kill -USR1 $$'

# A signal to mtrace run reaches the command, which handles it.
in_background traced "$work/rec.mtr" bash -c 'trap "echo got it; exit 42" TERM; while :; do sleep 0.05; done' >"$work/out" 2>"$work/err"
sleep 1
kill -TERM "$!"
wait "$!"
status=$?
[ $status = 42 ] && grep -qx 'got it' "$work/out" && pass "SIGTERM is forwarded" ||
	fail "SIGTERM is forwarded" "status $status: $(cat "$work/out" "$work/err" | tail -c 300)"

# ---- plain preload: who is recorded ----

# recorded NAME "PROGRAM…" [OPTIONS] -- COMMAND…: the images that have segments, sorted by name
recorded() {
	local name=$1 want=$2 file got
	shift 2
	clear_segments
	bounded 60 env LD_PRELOAD="$shim" MTRACE_OPTIONS="dir=$segments:keep=1000$([ "$1" = -- ] || echo ":$1")" \
		"${@:$([ "$1" = -- ] && echo 2 || echo 3)}" >"$work/out" 2>"$work/err" || fail "$name: exit status" "$(tail -c 300 "$work/err")"
	got=$(for file in "$segments"/mtrace.*; do
		json "$file" "$work/one.json" && query "$work/one.json" '.processes[].exe | split("/") | last'
	done | sort | tr '\n' ' ')
	[ "$got" = "$want " ] && pass "$name" || fail "$name" "recorded: $got, expected $want"
}
spin="$victims/victim_spin wild"
mkfifo "$work/go" "$work/done"
recorded "a grandchild that execs is not recorded" "bash" -- bash -c "bash -c '$spin; true'; true"
recorded "nor a daemon whose parents are gone" "bash" -- \
	bash -c "bash -c '(read x <$work/go; exec $spin >$work/done) &'; echo go >$work/go; read x <$work/done; [ \"\$x\" = done ]"
recorded "nor one whose environment was made anew" "bash" -- \
	bash -c "env -i LD_PRELOAD=$shim MTRACE_OPTIONS=dir=$segments bash -c '$spin; true'; true"
recorded "a grandchild that execs, by follow=" "bash victim_spin" follow=victim_spin -- bash -c "bash -c '$spin; true'; true"
recorded "exec in its place is followed" "bash env victim_spin" -- bash -c "exec env X=1 $spin"
recorded "also in a child that is recorded by follow=" "bash bash env victim_spin" follow=env -- bash -c "env X=1 $spin; true"
recorded "not in a child that only forked" "bash" -- bash -c "(exec $spin); true"

# A run that saw nothing is an error with a reason, and one line on stderr says where the recording is.
traced "$work/rec.mtr" "$victim" "$work/truth" exit >/dev/null 2>"$work/err"
[ "$(grep -c . "$work/err")" = 1 ] && grep -q "$work/rec.mtr" "$work/err" && pass "one closing line" ||
	fail "one closing line" "$(head -c 300 "$work/err")"
suite_end
