#!/bin/bash
# gate: programs that do their work in steps, judged by `mtrace gate`, GATE_TIMES times each (2; 20 in `make soak`), every time
# right: what leaks fails and is named, what does not passes, what was not seen in full is inconclusive. Then windows from
# outside, services, scale, policies, baselines, suppressions, proofs of a fix, and what is refused.
. "$(dirname "$0")/../lib/suite.sh"
times=${GATE_TIMES:-2}
victim=$victims/victim_gate
export MTRACE_OPTIONS="dir=$segments"

# gate ARG…: status in $status, page in $work/out
gate() {
	bounded 120 "$mtrace" gate "$@" >"$work/out" 2>"$work/err"
	status=$?
}

# right NAME STATUS FUNCTION ARG…: FUNCTION ("" none) stands first in the stack of each finding
right() {
	local name=$1 wanted=$2 function=$3 got
	shift 3
	: >"$work/said"
	for _ in $(seq "$times"); do
		gate "$@"
		[ "$status" = "$wanted" ] || echo "status $status: $(head -1 "$work/out") $(tail -1 "$work/err")" >>"$work/said"
		got=$(awk '/^ *[0-9]+  leak/ { n++; want = 1; next } want && / <- your code|^     [^ ]+ +[^ ]*$/ { print $1; want = 0 }' "$work/out" | sort -u | tr '\n' ' ')
		[ "$wanted" != 1 ] || [ "$got" = "$function " ] || echo "finds: $got" >>"$work/said"
		[ "$wanted" != 0 ] || ! grep -q '^ *[0-9]\+  leak' "$work/out" || echo "a finding: $got" >>"$work/said"
		[ -z "$(find "$segments" -mindepth 1)" ] || echo "something is left in the directory of segments" >>"$work/said"
	done
	verdict "$name: status $wanted${function:+, $function}, $times of $times" "$work/said"
}

# ---- victims ----
steps="--phase warmup:20 --phase work:1000/32 --mark step"
right "16 B for each iteration" 1 hold $steps -- "$victim" leak 1020
right "ten windows" 1 hold --phase warmup:20 --phase work:1000/10 -- "$victim" leak 1020
right "one block each 50 iterations" 1 hold --phase warmup:20 --phase work:10000/32 -- "$victim" rare 10020
right "one thread of eight" 1 hold $steps -- "$victim" thread 1020
right "a cache with a bound" 0 "" $steps -- "$victim" cache 1020 600
right "a cache that reaches its bound late" 0 "" $steps -- "$victim" cache 1020 850
right "an LRU cache at its bound, filled by another path" 0 "" $steps -- "$victim" lru 1020
right "a pool that doubles" 0 "" $steps -- "$victim" pool 1020
right "lazy frees, a period that divides the windows" 0 "" --phase warmup:20 --phase work:1000/10 -- "$victim" lazy 1020 100
right "lazy frees, a window and a step" 0 "" --phase warmup:20 --phase work:1000/10 -- "$victim" lazy 1020 101
right "lazy frees, a period that does not" 0 "" $steps -- "$victim" lazy 1020 77
right "once, on the 30th iteration" 0 "" $steps -- "$victim" init 1020
right "the same, and no warm-up" 0 "" --phase work:1000/32 -- "$victim" init 1020
right "steps with long flats between" 1 hold $steps -- "$victim" rungs 1020 100
right "a spike" 0 "" $steps -- "$victim" spike 1020
right "a child for each request" 0 "" --phase warmup:5 --phase work:200/20 -- "$victim" forks 205
right "the same, and the parent leaks" 1 hold --phase warmup:5 --phase work:200/20 -- "$victim" forkleak 205
right "a child that leaks" 1 hold --phase warmup:20 --phase work:600/32 -- "$victim" child 620 1
right "a child that does not" 0 "" --phase warmup:20 --phase work:600/32 -- "$victim" child 620 0
right "a library that is unloaded" 1 truth_leak_a $steps -- "$victim" library 1020
right "a program that the shell starts" 1 hold $steps -- sh -c "$victim leak 1020; true"
right "it frees all at its end" 1 hold $steps -- "$victim" tidy 1020
expect "what it held before that is told" 1 "$(grep -c '^  total .* 15.94 KiB live in 1 020 blocks' "$work/out")"
right "traffic alone" 0 "" $steps -- "$victim" none 1020

# ---- never a pass ----
# closed NAME WORDS ARG…: inconclusive, and says WORDS
closed() {
	local name=$1 words=$2
	shift 2
	right "$name" 3 "" "$@"
	grep -q -- "$words" "$work/out" && pass "$name: says so" || fail "$name: says so" "$(head -1 "$work/out")"
}
closed "it stops early" '^INCONCLUSIVE  510 of 1 020 marks came\|^INCONCLUSIVE  510 of 1020 marks came' $steps -- "$victim" early 1020
closed "fewer marks than asked for" '500 of 1020 marks came' $steps -- "$victim" leak 500
closed "it allocates nothing" 'no allocation was seen while it worked' $steps -- "$victim" idle 1020
closed "it does nothing" 'no mark step came: put mtrace_mark' $steps -- true
closed "it crashes" 'marks came' $steps -- "$victim" crash 1020
closed "another mark" 'no mark other came' --phase work:100 --mark other -- "$victim" leak 1020
VICTIM_STATUS=4 closed "it fails itself" 'the command itself failed: exit status 4' $steps -- "$victim" none 1020
VICTIM_STATUS=4 right "it fails itself, and leaks" 1 hold $steps -- "$victim" leak 1020
grep -q '(exit status 4)' "$work/out"
expect "its status is shown" 0 $?
times=1
gate $steps --bisect -- "$victim" early 1020
expect "git bisect skips it" 125 "$status"

# ---- the page ----
page() { sed "s,$victims/,,g" "$work/out"; }
gate $steps -- "$victim" leak 1020
page >"$work/page"
gate $steps -- "$victim" leak 1020
expect "two runs, one page" 0 "$(page | cmp -s - "$work/page"; echo $?)"
for words in '^FAIL  1 stack grows with the work that is done$' '^  work .* 1 000 iterations in 64 windows, each ends at a mark "step"$' \
	'^  warm-up .* 20 left out, as asked; steady from then on$' '^  sight .* would have caught >= .* B per iteration over 1 000 iterations' \
	'+16 B per iteration (+16 B to +16 B), +15.62 KiB in 1 000 blocks' 'rises all along to the end' \
	'^leak:' 'if it is a cache that fills: give it more work'; do
	grep -q -- "$words" "$work/page" && pass "says: $words" || fail "says: $words" "$(head -c 900 "$work/page")"
done
grep -qE '0x[0-9a-f]{4}|pid' "$work/page"
expect "no addresses and no pids" 1 $?

# ---- from outside ----
right "by time: a leak" 1 hold --every 0.05s --phase warmup:2 --phase work:40 -- "$victim" paced 900
right "by time: none" 0 "" --every 0.05s --phase warmup:2 --phase work:40 -- "$victim" child 900 0
closed "by time: it ends before" 'ticks came' --every 0.05s --phase work:400 -- "$victim" paced 200
right "twice the work: a leak" 1 hold --scale 'N={1,4}' -- "$victim" leak '${N}00'
right "twice the work, in the environment" 1 hold --scale 'N={100,400}' -- sh -c "exec $victim leak \$N"
right "twice the work: a cache" 0 "" --scale 'N={1,4}' -- "$victim" cache '${N}00' 50
right "three times: a cache that was full in between" 0 "" --scale 'N={1,2,4}' -- "$victim" cache '${N}00' 150
right "three times: a leak" 1 hold --scale 'N={1,2,4}' -- "$victim" leak '${N}00'
VICTIM_STATUS=1 closed "twice the work: it fails" 'the command failed: exit status 1' --scale 'N={1,4}' -- "$victim" leak '${N}00'

# ---- a policy ----
policy() { printf '%s\n' "$@" >"$work/policy"; }
policy 'max stack ^hold$ growth 16B  # as it is'
gate $steps --policy "$work/policy" -- "$victim" leak 1020
expect "growth that is allowed" 0 "$status"
policy 'max stack ^hold$ growth 15B'
gate $steps --policy "$work/policy" -- "$victim" leak 1020
expect "a little more than that" "1 1" "$status $(grep -c 'rule     max stack ^hold$ growth 15B' "$work/out")"
policy 'max module victim_gate growth 1KiB' 'max total live 1KiB' 'max total peak 1MiB'
gate $steps --policy "$work/policy" -- "$victim" leak 1020
expect "a bound of the total" "1 1 1" "$status $(grep -c 'budget  total' "$work/out") $(grep -c 'max total peak 1MiB' "$work/out")"
policy 'max total peak 1KiB'
gate $steps --policy "$work/policy" -- "$victim" none 1020
expect "a bound of the peak" 0 "$status"
gate $steps --policy "$work/policy" -- "$victim" cache 1020 300
expect "the peak is above it" 1 "$status"
policy 'max stack hold live 10KiB' 'require drops 0' 'require symbols 50%'
gate $steps --policy "$work/policy" -- "$victim" cache 1020 300
expect "a bound of a stack" "1 2" "$status $(grep -c 'require' "$work/out")"
policy 'require symbols 100.5%'
gate $steps --policy "$work/policy" -- "$victim" none 1020
expect "what is demanded and not so" "1 1" "$status $(grep -c '^ *1  require  symbols' "$work/out")"
for line in 'max total' 'max total live' 'max total live much' 'max stack live 1k' 'max stack "a live 1k' 'require drops none' 'min total live 1k' \
	'max total live -1' 'max baseline 3' 'require symbols 95% please'; do
	policy "$line"
	gate $steps --policy "$work/policy" -- "$victim" none 1020
	expect "refused: $line" "2 1 0" "$status $(grep -c "policy:1: " "$work/err") $(wc -l <"$work/out")"
done

# ---- suppressions ----
printf '# mtrace: reason="it is a test" owner=nobody max=1MiB\nleak:^hold$\nleak:never_there\n' >"$work/accepted"
gate $steps --suppressions "$work/accepted" -- "$victim" leak 1020
expect "accepted, with its reason" "0 1 1" "$status $(grep -c '1  accepted' "$work/out") $(grep -c 'it is a test' "$work/out")"
expect "one that is not needed is named" 1 "$(grep -c 'leak:never_there was not needed' "$work/out")"
printf '# mtrace: reason="it is a test" owner=nobody max=1KiB\nleak:^hold$\n' >"$work/accepted"
gate $steps --suppressions "$work/accepted" -- "$victim" leak 1020
expect "one that covers more than it may" 1 "$status"
printf '# mtrace: reason="it was a test" owner=nobody until=2020-01-31\nleak:^hold$\n' >"$work/accepted"
gate $steps --suppressions "$work/accepted" -- "$victim" leak 1020
expect "one that has expired" "1 1" "$status $(grep -c 'has expired' "$work/out")"

# ---- a baseline ----
gate $steps --baseline "$work/baseline" -- "$victim" cache 1020 300
expect "no baseline yet" "2 1" "$status $(grep -c -- '--update-baseline writes it' "$work/err")"
gate $steps --baseline "$work/baseline" --update-baseline -- "$victim" cache 1020 300
expect "written" 0 "$status"
expect "sorted, without addresses" "0 0" "$(tail -n +2 "$work/baseline" | sort -c -k3; echo $?) $(grep -c 0x "$work/baseline")"
gate $steps --baseline "$work/baseline" -- "$victim" cache 1020 300
expect "the same again" "0 1" "$status $(grep -c 'baseline: 58.59 KiB then, 58.59 KiB now' "$work/out")"
gate $steps --baseline "$work/baseline" -- "$victim" cache 1020 309
expect "three per cent more" "1 2" "$status $(grep -c '^ *[0-9]  baseline' "$work/out")"
gate $steps --baseline "$work/baseline" -- "$victim" cache 1020 303
expect "one per cent more" 0 "$status"
policy 'max baseline 0.5%'
gate $steps --baseline "$work/baseline" --policy "$work/policy" -- "$victim" cache 1020 303
expect "one per cent, where half of one is allowed" 1 "$status"
mkdir "$work/rebuilt"
sed 's/^enum { MOST/char padding(int x) { return (char)(x * 3); }\n&/' "$tests/programs/victims/victim_gate.c" >"$work/rebuilt/victim_gate.c"
gcc -std=gnu11 -O2 -g -fomit-frame-pointer -D_GNU_SOURCE -I"$root/libmtrace" "$work/rebuilt/victim_gate.c" -o "$work/rebuilt/victim_gate" -lpthread -ldl
gate $steps --baseline "$work/baseline" -- "$work/rebuilt/victim_gate" cache 1020 300
expect "a rebuild is no difference" "0 1" "$status $(grep -c 'baseline: 58.59 KiB then, 58.59 KiB now' "$work/out")"
cp "$work/baseline" "$work/kept"
gate $steps --baseline "$work/baseline" --update-baseline -- "$victim" early 1020
expect "a run that was not whole changes nothing" "3 0" "$status $(cmp -s "$work/baseline" "$work/kept"; echo $?)"
echo '<<<<<<< ours' >>"$work/baseline"
gate $steps --baseline "$work/baseline" -- "$victim" cache 1020 300
expect "a merge that was not finished" "2 1" "$status $(grep -c 'is no line of a baseline' "$work/err")"

# ---- the proof of a fix ----
gate $steps --recording "$work/leak.mtr" -- "$victim" leak 1020
expect "the run is saved" "1 1" "$status $(grep -c "^next   mtrace leaks $work/leak.mtr" "$work/out")"
gate $steps --expect-gone '^hold$' --from "$work/leak.mtr" -- "$victim" leak 1020
expect "it leaks still" "1 1" "$status $(grep -c 'it ran, and it leaks still' "$work/out")"
cat >"$work/fixed.c" <<'END'
#include <mtrace.h>
#include <stdlib.h>
#include <string.h>
__attribute__((noinline, noclone)) static void hold(size_t size)
{
	void *volatile block = malloc(size);
#ifdef FIXED
	free(block);
#endif
}
int main(int argc, char **argv)
{
	for (int i = 0; i < atoi(argv[1]); i++) {
		if (argc < 3)
			hold(16);
		free(strdup("traffic"));
		mtrace_mark("step");
	}
}
END
gcc -O2 -g -I"$root/libmtrace" "$work/fixed.c" -o "$work/app" && gate $steps --recording "$work/before.mtr" -- "$work/app" 1020
expect "before the fix" 1 "$status"
id=$("$mtrace" report --json "$work/before.mtr" | jq -r '[.processes[0].stacks[] | select(any(.frames[]; .function == "hold"))][0].id')
gcc -O2 -g -DFIXED -I"$root/libmtrace" "$work/fixed.c" -o "$work/app" && gate $steps --expect-gone "$id" --from "$work/before.mtr" -- "$work/app" 1020
expect "fixed" "0 1" "$status $(grep -c "ran, and leaks no more" "$work/out")"
gate $steps --expect-gone "$id" --from "$work/before.mtr" -- "$work/app" 1020 without
expect "it did not run: nothing is proven" "3 1" "$status $(grep -c "did not run: nothing is proven" "$work/out")"
gate $steps --expect-gone nowhere --from "$work/before.mtr" -- "$work/app" 1020
expect "no such stack" 2 "$status"

# ---- itself ----
gate --self-test
expect "the self-test" "0 2" "$status $(grep -c ^PASS "$work/out")"
gate --self-test -- true
expect "the self-test takes no command" 2 "$status"

# ---- a service ----
cat >"$work/service.py" <<'END'
import os, signal, socket, sys, threading, time
held = []
def free_all():
    while held:
        held.pop()
        time.sleep(0.002)
signal.signal(signal.SIGUSR1, lambda *_: threading.Thread(target=free_all).start())
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
while True:
    c, _ = s.accept()
    for i in range(100):
        block = os.urandom(3000)
        if len(sys.argv) > 2 and (sys.argv[2] == "waits" or i % 10 == 0):
            held.append(block)
    c.sendall(b"done")
    c.close()
END
ask="/usr/bin/python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(9)' $work/socket"
serve() { rm -f "$work/socket"; PYTHONMALLOC=malloc gate --ready "test -S $work/socket" --load "$ask" --phase warmup:4 --phase work:24 "$@"; }
serve -- /usr/bin/python3 "$work/service.py" "$work/socket"
expect "a service that does not leak" "0 1" "$status $(grep -c '24 loads in 24 windows' "$work/out")"
serve -- /usr/bin/python3 "$work/service.py" "$work/socket" leaks
expect "one that does, and is stopped" "1 1" "$status $(grep -c '(stopped by the gate)' "$work/out")"
serve -- /usr/bin/python3 "$work/service.py" "$work/socket" waits
expect "one that frees when it is told to, and is not" "1 0" "$status $(grep -c "collector" "$work/out")"
serve --settle 'kill -USR1 $PID' -- /usr/bin/python3 "$work/service.py" "$work/socket" waits
expect "one that is, and goes on with it when it has been" "0 1" \
	"$status $(sed -n 's/.* it settled 25 times, when \([0-9.]*\) MiB of [0-9]* stacks\? were freed, which had waited; most: [^ ].*/\1/p' "$work/out" | awk '$1 >= 6 && $1 <= 10' | wc -l)"
serve --settle true -- /usr/bin/python3 "$work/service.py" "$work/socket"
expect "one for which nothing has to wait" "0 1" "$status $(grep -c 'it settled 25 times' "$work/out")"
serve --settle false -- /usr/bin/python3 "$work/service.py" "$work/socket"
expect "settling fails" "3 1" "$status $(grep -c -- '--settle failed: exit status 1' "$work/out")"
gate --load 'exit 3' --phase work:10 -- sleep 60
expect "the load fails" "3 1" "$status $(grep -c -- '--load failed: exit status 3' "$work/out")"
gate --load true --phase work:10 -- true
expect "it ends under the load" 3 "$status"

"$mtrace" gate $steps -- sleep 50 >"$work/out" 2>"$work/err" &
gating=$!
background+=($gating)
has_child() { pgrep -P $gating -x sleep >"$work/sleeper"; }
within 20 has_child
kill -TERM $gating
wait $gating
expect "interrupted: the command is ended, and no verdict" "3 1 0" \
	"$? $(grep -c '^INCONCLUSIVE  the gate was interrupted (signal 15)' "$work/out") $(ps -o comm= -p "$(cat "$work/sleeper")" | grep -c sleep)"

# ---- what is refused ----
# refused WORDS ARG…
refused() {
	local words=$1
	shift
	gate "$@"
	[ "$status" = 2 ] && [ ! -s "$work/out" ] && grep -q -- "$words" "$work/err" && [ "$(wc -l <"$work/err")" = 1 ] && pass "refused: $*" ||
		fail "refused: $*" "status $status: $(head -c 200 "$work/err")"
}
refused 'no command given' --phase work:10
refused 'how many marks must come' -- true
refused 'takes warmup:N' --phase work -- true
refused 'takes warmup:N' --phase work:10/ -- true
refused 'takes warmup:N' --phase work:-1 -- true
refused 'a verdict takes 8' --phase work:7 -- true
refused '120 windows at most' --phase work:1000/121 -- true
refused 'more windows than steps' --phase work:10/10 -- true
refused 'command not found' --phase work:10 -- ./nosuch
refused 'takes a variable and two values' --scale N=1 -- true
refused 'takes a variable and two values' --scale 'N={4,1}' -- true
refused 'runs that end by themselves' --scale 'N={1,4}' --phase work:10 -- true
refused 'takes TERM' --stop NOW --load true -- true
refused 'go together' --expect-gone x --phase work:10 -- true
refused 'goes with --load or --every' --settle true --phase work:10 -- true
refused 'which file' --update-baseline --phase work:10 -- true
suite_end
