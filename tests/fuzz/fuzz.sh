#!/bin/bash
# fuzz: runs the harnesses one after another, FUZZ_SECONDS each (30): `make fuzz`, FUZZ="segment cfi" picks some.
#
# Seeds are made here: a segment and a recording of a short run, the unwind tables of a small program, the stored
# recordings of tests/compat. What libFuzzer finds is kept in $BUILD/fuzz/found/, the corpus in $BUILD/fuzz/corpus/, so that
# the next run goes on from there; what was found before is tried first. Ends with 1 when anything was found.
#
# What each target had so far, over all sessions, is kept in tests/fuzz/RESULTS.md (FUZZ_RESULTS=FILE), and printed.
. "$(dirname "$0")/../lib/suite.sh"
fuzz=$BUILD/fuzz
corpus=$fuzz/corpus
found=$fuzz/found
mkdir -p "$found"
limit=${FUZZ_SECONDS:-30}
results=${FUZZ_RESULTS:-$tests/fuzz/RESULTS.md}
cd "$root" || exit 2 # what a harness is made of is named from here

seed() {
	mkdir -p "$corpus/$1"
	[ $# -lt 2 ] || printf "$3" >"$corpus/$1/$2"
}

seed_segment() {
	seed segment
	preload memory=2m:log=nothing:events=60000 -- "$victims/victim_truth" "$work/truth" return 3 300 >/dev/null
	preload memory=1m:log=nothing -- "$victims/victim_mmap" "$work/truth" exit >/dev/null
	local newest
	newest=$(find "$segments" -name 'mtrace.*' -printf '%b %p\n' | sort -n | tail -1 | cut -d' ' -f2)
	[ -n "$newest" ] || return 1
	cp --sparse=always "$newest" "$fuzz/segment"
	for n in $(seq 0 26); do # the head, then one region each
		printf "\\x$(printf %02x "$n")\\x40\\x00\\x00\\x00\\x07\\xff\\xff\\xff\\xff\\x00\\x00\\x00\\x01" >"$corpus/segment/region-$n"
	done
	printf '\xff\x00\x90\x00\x00\x00' >"$corpus/segment/cut"
}

seed_recording() {
	seed recording
	traced "$work/events.mtr" env MTRACE_OPTIONS="dir=$segments:events=60000" ls / >/dev/null 2>&1
	FUZZ_SEED_FROM=$work/events.mtr FUZZ_SEED=$corpus/recording/events.chunks "$fuzz/fuzz_recording"
	for rec in "$tests"/compat/*.mtr; do
		FUZZ_SEED_FROM=$rec FUZZ_SEED=$corpus/recording/$(basename "$rec").chunks "$fuzz/fuzz_recording"
		{ printf '\0'; cat "$rec"; } >"$corpus/recording/$(basename "$rec")"
	done
}

seed_options() {
	seed options all 'mode=off:dir=/tmp:memory=64m:depth=7:unwind=none:follow=a*,b?c:keep=3:log=start'
	seed options glob 'cc1*,??d,*\nchild'
	seed options odd ':=:a=:=b:memory=18446744073709551616:depth=-1:memory=1t'
}

# Header and frames of this very program, which lie side by side in the file; pcs of its first functions.
seed_cfi() {
	seed cfi
	python3 - "$victims/victim_threads" "$corpus/cfi" <<'END'
import re, struct, subprocess, sys
out = subprocess.run(["readelf", "-SW", sys.argv[1]], capture_output=True, text=True).stdout
where = {m[0]: (int(m[1], 16), int(m[2], 16), int(m[3], 16))
         for m in re.findall(r"(\.eh_frame(?:_hdr)?) +PROGBITS +(\S+) (\S+) (\S+)", out)}
(header, at, _), (frames, frames_at, size) = where[".eh_frame_hdr"], where[".eh_frame"]
data = open(sys.argv[1], "rb").read()[at:frames_at + size]
for n in range(6):
    first, = struct.unpack_from("<i", data, 12 + 8 * n)
    for extra in (0, 5):
        with open(f"{sys.argv[2]}/function-{n}-{extra}", "wb") as f:
            f.write(struct.pack("<Hi", frames - header, first + extra) + data)
END
}

seed_redact() {
	seed redact args 'mysql\0--password=abc\0-psecret\0--user\0joe\0--token\0ghp_0123456789abcdef0123456789abcdef0123'
	seed redact text 'curl https://joe:secret@example.com/x?token=abc&b=c\0AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEX'
}

seed_suppressions() {
	seed suppressions plain 'store::Cache::fill(int*)\n# known\n\nleak:^fill*$\n leak:libz.so\t\r\nleak:a^b$c\n'
	seed suppressions said 'main\n# mtrace: reason="a pool, bounded" owner=@me until=2027-01-31\n#mtrace: max=64KiB max-blocks=9 at=site caller="^main$"\nleak:^fill$\n'
	seed suppressions wrong 'f(char (*)(int))\nrace:x\n# mtrace: reson="open\n# mtrace: until=2027-02-30 max=x =\nleak:\n# mtrace: at=x'
}

seed_gate() {
	seed gate phase '0work:1000/10'
	seed gate scale '0N={1,2,4}'
	seed gate policy '1max stack "a b" growth 1KiB # as it is\nmax total peak 1GiB\nrequire symbols 95%%\nmax baseline 3%%\n'
	seed gate baseline '2# mtrace gate baseline 1\n160 10 malloc hold@app<main@app\n10 1 malloc ?@app\n'
}

seed_command() {
	seed command report '\6--json\0--by=site\0-n\0005\0001234'
	seed command run '\0-f\0-o\0x.mtr\0--\0ls'
	seed command odd '\7--to\0--to=\0-\0--\0--x'
}

seed_answer() {
	seed answer nmt '\0000\nTotal: reserved=9, committed=8\n-  Java Heap (reserved=1KB, committed=1KB)\n- GC (reserved=8, committed=7)\n'
	seed answer histogram '\0000\n num  #instances  #bytes  class name (module)\n   1:   9   2516888  [B (java.base@17)\nTotal 9 25\n'
	seed answer heap '\0000\n garbage-first heap   total 17408K, used 3702K [0x0)\n 12M used\n Metaspace used 7K\n'
	seed answer load '\0000\nreturn code: -1\n'
	seed answer arguments '\001java\0-cp\0x\0-Xrs\0Main\0JAVA_TOOL_OPTIONS=-XX:+DisableAttachMechanism -Xrs\0'
	seed answer status '\002Name:\tx\nSigCgt:\t0000000181005ccf\n'
}

# Small, with debug information, an inlined function, a symbol table and a build-id; the same stripped, and cut.
seed_elf() {
	local at
	seed elf
	gcc -x c -g -O2 -shared -fPIC -nostdlib -Wl,--build-id - -o "$fuzz/elf" <<'END'
static int inner(int x) { return x * x + 7; }
int outer(int x) { return inner(x) + inner(x + 1); }
int other(int x) { return outer(x) - 3; }
void *malloc(unsigned long n) { return (void *)n; }
END
	strip -o "$work/stripped" "$fuzz/elf"
	{ printf '\0'; head -c 15000 "$work/stripped"; } >"$corpus/elf/stripped"
	{ printf '\0'; head -c 2000 "$fuzz/elf"; } >"$corpus/elf/cut"
	for at in 16 18 32 40 52 54 56 58 60 62 64 72 96 104 512 8200 12300; do # offset, length 4
		printf "\\1\\x$(printf %02x $((at % 256)))\\x$(printf %02x $((at / 256)))\\0\\3\\377\\377\\0\\0" >"$corpus/elf/at-$at"
	done
}

# CPU of all that this shell has waited for, whole seconds: in $spent, since a subshell has waited for nothing.
look_at_times() {
	times >"$work/times"
	spent=$(tail -1 "$work/times" | tr 'ms' '  ' | awk '{ printf "%d", $1 * 60 + $2 + $3 * 60 + $4 }')
}

# last OF FIELD: its last value in the log
last() { grep -o "$1 *[0-9]*" "$work/log" | tail -1 | grep -o '[0-9]*$' || echo 0; }

# enter TARGET SECONDS: this session, into the page
enter() {
	"$tests/fuzz/ledger.py" add "$results" "$fuzz/fuzz_$1" seconds="$2" runs="$(last 'stat::number_of_executed_units:')" \
		features="$(last 'ft:')" corpus="$(find "$corpus/$1" -type f | wc -l)" \
		found="$(find "$found" -name "$1-*" ! -name "$1-slow-unit-*" | wc -l)"
}

for what in ${FUZZ:-segment recording options cfi redact suppressions gate command answer elf}; do
	mkdir -p "$corpus/$what"
	rm -f "$found/$what"-slow-unit-*
	find "$found" -name "$what-*" -exec mv -t "$corpus/$what" {} +
	"seed_$what" || { fail "$what" "its seeds could not be made"; continue; }
	look_at_times
	before=$spent
	bounded $((limit + 120)) "$fuzz/fuzz_$what" -max_total_time="$limit" -timeout=20 -rss_limit_mb=3000 -close_fd_mask=3 -max_len=16384 \
		-artifact_prefix="$found/$what-" -print_final_stats=1 "$corpus/$what" >"$work/log" 2>&1
	status=$?
	look_at_times
	cp "$work/log" "$fuzz/$what.log"
	enter "$what" $((spent - before))
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
	covered=$(grep -o 'cov: [0-9]*' "$work/log" | tail -1)
	if [ $status = 0 ] && [ "${runs:-0}" -gt 0 ]; then
		pass "$what: $runs runs, $covered"
	else
		fail "$what" "status $status: $(grep -m3 -E 'ERROR|runtime error|SUMMARY|does not hold|no segment' "$work/log" | tr '\n' ';') $(cd "$found" && ls "$what"-* 2>/dev/null | head -1)"
	fi
done
"$tests/fuzz/ledger.py" show "$results"
suite_end
