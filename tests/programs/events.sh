#!/bin/bash
# events: what --events says of blocks whose lifetimes are known is exact while nothing is dropped: run to its end, killed,
# forked, from a segment that nobody read, from a running process; what does not fit is dropped, counted, and changes no
# report; what is kept is bounded by --events-size, and the process is told to end it.
. "$(dirname "$0")/../lib/suite.sh"
victim=$victims/victim_events
truth=$work/truth
report=$work/report.json

# agrees_on NAME TARGET [OPTION…]: one check of lifetimes.py
agrees_on() {
	local name=$1 target=$2
	shift 2
	json "$target" "$report" >"$work/said" && "$tests/programs/lifetimes.py" "$truth" "$report" "$@" >"$work/said"
	verdict "$name" "$work/said"
}

# streamed REC [RUN-OPTION…] -- CMD…: mtrace run --events, with room for all that the victim does before anybody looks
streamed() {
	local rec=$1
	shift
	runs env MTRACE_OPTIONS="dir=$segments" timeout --foreground --kill-after=5 300 "$mtrace" run -f --memory 256m -o "$rec" "$@" \
		2>"$work/err" >"$work/out"
}
first() { query "$report" ".processes[0].lifetimes.$1"; }

# ---- to its end ----
streamed "$work/exit.mtr" --events -- "$victim" "$truth" exit
expect "run --events: the status is the command's" 0 $?
agrees_on "run: temporaries, lifetimes, other threads, reallocations, pools" "$work/exit.mtr"
"$tests/programs/lifetimes.py" --mutate "$truth" "$report" >"$work/noticed"
expect "the comparison can fail" 1 $?
"$tests/programs/schema.py" "$report" --processes 1 --mode exact --end exit:0 >"$work/said"
verdict "the report keeps its schema" "$work/said"
trust_of "$report" >"$work/said"
verdict "the record itself is whole" "$work/said"
expect "10 s were asked for" 10000 "$(first asked_ms)"
expect "nothing was cut" 0 "$(first cut_at_bytes)"
"$mtrace" report -n 3 "$work/exit.mtr" >"$work/text"
grep -q '^temporary: freed by the next operation of their thread, in the most frequent 3 of [0-9]* stacks' "$work/text"
expect "text: the section" 0 $?
grep -A1 '^  1 .*10 000 temporary of *10 000 allocated (100 %)' "$work/text" | grep -q truth_small
expect "text: the first of them" 0 $?

# ---- the events themselves ----
"$mtrace" export "$work/exit.mtr" -o "$work/events.csv" 2>"$work/err"
expect "export to CSV" 0 $?
expect "a line each" "$(first events)" "$(tail -n +2 "$work/events.csv" | wc -l)"
awk -F, 'NR == 1 { next } $3 <= last && last != "" { print "out of order: " $0 } { last = $3 } $6 == "alloc" { n[$10]++ }
	END { for (id in n) print id, n[id] >"'"$work/by_stack"'" }' "$work/events.csv" >"$work/said"
verdict "in the order of their numbers" "$work/said"
expect "as many as the report says, by stack" \
	"$(query "$report" '.processes[0].lifetimes.stacks[] | "\(.stack) \(.alloc_blocks)"' | sort | md5sum)" \
	"$(sort "$work/by_stack" | md5sum)"
"$mtrace" symbolize "$work/exit.mtr" -o "$work/again.mtr" 2>"$work/err"
agrees_on "symbolize keeps them" "$work/again.mtr"
streamed "$work/none.mtr" -- true
"$mtrace" export --to csv "$work/none.mtr" >"$work/out" 2>"$work/err"
expect "export: a recording without events" 1 $?
json "$work/none.mtr" "$report" >"$work/said"
expect "and no lifetimes in its report" null "$(first events)"

# ---- other deaths and births ----
streamed "$work/kill.mtr" --events=1h -- "$victim" "$truth" kill
expect "killed: status" 137 $?
agrees_on "killed: all that was done is there" "$work/kill.mtr"
rm -f "$truth.child"
streamed "$work/fork.mtr" --events -- "$victim" "$truth" fork
pid=$(query <("$mtrace" report --json "$work/fork.mtr") '.processes[0].pid')
agrees_on "forked: the parent" "$work/fork.mtr" --pid "$pid"
mv "$truth.child" "$truth"
agrees_on "forked: the child has its own" "$work/fork.mtr" --not-pid "$pid"
preload memory=256m:events=5000 -- "$victim" "$truth" exit
segment=$(find "$segments" -name 'mtrace.*' | head -1)
agrees_on "a plain preload that nobody read" "$segment"
"$mtrace" snap "$segment" -o "$work/dead.mtr" 2>"$work/err"
agrees_on "and its snapshot" "$work/dead.mtr"
clear_segments

# ---- full: dropped, counted, and no figure of the report changes ----
preload memory=256m:events=3600000 -- "$victim" "$truth" flood 1
segment=$(find "$segments" -name 'mtrace.*' | head -1)
sed -i 's/"truth_small":{[^}]*}/"truth_small":{"alloc":1010000,"freed":1010000,"temporary":1010000,"elsewhere":0,"by_operations":[1010000,0,0,0,0,0,0,0]}/' "$truth"
agrees_on "full: what is there is right" "$segment" --dropped
allocated=$(query "$report" '.processes[0].totals.alloc_blocks')
freed=$(query "$report" '.processes[0].totals.freed_blocks')
pooled=$(query "$report" '.processes[0].by_kind.pool.alloc_blocks')
expect "full: every event is in the stream, or counted as dropped" $((allocated + freed + 2 * pooled)) \
	$(($(first events) + $(first dropped)))
[ "$(first total.alloc_blocks)" -lt "$allocated" ]
expect "full: fewer than all" 0 $?
trust_of "$report" >"$work/said"
verdict "full: the record is whole all the same" "$work/said"
clear_segments

# ---- cut: --events-size ----
streamed "$work/cut.mtr" --events=1h --events-size 4k -- "$victim" "$truth" flood 2
json "$work/cut.mtr" "$report"
expect "cut: said" 4096 "$(first cut_at_bytes)"
[ "$(stat -c %s "$work/cut.mtr")" -lt 400000 ]
expect "cut: the recording is small" 0 $?
[ "$(first events)" -gt 10000 ] && [ "$(first events)" -lt "$(query "$report" '.processes[0].totals.alloc_blocks')" ]
expect "cut: not nothing, and not all" 0 $?
"$mtrace" report "$work/cut.mtr" | grep -q '^events: .*; cut: 4.00 KiB of --events-size are full'
expect "cut: in words" 0 $?
dropped=$(first dropped)
[ "$dropped" = 0 ] || grep -q "; $dropped events were dropped: they came faster than they could be taken" "$work/err"
expect "cut: the last line says what was dropped" 0 $?

# ---- of a running process ----
preload memory=256m -- "$victim" "$truth" serve & pid=$!
background+=("$pid")
within 20 has_segment "$pid" || fail "the server" "no segment"
segment=$(segment_of "$pid")
"$mtrace" snap "$segment" --events=1s -o "$work/snap.mtr" 2>"$work/err"
expect "snap --events" 0 $?
json "$work/snap.mtr" "$report"
expect "snap: nothing dropped" 0 "$(first dropped)"
served() { query "$report" "[.processes[0] as \$p | \$p.lifetimes.stacks[] | . as \$r | \$p.stacks[] | select(.id == \$r.stack and (.frames[0].function == \"$1\")) | \$r.$2] | add // 0"; }
rounds=$(served truth_served alloc_blocks)
[ "$rounds" -gt 20 ]
expect "snap: it was served meanwhile" 0 $?
# what was live at either end may be of a round that was under way
expect "snap: temporary but for one at most" 0 $((rounds - $(served truth_served temporary_blocks) > 1))
expect "snap: ten operations, but for those under way" 0 \
	$(($(served truth_in_turn alloc_blocks) - $(served truth_in_turn by_operations[1]) > 10))
expect "snap: it was named" events "$(query "$report" '.processes[0].marks[-1].name')"
"$mtrace" snap "$segment" --events=1s -f -o "$work/snap.mtr" 2>"$work/err"
json "$work/snap.mtr" "$report"
[ "$(first begin_ns)" -ge 1000000000 ] && [ "$(served truth_served alloc_blocks)" -gt 20 ]
expect "snap: a second time" 0 $?
"$mtrace" snap "$segment" --events=30s -o "$work/first.mtr" 2>"$work/err" & other=$!
background+=("$other")
sleep 0.5
"$mtrace" snap "$segment" --events=1s -o "$work/second.mtr" 2>"$work/err"
expect "snap: one at a time" 2 $?
grep -q "another mtrace takes its events just now" "$work/err"
expect "snap: who has them" 0 $?
kill "$other"
wait "$other" 2>/dev/null

{ kill -KILL "$pid"; wait "$pid"; } 2>/dev/null
wait "$pid" 2>/dev/null
"$mtrace" snap "$segment" --events=1s -o "$work/second.mtr" 2>"$work/err"
expect "snap: of what has ended there are none" 2 $?

# ---- killed at some instant ----
clear_segments
streamed "$work/killed.mtr" --events=1h -- "$victim" "$truth" serve & run=$!
background+=("$run")
sleep 1.5
pid=$(find "$segments" -name 'mtrace.*' | head -1 | sed 's/.*mtrace\.\([0-9]*\)\..*/\1/') # only this run has one
kill -KILL "$pid"
wait "$run"
expect "killed in the middle: status" 137 $?
json "$work/killed.mtr" "$report"
rounds=$(served truth_served alloc_blocks)
[ "$rounds" -gt 20 ]
expect "killed in the middle: it was served until then" 0 $?
expect "killed in the middle: all but one that was under way" 0 $((rounds - $(served truth_served temporary_blocks) > 1))
expect "killed in the middle: as the record counts, but for one" 0 \
	$((($(query "$report" '.processes[0].totals.alloc_blocks') - $(first total.alloc_blocks)) ** 2 > 1))

# ---- what is not understood ----
for wrong in --events=0s --events=13h --events=x --events-size=x --events-size=0; do
	"$mtrace" run "$wrong" -- true 2>"$work/err"
	expect "run $wrong" 125 $?
	"$mtrace" snap "$wrong" $$ -o "$work/wrong.mtr" 2>"$work/err"
	expect "snap $wrong" 2 $?
done
suite_end
