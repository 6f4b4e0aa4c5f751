#!/bin/bash
# follow: the ring of real processes, read while they run and after every death, against what the victim itself counted.
# KILLS (25) random kills under full load.
. "$(dirname "$0")/../lib/suite.sh"
kills=${KILLS:-25}
RANDOM=${SEED:-$$}
echo "seed $RANDOM" >"$work/seed"
news() { "$tests/programs/news.py" "$work/truth" "$@"; }

# start WHAT [LANES] [OPTIONS]: victim_news in the background; $pid once its segment is there
start() {
	rm -f "$work/truth"
	clear_segments
	preload "keep=20${3:+:$3}" -- "$victims/victim_news" "$work/truth" "$1" "${2:-2}" >"$work/out" 2>"$work/err" &
	pid=$!
	background+=($pid)
	for _ in $(seq 500); do
		[ -s "$work/truth" ] && [ -n "$(segment_of $pid)" ] && return
		sleep 0.01
	done
}

end() {
	kill -KILL "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
}

# follow SECONDS COMMAND…: in the background, lines in $work/lines, status in $followed after await
follow() {
	timeout --kill-after=5 "$@" >"$work/lines" 2>"$work/talk" &
	follower=$!
	background+=($follower)
}

await() {
	wait "$follower"
	followed=$?
}

# ---- a process that runs and ends ----
start brief 3
follow 60 "$mtrace" follow --json --every 1s -n 2 "$pid"
wait "$pid"
await
{
	[ $followed = 0 ] || echo "status $followed: $(head -c 200 "$work/talk")"
	news "$work/lines" --all
	[ "$(jq -rs '[.[] | select(.kind == "end")] | "\(length) \(.[0].reason) \(.[0].status)"' "$work/lines")" = "1 exit 7" ] ||
		echo "end: $(jq -c 'select(.kind == "end")' "$work/lines")"
	[ "$(jq -rs '.[-2] | "\(.kind) \(.how) \(.status)"' "$work/lines")" = "exit exit 7" ] || echo "the last record: $(tail -2 "$work/lines" | head -1)"
	[ "$(jq -rs '.[0].kind' "$work/lines")" = start ] || echo "the first record: $(head -1 "$work/lines")"
} >"$work/said" 2>&1
verdict "followed from its start to its end" "$work/said"
cp "$work/lines" "$work/lines.brief"
cp "$work/truth" "$work/truth.brief"

segment=$(segment_of "$pid")
json "$segment" "$work/report.json" >"$work/said" && news "$work/report.json" --all >>"$work/said"
verdict "the same in the report of what it left" "$work/said"
"$mtrace" follow --json "$segment" >"$work/again" 2>"$work/said"
jq -c 'select(.sequence)' "$work/again" >"$work/again.records"
jq -c 'select(.sequence)' "$work/lines" | diff - "$work/again.records" | head -5 >>"$work/said"
verdict "and in what follow says of it afterwards" "$work/said"

"$mtrace" follow "$segment" >"$work/text" 2>"$work/said"
for line in "start  *recording begins: pid $pid, image 0" "mark  *2 99  .lane-2 [0-9]*.$" "thread_name .* is now lane-1" \
	"thread_start .*made by main victim_news.c:" "map  *2.00 MiB at 0x.* by map victim_news.c:[0-9]* <- work victim_news.c:" \
	"fork  *forks a child" "exit  *ends: exit, status 7" "^ended: exit status 7, after"; do
	grep -q -- "$line" "$work/text" || echo "no line: $line"
done >>"$work/said"
verdict "in words" "$work/said"

# Its child has a ring of its own.
child=$(find "$segments" -name 'mtrace.*' ! -name "mtrace.$pid.*")
json "$child" "$work/child.json" >"$work/said"
[ "$(query "$work/child.json" '[.processes[0].events[] | select(.kind == "forked" or .kind == "mark" or .kind == "exit") |
	"\(.kind) \(.name // .parent_pid // .how)"] | join(",")')" = "forked $pid,mark child,exit _exit" ] ||
	query "$work/child.json" '.processes[0].events' >>"$work/said"
[ "$(query "$work/child.json" '.processes[0].events[0].sequence')" = 0 ] || echo "its numbers do not begin at 0" >>"$work/said"
verdict "a forked child has its own ring" "$work/said"

# ---- what a full or damaged ring does to a report: nothing ----
# ring_at FILE: offset and bytes of its ring
ring_at() {
	/usr/bin/python3 - "$1" "$(grep -c . <<<"$(sed -n '/^enum mtrace_region_id/,/MTRACE_REGION_RING/p' "$root/libmtrace/format.h" |
		grep MTRACE_REGION_)")" <<-'END'
		import struct, sys
		with open(sys.argv[1], "rb") as f:
		    f.seek(184 + 40 * (int(sys.argv[2]) - 1))
		    offset, _, committed = struct.unpack("<QQQ", f.read(24))
		print(offset, committed)
	END
}
read -r offset bytes < <(ring_at "$segment")
[ "$(dd if="$segment" bs=1 skip=$((offset + 64)) count=8 status=none | od -An -tu8 | tr -d ' ')" = 2 ] ||
	fail "where the ring is" "not at $offset"
cp --sparse=always "$segment" "$work/changed"
for how in random zero; do
	head -c "$bytes" /dev/$how | tr '\0' "$([ $how = zero ] && echo '\0' || echo '\1')" |
		dd of="$work/changed" bs=4096 seek=$((offset / 4096)) conv=notrunc status=none
	"$mtrace" report "$segment" 2>&1 | sed 's,/dev/shm[^ ]*/,,; s,mtrace\.[0-9.]*,SEGMENT,g' >"$work/report.1"
	"$mtrace" report "$work/changed" 2>&1 | sed 's,/tmp[^ ]*/changed,SEGMENT,g; s,/dev/shm[^ ]*/,,' >"$work/report.2"
	sed -i 's,[^ ]*SEGMENT,SEGMENT,g' "$work/report.1" "$work/report.2"
	"$mtrace" report --json "$work/changed" | jq -c 'del(.processes[].events, .processes[].ring)' >"$work/json.2"
	"$mtrace" report --json "$segment" | jq -c 'del(.processes[].events, .processes[].ring)' | diff - "$work/json.2" >"$work/said"
	diff "$work/report.1" "$work/report.2" >>"$work/said"
	verdict "a ring of $how bytes changes no report" "$work/said"
done

# counted RING: what a report says of a program that does the same each time, and fills a small ring
counted() {
	clear_segments
	preload "ring=$1" -- "$victims/victim_growth" leak 5 < <(head -c 500 /dev/zero | tr '\0' w) >"$work/out"
	json "$(find "$segments" -name 'mtrace.*')" "$work/report.json" >>"$work/said" || return
	query "$work/report.json" '.processes[0] | .ring.overwritten, ([.stacks[] | [.id, .kind, .alloc_blocks, .alloc_bytes, .live_blocks,
		.live_bytes]] | sort), [.marks[].name], .totals'
}
: >"$work/said"
counted 1m >"$work/wide"
counted 16k >"$work/narrow"
[ "$(head -1 "$work/narrow")" -gt 200 ] || echo "overwritten: $(head -1 "$work/narrow")" >>"$work/said"
[ "$(head -1 "$work/wide")" = 0 ] && [ "$(wc -l <"$work/wide")" -gt 100 ] || echo "the report has $(wc -l <"$work/wide") lines" >>"$work/said"
sed -i 1d "$work/wide" "$work/narrow"
diff "$work/wide" "$work/narrow" | head -5 >>"$work/said"
verdict "a full ring costs records, which are counted, and changes no report" "$work/said"

# ---- recordings ----
rm -f "$work/truth"
traced "$work/rec.mtr" "$victims/victim_news" "$work/truth" brief 2 >"$work/out" 2>"$work/err"
"$mtrace" follow --json "$work/rec.mtr" >"$work/lines" 2>"$work/said"
pid=$(od -An -tu8 -N8 "$work/truth" | tr -d ' ')
jq -c "select(.pid == $pid)" "$work/lines" >"$work/own"
news "$work/own" --all >>"$work/said"
verdict "a recording has the records" "$work/said"

# ---- exec ----
start exec 2
follow 60 "$mtrace" follow --json --every 0 "$pid"
wait "$pid"
await
{
	news "$work/lines" --all --image 1
	[ "$(jq -rs '[.[] | select(.kind == "end") | .reason] | join(" ")' "$work/lines")" = "exec exit" ] ||
		echo "ends: $(jq -c 'select(.kind == "end")' "$work/lines")"
	[ "$(jq -rs '[.[] | select(.kind == "start") | .image] | join(" ")' "$work/lines")" = "0 1" ] || echo "not both images"
} >"$work/said" 2>&1
verdict "it goes on with the image after an exec" "$work/said"

rm -f "$work/truth"
clear_segments
preload -- bash -c 'unset LD_PRELOAD; sleep 1; exec sleep 60' &
pid=$!
background+=($pid)
for _ in $(seq 200); do
	[ -n "$(segment_of $pid)" ] && break
	sleep 0.02
done
bounded 30 "$mtrace" follow --json --every 0 "$pid" >"$work/lines" 2>"$work/said"
[ "$(jq -rs '.[-1] | "\(.kind) \(.reason)"' "$work/lines")" = "end exec" ] || tail -1 "$work/lines" >>"$work/said"
kill -0 $pid || echo "it was not running any more" >>"$work/said"
verdict "or says that it became a program that is not traced" "$work/said"
end

# ---- ends ----
start steady 2
follow 60 "$mtrace" follow --json --every 0 "$pid"
sleep 1
end
await
{
	[ $followed = 0 ] || echo "status $followed"
	news "$work/lines"
	[ "$(jq -rs '.[-1] | "\(.kind) \(.reason)"' "$work/lines")" = "end killed" ] || tail -1 "$work/lines"
} >"$work/said" 2>&1
verdict "a kill is said" "$work/said"

start steady 2
env --default-signal=INT "$mtrace" follow --every 0 "$pid" >"$work/lines" 2>"$work/talk" &
follower=$!
background+=($follower)
for _ in $(seq 200); do
	grep -q mark "$work/lines" && break
	sleep 0.05
done
kill -INT $follower
await
{
	[ $followed = 0 ] || echo "status $followed: $(head -c 200 "$work/talk")"
	kill -0 "$pid" 2>/dev/null || echo "the process is gone"
	[ -s "$work/talk" ] && head -3 "$work/talk"
} >"$work/said"
verdict "SIGINT ends it, and not the process" "$work/said"
bounded 30 "$mtrace" follow --for 1s --json "$pid" >"$work/lines" 2>"$work/said"
status=$?
[ $status = 0 ] || echo "status $status" >>"$work/said"
[ "$(jq -rs '[.[] | select(.kind == "mark")] | length > 0' "$work/lines")" = true ] || echo "no marks" >>"$work/said"
verdict "--for ends it" "$work/said"

# On a terminal the report goes on with what happens.
bounded 60 script -qec "$mtrace $pid" "$work/typescript" >/dev/null 2>&1 </dev/null &
follower=$!
background+=($follower)
for _ in $(seq 200); do
	grep -q "mark  *0 " "$work/typescript" 2>/dev/null && break
	sleep 0.05
done
end
await
{
	[ $followed = 0 ] || echo "status $followed"
	for line in "mode .*exact" "following $pid" "mark  *0 [0-9]" "ended: killed"; do
		grep -q -- "$line" "$work/typescript" || echo "no line: $line"
	done
} >"$work/said" 2>&1
verdict "a bare target on a terminal: report, then news" "$work/said"
bounded 30 "$mtrace" "$(segment_of "$pid")" >"$work/plain" 2>"$work/said"
grep -q "^following" "$work/plain" && echo "it follows, without a terminal" >>"$work/said"
verdict "and only there" "$work/said"

# ---- leak reports: what `mtrace leaks` says, from windows taken meanwhile ----
# growing KIND FOLLOW-OPTIONS…: victim_growth, a window each 20 ms or so, until follow ends
growing() {
	local kind=$1
	shift
	clear_segments
	mkfifo "$work/go"
	preload -- "$victims/victim_growth" "$kind" 7 <"$work/go" >"$work/answers" &
	pid=$!
	background+=($pid)
	exec 9>"$work/go"
	echo -n w >&9
	within 20 has_segment "$pid"
	follow 60 "$mtrace" follow "$@" "$pid" 9>&-
	while kill -0 $follower 2>/dev/null; do
		echo -n w >&9
		sleep 0.02
	done
	await
	exec 9>&-
	rm -f "$work/go"
	wait "$pid"
}
growing leak --json --every 4s --for 9s
{
	[ $followed = 0 ] || echo "status $followed: $(head -c 200 "$work/talk")"
	jq -cs '[.[] | select(.kind == "report") | .report]' "$work/lines" >"$work/reports"
	[ "$(jq length "$work/reports")" = 2 ] || echo "reports: $(jq length "$work/reports")"
	jq '.[-1]' "$work/reports" >"$work/last"
	"$tests/programs/schema.py" --live --processes 1 --end running "$work/last"
	[ "$(query "$work/last" '[.processes[0].stacks[] | select([.frames[].function] | index("hold") and (any(. == "traffic") | not)) |
		.verdict] | join(" ")')" = leak ] || jq -c '.processes[0].stacks[] | [.verdict, .judged.why, .judged.windows]' "$work/last"
	[ "$(query "$work/last" '.processes[0].growth | .rss_bytes_begin > 0 and .rss_bytes_end > 0 and (.from_history | not) and .windows >= 16')" = true ] ||
		jq -c '.processes[0].growth' "$work/last"
} >"$work/said" 2>&1
verdict "reports are judged, by windows of its own" "$work/said"
growing leak --every 4s --for 9s
{
	[ $followed = 0 ] || echo "status $followed: $(head -c 200 "$work/talk")"
	for line in '^  RSS  *[+-]' '^  observed .* in [0-9]* windows$' '^  1  LEAK  *+' 'hold  *victim_growth.c:'; do
		grep -q -- "$line" "$work/lines" || echo "no line: $line"
	done
} >"$work/said"
verdict "and in words" "$work/said"

# ---- slow, and idle ----
start flood 4
follow 60 "$mtrace" follow --json --every 0 "$pid"
for _ in $(seq 200); do
	[ -s "$work/lines" ] && break
	sleep 0.05
done
mtrace_pid=$(pgrep -P $follower -x mtrace)
[ -n "$mtrace_pid" ] || fail "the follower" "not found"
kill -STOP "$mtrace_pid"
sleep 1
kill -CONT "$mtrace_pid"
sleep 0.5
end
await
{
	[ "$(jq -s '[.[] | select(.kind == "lost") | .overwritten] | add > 1000' "$work/lines")" = true ] || echo "it is not said that records were lost"
	[ "$(jq -s '[.[] | select(.sequence) | .sequence] | . == (sort | unique)' "$work/lines")" = true ] || echo "numbers do not rise"
	[ "$(jq -s '([.[] | select(.kind == "lost") | .overwritten + .unfinished] | add) + ([.[] | select(.sequence)] | length)
		<= ([.[] | select(.sequence) | .sequence] | max) + 1 + 8' "$work/lines")" = true ] || echo "more are lost than there were"
} >"$work/said" 2>&1
verdict "one that was stopped says what it lost" "$work/said"

start quiet 1
follow 60 "$mtrace" follow --every 0 "$pid"
for _ in $(seq 200); do
	grep -q mark "$work/lines" && break
	sleep 0.05
done
mtrace_pid=$(pgrep -P $follower -x mtrace)
switches() { awk '/^voluntary/ { print $2 }' "/proc/$mtrace_pid/status"; }
before=$(switches) from=$(date +%s%N)
sleep 2
after=$(switches) elapsed=$((($(date +%s%N) - from) / 1000000))
[ $(((after - before) * 1000)) -le $((10 * elapsed + 2000)) ] && [ "$after" -gt "$before" ] &&
	pass "ten wakeups a second at most" || fail "ten wakeups a second at most" "$((after - before)) in $elapsed ms"
end
await

# ---- who cannot be followed ----
sleep 60 &
pid=$!
background+=($pid)
"$mtrace" follow $pid >"$work/lines" 2>"$work/talk"
[ $? = 1 ] && grep -q "is not traced" "$work/talk" && pass "a process that is not traced" ||
	fail "a process that is not traced" "$(cat "$work/talk")"
kill $pid
"$mtrace" follow "$tests/compat/v1-plain.mtr" >"$work/lines" 2>"$work/talk"
[ $? = 1 ] && grep -q "earlier version" "$work/talk" && pass "a recording from before the ring" ||
	fail "a recording from before the ring" "$(cat "$work/talk")"
for wrong in "--every 5x 1" "--for -1 1" "" "1 2"; do
	# shellcheck disable=SC2086
	"$mtrace" follow $wrong >"$work/lines" 2>"$work/talk"
	[ $? = 2 ] && [ "$(wc -l <"$work/talk")" = 1 ] || fail "follow $wrong" "$(cat "$work/talk")"
done

# ---- ring= ----
start flood 2 ring=16k
sleep 0.3
end
json "$(segment_of "$pid")" "$work/report.json" >"$work/said" && news "$work/report.json" >>"$work/said"
kept=$(query "$work/report.json" '.processes[0].ring.kept')
[ "$kept" -gt 200 ] && [ "$kept" -le 255 ] || echo "$kept records are kept" >>"$work/said"
verdict "ring= is its size" "$work/said"

# ---- kill -9 under load ----
good=0
for n in $(seq "$kills"); do
	start flood 4
	sleep "0.$(printf %03d $((RANDOM % 100)))"
	end
	if json "$(segment_of "$pid")" "$work/report.json" >"$work/said" && news "$work/report.json" >"$work/said"; then
		good=$((good + 1))
	else
		fail "kill $n" "$(head -c 600 "$work/said" | tr '\n' ';')"
	fi
done 2>/dev/null
[ $good = "$kills" ] && pass "$good kills at random instants, every record whole and in order" || fail "$good of $kills right" ""

# The comparison itself must be able to fail.
cp "$work/truth.brief" "$work/truth"
for how in lose swap invent tear; do
	news "$work/lines.brief" --all --mutate $how >"$work/said"
	[ $? = 1 ] && [ -s "$work/said" ] && pass "noticed: $how" || fail "noticed: $how" "$(head -c 300 "$work/said")"
done
suite_end
