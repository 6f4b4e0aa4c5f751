#!/bin/bash
# harness: the tests' own tools must be able to fail: the check of the trust box notices each breach, the runner counts
# failures, crashes and hangs of suites, and ends non-zero.
. "$(dirname "$0")/../lib/suite.sh"
traced "$work/rec.mtr" "$victims/victim_truth" "$work/truth" exit >"$work/out" 2>&1
json "$work/rec.mtr" "$work/report.json" >"$work/said"
trust_of "$work/report.json" >>"$work/said"
verdict "an honest report has no breach" "$work/said"

# breach WHAT FILTER: the report changed by FILTER must be found out by a line that says WHAT
breach() {
	jq "$2" "$work/report.json" >"$work/changed.json"
	trust_of "$work/changed.json" >"$work/said"
	grep -q "$1" "$work/said" && pass "noticed: $1" || fail "noticed: $1" "$(head -c 200 "$work/said")"
}
breach "unknown_frees 1" '.processes[0].trust.unknown_frees = 1'
breach "implicit_frees 2" '.processes[0].trust.implicit_frees = 2'
breach "drop live_full 3" '.processes[0].trust.drops.live_full = 3'
breach "mode is off" '.processes[0].mode = "off"'
breach "no allocation recorded" '.processes[0].totals.alloc_blocks = 0'
breach "ended inside the tracker" '.processes[0].end.in_tracker = true'
breach "stacks add up to live_bytes" 'first(.processes[0].stacks[] | select(.kind == "malloc")).live_bytes += 1'
breach "stacks add up to alloc_blocks" '.processes[0].totals.alloc_blocks += 1'
breach "alloc - freed bytes" '.processes[0].totals.freed_bytes += 1'

# fails NAME CHECK…: this check of suite.sh says that it failed, once
fails() {
	local name=$1 said
	shift
	said=$(failed=0; "$@"; echo "$failed")
	[ "${said##*$'\n'}" = 1 ] && pass "fails: $name" || fail "fails: $name" "$said"
}
fails "another value" expect x wanted got
fails "no report to trust" trusted x "$work/none.mtr"
traced "$work/rec.other" env true >"$work/out" 2>&1
fails "a recording of something else" agrees x "$work/rec.other" "$work/truth"
echo same >"$work/out"
cp "$work/out" "$work/out.plain"
fails "another status" like_untracked x 1 0
fails "not the status wanted" like_untracked x 0 0 4
echo other >"$work/out"
fails "another output" like_untracked x 0 0
within 1 false && fail "within ends" "it says that false succeeded" || pass "within ends"
within 1 true && pass "within succeeds" || fail "within succeeds" ""
agrees "an honest recording agrees" "$work/rec.mtr" "$work/truth" --end exit:7

# ran STATUS LAST-LINE SUITE…: the runner's exit status and its last line
ran() {
	local want=$1 line=$2 got
	shift 2
	SUITE_SECONDS=2 "$tests/run.sh" "$work/logs" "$@" >"$work/out" 2>&1
	got=$?
	[ $got = "$want" ] && [ "$(tail -1 "$work/out")" = "$line" ] && pass "runner: $line" ||
		fail "runner: $line" "status $got: $(tail -1 "$work/out")"
}
ran 0 "3 passed, 0 failed" good='echo "100%: Checks: 3, Failures: 0, Errors: 0"'
ran 1 "2 passed, 2 failed" bad='echo "50%: Checks: 4, Failures: 1, Errors: 1"; exit 1'
ran 1 "1 passed, 1 failed" silent=true dead='exit 139'
ran 1 "3 passed, 1 failed" liar='echo "100%: Checks: 3, Failures: 0, Errors: 0"; exit 1'
ran 1 "0 passed, 1 failed" hung='sleep 30'
ran 0 "2 passed, 0 failed, 1 skipped" skips='echo "100%: Checks: 2, Failures: 0, Errors: 0, Skipped: 1"'

# ---- the ledger of fuzzing: seconds add up as long as what a harness is made of stays as it was ----

tree=$work/tree
mkdir -p "$tree/build/fuzz/tools/read" && (
	cd "$tree" || exit
	touch x.c x.h read.c other.c
	printf 'build/fuzz/fuzz_x: x.c \\\n /usr/include/stdio.h\nx.c:\n' >build/fuzz/fuzz_x.d
	printf 'Archive member included\n\nbuild/fuzz/tools.a(read.o)   fuzz_x.o (read)\n .text 0x0 build/fuzz/tools.a(other.o)\n' >build/fuzz/fuzz_x.map
	printf 'build/fuzz/tools/read/read.o: read.c x.h\nread.c:\n' >build/fuzz/tools/read/read.d
	printf 'build/fuzz/tools/other.o: other.c\n' >build/fuzz/tools/other.d
)
ledger() { (cd "$tree" && "$tests/fuzz/ledger.py" "$@"); }
# fuzzed SECONDS FINDINGS: one session, and what the page says then: seconds, share of an hour, executions, findings
fuzzed() {
	ledger add page build/fuzz/fuzz_x seconds="$1" runs=10 features=5 corpus=3 found="$2"
	ledger show page | awk -F ' *[|] *' '$2 == "x" { print $3, $4, $5, $8 }'
}
expect "a harness is what was linked" "read.c x.c x.h" "$(ledger sources build/fuzz/fuzz_x | tr '\n' ' ' | sed 's/ $//')"
expect "a first session" "40 1 % 10 0" "$(fuzzed 40 0)"
expect "another one adds to it" "3640 100 % 20 0" "$(fuzzed 3600 0)"
echo changed >"$tree/other.c"
expect "what is not linked changes nothing" "3641 100 % 30 0" "$(fuzzed 1 0)"
expect "a finding" "3642 100 % 40 1" "$(fuzzed 1 1)"
expect "it stays" "3643 100 % 50 1" "$(fuzzed 1 0)"
echo changed >"$tree/x.h"
expect "other sources start again" "36 1 % 10 0" "$(fuzzed 36 0)"
suite_end
