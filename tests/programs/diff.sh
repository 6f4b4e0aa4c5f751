#!/bin/bash
# diff: `mtrace diff` on real recordings: the same program twice, a rebuilt one whose every offset moved, with names and
# without, a running process against its baseline, a killed one; what cannot be compared is refused in one line.
. "$(dirname "$0")/../lib/suite.sh"
diff_json() { bounded 60 "$mtrace" diff --json "$@" >"$work/diff.json" 2>"$work/err"; }
# change FUNCTION: change, how it was joined, bytes and blocks, of the malloc row with that function in its stack
change() {
	query "$work/diff.json" ".rows[] | select(.kind == \"malloc\" and ([.frames[].function] | index(\"$1\")))
		| \"\(.change) \(.joined) \(.live_bytes_change) \(.live_blocks_change)\""
}
# Rows add up to the totals of each kind, and these to what report says.
adds_up() {
	jq -r '. as $d | .kinds[] | . as $k | [$d.rows[] | select(.kind == $k.kind)] |
		[(map(.a.live_bytes) | add // 0) - $k.a.live_bytes, (map(.b.live_bytes) | add // 0) - $k.b.live_bytes,
		 (map(.live_bytes_change) | add // 0) - $k.live_bytes_change, (map(.b.live_blocks) | add // 0) - $k.b.live_blocks] |
		select(any(. != 0)) | "\($k.kind) does not add up: \(.)"' "$work/diff.json" 2>&1
}
total() { "$mtrace" report --json "$1" | jq '.processes[0].totals.live_bytes'; }
has_lines() { [ "$(cat "$2" 2>/dev/null | wc -l)" -ge "$1" ]; }

source=$tests/programs/victims/diff_app.c
build() { gcc -std=gnu11 -O2 -g -fomit-frame-pointer -DVERSION="$1" "$source" -o "$2"; }
mkdir -p "$work/v1" "$work/v2"
build 1 "$work/v1/app" && build 2 "$work/v2/app" || { fail "victims built"; suite_end; }

traced "$work/a.mtr" "$work/v1/app" 2>"$work/err"
traced "$work/a2.mtr" "$work/v1/app" 2>"$work/err"
traced "$work/b.mtr" "$work/v2/app" 2>"$work/err"

# ---- the same program twice ----
diff_json "$work/a.mtr" "$work/a2.mtr"
expect "status" 0 $?
expect "the same program twice: nothing changed" "same" "$(query "$work/diff.json" '[.rows[].change] | unique | join(" ")')"
expect "all joined by id" "0 0" "$(query "$work/diff.json" '"\(.joined.names) \(.joined.none)"')"
adds_up >"$work/said"
verdict "totals add up, same program" "$work/said"

# ---- rebuilt: the build-id is another, every offset moved ----
[ "$(nm "$work/v1/app" | grep ' stays$')" != "$(nm "$work/v2/app" | grep ' stays$')" ] && pass "offsets moved" || fail "offsets moved"
diff_json "$work/a.mtr" "$work/b.mtr"
expect "grew" "grew names 32000 500" "$(change grows)"
expect "new" "new none 7777 1" "$(change comes)"
expect "gone" "gone none -4444 -1" "$(change goes)"
expect "same" "same names 0 0" "$(change stays)"
expect "two places of one function are one row" "grew names 200 0" "$(change twice)"
expect "and it says so" "1 2 2" "$(query "$work/diff.json" '"\(.joined.ambiguous) " + (.rows[] |
	select([.frames[].function] | index("twice")) | "\(.stacks_a) \(.stacks_b)")')"
adds_up >"$work/said"
verdict "totals add up, rebuilt" "$work/said"
expect "total of A" "$(total "$work/a.mtr")" "$(query "$work/diff.json" '.kinds[0].a.live_bytes')"
expect "total of B" "$(total "$work/b.mtr")" "$(query "$work/diff.json" '.kinds[0].b.live_bytes')"
diff_json "$work/b.mtr" "$work/a.mtr"
expect "the other way round" "shrank names -32000 -500" "$(change grows)"
for by in site module thread kind; do
	diff_json --by $by "$work/a.mtr" "$work/b.mtr"
	adds_up >"$work/said"
	expect "by $by, change" "35533" "$(query "$work/diff.json" '.kinds[0].live_bytes_change')"
	verdict "by $by adds up" "$work/said"
done
diff_json --by module "$work/a.mtr" "$work/b.mtr"
expect "by module" "app grew 35533" "$(query "$work/diff.json" '.rows[] | select(.kind == "malloc" and .label == "app") | "\(.label) \(.change) \(.live_bytes_change)"')"
diff_json --by site "$work/a.mtr" "$work/b.mtr"
expect "by site" "hold  app 35533" "$(query "$work/diff.json" '.rows[] | select(.kind == "malloc" and (.label | startswith("hold"))) | "\(.label) \(.live_bytes_change)"')"

"$mtrace" diff "$work/a.mtr" "$work/b.mtr" >"$work/text"
sed -e "s|$work|WORK|g; s/pid [0-9]*/pid N/; s/after [0-9.]* [a-z]*/after T/; s/[0-9a-f]\{16\}$/ID/" \
	-e '/^mmap/,$d' -e '/libc_start_call_main\|__libc_start_main\| _start /d' "$work/text" >"$work/text.plain"
golden=$tests/golden/diff-rebuilt.txt
[ -n "${UPDATE:-}" ] && cp "$work/text.plain" "$golden"
diff -u "$golden" "$work/text.plain" >"$work/said"
verdict "text, golden" "$work/said"

# ---- rebuilt, and without names: it says what is missing, and how to get it ----
MTRACE_OPTIONS="dir=$segments" "$mtrace" run -q -f --no-symbols -o "$work/raw.mtr" -- "$work/v1/app"
mv "$work/v1" "$work/away"
forget_names() { rm -rf "$XDG_CACHE_HOME" && mkdir -p "$XDG_CACHE_HOME"; } # they are cached by build-id
forget_names
"$mtrace" diff "$work/raw.mtr" "$work/b.mtr" >"$work/text"
grep -q "have frames without names, and no partner" "$work/text" && grep -q "mtrace symbolize --search DIR" "$work/text" &&
	pass "without names" || fail "without names" "$(head -12 "$work/text")"
forget_names
diff_json --search "$work/away" "$work/raw.mtr" "$work/b.mtr"
expect "with --search" "grew names 32000 500" "$(change grows)"

# ---- a running process and its baseline ----
mkfifo "$work/fifo"
preload -- "$work/v2/app" "$work/ready" <"$work/fifo" &
pid=$!
background+=($pid)
exec 7>"$work/fifo"
within 10 has_lines 1 "$work/ready" || fail "the service started"
segment=$(segment_of $pid)
"$mtrace" diff "$pid" >"$work/text" 2>"$work/err"
expect "no baseline yet: status" 1 $?
grep -q "mtrace baseline $pid" "$work/err" && pass "no baseline yet" || fail "no baseline yet" "$(cat "$work/err")"
"$mtrace" baseline "$pid" >"$work/text" 2>"$work/err"
expect "baseline: status" 0 $?
expect "baseline: nothing on stdout" "" "$(cat "$work/text")"
[ "$(find "$XDG_STATE_HOME/mtrace" -name "baseline.$pid.*.mtr" -perm 600 | wc -l)" = 1 ] && pass "kept in the state directory" ||
	fail "kept in the state directory" "$(ls -l "$XDG_STATE_HOME/mtrace")"
echo >&7
within 10 has_lines 2 "$work/ready"
diff_json "$pid"
expect "since the baseline" "grew id 6400 100" "$(change grows | grep -v same)"
expect "the same process" true "$(query "$work/diff.json" '.elapsed_ns > 0')"
adds_up >"$work/said"
verdict "since the baseline, adds up" "$work/said"
"$mtrace" diff "$pid" | grep -q "between .* of the same process" && pass "says how long" || fail "says how long"
"$mtrace" baseline -o "$work/base.mtr" "$pid" 2>/dev/null
echo >&7
within 10 has_lines 3 "$work/ready"
diff_json "$work/base.mtr" "$pid"
expect "against a file" "grew id 6400 100" "$(change grows | grep -v same)"
diff_json "$work/base.mtr" "$segment"
expect "against a segment" "grew id 6400 100" "$(change grows | grep -v same)"
{ kill -KILL $pid && wait $pid; } 2>/dev/null
exec 7>&-
diff_json "$work/base.mtr" "$segment"
expect "and after it was killed" "grew id 6400 100" "$(change grows | grep -v same)"
for n in $(seq 20); do touch -d "2020-01-$((n + 10))" "$XDG_STATE_HOME/mtrace/baseline.9$n.1.mtr"; done
preload -- sleep 100 &
other=$!
background+=($other)
keep_baseline() { "$mtrace" baseline "$1" 2>/dev/null; }
within 10 keep_baseline $other
expect "the newest sixteen are kept" 16 "$(find "$XDG_STATE_HOME/mtrace" -name 'baseline.*' | wc -l)"
[ -n "$(find "$XDG_STATE_HOME/mtrace" -name "baseline.$other.*")" ] && pass "this one among them" || fail "this one among them"
kill $other

# ---- what is refused ----
# refused NAME STATUS PATTERN ARGUMENTS…: that status, one line, nothing on stdout
refused() {
	local name=$1 status=$2 pattern=$3 got
	shift 3
	"$mtrace" "$@" >"$work/text" 2>"$work/err" </dev/null
	got=$?
	[ $got = "$status" ] && [ "$(wc -l <"$work/err")" = 1 ] && [ ! -s "$work/text" ] && grep -q -e "$pattern" "$work/err" &&
		pass "$name" || fail "$name" "status $got: $(cat "$work/err")"
}
in_background sleep 60
plain=$!
refused "a mark that is not there" 2 "there is no such mark" diff "$work/a.mtr@warm" "$work/a.mtr@end"
refused "one recording alone" 2 "give a second one" diff "$work/a.mtr"
refused "nothing" 2 "of what" diff
refused "three" 2 "one too many" diff "$work/a.mtr" "$work/b.mtr" "$work/a2.mtr"
refused "no such file" 2 "no such file" diff "$work/a.mtr" "$work/none.mtr"
refused "a wrong --by" 2 "did you mean module" diff --by modul "$work/a.mtr" "$work/b.mtr"
refused "by thread, allocated" 2 "leave out --allocated" diff --by thread --allocated "$work/a.mtr" "$work/b.mtr"
refused "a process that is not traced" 1 "not traced" diff "$work/a.mtr" $plain
refused "baseline of one that is not traced" 1 "not traced" baseline $plain
refused "baseline of a recording" 2 "is no pid" baseline "$work/a.mtr"
refused "baseline of nothing" 2 "of which process" baseline
refused "a full disk" 2 "not written in full\|cannot be written" diff -o /dev/full "$work/a.mtr" "$work/b.mtr"
kill $plain
suite_end
