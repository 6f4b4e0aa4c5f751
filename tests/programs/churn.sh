#!/bin/bash
# churn: 4 threads with many live blocks and about 200 stacks of depth 20 (a peer took 19 GB and killed its target).
. "$(dirname "$0")/../lib/suite.sh"
blocks=${CHURN_BLOCKS:-50000}
operations=${CHURN_OPERATIONS:-300000}
traced "$work/rec.mtr" "$BUILD/tests/bench/churn" 4 "$blocks" "$operations" >"$work/out" 2>"$work/err"
status=$?
[ $status = 0 ] && grep -qx churned "$work/out" && pass "output and exit status" || fail "churn" "status $status: $(tail -c 300 "$work/err")"
json "$work/rec.mtr" "$work/report.json" >"$work/said" && trust_of "$work/report.json" >"$work/said"
# The program's own arithmetic: each thread fills and replaces, plus its own array of pointers.
expected=$((4 * (blocks + operations)))
counted=$(query "$work/report.json" '[.processes[0].stacks[] | select(.frames | any(.function == "descend")) | .alloc_blocks] | add')
[ "$counted" = $expected ] || echo "allocations $counted, the program made $expected" >>"$work/said"
live=$(query "$work/report.json" '[.processes[0].stacks[] | select(.frames | any(.function == "descend")) | .live_blocks] | add')
[ "$live" = 0 ] || echo "live blocks $live, the program freed all" >>"$work/said"
stacks=$(query "$work/report.json" '[.processes[0].stacks[] | select(.frames | any(.function == "descend"))] | length')
[ "$stacks" = 200 ] || echo "$stacks stacks, the program has 200" >>"$work/said"
verdict "$expected allocations, 200 stacks" "$work/said"
suite_end
