#!/bin/bash
# outputs: what the commands write, and where it goes wrong: full disks, closed descriptors, outputs that would destroy a
# record, nothing to show; recordings and segments that are cut or damaged at any byte say so and hurt nobody.
. "$(dirname "$0")/../lib/suite.sh"
cd "$work" || exit 2

# told NAME STATUS WORDS COMMAND…: that status, and one line on stderr with those words
told() {
	local name=$1 status=$2 words=$3 got
	shift 3
	bounded 20 "$@" >out 2>err
	got=$?
	[ "$got" = "$status" ] && [ "$(wc -l <err)" = 1 ] && grep -qF -- "$words" err && pass "$name" ||
		fail "$name" "status $got: $(head -c 300 err)"
}

# says NAME WORDS COMMAND…: status 0, nothing on stderr, and those words on stdout
says() {
	local name=$1 words=$2 got
	shift 2
	bounded 20 "$@" >out 2>err
	got=$?
	[ $got = 0 ] && [ ! -s err ] && grep -qF -- "$words" out && pass "$name" || fail "$name" "status $got: $(head -c 200 err) $(tail -3 out)"
}

cat >maps.c <<'END'
#include <sys/mman.h>
int main(void)
{
	char *p = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p[0];
}
END
cat >frees.c <<'END'
#include <stdlib.h>
int main(void)
{
	void *volatile p = malloc(100);
	free(p);
	return 0;
}
END
printf '#include <unistd.h>\nint main(void) { _exit(0); }\n' >none.c
for program in maps frees none; do
	gcc -g -O1 $program.c -o $program
done
traced some.mtr sh -c 'exit 0' 2>err

# ---- nothing, or not what was asked for ----
traced maps.mtr ./maps 2>err
grep -q '1.00 MiB in 1 mapping live at the end' err && pass "mappings alone: the closing line" || fail "mappings alone: the closing line" "$(cat err)"
says "mappings alone are something" "1.00 MiB of 1.00 MiB live" "$mtrace" report maps.mtr
told "but nothing of kind malloc" 1 "nothing of kind malloc is live" "$mtrace" export --to folded maps.mtr
says "of every kind there is" "mmap;_start;" "$mtrace" export --to folded --kind all maps.mtr
traced frees.mtr ./frees 2>err
says "leaks: all was freed" "nothing is live" "$mtrace" leaks frees.mtr
says "report: all was freed" "nothing is live" "$mtrace" report frees.mtr
says "what was freed, ranked" "main" "$mtrace" report --allocated frees.mtr
says "and exported" ";main 100" "$mtrace" export --to folded --allocated frees.mtr
traced none.mtr ./none 2>err
grep -q '^mtrace: error: nothing was recorded: .* made none, or has an allocator of its own' err && pass "nothing at all: run says so" ||
	fail "nothing at all: run says so" "$(cat err)"
for command in report leaks "report --json" "export --to folded" "export --to json"; do
	told "nothing at all: $command" 1 "recorded no allocation" "$mtrace" $command none.mtr
done

# ---- outputs that cannot be written ----
told "a full disk: -o" 2 "not written in full" "$mtrace" report --json -o /dev/full some.mtr
told "a full disk: stdout" 2 "No space left" sh -c "'$mtrace' report some.mtr >/dev/full"
told "a full disk: symbolize" 2 "No space left" "$mtrace" symbolize -o /dev/full some.mtr
told "stdout closed" 2 "could not be written" sh -c "'$mtrace' report some.mtr >&-"
told "no such directory" 2 "cannot be written" "$mtrace" report -o no/such/file some.mtr
told "-o a directory" 2 "directory" "$mtrace" report -o . some.mtr
told "--search in what is none" 2 "not a directory" "$mtrace" report --search some.mtr some.mtr
told "--search nowhere" 2 "No such file" "$mtrace" symbolize --search nowhere some.mtr
told "a name too long, before the start" 125 "too long" "$mtrace" run -o "$(printf 'a%.0s' $(seq 300))" -- touch started
[ ! -e started ] && pass "and nothing was started" || fail "and nothing was started"
cp some.mtr kept.mtr
told "a report over its recording" 2 "would be lost" "$mtrace" report -o kept.mtr kept.mtr
told "an export over another recording" 2 "would be lost" "$mtrace" export --to json -o kept.mtr some.mtr
cmp -s some.mtr kept.mtr && pass "the recording is still there" || fail "the recording is still there"
"$mtrace" report -o text some.mtr 2>&- && "$mtrace" report some.mtr >out && sed -i 's/text/some.mtr/' text && cmp -s text out &&
	pass "stderr closed: nothing strays into the output" || fail "stderr closed: nothing strays into the output"
"$mtrace" report --json some.mtr | head -c 10 >out
status=${PIPESTATUS[0]}
[ "$status" = 0 ] || [ "$status" = 141 ] && pass "a reader that goes away" || fail "a reader that goes away" "status $status"

# A disk that is full when the recording is written: the record stays where it is, and mtrace ps has it.
apart=(unshare -m) # a mount of our own: as root, else as root of a user namespace
[ "$(id -u)" = 0 ] || apart=(unshare -rm)
if mkdir small && "${apart[@]}" true 2>/dev/null; then
	"${apart[@]}" bash -c "mount -t tmpfs -o size=4k tmpfs small && head -c 4096 /dev/zero >small/full && MTRACE_OPTIONS=dir=$segments '$mtrace' run -o small/x.mtr -- sh -c 'exit 5'
		echo status \$?; ls small" >out 2>err
	segment=$(find "$segments" -name 'mtrace.*' | head -1)
	[ "$(tr '\n' ' ' <out)" = "status 5 full " ] && grep -q "not saved: .*No space left.*still in $segments" err && [ -n "$segment" ] &&
		"$mtrace" report "$segment" >out 2>err && pass "no room for the recording: the segment is kept" ||
		fail "no room for the recording: the segment is kept" "$(cat out err | head -c 300)"
	clear_segments
else
	skip "no room for the recording" "no mount namespace here"
fi

# ---- cut and damaged, at any byte ----
# One line of trouble, or a report that says what is wrong with it; never a crash, never a silent difference.
cat >break.py <<'END'
import random, subprocess, sys
mtrace, path, step = sys.argv[1:4]
def report(target):
    p = subprocess.run([mtrace, "report", target], capture_output=True, text=True, timeout=20)
    return p.returncode, p.stdout.replace(target, "T"), p.stderr
whole = report(path)
with open(path, "rb") as f:
    data = f.read(3 << 20)
random.seed(4)
cases = [("cut", n, data[:n]) for n in range(0, len(data), int(step))]
for n in random.sample(range(len(data)), 60):
    damaged = bytearray(data)
    damaged[n] ^= 1 << random.randrange(8)
    cases.append(("flip", n, bytes(damaged)))
for what, n, bytes_now in cases:
    with open(path + ".bad", "wb") as f:
        f.write(bytes_now)
    code, out, err = report(path + ".bad")
    if code not in (0, 1, 2) or err.count("\n") != (code != 0):
        print(f"{what} at {n}: status {code}: {err[:200]!r}")
    elif code == 0 and sys.argv[4] == "sealed" and not ("damaged" in out or "cut" in out):
        print(f"{what} at {n}: not a word of it")
END
python3 break.py "$mtrace" some.mtr 13 sealed >said 2>&1
verdict "a recording cut or damaged" said
preload -- sh -c 'kill -KILL $$' 2>/dev/null
cp --sparse=always "$(find "$segments" -name 'mtrace.*' | head -1)" segment
python3 break.py "$mtrace" segment 40009 open >said 2>&1
verdict "a segment cut or damaged" said
suite_end
