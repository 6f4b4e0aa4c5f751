#!/bin/bash
# java: Java frames above native ones, against a program that knows its own leaks: interpreted, compiled by C1 and by C2,
# inlined, deoptimised, through native code and back; on every JDK at hand, after SIGKILL; with classes that come and go; none of
# a JVM whose layout is not known.
# And javac, with nothing lost.
. "$(dirname "$0")/../lib/suite.sh"
blocks=${JAVA_BLOCKS:-6000}
. "$tests/lib/jvm.sh"
leaks_built || suite_end

# leaks VERSION HOME OPTION…
leaks() {
	local version=$1 home=$2 native=()
	shift 2
	[ "$version" -ge 22 ] && native=(--enable-native-access=ALL-UNNAMED)
	{
		until_killed "$home" "$@" "${native[@]}" Leaks "$blocks" &&
			"$tests/programs/java/truth.py" "$work/report.json" "$tests/programs/java/Leaks.java" "$blocks"
	} >"$work/said" 2>&1
	verdict "JDK $version $*: every block under its method and line" "$work/said"
}

# virtual VERSION HOME: a virtual thread's frames end where it is mounted, marked; after it was parked the outermost ones
# may still be in the heap.
virtual() {
	{
		until_killed "$2" --enable-native-access=ALL-UNNAMED Virtual 500 &&
			query "$work/report.json" '[.processes[0].stacks[] | select(.frames[0].function == "Java_Leaks_leak")] |
				(.[] | select(.frames[-1].function != "[virtual thread]") | "ends in \(.frames[-1].function)"),
				(.[] | select(any(.frames[]; .function == "java.lang.VirtualThread.runContinuation")) | "has its carrier"),
				(("before", "after") as $place | map(select(any(.frames[]; .function == "Virtual." + $place)) | .live_blocks) |
					add | select(. != 500) | "\(.) blocks \($place)")'
	} >"$work/said" 2>&1
	verdict "JDK $1: virtual threads" "$work/said"
}

while read -r version home <&3; do
	leaks "$version" "$home" -Xint
	leaks "$version" "$home" -XX:TieredStopAtLevel=1
	leaks "$version" "$home" -XX:-TieredCompilation
	[ "$version" -ge 21 ] && virtual "$version" "$home"
	[ "$version" = 17 ] && leaks "$version" "$home" -XX:+UseSerialGC
done 3< <(jdks)
for version in 21 25; do
	jdks | grep -q "^$version " || skip "JDK $version" "it could not be fetched"
done

# ---- a JVM whose layout is not known, played by tests/bench/hotspot ----
for field in _low_bound _code_begin _frame_size _constMethod _scopes_pcs_offset '_body[0]'; do
	clear_segments
	preload -- "$BUILD/tests/bench/hotspot" 1000 17 1 "$field" >"$work/out" 2>"$work/err" || echo "it ends with $?" >>"$work/err"
	{
		grep -v 'ns/pair at best' "$work/err" | grep -vF "only native ones: this JVM's layout is not known: $field"
		[ "$(wc -l <"$work/err")" = 2 ] || echo "it is not said, or more than once"
		json "$segments"/mtrace.* "$work/report.json" && query "$work/report.json" '[.processes[0].stacks[] | select(.frames[0].function == "hotspot_leaf")] |
			(map(.live_blocks) | add | select(. != 1000) | "\(.) blocks of 1000"), (.[] | select(any(.frames[]; .language == "java")) | "a guess: \([.frames[].function])")'
	} >"$work/said" 2>&1
	verdict "a JVM that does not tell of $field: native frames, and one line" "$work/said"
done

# A method may lie where an unloaded one was.
{
	until_killed "$java_home" -Xint -XX:+UseSerialGC Unloaded 1000 &&
		query "$work/report.json" '[.processes[0].stacks[] | select(.frames[0].function == "Java_Leaks_leak") |
			{n: .live_blocks, name: (.frames[].function | select(startswith("Unloaded$Gen")))}] | group_by(.name) |
			map({name: .[0].name, n: (map(.n) | add)}) |
			(map(select(.n != 1)) | .[:3][] | "\(.n) blocks of \(.name), should be 1"),
			(length | select(. != 1000) | "blocks of \(.) classes, should be 1000")'
} >"$work/said" 2>&1
verdict "1000 classes that come and go: one block of each" "$work/said"

# Its stacks go deeper than any of the above; the deepest are cut at depth=.
traced "$work/javac.mtr" javac -J-XX:+UseSerialGC -d "$work" "$tests/programs/Load.java" "$tests/programs/java/Leaks.java" \
	>"$work/out" 2>"$work/err"
json "$work/javac.mtr" "$work/report.json" >"$work/said" &&
	query "$work/report.json" '.processes[0].trust.counters | (.stacks_lost_in_java, .stacks_no_rules, .drop_methods_full) |
		select(. != 0) | "javac: \(.) stacks that should be whole"' >"$work/said"
verdict "javac: no stack is lost in Java code" "$work/said"
query "$work/report.json" '[.processes[0].stacks[] | select(any(.frames[]; .function == "com.sun.tools.javac.Main.main"))] |
	length > 100' | grep -qx true && pass "javac: its stacks reach main" || fail "javac: its stacks reach main" "few do"
suite_end
