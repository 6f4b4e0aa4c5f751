#!/bin/bash
# stacks: many stacks, once each and then again, in turn and at random: found as whole paths, and each is what a walk from end to
# end finds at the same instant (memo=2), with nothing lost. They are so many that hints are mapped (stacks.c, HINTS_FROM).
. "$(dirname "$0")/../lib/suite.sh"
known=${STACKS_KNOWN:-12000}
again=$((3 * known))

for order in next random; do
	clear_segments
	preload memo=2 -- "$BUILD/tests/bench/paths" "$known" "$known" "$again" 10 2 "$order" >"$work/out" 2>"$work/err"
	status=$?
	json "$(find "$segments" -name 'mtrace.*' | head -1)" "$work/report.json" >"$work/said" &&
		trust_of "$work/report.json" >"$work/said"
	[ $status = 0 ] || echo "status $status: $(tail -c 200 "$work/err")" >>"$work/said"
	read -r differs counted stacks <<<"$(query "$work/report.json" '.processes[0] | [.stacks[] |
		select(.frames[0].function == "descend")] as $own | "\(.trust.counters.memo_differs) \($own | map(.alloc_blocks) | add) \($own | length)"')"
	[ "$counted" = $((known + again)) ] || echo "allocations $counted, the program made $((known + again))" >>"$work/said"
	[ $order = random ] || [ "$stacks" = $((2 * known)) ] || # descend is called from two places
		echo "$stacks stacks, the program has $((2 * known))" >>"$work/said"
	[ "$differs" = 0 ] || echo "$differs stacks were not what the walk from end to end says" >>"$work/said"
	verdict "$known stacks, and $again times one of them, $order" "$work/said"
done
suite_end
