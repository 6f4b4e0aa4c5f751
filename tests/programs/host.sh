#!/bin/bash
# host: what the host does to itself or its surroundings must not be made worse by us: closed descriptors, limits,
# locked memory, storms of threads, forks and libraries, segments that cannot be made, hostile directories.
. "$(dirname "$0")/../lib/suite.sh"

# safe NAME [OPTIONS] -- COMMAND: the same output, status and silence as untracked.
safe() {
	local name=$1 options=() status plain
	shift
	[ "$1" = -- ] || { options=("$1"); shift; }
	shift
	bounded 120 "$@" >"$work/out.plain" 2>"$work/err.plain"
	plain=$?
	bounded 120 env LD_PRELOAD="$shim" MTRACE_OPTIONS="dir=$segments${options:+:${options[0]}}" "$@" >"$work/out" 2>"$work/err"
	status=$?
	if [ $status != $plain ]; then
		fail "$name" "status $status, untracked $plain: $(tail -c 300 "$work/err")"
	elif ! cmp -s "$work/out.plain" "$work/out"; then
		fail "$name" "another output than untracked: $(head -c 200 "$work/out")"
	elif [ "$(grep -c . "$work/err")" -gt $((1 + $(grep -c . "$work/err.plain"))) ]; then
		fail "$name" "more than one line on stderr: $(head -c 300 "$work/err")"
	else
		pass "$name"
	fi
}

safe "closes every descriptor" -- "$victims/victim_spin" closefds
safe "sets RLIMIT_FSIZE for itself" -- "$victims/victim_spin" limitfs
safe "sets RLIMIT_AS for itself" -- "$victims/victim_spin" limitas
safe "mlockall" -- "$victims/victim_spin" mlock
safe "stacks of 3000 frames" -- "$victims/victim_spin" deep
safe "every usable byte written" -- "$victims/victim_spin" wild
safe "storm of threads, forks, libraries and signals" -- "$victims/victim_spin" storm "${STORM_SECONDS:-5}"
safe "dormant" mode=off -- "$victims/victim_spin" wild
safe "without stacks" unwind=none -- "$victims/victim_spin" wild
safe "one frame" depth=1 -- "$victims/victim_spin" deep
safe "little memory" memory=1m -- "$victims/victim_truth" "$work/t" return
safe "options that do not exist" nonsense=1:depth=x:=: -- "$victims/victim_spin" wild
safe "a directory that does not exist" "dir=$work/nowhere" -- "$victims/victim_spin" wild
safe "no environment" -- env -i LD_PRELOAD="$shim" /bin/true
safe "file size limit 0" -- bash -c "ulimit -f 0; exec '$victims/victim_spin' wild"
safe "address space 64 MiB" -- bash -c "ulimit -v 65536; exec '$victims/victim_spin' wild"
safe "no descriptors to be had" -- bash -c "ulimit -n 3; exec '$victims/victim_spin' wild"
safe "a shell with a pipeline" -- bash -c 'for i in $(seq 20); do echo $i; done | sort -rn | head -3'
safe "stack of 64 KiB" -- bash -c "ulimit -s 64; exec '$victims/victim_spin' wild"

# An exit status of each kind comes through mtrace run.
through() {
	local want=$1 got
	shift
	traced "$work/rec.mtr" "$@" >/dev/null 2>"$work/err"
	got=$?
	[ $got = "$want" ] && pass "mtrace run: status $want ($*)" || fail "mtrace run: status" "$got, expected $want of $*"
}
through 3 sh -c 'exit 3'
through 143 sh -c 'kill -TERM $$'
through 127 "$work/no-such-program"
touch "$work/not-executable"
through 126 "$work/not-executable"

# A segment that somebody scribbles into, or cuts short, must not hurt the host.
hurt() {
	local name=$1 how=$2 pid status
	clear_segments
	rm -f "$work/truth"
	preload -- "$victims/victim_truth" "$work/truth" exit 8 200000 >"$work/out" 2>"$work/err" &
	pid=$!
	within 10 has_segment $pid
	sleep 0.1
	eval "$how" "$(segment_of $pid)"
	wait $pid
	status=$?
	[ $status = 7 ] && pass "$name" || fail "$name" "the host ended with $status: $(tail -c 200 "$work/err")"
}
scribble() {
	python3 - "$1" <<'END'
import os, random, sys
random.seed(1)
f = os.open(sys.argv[1], os.O_RDWR)
size = os.fstat(f).st_blocks * 512
for i in range(20000):
    os.pwrite(f, random.randbytes(8), random.randrange(4096, max(size, 8192)) & ~7)
END
}
hurt "a segment that is scribbled over" scribble
hurt "a segment that is unlinked" "rm -f"
suite_end
