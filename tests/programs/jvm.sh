#!/bin/bash
# jvm: a JVM under load, and javac: the same output and exit status, and nothing missing in the trust box. What Java frames
# must look like is java.sh's.
. "$(dirname "$0")/../lib/suite.sh"
rounds=${JVM_ROUNDS:-1000}
mkdir "$work/classes"

MTRACE_OPTIONS="dir=$segments" bounded 200 "$mtrace" run -f -o "$work/javac.mtr" -- javac -d "$work/classes" "$tests/programs/Load.java" \
	>"$work/out" 2>"$work/err"
status=$?
[ $status = 0 ] && [ -s "$work/classes/Load.class" ] && pass "javac" || fail "javac" "status $status: $(tail -c 300 "$work/err")"
trusted "javac: trust box" "$work/javac.mtr"

for collector in G1 Parallel Serial; do
	java=(java "-XX:+Use${collector}GC" -Xmx200m -cp "$work/classes" Load "$rounds")
	bounded 120 "${java[@]}" >"$work/out.plain" 2>"$work/err.plain"
	plain=$?
	MTRACE_OPTIONS="dir=$segments" bounded 200 "$mtrace" run -f -o "$work/rec.mtr" -- "${java[@]}" >"$work/out" 2>"$work/err"
	status=$?
	like_untracked "$collector: output and exit status" $status $plain 5
	trusted "$collector: trust box" "$work/rec.mtr"
done

# 100 direct buffers of 64 KiB are held at the end: they have to be somewhere.
query "$work/report.json" '[.processes[0].stacks[] | select(.kind == "malloc" and .live_bytes >= 6553600)] | length > 0' |
	grep -qx true && pass "100 direct buffers of 64 KiB are live" || fail "direct buffers" "no stack holds 6.25 MiB"

# Killed from outside, with nobody reading.
in_background preload -- java -Xmx200m -cp "$work/classes" Load 1000000 >"$work/out" 2>"$work/err"
sleep 3
pid=$(find "$segments" -name 'mtrace.*' -printf '%T@ %f\n' | sort -n | tail -1 | cut -d. -f3)
kill -KILL "$!"
wait "$!" 2>/dev/null
json "$(segment_of "${pid:-0}")" "$work/report.json" >"$work/said" &&
	trust_of "$work/report.json" | grep -v 'live is' >"$work/said"
verdict "killed at work: the record is whole" "$work/said"
suite_end
