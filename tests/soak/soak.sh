#!/bin/bash
# soak: storms against the shim, each for its share of SOAK_SECONDS (60), the record compared with the storm's own truth
# afterwards; then kills at random instants. `make soak`; tests/programs/storms.sh is a short one for `make check`.
#
# Each storm is one check: its rounds, and what was wrong. While it rages, readers come and go (`mtrace report PID` and of
# the segment's file). STORMS="fork keys" picks some. SEED=n repeats the instants of a run (it is printed). SOAK_ROUNDS=1000: each
# goes on until it had so many rounds, and fails without. SOAK_REPORT=FILE: a page of what was seen, the rows of others kept.
# SOAK_MUTATE=1 falsifies the truth: every check must then fail.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"
storm=$victims/storm
all_storms="fork vfork spawn exec clone clone_alone threads keys libraries fibers mixed signals realloc mmap endings killed"
storms=${STORMS:-$all_storms}
total_seconds=${SOAK_SECONDS:-60}
least=${SOAK_ROUNDS:-0}
seed=${SEED:-$$}
RANDOM=$seed
echo "seed $seed"

# Readers at work: the share of a storm, in tenths of a second; the rest goes into looking at what it left.
count_of() { wc -w <<<"$storms" | tr -d ' '; }
share=$(awk -v t="$total_seconds" -v n="$(count_of)" 'BEGIN { s = t / n * 0.75; printf "%.1f", s < 0.5 ? 0.5 : s }')

# Which storms have which library behind the shim, and what of a stack counts.
preload_of() {
	[ "$1" = signals ] && echo "$shim:$victims/async_malloc.so" || echo "$shim"
}

# start STORM SECONDS [ROUNDS]: in the background, pid in $pid. No round takes two seconds.
start() {
	rm -f "$work/truth" "$work/out" "$work/err" "$work/reader" "$work/readers"
	clear_segments
	timeout --foreground --kill-after=1 "$(after "$2" $((60 + 2 * ${3:-0})))" env STORM_ROUNDS="${3:-0}" \
		 LD_PRELOAD="$(preload_of "$1")" MTRACE_OPTIONS="dir=$segments:keep=6" \
		"$storm" "$1" "$2" "$work/truth" >"$work/out" 2>"$work/err" &
	runner=$!
	background+=("$runner")
	pid=
	for _ in $(seq 300); do
		pid=$(pgrep -P "$runner" -x storm | head -1)
		[ -n "$pid" ] && [ -s "$work/truth" ] && break
		kill -0 "$runner" 2>/dev/null || break
		sleep 0.01
	done
}

after() {
	awk -v a="$1" -v b="$2" 'BEGIN { print a + b }'
}

# Reads again and again until the storm is over: a report of a live process never fails and is JSON.
read_meanwhile() {
	local target n=0 bad=0 newborn=0 status
	sleep 0.05
	while [ -e "/proc/$pid/exe" ]; do
		target=$pid
		[ $((n % 2)) = 1 ] && target=$(segment_of "$pid")
		[ -n "$target" ] || continue
		bounded 30 "$mtrace" report --json "$target" >"$work/live.json" 2>"$work/live.err"
		status=$?
		if grep -q 'recorded no allocation' "$work/live.err"; then
			newborn=$((newborn + 1)) # an image that has only just begun
		elif [ -e "/proc/$pid/exe" ] && ! { [ $status = 0 ] && jq -e '.processes[0].totals' "$work/live.json" >/dev/null 2>&1; }; then
			bad=$((bad + 1))
			[ -s "$work/reader" ] || echo "reader: status $status of $target: $(head -c 200 "$work/live.err")" >"$work/reader"
		fi
		n=$((n + 1))
		sleep 0.1
	done
	[ $newborn -lt "$n" ] || [ "$n" -lt 3 ] || echo "reader: no reading saw an allocation" >"$work/reader"
	echo "$n $bad" >"$work/readers"
}

# The stacks of a handler stand upon those of what it interrupted: they must be whole, then their own part is compared.
cut_handlers() {
	jq '(.processes[].stacks[].frames) |= ((map(.function // "") | index("truth_on_signal")) as $at |
		if $at == null then . else .[0:$at + 1] + [.[-1]] end)' "$1" >"$1.cut" && mv "$1.cut" "$1"
}

# compare STORM END: what the record says against the truth; prints what is wrong.
compare() {
	local what=$1 options=(--end "$2")
	[ "$what" = mmap ] && options+=(--bytes-only)
	[ "${SOAK_MUTATE:-0}" = 1 ] && options+=(--mutate)
	json "$(segment_of "$pid")" "$work/report.json" || return
	[ "$what" = signals ] && cut_handlers "$work/report.json"
	bounded 60 "$tests/programs/truth.py" "$work/truth" "$work/report.json" "${options[@]}"
}

# Children leave segments of their own (the shim keeps a few): each must be right, too.
look_at_children() {
	local file
	find "$segments" -name 'mtrace.*' ! -name "mtrace.$pid.*" | head -3 | while read -r file; do
		json "$file" "$work/child.json" || continue
		[ "$(query "$work/child.json" '.processes[0].totals.alloc_blocks')" = 0 ] || trust_of "$work/child.json" | sed 's/^/child: /'
	done
}

rage() {
	local what=$1 status n
	start "$what" "$share" "$least"
	[ -n "$pid" ] || { wait "$runner"; fail "$what" "it did not start: $(head -c 300 "$work/err")"; return; }
	read_meanwhile &
	reader=$!
	background+=("$reader")
	wait "$runner"
	status=$?
	wait "$reader" 2>/dev/null
	{
		case $status in
		0) compare "$what" exit:0 ;;
		124 | 137) echo "still running after its time: it hangs" ;;
		*) echo "the host ended with status $status: $(tail -c 300 "$work/err")" ;;
		esac
		look_at_children
		cat "$work/reader" 2>/dev/null
		[ -s "$work/err" ] && echo "on stderr: $(head -c 200 "$work/err")"
	} >"$work/said"
	n=$(awk '{ print $1 }' "$work/out" 2>/dev/null)
	judge "$what" "${n:-0}" "$work/said" "$(awk '{ print $1 }' "$work/readers" 2>/dev/null)"
}

# judge STORM ROUNDS SAID [READINGS]: one check, and its row of the page.
judge() {
	local failures
	[ "$2" -gt 0 ] && [ "$2" -ge "$least" ] || echo "only $2 rounds" >>"$3"
	failures=$(grep -c . "$3")
	echo "| $1 | $2 | ${4:-none} | $failures | $(git -C "$root" rev-parse --short HEAD:libmtrace 2>/dev/null) |" >>"$work/rows"
	verdict "$1: $2 rounds, $failures failures${4:+, $4 readings}" "$3"
}

# The rows of this run, and those of the page before of storms that were not in it, in the order of the table above.
write_page() {
	local what
	{
		echo "# Storms"
		echo
		echo "Written by tests/soak/soak.sh (SOAK_REPORT); do not edit. Each storm's rounds in its last run, what readers read"
		echo "meanwhile, and how many lines said that something was wrong: a hang, a status, a record unlike the truth. The shim"
		echo "was that of the tree \`git rev-parse --short HEAD:libmtrace\` says."
		echo
		echo "| storm | rounds | readings | failures | libmtrace |"
		echo "|---|---|---|---|---|"
		for what in $all_storms; do
			grep -h "^| $what |" "$work/rows" "$1" 2>/dev/null | head -1
		done
	} >"$work/page"
	cp "$work/page" "$1"
}

# Handlers and destructors that allocate while the process ends, by each way to end.
rage_of_endings() {
	local deadline=$((SECONDS + ${share%.*} + 1)) n=0 what ends
	: >"$work/all"
	while [ $SECONDS -lt $deadline ] || [ $n -lt "$least" ]; do
		for what in exit:exit:7 _exit:exit:8 quick_exit:exit:9 abort:killed exit_under_load:exit:8; do
			ends=${what#*:}
			start "${what%%:*}" 1
			wait "$runner" 2>/dev/null
			pid=$(od -An -tu4 -j8 -N4 "$work/truth" | tr -d ' ')
			compare endings "$ends" | sed "s/^/${what%%:*}: /" >>"$work/all"
			n=$((n + 1))
		done
	done 2>/dev/null
	judge endings $n "$work/all"
}

# A child by vfork goes on where its parent was killed, in the parent's memory, until it ends: the lock is held as long.
is_left() {
	flock -s -n "$(segment_of "$pid")" true
}

# For ever, if one of the parent's threads was killed while it held a lock of libc's heap that the child asks for: it waits in
# futex (202), as it would untracked. Only a child by vfork can, and no lock of the heap is the shim's. Such a child is ended,
# and counted.
end_who_waits() {
	local segment maps child at
	segment=$(segment_of "$pid")
	[[ -n $segment && ($1 = vfork || $1 = mixed) ]] || return
	for maps in $(grep -lsF -- "$segment" /proc/[0-9]*/maps); do
		child=${maps%/maps}
		at=$(cat "$child/syscall" 2>/dev/null)
		sleep 1
		[[ $at = 202\ * && $at = "$(cat "$child/syscall" 2>/dev/null)" ]] && kill -KILL "${child#/proc/}" && waited=$((waited + 1))
	done
}

rage_of_kills() {
	local deadline=$((SECONDS + ${share%.*} + 1)) n=0 waited=0 what victims_of=(fork vfork clone threads keys libraries fibers mixed signals realloc mmap)
	: >"$work/all"
	while [ $SECONDS -lt $deadline ] || [ $n -lt "$least" ]; do
		what=${victims_of[$((RANDOM % ${#victims_of[@]}))]}
		start "$what" 10
		[ -n "$pid" ] || { echo "$what did not start" >>"$work/all"; continue; }
		sleep "0.$(printf %03d $((20 + RANDOM % 300)))"
		kill -KILL "$pid"
		wait "$runner"
		within 3 is_left || end_who_waits "$what"
		within 10 is_left || echo "$what, kill $n: somebody still writes" >>"$work/all"
		compare "$what" killed | sed "s/^/$what, kill $n: /" >>"$work/all"
		n=$((n + 1))
	done 2>/dev/null
	[ $waited -le $((1 + n / 100)) ] || echo "$waited children by vfork waited for a lock of their killed parent" >>"$work/all"
	[ $waited = 0 ] || echo "information: $waited children by vfork waited for a lock of their killed parent's heap"
	judge killed $n "$work/all"
}

for what in $storms; do
	case $what in
	endings) rage_of_endings ;;
	killed) rage_of_kills ;;
	*) rage "$what" ;;
	esac
done
[ -z "${SOAK_REPORT:-}" ] || write_page "$SOAK_REPORT"
suite_end
