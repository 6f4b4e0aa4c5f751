#!/bin/bash
# faults: surroundings at their worst, for real: file systems that are full, read-only or tiny, limits, locked memory,
# descriptors that become the program's files, system calls that it forbids itself, segments cut short and written over,
# clocks and pids that come again, crowds of threads. The program must not notice; what is lost is said, once on stderr and
# in the report.
. "$(dirname "$0")/../lib/suite.sh"
faults=$victims/victim_faults
crowd=$victims/victim_crowd
around=()

# ran NAME WHOLE [OPTION…] -- COMMAND…: the same output and status as untracked. WHOLE yes: all is recorded, and nothing is
# said; no: one line says what is lost, and so does the report, where there is one; any: either.
ran() {
	local name=$1 whole=$2 options= plain status lines drops
	shift 2
	while [ "$1" != -- ]; do
		options=$options:$1
		shift
	done
	shift
	clear_segments
	bounded 60 "$@" >"$work/out.plain" 2>"$work/err.plain" </dev/null
	plain=$?
	bounded 60 "${around[@]}" env LD_PRELOAD="$shim" MTRACE_OPTIONS="dir=$segments$options" "$@" >"$work/out" 2>"$work/err" </dev/null
	status=$?
	lines=$(grep -c '^libmtrace: ' "$work/err")
	drops=$(find "$segments" -name 'mtrace.*' -size +0 | while read -r s; do
		"$mtrace" report --json "$s" 2>/dev/null | jq -r '.processes[] | .trust.drops | keys[]'
	done | sort -u | tr '\n' ' ')
	grep -Eq 'inactive|is not recorded' "$work/err" && drops=${drops:-none} # a process without a report: the line is all
	if [ $status != $plain ]; then
		fail "$name" "status $status, untracked $plain: $(tail -c 300 "$work/err")"
	elif ! cmp -s "$work/out.plain" "$work/out" || [ "$(grep -vc '^libmtrace: ' "$work/err")" != "$(grep -c . "$work/err.plain")" ]; then
		fail "$name" "another output than untracked: $(head -c 300 "$work/out" "$work/err")"
	elif [ "$lines" -gt "${LINES_MOST:-1}" ]; then
		fail "$name" "more than one line: $(head -c 400 "$work/err")"
	elif [ "$whole" = yes ] && [ "$lines$drops" != 0 ]; then
		fail "$name" "all was to be recorded: $(head -c 200 "$work/err") drops: $drops"
	elif [ "$whole" = no ] && { [ "$lines" = 0 ] || [ -z "$drops" ]; }; then
		fail "$name" "nobody says what is lost: lines $lines, drops: $drops"
	else
		pass "$name${drops:+: }${drops#none}$(grep -o '^libmtrace: .*' "$work/err" | head -1 | cut -c 1-90)"
	fi
}

# ---- where segments are made: our own /dev/shm/… becomes another file system, seen by this program only ----

# with_fs OPTIONS: the next programs see a file system of these options at $segments. What is in it is copied out at the end,
# into what everybody sees there.
exec 8<"$segments"
with_fs() {
	around=(unshare -m bash -c 'mount -t tmpfs -o "$1" none "$2" || exit 125
		[ -z "$FILLED" ] || head -c "$FILLED" /dev/zero >"$2/filler"
		segments=$2
		shift 2
		"$@"
		status=$?
		for s in "$segments"/mtrace.*; do cp --sparse=always "$s" /proc/self/fd/8/ 2>/dev/null; done
		exit $status' with_fs "$1" "$segments")
}
if unshare -m true 2>/dev/null; then
	with_fs size=1m
	LINES_MOST=3 ran "a directory of 1 MB" no -- "$faults" "$victims/plugin_a.so"
	with_fs size=1m
	ran "a directory of 1 MB, memory=64m" any memory=64m -- "$crowd" threads 50 65536
	with_fs size=8m
	FILLED=7m LINES_MOST=3 ran "a directory with 1 MB left" no memory=64m -- "$faults" "$victims/plugin_a.so"
	with_fs size=1m
	FILLED=1m ran "a full directory" no -- "$crowd" threads 50 65536
	with_fs ro
	LINES_MOST=2 ran "a directory that cannot be written to" no -- "$faults" "$victims/plugin_a.so"
	# What could not begin leaves no segment: no room for its head, and none for its first tables.
	for kib in 16 64; do
		with_fs size=${kib}k
		ran "a directory of $kib KB" no -- "$crowd" threads 50 65536
		expect "and no segment stays there" "" "$(ls "$segments")"
	done
	around=()
else
	skip "tiny, full and read-only directories" "this needs a mount namespace of its own"
fi

# ---- limits and locks ----

for kib in 1 64 1024 20000; do
	ran "files of at most $kib KiB" any memory=64m -- bash -c "ulimit -f $kib; exec '$crowd' threads 50 65536"
done
for mib in 20 60 200; do
	ran "an address space of $mib MiB" any -- bash -c "ulimit -v $((mib * 1024)); exec '$crowd' threads 10 65536"
done
ran "an address space of 4 GiB" yes memory=64m -- bash -c "ulimit -v 4194304; exec '$crowd' threads 50 65536"
ran "mlockall" yes memory=256m -- "$victims/victim_spin" mlock
mib=$(find "$segments" -name 'mtrace.*' -printf '%b\n' | awk '{ sum += $1 } END { print int(sum / 2048) }')
[ "$mib" -lt 16 ] && pass "mlockall fills $mib MiB of 256" || fail "mlockall fills" "$mib MiB of 256"

# ---- descriptors: all closed, and then a file of the program's is 0, 1 and 2 ----

clear_segments
preload memory=1m -- "$crowd" reuse "$work/file" >"$work/out" 2>&1 </dev/null
status=$?
[ "$status $(cat "$work/file")" = "0 mine" ] && pass "no word of ours in the program's file" ||
	fail "no word of ours in the program's file" "status $status: $(head -c 300 "$work/file")"

# ---- system calls that it forbids itself ----

if "$victims/victim_sandbox" prctl >"$work/out" 2>&1; then
	for how in prctl syscall two trap errno; do
		ran "forbidden system calls: $how" no -- "$victims/victim_sandbox" $how
	done
	for how in strict "prctl fork" "syscall fork" "errno fork"; do # strict: it ends without us
		ran "forbidden system calls: $how" any -- "$victims/victim_sandbox" $how
	done
	for how in "errno thread" "prctl thread"; do # who may make threads may do what tables grow by
		ran "forbidden system calls: $how" yes -- "$victims/victim_sandbox" $how
	done
else
	skip "forbidden system calls" "no seccomp here"
fi

# ---- crowds ----

# counted NAME THREADS BLOCKS: what the only segment has of threads and of blocks
counted() {
	local got
	json "$(find "$segments" -name 'mtrace.*')" "$work/crowd.json"
	got=$(query "$work/crowd.json" '.processes[0] | "\(.by_kind.thread.alloc_blocks) \([.stacks[] | select(.kind == "malloc" and
		any(.frames[]; .function == "one_of_many")) | .alloc_blocks] | add)"')
	expect "$1: threads and their blocks" "$2 $3" "$got"
}
ran "3000 threads at once on stacks of 64 KiB" yes memory=256m -- "$crowd" threads 3000 65536
counted "3000 at once" 3000 60000
ran "500 threads on stacks of 16 KiB" yes -- "$crowd" threads 500 16384
counted "500 at once" 500 10000

# ---- a segment that is not ours alone ----

# beside NAME COMMAND…: done to the segment of a program that allocates meanwhile, which must come through. SETTLE seconds after it
# is there, of MEMORY.
beside() {
	local name=$1 pid status
	shift
	clear_segments
	rm -f "$work/done"
	preload memory="${MEMORY:-64m}" -- "$crowd" wait "$work/done" >"$work/out" 2>"$work/err" &
	pid=$!
	background+=($pid)
	within 10 has_segment $pid
	sleep "${SETTLE:-0.2}"
	"$@" "$(segment_of $pid)"
	touch "$work/done"
	within 60 is_gone $pid || kill -KILL $pid
	wait $pid
	status=$?
	[ "$status $(cat "$work/out")" = "0 well" ] && pass "$name" || fail "$name" "ended with $status: $(tail -c 300 "$work/err")"
}
is_gone() {
	! kill -0 "$1" 2>/dev/null
}
scribbled() {
	timeout 2 "$victims/scribbler" "$2" "$work/done" "$1"
	timeout 10 "$mtrace" report "$2" >"$work/report" 2>&1 || [ $? -lt 3 ] || fail "a report of what is written over" "status $?"
}
for seed in $(seq "${SCRIBBLERS:-4}"); do
	if [ $((seed % 2)) = 0 ]; then
		SETTLE=0 MEMORY=1m beside "a second writer from the start, in a small segment, seed $seed" scribbled "$seed"
	else
		beside "a second writer, seed $seed" scribbled "$seed"
	fi
done

# What is in use stays. (Cut in what is in use there is SIGBUS, and no help: README, caveats.)
beside "a segment cut behind what is in use" "$tests/programs/cut.py"

# ---- clocks and pids ----

if unshare -T --monotonic 100000000 true 2>/dev/null; then
	around=(unshare -T --monotonic 100000000)
	ran "a monotonic clock three years ahead" yes memory=64m -- "$crowd" threads 50 65536
	around=()
else
	skip "a monotonic clock three years ahead" "this needs a time namespace of its own"
fi

clear_segments
if unshare -pf --mount-proc bash -c 'echo 500 >/proc/sys/kernel/ns_last_pid' 2>/dev/null; then
	unshare -pf --mount-proc bash -c 'for i in 1 2 3 4; do
			echo 500 >/proc/sys/kernel/ns_last_pid
			env LD_PRELOAD="$1" MTRACE_OPTIONS="dir=$2:keep=100" "$3" threads "$((i * 10))" 65536 >/dev/null
			sleep 0.02
		done' bash "$shim" "$segments" "$crowd" 2>"$work/err"
	for s in $(find "$segments" -name 'mtrace.501.*' | sort -t. -k3n -k4n); do
		json "$s" "$work/again.json" && query "$work/again.json" '.processes[0].by_kind.thread.alloc_blocks'
	done >"$work/said"
	expect "one pid, four times: each has its record" "10 20 30 40" "$(tr '\n' ' ' <"$work/said" | sed 's/ $//')"
else
	skip "one pid, four times" "this needs a pid namespace of its own"
fi
suite_end
