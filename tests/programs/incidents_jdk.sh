#!/bin/bash
# incidents_jdk: published incidents of JVM services, with the JDK's own libraries, reproduced in small: each must be answered
# by one mtrace command, with the Java method that is to blame, or that no native memory is. Windows end by handshake, so
# how long one takes is of no account.
. "$(dirname "$0")/../lib/suite.sh"
. "$tests/lib/jvm.sh"
mkdir "$work/classes"
javac --release 17 -g:source,lines -d "$work/classes" "$tests/programs/java/"{Incidents,Exhaust}.java >"$work/said" 2>&1 &&
	jni_library "$tests/programs/java/properties.c" "$work/libproperties.so" >>"$work/said" 2>&1
[ -e "$work/libproperties.so" ] || { fail "the incidents are built" "$(head -c 300 "$work/said")"; suite_end; }

# incident HOME OPTION…: makes the program that leaks.py drives: `$work/jvm WHICH SEED`.
incident() {
	local home=$1
	shift
	printf '#!/bin/sh\nexec %q -Djava.awt.headless=true -Xmx192m -XX:+UseSerialGC %s -cp %q Incidents "$@"\n' \
		"$home/bin/java" "$*" "$work/classes" >"$work/jvm"
	chmod +x "$work/jvm"
}

# look WHICH WINDOWS [OPTION of leaks.py…]: one `mtrace leaks` of it, in $work/report.json. Prints what went wrong.
look() {
	local which=$1 windows=$2
	shift 2
	clear_segments
	DIRECTORY=$segments PRELOAD=$shim MTRACE_OPTIONS="dir=$segments:epoch=63" bounded 120 "$tests/programs/leaks.py" --windows "$windows" "$@" "$mtrace" \
		"$work/jvm" "$which" 1 -- --json >"$work/report.json" 2>"$work/err" || echo "status $?: $(tail -2 "$work/err")"
	[ -s "$work/report.json" ] || return
	"$tests/programs/schema.py" --live --processes 1 --end running "$work/report.json"
}

# leaks_of FUNCTION METHOD: what is called a leak below that function and that Java method: "BLOCKS BYTES-PER-BLOCK", sorted,
# from the first window to the last.
leaks_of() {
	query "$work/report.json" '[.processes[0].stacks[] | select(.verdict == "leak") | . + {names: [.frames[].function]} |
		select((.names | index("'"$1"'")) and (.names | index("'"$2"'")))] | sort_by(-.live_bytes_change)[] |
		"\(.live_blocks_change) \(.live_bytes_change / .live_blocks_change)"'
}

# other_leaks METHOD: prints what is called a leak and does not come from that method, nor from the JVM's compilers, which keep
# more for as long as they compile; but what is kept of the code itself is explained by it.
other_leaks() {
	query "$work/report.json" '.processes[0].stacks[] | select(.verdict == "leak") | . + {names: [.frames[].function]} |
		select(.names | index("'"$1"'") or (any(startswith("CompileBroker::")) and (any(test("^(nmethod|CodeBlob)::")) | not)) | not) | "also a leak: \(.live_bytes_change) bytes of \(.names[:6] | join(" < "))"' | head -3
}

# ---- S1: GZIP streams are never closed ----
streams_never_closed() {
	{
		look streams 24
		[ "$(leaks_of Java_java_util_zip_Deflater_init Incidents.pack | cut -d' ' -f1 | sort -u)" = 24 ] ||
			echo "not 24 of each: $(leaks_of Java_java_util_zip_Deflater_init Incidents.pack)"
		query "$work/report.json" '.processes[0].stacks[0] | select(.verdict != "leak" or .judged.bytes_per_window <= 0 or
			([.frames[].function] | .[:2] != ["deflateInit2_", "Java_java_util_zip_Deflater_init"])) | "first is \(.verdict) \(.frames[:3])"'
		query "$work/report.json" '[.processes[0].stacks[] | select(.verdict == "leak") | .frames[] | select(.function == "Incidents.pack") |
			"\(.file) \(.signature)"] | unique | select(. != ["Incidents.java (Ljava/lang/String;Z)[B"]) | "it is called \(.)"'
		other_leaks Incidents.pack
	} >"$work/said"
	verdict "JDK $version, S1: streams never closed: deflateInit2_ with the method that opens them" "$work/said"
}

# ---- S4: a Deflater without end(), one in eight; its smaller stacks grow by less than 1 KiB in a window ----
missing_end() {
	{
		look metrics 200
		got=$(leaks_of Java_java_util_zip_Deflater_init Incidents.compressMetrics)
		[ "$(cut -d' ' -f1 <<<"$got" | sort -u)" = 25 ] || echo "not 25 of each: $got"
		awk '$2 < 8192 { n++ } END { exit n < 2 }' <<<"$got" || echo "none grows slowly: $got"
		other_leaks Incidents.compressMetrics
	} >"$work/said"
	verdict "JDK $version, S4: a missing end(): within 200 iterations, at less than 1 KiB each" "$work/said"
}

# ---- S5: Inflaters wait for the collector ----
waiting_inflaters() {
	{
		look histograms 56
		query "$work/report.json" '[.processes[0].stacks[] | select([.frames[].function] | index("Java_java_util_zip_Inflater_init") and
			index("Incidents.readHistogram"))] | (length | select(. < 2) | "\(.) stacks"), (.[] | select(.verdict != "gc-lag") |
			"\(.verdict), \(.judged.why): \(.frames[0].function)")'
		other_leaks nothing
	} >"$work/said"
	verdict "JDK $version, S5: Inflaters that wait for the collector: gc-lag, no leak" "$work/said"
}

# ---- S8: colour transforms ----
colour_transforms() {
	{
		look images 24
		query "$work/report.json" '[.processes[0].stacks[] | select(.verdict == "leak" and .live_blocks_change >= 24 and ([.frames[].function] |
			index("cmsCreateMultiprofileTransform") as $native | index("Java_sun_java2d_cmm_lcms_LCMS_createNativeTransform") as $jni |
			index("Incidents.convertImage") as $java | $native and $jni and $java and $native < $jni and $jni < $java))] | length |
			select(. < 3) | "\(.) stacks"'
		other_leaks Incidents.convertImage
	} >"$work/said"
	verdict "JDK $version, S8: colour transforms: the native function and its Java caller in one stack" "$work/said"
}

# ---- S9: an agent keeps what JVMTI allocated ----
kept_by_an_agent() {
	clear_segments
	: >"$work/out"
	rm -f "$work/never" && mkfifo "$work/never" && exec 9<>"$work/never"
	in_background runs bash -c 'exec "$@" <"$0"' "$work/never" env LD_PRELOAD="$shim" MTRACE_OPTIONS="dir=$segments" \
		"$home/bin/java" -agentpath:"$work/libproperties.so"=50 -cp "$work/classes" Incidents nothing 1 >"$work/out" 2>"$work/err"
	pid=$!
	{
		says "$work/out" "^values [0-9]* [0-9]*$" || echo "it did not get there: $(tail -c 300 "$work/err")"
		kill -KILL "$pid"
		wait "$pid" 2>/dev/null
		exec 9>&-
		json "$(segment_of "$pid")" "$work/report.json"
		diff "$work/out" <(query "$work/report.json" '[.processes[0].stacks[] | select(.kind == "malloc") | . + {names: [.frames[].function]} |
			select(.names | index("on_start"))] | ("names", "values") as $what | map(select(.names | index("read_" + ($what | rtrimstr("s")) + (if $what == "names" then "s" else "" end)))) |
			"\($what) \(map(.live_blocks) | add) \(map(.live_bytes) | add)"')
	} >"$work/said" 2>&1
	verdict "JDK $version, S9: what an agent keeps of JVMTI's: blocks and bytes by site, to the byte" "$work/said"
}

# In `make check` on the JDK of javac; JDKS="17 21 25" names others.
while read -r version home <&3; do
	incident "$home"
	streams_never_closed
	missing_end
	waiting_inflaters
	colour_transforms
	kept_by_an_agent
done 3< <(JDKS=${JDKS:-$(version_of "$java_home")} jdks)

# ---- story 5: the Java heap, and classes: not native ----

# not_native AREA [FILE]: said so, and nothing is called a leak.
not_native() {
	query "${2:-$work/report.json}" '.processes[0] | (.growth.not_native | select(. != "'"$1"'") | "'"${2:+$(basename "$2"): }"'what grew is \(.)"),
		(.stacks[] | select(.verdict == "leak") | "'"${2:+$(basename "$2"): }"'a leak: \(.live_bytes_change) bytes of \([.frames[:6][].function] | join(" < "))")'
}

while read -r version home <&3; do
	incident "$home" -Xms192m
	{ look heap 24; not_native java-heap; } >"$work/said"
	verdict "JDK $version: the Java heap grows, of one size from the start" "$work/said"
done 3< <(jdks)
skip_absent_jdks
incident "$java_home" -Xint -Xms192m
{ look heap 24 --attach; not_native java-heap; } >"$work/said"
verdict "the Java heap grows in a JVM that was attached to, whose mapping was not seen" "$work/said"
incident "$java_home" -Xint -Xms192m -XX:-UseSerialGC -XX:+UseG1GC
{ look heap 24; not_native java-heap; } >"$work/said"
verdict "G1: the Java heap grows" "$work/said"
incident "$java_home" -Xmn2m -Xms192m
{ look classes 24; not_native metaspace; } >"$work/said"
verdict "classes that are never unloaded: metaspace" "$work/said"

# ---- and what was in it, when it is full, of a JVM that was attached to ----

# has N: its output is so many dots, and nothing else.
has() {
	[ "$(cat "$work/out")" = "${dots:0:$1}" ]
}
dots=...

# exhausted HOME [OPTION…]: attached to while it waits, then it runs out of heap. Its own output is three dots.
exhausted() {
	local home=$1 pid log
	shift
	clear_segments
	rm -f "$work/in" && mkfifo "$work/in" && exec 9<>"$work/in"
	in_background runs bash -c 'exec "$@" <"$0"' "$work/in" "$home/bin/java" -Xmx64m -XX:+UseSerialGC -cp "$work/classes" "$@" Incidents exhaust 1 \
		>"$work/out" 2>"$work/err"
	pid=$!
	echo >&9 && within 60 has 1 "$work/out" || echo "it does not start: $(head -c 300 "$work/err")"
	[ ! -x "$home/bin/jcmd" ] || log=$("$home/bin/jcmd" "$pid" VM.log list | grep '#0')
	bounded 60 "$mtrace" attach --dir "$segments" "$pid" >"$work/said.attach" 2>&1 || cat "$work/said.attach"
	echo >&9 && within 60 has 2 "$work/out" || echo "it wrote $(head -c 300 "$work/out" "$work/err")"
	json "$pid" "$work/report.json"
	bounded 60 "$mtrace" detach "$pid" 2>/dev/null || echo "detach fails"
	[ ! -x "$home/bin/jcmd" ] || [ "$log" = "$("$home/bin/jcmd" "$pid" VM.log list | grep '#0' | sed 's/ (reconfigured)//')" ] || echo "its log is not as it was"
	echo >&9 && within 60 has 3 "$work/out" || echo "detached, it wrote $(head -c 300 "$work/out")"
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	exec 9>&-
}

while read -r version home <&3; do
	{
		exhausted "$home"
		query "$work/report.json" '.processes[0].exhaustions // [] | (length | select(. != 1) | "\(.) times"),
			(.[0] | select(.what != "java-heap" or (.heap.classes[0].class != "long[]")) | "most is \(.heap.classes[0])")'
	} >"$work/said" 2>&1
	verdict "JDK $version: attached to, its classes when the heap is full, and not a word in its output" "$work/said"
done 3< <(jdks)
{
	exhausted "$java_home" -Xlog:gc=off
	grep -q "its log is configured (-Xlog)" "$work/said.attach" || cat "$work/said.attach"
	query "$work/report.json" '.processes[0].exhaustions // [] | length | select(. != 0) | "\(.) times"'
} >"$work/said" 2>&1
verdict "a log that somebody configured is left alone" "$work/said"

# Nobody looked: from history, killed, and recorded; as it is committed.
incident "$java_home" -Xms8m
mkdir "$work/past"
{
	look heap 100 --on history --pause 0.05 --directory "$work/past"
	for when in live killed recording; do
		not_native java-heap "$work/past/$when.json"
	done
} >"$work/said"
verdict "from history, after SIGKILL, and from a recording" "$work/said"
suite_end
