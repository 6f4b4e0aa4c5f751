#!/bin/bash
# matrix: each call of plat fails in its turn, once and for good, in a build of the shim for that (tests/fault): the program
# must not notice, and what is lost must be said. FAULT_STRIDE=1: every N, not only the first six and some (make soak).
. "$(dirname "$0")/../lib/suite.sh"
matrix() {
	bounded 800 "$BUILD/fault/matrix" "$BUILD/fault/libmtrace.so" "$victims/victim_faults" "$victims/plugin_a.so" "$segments" "$@"
}
matrix "${FAULT_STRIDE:-15}" >"$work/said" 2>&1 && pass "$(tail -1 "$work/said" | grep -o '[0-9]*, F' | tr -dc 0-9) calls failed, one at a time" ||
	fail "a call that fails" "$(grep FAILED "$work/said" | head -5 | tr '\n' ';') $(tail -1 "$work/said")"
suite_end
