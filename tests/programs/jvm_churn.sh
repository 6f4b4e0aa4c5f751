#!/bin/bash
# jvm_churn: JVMs in which everything comes and goes at once: libraries opened and closed by two threads, threads that attach to
# the JVM and detach, classes, collections. With the library from the start, and attached to and detached from meanwhile,
# CHURN_ATTACH times (5), and CHURN_FRESH (5) of them attached to once, on every JDK at hand: it lives, and what is leaked afterwards, from libraries that come and go where
# others were and from CHURN_THREADS (2 000) attached threads, is there to the block, after SIGKILL.
. "$(dirname "$0")/../lib/suite.sh"
. "$tests/lib/jvm.sh"
blocks=${CHURN_BLOCKS:-500} threads=${CHURN_THREADS:-2000} times=${CHURN_ATTACH:-5} fresh=${CHURN_FRESH:-5}
mkdir "$work/classes"
javac --release 17 -g:source,lines -d "$work/classes" "$tests/programs/java/Churn.java" >"$work/said" 2>&1 &&
	jni_library "$tests/programs/java/churn.c" "$work/libchurn.so" >>"$work/said" 2>&1
[ -e "$work/libchurn.so" ] || { fail "the churn is built" "$(head -c 300 "$work/said")"; suite_end; }
mkfifo "$work/in"
exec 8<>"$work/in"

# churn HOME [NAME=VALUE…]: it is running; its pid in $pid
churn() {
	local home=$1 native=()
	shift
	[ "$(version_of "$home")" -lt 22 ] || native=(--enable-native-access=ALL-UNNAMED)
	clear_segments
	: >"$work/out"
	in_background runs bash -c 'exec "$@" <"$0"' "$work/in" env "$@" "$home/bin/java" ${agent:+"$agent"} -XX:ErrorFile="$work/hs_err.log" -Xmx200m "${native[@]}" -cp "$work/classes" Churn \
		"$blocks" "$threads" "$work/libchurn.so" "$victims/plugin_a.so" "$victims/plugin_b.so" >"$work/out" 2>"$work/err"
	pid=$!
	says "$work/out" running || echo "it does not start: $(tail -3 "$work/out" "$work/err")"
}

# leaks_exactly: it stops, leaks, is killed; what its segment does not say as it is is printed
leaks_exactly() {
	echo >&8
	says "$work/out" ready || echo "it does not get there: $(tail -3 "$work/out" "$work/err")"
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	json "$(segment_of "$pid")" "$work/report.json"
	diff <(printf '%s\n' "Java_Churn_leak Churn.leaks $threads" "truth_leak_a Churn.exactly $blocks" "truth_leak_b Churn.exactly $blocks") \
		<(query "$work/report.json" '[.processes[0].stacks[] | select(.kind == "malloc" and .live_blocks > 0) |
			{n: .live_blocks, names: [.frames[].function]} | . + {java: (.names | map(select(. == "Churn.exactly" or . == "Churn.leaks"))[0])} |
			select(.java and (.names[0] | test("^truth_leak|^Java_Churn_leak")))] | group_by(.names[0])[] |
			"\(.[0].names[0]) \(.[0].java) \(map(.n) | add)"')
	query "$work/report.json" '.processes[0] | (.trust.drops // {} | to_entries[] | select(.value != 0 and .key != "drop_pause" and .key != "pause") |
			"\(.value) \(.key)"), (.trust.counters.stacks_lost_in_java | select(. != 0) | "\(.) stacks lost in Java"),
		(.by_kind["attached-thread"].live_blocks // 0 | select(. != 0) | "\(.) threads are still attached")'
}

attach() {
	MTRACE_OPTIONS=dir=$segments bounded 60 "$mtrace" "$@" "$pid" >"$work/said.attach" 2>&1 || cat "$work/said.attach"
}

while read -r version home <&3; do
	{
		agent=-agentpath:$shim churn "$home" LD_PRELOAD="$shim" MTRACE_OPTIONS="dir=$segments"
		leaks_exactly
		trust_of "$work/report.json"
	} >"$work/wrong" 2>&1
	verdict "JDK $version: it lives, and every block is there" "$work/wrong"
	{
		churn "$home"
		for _ in $(seq "$times"); do
			attach attach
			attach detach
		done
		attach attach
		leaks_exactly
	} >"$work/wrong" 2>&1
	verdict "JDK $version: attached to and detached from $times times meanwhile" "$work/wrong"

	# A JVM that has threads which are just attaching must not be asked for its first JVMTI environment (agent_arrivals.c).
	for _ in $(seq "$fresh"); do
		churn "$home"
		attach attach
		kill -0 "$pid" || echo "it died of it: $(grep -m 1 'Problematic' -A 1 "$work/err" | tail -1)"
		kill -KILL "$pid"
		wait "$pid"
	done >"$work/wrong" 2>/dev/null
	verdict "JDK $version: $fresh times attached to for the first time" "$work/wrong"
done 3< <(jdks)
skip_absent_jdks
suite_end
