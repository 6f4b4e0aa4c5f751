#!/bin/bash
# tsan: the suites of the shim's stores (their cases with threads) under gcc's ThreadSanitizer: no data race; and rooms
# in which one was planted (weakened.h: without releases; plain.h: with plain moves), which it must find. `make tsan`; tests/programs/tsan.sh is a short one.
#
# What it sees: two plain accesses, or a plain and an atomic one, of the same word that no acquire of a release orders; so
# that what is filled and then published is filled before, and taken apart after.
# What it cannot see:
#   - the order of atomic words among each other, when none of them guards a plain one: live's slots and lines, the rules'
#     pairs, tallies, the two figures of a range table are atomic all through; their proofs stand at the structures. A live
#     without its releases is clean here.
#   - fences. gcc's TSan does not model atomic_thread_fence: it neither orders by one (a report of it may be false) nor
#     finds one missing. counts (the odd version before new totals), segment (the reserve that is given up) and the list of
#     objects have one each; what they order is atomic, so nothing is reported and nothing proved.
#   - another process: the reader. Killed writers. Signal handlers on their own thread.
#   - what the kernel orders: pages populated before the word that lets others use them.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"
tsan=$BUILD/tsan
export MTRACE_TEST_DIVISOR=${TSAN_DIVISOR:-2}
export CK_FORK=no CK_RUN_CASE=threads CK_DEFAULT_TIMEOUT=300 TSAN_OPTIONS="exitcode=66 history_size=4"

# Kernels that scatter mappings wider than this TSan knows are asked not to.
plainly=()
CK_RUN_CASE=none "$tsan/test_slots" >"$work/log" 2>&1 || plainly=(setarch -R)
CK_RUN_CASE=none "${plainly[@]}" "$tsan/test_slots" >"$work/log" 2>&1
if grep -q 'FATAL: ThreadSanitizer' "$work/log"; then
	skip "all" "$(grep -m 1 FATAL "$work/log")"
	passed=1
	suite_end
fi

run() {
	bounded 240 "${plainly[@]}" "$tsan/$1" >"$work/log" 2>&1
}

for suite in ${TSAN_SUITES:-counts stacks modules live regions segment slots ring stream}; do
	run "test_$suite"
	status=$?
	grep -Eq '^100%: Checks: [1-9]' "$work/log" && [ $status = 0 ] && pass "$suite" && continue
	fail "$suite" "status $status; $(grep -E -A 6 '^WARNING|:[FE]:' "$work/log" | head -12 | tr '\n' ';')"
done

for planted in ${TSAN_PLANTED:-weakened/stacks weakened/modules weakened/regions weakened/slots weakened/stream plain/counts plain/live plain/segment plain/ring}; do
	TSAN_OPTIONS="$TSAN_OPTIONS halt_on_error=1" run "${planted%/*}/test_${planted#*/}"
	grep -q '^WARNING: ThreadSanitizer: data race' "$work/log" && pass "noticed: $planted" && continue
	fail "noticed: $planted" "no race was found; $(tail -1 "$work/log")"
done
suite_end
