#!/bin/bash
# instructions: what tracking adds to one malloc and its free, in instructions (callgrind): the repeatable part of cost.
#
# Slopes: (of 2 N pairs - of N pairs) / N, less the same of the untracked program, so neither start nor end counts. The
# programs are tests/bench's. A bound is raised only with the reason in the commit that raises it. `make bench` shows
# these figures beside the times. Callgrind counts user code only; page faults and system calls are in the times.
. "$(dirname "$0")/../lib/suite.sh"
bench=$BUILD/tests/bench

# Where every event is kept, both runs fit into the parts that there are (327 360 events), so that none is dropped: 80 more.
# What is added at most: NAME | BOUND | N | OPTIONS | PROGRAM ARGUMENTS, with N for the pairs.
table() {
	cat <<-END
		memo hit, 12 frames deep|385|60000||micro N 12
		memo hit, 40 frames deep|585|30000||micro N 40
		two inner frames change, 12 deep|490|40000||paths 16 16 N 2 10 next
		ten inner frames change, 200 stacks at random|1310|40000||paths 200 200 N 10 2
		cold, every stack new, 12 deep|6200|20000||paths N 1 0 10 2
		blocks of 8 to 1 000 bytes, 1 000 of them, replaced at random|405|50000||larson 1 1000 N 1
		no stacks (unwind=none)|415|100000|unwind=none|micro N 12
		memo hit, 12 frames deep, every event kept (--events)|475|60000|events=3600000|micro N 12
		a JNI reference, 12 frames deep|615|60000||jni N 12 pair
		a JNI reference that is refused|30|60000||jni N 12 null
		memo hit, 25 frames of a JVM|1145|10000||hotspot N 18 1
		cold, all Java frames of 25 other than before|4530|5000||hotspot N 18 2
		60 Java frames other than before, 32 of them kept|8700|2000|depth=32|hotspot N 60 2
		dormant (mode=off)|45|200000|mode=off|micro N 12
	END
}

# collected PAIRS OPTIONS PROGRAM ARGUMENTS: instructions of the whole run; OPTIONS "untracked": without the shim
collected() {
	local pairs=$1 options=$2 around=()
	shift 2
	[ "$options" = untracked ] ||
		around=(env LD_PRELOAD="$shim" MTRACE_OPTIONS="dir=$segments:memory=256m${options:+:$options}")
	set -- "${@/#N/$pairs}"
	bounded 120 "${around[@]}" valgrind --tool=callgrind --callgrind-out-file="$work/callgrind" "$bench/$1" "${@:2}" \
		2>"$work/err" >"$work/out"
	sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$work/err"
	note_recorded
	clear_segments
}

# The most allocations that one of the run's segments has, in $work/recorded (valgrind's own launcher leaves one too): a
# shim that was not there adds nothing, cheaply.
note_recorded() {
	local segment
	find "$segments" -name 'mtrace.*' | while read -r segment; do
		bounded 60 "$mtrace" report --json -n 1 "$segment" >"$work/report" 2>/dev/null
		query "$work/report" '.processes[0] | [.totals.alloc_blocks, (.by_kind["jni-global"].alloc_blocks // 0)] | max'
	done | sort -n | tail -1 >"$work/recorded"
}

# is_recorded PAIRS OPTIONS PROGRAM ARGUMENTS: the last run's allocations are there; or none when it was dormant; or the
# few of its start, where nothing else was to be recorded
is_recorded() {
	local seen
	seen=$(cat "$work/recorded")
	case "${*:2}" in
	*mode=off*) [ "${seen:-0}" = 0 ] ;;
	*jni*null) [ "${seen:-0}" -gt 0 ] && [ "$seen" -lt 100 ] ;;
	*) [ "${seen:-0}" -ge "$1" ] ;;
	esac
}

# per_pair N OPTIONS PROGRAM ARGUMENTS
per_pair() {
	local n=$1 options=$2 once twice
	shift 2
	once=$(collected "$n" "$options" "$@")
	twice=$(collected $((2 * n)) "$options" "$@")
	[ -n "$once" ] && [ -n "$twice" ] && echo $(((twice - once) / n))
}

command -v valgrind >/dev/null || { fail "valgrind" "not installed"; suite_end; }
while IFS='|' read -r name bound n options program; do
	read -ra words <<<"$program"
	plain=$(per_pair "$n" untracked "${words[@]}")
	tracked=$(per_pair "$n" "$options" "${words[@]}")
	if [ -z "$plain" ] || [ -z "$tracked" ]; then
		fail "$name" "callgrind: $(tail -c 200 "$work/err")"
	elif [ "$plain" -lt 15 ]; then
		fail "$name" "the program itself takes $plain instructions a pair: it does not allocate"
	elif [ "$tracked" -le "$plain" ]; then
		fail "$name" "nothing was added: the shim was not there"
	elif ! is_recorded $((2 * n)) "$options" "${words[@]}"; then
		fail "$name" "$(cat "$work/recorded") allocations recorded of $((2 * n))"
	elif [ $((tracked - plain)) -le "$bound" ]; then
		pass "$name: $((tracked - plain)), bound $bound"
	else
		fail "$name: $((tracked - plain)), bound $bound" "(untracked $plain)"
	fi
done < <(table)
suite_end
