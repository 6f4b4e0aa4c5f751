#!/bin/bash
# java_memo: the memo over Java frames, beside a walk from end to end at every event (memo=2): no stack differs, whoever
# runs Java code (interpreter, C1, C2, both), whatever collects, while classes and code go away; and javac whole, in the
# interpreter XINT_JAVACS=1 times. `make differential`'s suite does the same for native frames, beside libunwind.
. "$(dirname "$0")/../lib/suite.sh"
. "$tests/lib/jvm.sh"
blocks=${JAVA_BLOCKS:-1000}
leaks_built || suite_end
export SHIM_OPTIONS=memo=2

# same LEAST: prints what differs in $work/report.json, and when there were fewer than LEAST allocations of Java code.
same() {
	query "$work/report.json" '.processes[0].trust.counters | (.memo_differs // "no such counter") |
		select(. != 0) | "\(.) stacks differ"'
	query "$work/report.json" "[.processes[0].stacks[] | select(any(.frames[]; .language == \"java\")) | .alloc_blocks] |
		add // 0 | select(. < $1) | \"only \\(.) allocations of Java code\""
}

# compared VERSION HOME OPTION… CLASS N
compared() {
	local version=$1 native=()
	[ "$version" -ge 22 ] && native=(--enable-native-access=ALL-UNNAMED)
	until_killed "$2" "${native[@]}" "${@:3}" >"$work/said" && same 300 >>"$work/said"
	verdict "JDK $version ${*:3}: every stack as walked" "$work/said"
}

# modelled MEMO HOW: 1 000 events beneath 17 methods of a JVM that does as it is told (tests/bench/hotspot).
modelled() {
	clear_segments
	in_background preload "memo=$1" -- "$BUILD/tests/bench/hotspot" 1000 17 1 "$2" >"$work/out" 2>"$work/err"
	wait $!
	json "$(segment_of $!)" "$work/report.json" >"$work/said"
}

# in_turn LETTER: prints it when not each hundred events have their own method of Chain.LETTER0 to Chain.LETTER9.
in_turn() {
	query "$work/report.json" "[.processes[0].stacks[] | select(.frames[0].function == \"hotspot_leaf\") |
			{blocks: .alloc_blocks, by: [.frames[].function | select(startswith(\"Chain.$1\"))] | join(\" \")}] |
		sort_by(.by) | select(map(.blocks) != [range(10) | 100] or map(.by) != [range(10) | \"Chain.$1\\(.)\"])"
}

modelled 1 replace && in_turn r >>"$work/said"
verdict "another method's code at the place of one: its frames are its own" "$work/said"
for memo in 0 1; do
	modelled $memo unload && in_turn u >>"$work/said"
	verdict "memo=$memo, another method at the place of an interpreted one: its frames are its own" "$work/said"
done
for how in barrier spill; do
	modelled 2 $how && query "$work/report.json" '.processes[0] | (.trust.counters | .stacks_no_rules + .stacks_lost_in_java + .memo_differs |
		select(. != 0) | "\(.) stacks are lost or differ"), ([.stacks[] | select(.frames[0].function == "hotspot_leaf") | .alloc_blocks,
		([.frames[].function | select(startswith("Chain.m0_"))] | length)] | select(. != [1000, 17]) | "\(.)")' >>"$work/said"
	verdict "called by a barrier of the collector ($how): the frames beyond it" "$work/said"
done
modelled 2 lie && query "$work/report.json" '.processes[0].trust.counters.memo_differs | select(. != 500) |
	"500 stacks were wrong, \(.) were noticed"' >>"$work/said"
verdict "a memo made wrong is noticed, at each event" "$work/said"

while read -r version home <&3; do
	compared "$version" "$home" -Xint Leaks "$blocks"
	compared "$version" "$home" -XX:TieredStopAtLevel=1 Leaks "$blocks"
	compared "$version" "$home" -XX:-TieredCompilation -XX:+UseSerialGC Leaks "$blocks"
	compared "$version" "$home" -XX:+UseZGC Leaks "$blocks"
	# The code cache is small: code is flushed while it runs, and its place used again.
	compared "$version" "$home" -XX:ReservedCodeCacheSize=3m -Xmx40m Unloaded 300
	[ "$version" -ge 21 ] && compared "$version" "$home" Virtual "$blocks"
done 3< <(jdks)
skip_absent_jdks

# javac: deep, recursive, and compiled while it runs.
for options in $(yes -- -J-Xint | head -n "${XINT_JAVACS:-1}") -J-XX:TieredStopAtLevel=1 -J-XX:-TieredCompilation -J-XX:+UseZGC; do
	clear_segments
	in_background preload memo=2 -- javac "$options" -J-Xmx200m -d "$work" "$tests/programs/Load.java" "$tests/programs/java/Leaks.java" \
		>"$work/out" 2>"$work/err"
	wait $!
	json "$(segment_of $!)" "$work/report.json" >"$work/said" && same 20000 >>"$work/said"
	verdict "javac $options: every stack as walked" "$work/said"
done
suite_end
