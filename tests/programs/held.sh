#!/bin/bash
# held: neither /dev/shm nor /tmp can be written to in memory, as in a container with a read-only root. `mtrace run` then
# holds the segments itself, and the record outlives every death; a plain preload records into memory that dies with the
# process, says so, and is no part of anything the host can see.
export TMPDIR=$(cd "$(dirname "$0")/../.." && realpath "${BUILD:-build}")
. "$(dirname "$0")/../lib/suite.sh"

as=-m
unshare $as true 2>/dev/null || as=-rm
if ! unshare $as mount -t tmpfs -o ro none /dev/shm 2>/dev/null; then
	skip "no directory in memory" "this needs a mount namespace of its own"
	suite_end
fi
# nowhere COMMAND: in its place, with no directory in memory. In the background, so that $! is its pid.
nowhere() {
	exec unshare $as bash -c 'mount -t tmpfs -o ro,size=64k none /dev/shm
		[ "$(stat -f -c %T /tmp)" != tmpfs ] || mount -t tmpfs -o ro,size=64k none /tmp
		exec "$@"' nowhere "$@"
}

# begin COMMAND: starts it nowhere; its pid in $pid, that of the victim in $victim once it has made blocks.
begin() {
	rm -f "$work/truth" "$work/rec.mtr"
	nowhere "$@" >"$work/out" 2>"$work/err" &
	pid=$!
	background+=($pid)
	within 10 test -s "$work/truth"
	victim=$(pgrep -P $pid -x victim_truth || echo $pid)
	background+=($victim)
	sleep 0.2
}

begin "$mtrace" run -f -o "$work/rec.mtr" -- "$victims/victim_truth" "$work/truth" load 4 0 7
if ls -l "/proc/$victim/fd" | grep -q memfd; then
	fail "the host has no descriptor of it" "$(ls -l "/proc/$victim/fd" | grep memfd)"
else
	pass "the host has no descriptor of it"
fi
json "$victim" "$work/live.json" >"$work/said"
[ "$(query "$work/live.json" '.processes[0].end.reason')" = running ] && pass "read while it runs" ||
	fail "read while it runs" "$(cat "$work/said")"
kill -KILL $victim
wait $pid
status=$?
json "$work/rec.mtr" "$work/report.json" >"$work/said" && [ $status = 137 ] &&
	compare_truth "$work/truth" "$work/report.json" --end killed >"$work/said"
verdict "killed: the record is whole" "$work/said"

begin "$mtrace" run -f -o "$work/rec.mtr" -- "$victims/victim_truth" "$work/truth" load 4 0 8
kill -KILL $pid
wait $pid 2>/dev/null
within 10 test -s "$work/rec.mtr"
kill -KILL $victim
json "$work/rec.mtr" "$work/report.json" >"$work/said"
[ "$(query "$work/report.json" '.processes[0].pid')" = $victim ] && pass "mtrace run was killed: saved" ||
	fail "mtrace run was killed: saved" "$(cat "$work/said")"

# Images of one process, children that go on without exec, and more of them than there are files to hold.
(nowhere "$mtrace" run -q -f -o "$work/rec.mtr" -- sh -c 'for i in $(seq 200); do (x=$x$i); done; exec "$0" "$1" exit' \
	"$victims/victim_truth" "$work/truth") >"$work/out" 2>"$work/err"
status=$?
json "$work/rec.mtr" "$work/report.json" >"$work/said"
images=$(query "$work/report.json" '[.processes[0], (.processes[] | select(.image == 0 and .end.reason == "exec"))] | map(.image) | "\(.)"')
[ $status = 7 ] && [ "$images" = '[1,0]' ] && pass "images and many forks" ||
	fail "images and many forks" "status $status, images $images: $(head -c 300 "$work/err" "$work/said")"
compare_truth "$work/truth" "$work/report.json" --end exit >"$work/said"
verdict "the image after them is whole" "$work/said"

begin env LD_PRELOAD="$shim" "$victims/victim_truth" "$work/truth" load 4 0 9
[ "$(grep -c "dies with the process" "$work/err")" = 1 ] && [ "$(grep -c . "$work/err")" = 1 ] &&
	pass "a plain preload says where its record is, once" ||
	fail "a plain preload says where its record is, once" "$(head -c 400 "$work/err")"
json "$pid" "$work/live.json" >"$work/said"
case $(query "$work/live.json" '.processes[0] | "\(.mode) \(.trust.note)"') in
exact*"dies with the process"*) pass "and so does the report, to who may look" ;;
outside*) skip "and so does the report, to who may look" "map_files is for others" ;;
*) fail "and so does the report, to who may look" "$(cat "$work/said" "$work/live.json" | head -c 300)" ;;
esac
kill -KILL $pid
wait $pid 2>/dev/null
suite_end
