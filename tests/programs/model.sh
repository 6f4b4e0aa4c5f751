#!/bin/bash
# model: the ring's and the fold's protocols hold in every order of their steps with two preemptions (MODEL_MORE=1, make soak:
# three), and in copies of them with a fault an order is found that shows it (tests/model).
. "$(dirname "$0")/../lib/suite.sh"
model=$BUILD/model
for room in ring counts; do
	bounded 600 "$model/$room" >"$work/said" 2>&1 && pass "$room: $(awk '{ n += $(NF - 3) } END { print n }' "$work/said") orders" ||
		fail "$room" "$(cut -c 1-300 "$work/said" | tail -3)"
done
while read -r room name _; do
	bounded 300 "$model/$room-$name" >"$work/said" 2>&1
	[ $? = 1 ] && grep -q 'does not hold' "$work/said" && pass "noticed: $room $name: $(sed -n 's/.*does not hold: \(.*\); order.*/\1/p' "$work/said")" ||
		fail "noticed: $room $name" "no order shows it: $(cut -c 1-200 "$work/said" | tail -1)"
done <"$tests/model/mutants.def"
suite_end
