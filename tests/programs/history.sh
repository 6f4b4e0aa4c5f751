#!/bin/bash
# history: at each mark, every stack's counts are what the victim says, to the byte, of blocks and of mappings: read from
# the running process, after its end, after SIGKILL, from a recording; marks that mtrace puts in from outside; diffs
# between marks.
. "$(dirname "$0")/../lib/suite.sh"
# expect NAME WANTED GOT
expect() { [ "$2" = "$3" ] && pass "$1" || fail "$1" "wanted '$2', got '$3'"; }
victim=$victims/victim_marks
truth=$work/truth

# at_marks NAME TARGET ROUNDS: every mark against the victim's truth at it
at_marks() {
	local n
	: >"$work/said"
	for n in $(seq "$3"); do
		json "$2@r$n" "$work/report.json" >>"$work/said" &&
			"$tests/programs/truth.py" "$truth.r$n" "$work/report.json" >>"$work/said" || echo "(mark r$n)" >>"$work/said"
	done
	verdict "$1" "$work/said"
}
wait_file() { local i; for i in $(seq 400); do [ -s "$1" ] && return 0; sleep 0.025; done; return 1; }

# ---- to the end, with windows of 63 ms besides: epochs end at any instant, too ----
preload epoch=63 -- "$victim" "$truth" exit 8 12 4000 || fail "the victim" "status $?"
segment=$(find "$segments" -name 'mtrace.*' | head -1)
at_marks "8 threads, 12 marks, after the end" "$segment" 12
"$tests/programs/truth.py" --mutate "$truth.r5" "$work/report.json" >"$work/noticed"
expect "the comparison can fail" 1 $?
json "$segment" "$work/report.json" && "$tests/programs/truth.py" "$truth" "$work/report.json" --end exit:0 >"$work/said"
verdict "the totals at the end" "$work/said"
"$mtrace" snap "$segment" -o "$work/marks.mtr" 2>"$work/err"
expect "snap" 0 $?
at_marks "from a recording" "$work/marks.mtr" 12
"$mtrace" snap "$segment" -o "$work/marks.mtr" 2>"$work/err"
expect "snap does not replace a recording" 2 $?
"$mtrace" snap "$segment@r3" -f -o "$work/marks.mtr" 2>"$work/err"
json "$work/marks.mtr" "$work/report.json" && "$tests/programs/truth.py" "$truth.r3" "$work/report.json" >"$work/said"
verdict "a recording of a mark" "$work/said"

# ---- diff of two marks ----
bounded 60 "$mtrace" diff --json "$segment@r2" "$segment@r9" >"$work/diff.json" 2>"$work/err"
expect "diff of marks" 0 $?
wanted=$(for n in 2 9; do
	json "$segment@r$n" "$work/report.json" && query "$work/report.json" '.processes[0].totals.live_bytes'
done | paste -sd' ' | awk '{print $2 - $1}')
expect "diff of marks: live" "$wanted" "$(query "$work/diff.json" '.kinds[] | select(.kind == "malloc") | .live_bytes_change')"
"$mtrace" diff "$segment@r2" "$segment@end" >"$work/text" 2>"$work/err"
expect "the end is a mark, too" 0 $?
"$mtrace" report "$segment@nowhere" 2>"$work/err"
expect "no such mark" 2 $?
grep -q "there is no such mark; there are: r1, r2" "$work/err"
expect "which marks there are" 0 $?
clear_segments

# ---- more marks than there is room for: the first and the newest are right, and the rest is counted ----
preload -- "$victim" "$truth" exit 3 300 60 || fail "the victim of 300 marks" "status $?"
segment=$(find "$segments" -name 'mtrace.*' | head -1)
json "$segment" "$work/report.json"
expect "thinned marks are counted" true "$(query "$work/report.json" '.processes[0].trust | .. | objects | .marks_thinned? // empty | . > 100' | head -1)"
: >"$work/said"
right=0
for n in 1 $(seq 250 300); do
	json "$segment@r$n" "$work/report.json" >>"$work/said" &&
		"$tests/programs/truth.py" "$truth.r$n" "$work/report.json" >>"$work/said" && right=$((right + 1))
done
verdict "300 marks: the first and the last 51" "$work/said"
expect "of them right" 52 $right
gone=0
for n in $(seq 2 249); do
	"$mtrace" report "$segment@r$n" >/dev/null 2>"$work/err" || gone=$((gone + 1))
	[ $gone -lt 5 ] || break
done
grep -q "that mark has no counts" "$work/err"
expect "a mark that was thinned says so" 0 $?
clear_segments

# ---- mappings: what went from the map, whoever brought it up to date ----
preload epoch=63 -- "$victim" "$truth" exit 4 12 200 mmap || fail "the victim that maps" "status $?"
segment=$(find "$segments" -name 'mtrace.*' | head -1)
at_marks "mappings, 4 threads, 12 marks" "$segment" 12
"$mtrace" snap "$segment" -f -o "$work/marks.mtr" 2>"$work/err"
at_marks "mappings, from a recording" "$work/marks.mtr" 12
clear_segments

# ---- killed at random instants: every mark is as it was ----
kills=${KILLS:-6}
RANDOM=${SEED:-$$}
echo "seed $RANDOM" >"$work/seed"
for n in $(seq "$kills"); do
	rm -f "$truth"*
	what=(8 6 1500)
	[ $((n % 2)) = 0 ] && what=(3 6 100 mmap)
	preload epoch=63 -- "$victim" "$truth" load "${what[@]}" >"$work/out" 2>&1 &
	pid=$!
	background+=($pid)
	wait_file "$truth.r6"
	sleep "0.$(printf %03d $((RANDOM % 400)))"
	kill -KILL $pid
	wait $pid 2>/dev/null
	segment=$(segment_of $pid)
	at_marks "killed under load ($n, ${what[3]:-malloc})" "$segment" 6
	json "$segment" "$work/report.json" >"$work/said" &&
		"$tests/programs/truth.py" "$truth" "$work/report.json" --end killed >"$work/said"
	verdict "killed under load ($n): totals" "$work/said"
	clear_segments
done 2>/dev/null

# ---- running, and marks from outside ----
rm -f "$truth"*
mkfifo "$work/go"
preload epoch=63 -- "$victim" "$truth" load 8 6 1500 >"$work/out" 2>&1 &
pid=$!
background+=($pid)
wait_file "$truth.r6"
at_marks "read while it runs" "$(segment_of $pid)" 6
"$mtrace" mark --wait 20 $pid "from outside" >"$work/out" 2>"$work/err"
expect "mtrace mark of a busy process" 0 $?
json "$pid@from outside" "$work/report.json" >"$work/said" || true
verdict "and there it is" "$work/said"
expect "in the list of marks" 1 "$(query "$work/report.json" '[.processes[0].marks[] | select(.name == "from outside")] | length')"
kill -KILL $pid
wait $pid 2>/dev/null
"$mtrace" mark $pid late 2>"$work/err"
expect "a process that has ended takes no mark" 2 $?
clear_segments

rm -f "$truth"*
preload -- "$victim" "$truth" idle 2 2 100 <"$work/go" >"$work/out" 2>&1 &
pid=$!
background+=($pid)
exec 9>"$work/go"
wait_file "$truth.r2"
sleep 0.2
"$mtrace" mark --wait 0.1 $pid waits 2>"$work/err"
expect "an idle process has not taken it yet" 1 $?
grep -q "is idle: not taken yet" "$work/err"
expect "and that is said" 0 $?
"$mtrace" mark --wait 0.1 $pid second 2>"$work/err"
expect "nothing is written over it" 2 $?
head -c 3000 /dev/zero >&9
for _ in $(seq 200); do
	"$mtrace" report --json "$pid@waits" >"$work/report.json" 2>"$work/err" && break
	sleep 0.05
done
expect "it is taken when it goes on" 1 "$(query "$work/report.json" '[.processes[0].marks[] | select(.name == "waits")] | length')"
at_marks "marks of an idle process" $pid 2
exec 9>&-
wait $pid 2>/dev/null
suite_end
