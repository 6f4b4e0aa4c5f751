#!/bin/bash
# leaks: programs that hold memory in fourteen ways, of malloc, mmap and threads, judged by `mtrace leaks` while they run,
# LEAKS_TIMES times each (2; 20 in `make soak`), every time right. Then the same when nobody looks, from the history alone:
# running, killed, recorded (HISTORY_TIMES; 20 in soak). Then the other ways to windows (marks, time, recordings), what ends
# them, and what is said when there are none.
. "$(dirname "$0")/../lib/suite.sh"
times=${LEAKS_TIMES:-2} history_times=${HISTORY_TIMES:-1}
# look OPTIONS OF leaks.py… -- KIND SEED OPTIONS OF mtrace…
look() {
	local options=()
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	local kind=$2 seed=$3
	shift 3
	clear_segments
	PRELOAD=$shim MTRACE_OPTIONS="dir=$segments" bounded 120 "$tests/programs/leaks.py" "${options[@]}" "$mtrace" \
		"$victims/victim_growth" "$kind" "$seed" -- "$@" >"$work/out" 2>"$work/err"
}
# The verdicts of the stacks of the kind, or of the blocks that come and go beside it (traffic). What pthread_create itself
# allocates for a thread is no thread.
verdicts_of() {
	local block=malloc
	case ${2:-$1} in map*) block=mmap ;; threads | workers) block=thread ;; esac
	jq -r --argjson traffic "$([ "$1" = traffic ] && echo true || echo false)" --arg block $block '[.processes[0].stacks[] |
		select(.kind == $block and ([.frames[].function] | index("hold") and (any(. == "traffic") == $traffic))) | .verdict] |
		unique | join(" ")' "$work/out"
}

# ---- nobody looks: from the history alone, running, killed, recorded ----
# Windows of 100 ms, history of 315 ms, so 95 units: long beside what a busy machine delays. All kinds at once, while the
# checks below run: they sleep. Judged further down.
remember() {
	mkdir -p "$work/$1"
	PRELOAD=$shim MTRACE_OPTIONS="dir=$segments:epoch=315" bounded 120 "$tests/programs/leaks.py" --on history --windows 300 \
		--pause 0.1 --directory "$work/$1" "$mtrace" "$victims/victim_growth" "$1" "$2" -- --json 2>"$work/$1/err"
	echo $? >"$work/$1/status"
}
# knows_resident KIND: at the begin and at the end, within what the kernel's quick count is behind by (memory.c) and the last
# windows' growth of what is measured while it runs
knows_resident() {
	local exact
	exact=$(query "$work/$1/live.json" '.processes[0].growth.rss_bytes_end')
	[ "$(jq --argjson exact "$exact" '.processes[0] | (.end.reason == "running") as $runs | .growth | .rss_bytes_begin > 500000 and
		.rss_bytes_begin < .rss_bytes_end + 4000000 and (.rss_bytes_end - $exact | fabs) < 4000000 and
		(.rss_before_ns == 0) == $runs' "$work/out")" = true ]
}
# remembered KIND: all three say leak of a leak, and never of anything else; a cache at its bound is one when that was there
# from the beginning: one that filled in the middle of long windows may as well be start-up
remembered() {
	local of got
	[ "$(cat "$work/$1/status")" = 0 ] || tail -1 "$work/$1/err"
	for of in live:running killed:killed recording:killed; do
		cp "$work/$1/${of%:*}.json" "$work/out" || continue
		"$tests/programs/schema.py" --live --processes 1 --end "${of#*:}" "$work/out"
		[ "$(query "$work/out" '.processes[0].growth | .from_history and .windows >= 16')" = true ] || echo "${of%:*}: no history"
		knows_resident "$1" || echo "${of%:*}: resident memory from $(query "$work/out" '.processes[0].growth | "\(.rss_bytes_begin)
			to \(.rss_bytes_end), so long before the end: \(.rss_before_ns)"')"
		got=$(verdicts_of "$1")
		case $1 in
		leak | slow | steps | maps | map_steps | threads) [ "$got" = leak ] || echo "${of%:*}: $got" ;;
		lru | map_lru | workers) [ "$got" = cache ] || echo "${of%:*}: $got" ;;
		*) [[ ! " $got " =~ " leak " ]] || echo "${of%:*}: a false alarm" ;;
		esac
		[[ ! " $(verdicts_of traffic $1) " =~ " leak " ]] || echo "${of%:*}: the traffic is called a leak"
	done
}
# remember_all SEED: the kinds at the same time, with the seed
remember_all() {
	local kind looking=()
	clear_segments
	for kind in $kinds; do rm -rf "${work:?}/$kind"; done
	for kind in $kinds; do
		in_background remember $kind "$1"
		looking+=($!)
	done
	wait "${looking[@]}"
	for kind in $kinds; do
		remembered $kind 2>&1 | sed "s/^/seed $1: /" >>"$work/said.$kind"
	done
}
kinds="leak slow steps cache lru pool lazy init spike maps map_steps map_lru threads workers"
remember_seeds() {
	local seed kind
	work=$work/past segments=$segments/past
	mkdir -p "$work" "$segments"
	for kind in $kinds; do : >"$work/said.$kind"; done
	for seed in $(seq 3 $((2 + history_times))); do
		remember_all "$seed"
	done
}
in_background remember_seeds
remembering=$!

# ---- fourteen kinds ----
# right KIND WANTED: among its stacks one has that verdict; none is called a leak that is not one, nor is the traffic
right() {
	local kind=$1 wanted=$2 seed got
	: >"$work/said"
	for seed in $(seq "$times"); do
		look "${@:3}" -- "$kind" "$seed" --json || echo "seed $seed: status $?: $(tail -1 "$work/err")" >>"$work/said"
		"$tests/programs/schema.py" --live --processes 1 --end running "$work/out" | sed "s/^/seed $seed: /" >>"$work/said"
		got=$(verdicts_of "$kind")
		[[ " $got " =~ \ ($wanted)\  ]] || echo "seed $seed: $got, $(query "$work/out" '[.processes[0].stacks[].judged | .why] |
			unique | join(" ")')" >>"$work/said"
		[ "$wanted" = leak ] || [[ ! " $got " =~ " leak " ]] || echo "seed $seed: a false alarm" >>"$work/said"
		[[ ! " $(verdicts_of traffic $kind) " =~ " leak " ]] || echo "seed $seed: the traffic is called a leak" >>"$work/said"
	done
	verdict "$kind is $wanted, $times of $times" "$work/said"
}
right leak leak
right slow leak
right steps leak
right cache cache
right lru cache --pause 0.02
right pool 'startup|cache|unknown'
right lazy gc-lag
right init startup
right spike spike
right maps leak
right map_steps leak
right map_lru cache --pause 0.02
right threads leak
right workers 'cache|startup|unknown' --pause 0.02

# ---- nobody looked ----
wait $remembering
for kind in $kinds; do
	verdict "$kind, never watched: running, killed, recorded, $history_times of $history_times" "$work/past/said.$kind"
done
"$mtrace" leaks "$work/past/leak/recording.mtr" >"$work/out" 2>"$work/err"
expect "says of which windows" "0 1 0" \
	"$? $(grep -c '^  observed .* in [0-9]* windows of its own history, of .* to ' "$work/out") $(wc -l <"$work/err")"
expect "opens with its share of what grew, and when that was" 1 \
	"$(awk -v RS= 'NR == 2' "$work/out" | head -1 | grep -c '^  RSS  *[+-][0-9].* to .*, .* before the end: .* in the [0-9]* stacks\? below,$')"
"$mtrace" leaks --on-mark window --json "$work/past/leak/recording.mtr" >"$work/out" 2>"$work/err"
expect "at its marks" "0 leak true" "$? $(verdicts_of leak) $(jq '.processes[0].growth | .by_steps and .from_history' "$work/out")"
"$mtrace" report --json "$work/past/steps/recording.mtr" >"$work/out" 2>"$work/err"
expect "a report has verdicts, too" "0 leak" "$? $(verdicts_of steps)"

# A young one has no history to speak of: windows are taken, until it ends.
clear_segments
mkfifo "$work/go"
preload -- "$victims/victim_growth" leak 1 <"$work/go" >"$work/answers" &
young=$!
background+=($young)
exec 9>"$work/go"
echo -n www >&9
: >"$work/err"
within 20 has_segment $young
"$mtrace" leaks $young >"$work/out" 2>"$work/err" 9>&- &
looking=$!
background+=($looking)
within 20 grep -q 'it has [0-7] windows\? of history, and a verdict takes 8: windows are taken now' "$work/err"
expect "too young: says that windows are taken" 0 $?
exec 9>&-
wait $young $looking
expect "and ends with the process" 0 $?
"$mtrace" leaks --for 0 "$(segment_of $young)" >"$work/out" 2>"$work/err"
expect "without a history: why no verdict" "0 1" "$? $(grep -c '^no verdict: it has ended with [0-7] windows* of history' "$work/out")"

# ---- what is said ----
look -- leak 1 -n 2 --limit 4g
expect "status" 0 $?
for words in '^  RSS  *[+-].* (.*%) in the 1 stack below,\|^  RSS  *[+-].* in the 1 stack below,' \
	'^  limit  *4.00 GiB (--limit): reached in .*, at the leaks. rate of' \
	'^  observed .* in 160 windows, each a step of its work' '^  sight  *a steady leak of .* per hour or more' \
	'^  verdicts  1 leak' '^  1  LEAK  *+.* per window (.* to .*), +.* per hour' '^     why  *rises all along' \
	'never freed: \([0-9 ]*\) of \1$' '^     live  *.* in .* malloc blocks, oldest ' 'take_heap  *victim_growth.c:.*<- your code' \
	'^next  mtrace baseline [0-9]* '; do
	grep -q -- "$words" "$work/out" && pass "says: $words" || fail "says: $words" "$(sed -n '10,24p' "$work/out" | head -c 900)"
done
look -- leak 1 --by site --verdict leak
expect "by site" "0 1" "$? $(grep -c '^     where    take_heap  victim_growth$' "$work/out")"
look -- init 1
expect "what grew once is listed" 1 "$(grep -c '^  1  STARTUP  +[1-9]' "$work/out")"
look -- cache 1 --verdict leak
expect "nothing with that verdict: status 1" "1 1" "$? $(grep -c 'no stack has such a verdict' "$work/out")"
expect "its 3 MiB are elsewhere, the first line says" 1 "$(awk -v RS= 'NR == 2' "$work/out" | head -1 | grep -c '^  the answer is not in this list: it holds 0 %')"
look -- leak 1 --verdict cache
expect "172 KiB are nobody's answer" "1 0" "$? $(grep -c 'the answer is not' "$work/out")"
look --windows 5 -- leak 1 --json
expect "five windows are too few" "unknown too-few 5" "$(jq -r '.processes[0].stacks[0] | "\(.verdict) \(.judged.why) \(.judged.windows)"' "$work/out")"

# ---- other windows ----
look --on mark --windows 60 --pause 0.02 -- leak 1 --json
expect "at marks" "0 leak true" "$? $(verdicts_of leak) $(jq '.processes[0].growth | .by_steps and .windows >= 8' "$work/out")"
look --on time --pause 0.01 -- leak 1 --json --for 4s
expect "by time" "0 leak false 40" "$? $(verdicts_of leak) $(jq -r '.processes[0].growth | "\(.by_steps) \(.windows)"' "$work/out")"
mkdir -p "$work/files"
look --on file --windows 40 --directory "$work/files" -- leak 1 --json
expect "between recordings" "0 leak 39" "$? $(verdicts_of leak) $(jq '.processes[0].growth.windows' "$work/out")"
"$tests/programs/schema.py" --live "$work/out" >"$work/said"
verdict "and their document is right" "$work/said"
cp "$work/out" "$work/whole.json"
"$mtrace" leaks --json "$work/files/0.mtr" "$work/files/39.mtr" "$work/files/0.mtr" >"$work/out" 2>"$work/err"
expect "two of them, one twice: a difference, no verdict" "unknown 1 $(jq -c '.processes[0].growth.live_bytes_change' "$work/whole.json")" \
	"$(verdicts_of leak) $(jq -r '.processes[0].growth | "\(.windows) \(.live_bytes_change)"' "$work/out")"

# ---- ends ----
look --on time --pause 0.01 --windows 400 --interrupt -- leak 1 --json --for 100s
expect "interrupted: what was seen counts" "0 running" "$? $(jq -r '.processes[0].end.reason' "$work/out")"
look --on time --pause 0.01 --windows 400 --kill -- leak 1 --json --for 100s
expect "killed meanwhile: judged until then" "0 killed true" "$? $(jq -r '.processes[0] | "\(.end.reason) \(.growth.windows > 0)"' "$work/out")"
look --windows 80 --kill -- leak 1 --json
expect "killed meanwhile, in steps" "0 killed leak" "$? $(jq -r '.processes[0].end.reason' "$work/out") $(verdicts_of leak)"
segment=$(find "$segments" -name 'mtrace.*' | head -1)

# ---- none ----
"$mtrace" leaks "$segment" >"$work/out" 2>"$work/err"
expect "of a dead one: what is live, and why no more" "0 1 1" \
	"$? $(grep -c '^live at end, largest first (not a verdict)$' "$work/out") $(grep -c '^no verdict: it has ended' "$work/out")"
"$mtrace" leaks --verdict leak "$segment" >"$work/out" 2>"$work/err"
expect "a verdict was asked for, and there is none" 1 $?
traced "$work/other.mtr" "$victims/victim_growth" leak 1 </dev/null 2>"$work/err"
"$mtrace" leaks "$work/files/0.mtr" "$work/other.mtr" >"$work/out" 2>"$work/err"
expect "of two programs: refused" "2 1" "$? $(grep -c 'is not of the same process' "$work/err")"
refused() {
	"$mtrace" leaks "$@" >"$work/out" 2>"$work/err"
	[ $? = 2 ] && [ ! -s "$work/out" ] && [ "$(wc -l <"$work/err")" = 1 ] && pass "refused: $*" || fail "refused: $*" "$(head -c 200 "$work/err")"
}
refused --for soon $$
refused --for -1s $$
refused --limit much $$
refused --verdict leek $$
refused --verdict leak, $$
refused --on-line --on-mark x $$
suite_end
