#!/bin/bash
# agent: what JNI hands out, against a program that knows it: references, strings, arrays, direct buffers, attached threads;
# interpreted, compiled by C1 and by C2, on every JDK at hand, after SIGKILL. How `mtrace run` brings the agent into a JVM,
# and that a JVM with it says and does what it does without.
. "$(dirname "$0")/../lib/suite.sh"
calls=${AGENT_CALLS:-3000} threads=${AGENT_THREADS:-300}
. "$tests/lib/jvm.sh"
mkdir "$work/classes"
javac --release 17 -g:source,lines -d "$work/classes" "$tests/programs/java/"{Refs,Hello}.java >"$work/said" 2>&1 &&
	jni_library "$tests/programs/java/refs.c" "$work/librefs.so" >>"$work/said" 2>&1
if [ ! -e "$work/librefs.so" ]; then
	fail "the references are built" "$(head -c 300 "$work/said")"
	suite_end
fi

# What JNI handed out to the methods of Refs: kind, blocks live, bytes live, blocks allocated, methods, innermost first.
# Not what the JVM itself asks JNI for.
handed_out='[.processes[0].stacks[] | select((.kind | test("jni|attached")) and (.frames[0].module | endswith("/libjvm.so") | not)) | . + {java: [.frames[] | select(.language == "java") | .function]} |
	select(.kind == "attached-thread" or (.java[0] // "" | startswith("Refs."))) |
	. + {chain: ([.java[] | select(startswith("Refs.")) | .[5:] | select(. != "main")] | join(" "))}] |
	group_by([.kind, .chain])[] | map(.live_blocks) as $n | map(.live_bytes) as $b | map(.alloc_blocks) as $a |
	"\(.[0].kind) \($n | add) \($b | add) \($a | add) \(.[0].chain)"'

truth() {
	cat <<-END
		attached-thread 10 80 $((threads + 10))
		jni-buffer $((8 * calls)) $((90 * calls)) $((8 * calls)) arrays five
		jni-buffer 0 0 $((8 * calls)) arraysAndBack five
		jni-buffer 0 0 $calls buffer seven
		jni-buffer $calls $((100 * calls)) $calls buffer six
		jni-buffer 0 0 $((3 * calls)) criticalAndBack five
		jni-buffer 3 24 3 hold
		jni-buffer $((4 * calls)) $((31 * calls)) $((4 * calls)) strings four
		jni-buffer 0 0 $((2 * calls)) stringsAndBack four
		jni-global 1 8 1 attach
		jni-global $calls $((8 * calls)) $calls global inner two
		jni-global $calls $((8 * calls)) $calls global one
		jni-global 0 0 $calls globalAndBack two
		jni-weak $calls $((8 * calls)) $calls weak three
		jni-weak 0 0 $calls weakAndBack three
	END
}

# The JVM tells of dead buffers when it gets to it.
dead_are_gone() {
	sleep 0.3
	json "$(segment_of "$1")" "$work/report.json" >/dev/null && query "$work/report.json" "$handed_out" | grep -q '^jni-buffer 0 0 .* buffer seven'
}

# unasked: what a JVM says of itself in $work/err that it says without the agent, too.
unasked() {
	grep -v "^WARNING: .*\(restricted method\|native-access\|java.lang.System::load\|blocked in a future\)\|^$" "$work/err"
}

# references NAME HOME OPTION…: killed when all of it is done, with nobody reading but for the dead buffers.
references() {
	local name=$1 home=$2 pid
	shift 2
	clear_segments
	: >"$work/out"
	in_background preload -- "$home/bin/java" -agentpath:"$shim" -Xmx200m -cp "$work/classes" "$@" Refs "$calls" "$work/librefs.so" "$threads" \
		>"$work/out" 2>"$work/err"
	pid=$!
	{
		if within 100 grep -q ready "$work/out"; then
			within 1 dead_are_gone "$pid" || echo "buffers whose objects are gone are still live"
		else
			echo "did not get there: $(tail -c 300 "$work/err")"
		fi
		kill -KILL "$pid"
		wait "$pid" 2>/dev/null
		[[ $name == checked* ]] || unasked | head -5
		json "$(segment_of "$pid")" "$work/report.json"
		trust_of "$work/report.json"
		diff <(truth) <(query "$work/report.json" "$handed_out" | sed "s/ \$//")
		query "$work/report.json" '.processes[0].trust | (select(.jni_counted != true) | "it does not say that JNI is counted"),
			(.counters.unknown_jni_releases | select(. > 50) | "\(.) releases of what was recorded are unknown")'
	} >"$work/said" 2>&1
	verdict "$name" "$work/said"
}

while read -r version home <&3; do
	references "JDK $version, interpreted" "$home" -Xint
	references "JDK $version, C1" "$home" -XX:TieredStopAtLevel=1
	references "JDK $version, C2" "$home" -XX:-TieredCompilation
done 3< <(jdks)
references "with -Xrs" "$java_home" -Xrs


threads=10000 calls=10 references "10 000 threads come and go" "$java_home" -Xint

# -Xcheck:jni puts its own functions below ours, hands out copies of everything, and says what Refs does that is not right:
# the same without the agent.
references "checked by -Xcheck:jni" "$java_home" -Xcheck:jni

# ---- the tables of functions, as a JDK has them ----
while read -r version home <&3; do
	[ -e "$home/include/jvmti.h" ] || continue
	gcc -std=gnu11 -I"$root/libmtrace" -I"$home/include" -I"$home/include/linux" "$tests/programs/java/tables.c" -o "$work/tables" \
		>"$work/said" 2>&1 && "$work/tables" || echo "differs" >>"$work/said"
	verdict "the places in its tables are those of JDK $version" "$work/said"
done 3< <(jdks)

# ---- JVMs that refuse something, played by tests/bench/jni.c ----

# refuses HOW RECORDED LINE: global references recorded of 100, and what is said of it
refuses() {
	clear_segments
	preload -- "$BUILD/tests/bench/jni" 100 5 "$1" >"$work/out" 2>"$work/err"
	expect "$1: it goes on" 0 $?
	json "$segments"/mtrace.* "$work/report.json" >/dev/null
	expect "$1: what is recorded" "$2" "$(query "$work/report.json" '.processes[0].by_kind["jni-global"].alloc_blocks // 0')"
	[ -z "$3" ] && [ -s "$work/err" ] && fail "$1: nothing to say" "$(head -c 200 "$work/err")"
	grep -q "$3" "$work/err" || [ -z "$3" ] && pass "$1: what it says" || fail "$1: what it says" "$(head -c 200 "$work/err")"
}
refuses pair 100 ""
refuses poor 100 ""
refuses deaf 0 "JNI references are not counted: the JVM refuses another table"
refuses none 0 "JNI references are not counted: this JVM has no JVMTI"

# ---- how it comes into a JVM ----

# hello NAME WANTED COMMAND…: traced, it says that and nothing else, and JNI is counted in its last image.
hello() {
	local name=$1 wanted=$2
	shift 2
	(cd "$work" && traced "$work/rec.mtr" "$@" >"$work/out" 2>"$work/err")
	{
		[ "$(cat "$work/out")" = "$wanted" ] || echo "it says $(head -c 300 "$work/out")"
		grep -v '^mtrace: \|^NOTE: Picked up JDK_JAVA_OPTIONS: ' "$work/err"
		json "$work/rec.mtr" "$work/report.json" && query "$work/report.json" \
			'.processes[0].trust.jni_counted | select(. != true) | "JNI is not counted"'
	} >"$work/said"
	verdict "$name" "$work/said"
}
picked_up() {
	grep -c '^NOTE: Picked up JDK_JAVA_OPTIONS: ' "$work/err"
}
java=$java_home/bin/java
hello "mtrace run -- java" "hello a b" "$java" -cp "$work/classes" Hello a b
expect "and the JVM has nothing to say of it" 0 "$(picked_up)"
mkdir -p "$work/jdk/bin" && cp "$java" "$work/jdk/bin/java" && cp "$java" "$work/jdk/bin/service" && ln -s "$java_home/lib" "$java_home/conf" "$work/jdk/"
hello "java under another name" "hello a" "$work/jdk/bin/service" -cp "$work/classes" Hello a
expect "and the JVM has nothing to say of it, either" 0 "$(picked_up)"
printf '#!/bin/sh\nJAVA=%s\n$JAVA -cp classes Hello child\nexec $JAVA -cp classes Hello "$@"\n' "$java" >"$work/start" && chmod +x "$work/start"
hello "a script that becomes java" "$(printf 'hello child\nhello a')" "$work/start" a
expect "its child is not recorded" 2 "$(query "$work/report.json" '.processes | length')"
hello "sh -c that becomes java" "hello a" sh -c "exec $java -cp classes Hello a"
JDK_JAVA_OPTIONS=-Dx=y hello "beside other JDK_JAVA_OPTIONS" "hello y" sh -c "exec $java -cp classes Hello y"
grep -q '^NOTE: Picked up JDK_JAVA_OPTIONS: -agentpath:.* -Dx=y$' "$work/err" && pass "which are kept" || fail "which are kept" "$(head -c 200 "$work/err")"
expect "other programs' environment is left alone" "" "$(traced "$work/rec.mtr" env 2>/dev/null | grep JAVA)"

bounded 60 env LD_PRELOAD="$shim" MTRACE_OPTIONS="mode=off:dir=$segments" "$java" -agentpath:"$shim" -cp "$work/classes" Hello off >"$work/out" 2>&1
expect "mode=off: the agent does nothing" "hello off" "$(cat "$work/out")"
bounded 60 env LD_PRELOAD="$shim" MTRACE_OPTIONS="exe=other:dir=$segments" "$java" -agentpath:"$shim" -cp "$work/classes" Hello passive >"$work/out" 2>&1
expect "where nothing is recorded the agent does nothing" "hello passive" "$(cat "$work/out")"
clear_segments
preload -- "$java" -cp "$work/classes" Hello plain >"$work/out" 2>&1
"$mtrace" report "$segments"/mtrace.* 2>/dev/null | grep -q "JNI references are not counted: mtrace run" &&
	pass "a plain preload says what is not counted" || fail "a plain preload says what is not counted" "it does not"

# ---- it runs out of something ----
javac --release 17 -d "$work/classes" "$tests/programs/java/Exhaust.java"

# exhausted NAME HOME WHAT TIMES FILTER OPTION…: runs out of it, is killed; FILTER of its exhaustions prints what is wrong.
exhausted() {
	local name=$1 home=$2 what=$3 times=$4 filter=$5 pid
	shift 5
	clear_segments
	: >"$work/out"
	(ulimit -v 12000000 && in_background preload -- "$home/bin/java" -agentpath:"$shim" -Xlog:jvmti=off -Xmx64m -XX:CompressedClassSpaceSize=64m \
		-XX:ReservedCodeCacheSize=64m -cp "$work/classes" "$@" Exhaust "$what" "$times" >"$work/out" 2>"$work/err"
	echo $! >"$work/pid"
	wait) 2>/dev/null &
	within 100 grep -q exhausted "$work/out"
	pid=$(cat "$work/pid")
	kill -KILL "$pid"
	wait
	{
		[ "$(grep -v '\[os,thread\]' "$work/out")" = exhausted ] || echo "it says $(head -c 300 "$work/out" "$work/err")"
		json "$(segment_of "$pid")" "$work/report.json" && query "$work/report.json" ".processes[0] | . as \$p | .exhaustions | $filter"
	} >"$work/said"
	verdict "$name" "$work/said"
}

heap_filter='(length | select(. < 2) | "kept \(.) times"),
	(.[0].heap.classes[0] | select(.class != "long[]" or .objects < 30000 or .bytes < 1000 * .objects) | "most is \(.)"),
	([.[0].heap.classes[] | select(.class == "Exhaust$Column" and .objects > 30000)] | length | select(. != 1) | "no columns"),
	(.[0].heap | select(.bytes < 40000000 or (.whole | not)) | "the heap is \(.bytes)"),
	(.[1:][] | select(.heap) | "a second histogram"),
	(.[] | select(.what != "java-heap" or .text != "Java heap space") | "it is \(.what), \(.text)"),
	($p.marks | map(select(.name == "exhausted: Java heap space")) | length | select(. < 2) | "\(.) marks")'
while read -r version home <&3; do
	exhausted "JDK $version: the Java heap is exhausted" "$home" heap 2 "$heap_filter"
done 3< <(jdks)
exhausted "threads are exhausted" "$java_home" threads 1 '(length | select(. != 1) | "kept \(.) times"),
	(.[0] | select(.what != "threads") | "it is \(.what)"),
	(.[0].threads_by_stack[0] as $most | $p.stacks[] | select(.id == $most.stack) |
		select($most.threads < 4 or ([.frames[].function] | index("Exhaust.threads") | not)) | "most are made by \(.frames[3].function)")'
exhausted "metaspace is exhausted" "$java_home" metaspace 1 '(length | select(. != 1) | "kept \(.) times"),
	(.[0] | select(.what != "other" or .text != "Metaspace" or .heap) | "it is \(.)")' -XX:MaxMetaspaceSize=16m
exhausted "a thousand times" "$java_home" heap 1000 'length | select(. != 8) | "kept \(.) times"' -Xmx16m -XX:+UseSerialGC

# The same in a recording, and the JVM logs nothing on its own.
(cd "$work" && traced "$work/rec.mtr" "$java" -Xmx64m -cp classes Exhaust heap 2 end >"$work/out" 2>"$work/err")
{
	[ "$(cat "$work/out")" = exhausted ] || echo "it says $(head -c 300 "$work/out")"
	json "$work/rec.mtr" "$work/report.json" && query "$work/report.json" ".processes[0] | . as \$p | .exhaustions | $heap_filter"
	"$mtrace" report "$work/rec.mtr" | grep -q '^  exhausted Java heap space, at .*, by java; [0-9]* more$' || echo "the report does not say it"
} >"$work/said"
verdict "exhaustion in a recording" "$work/said"

# ---- a JVM with the agent does what it does without ----
mkdir "$work/plain" "$work/with"
javac -Xlint -d "$work/plain" "$tests/programs/Load.java" "$tests/programs/java/Leaks.java" >"$work/out.plain" 2>&1
traced "$work/rec.mtr" javac -Xlint -d "$work/with" "$tests/programs/Load.java" "$tests/programs/java/Leaks.java" 2>&1 |
	grep -v '^mtrace: ' >"$work/out"
cmp -s "$work/out" "$work/out.plain" && diff -r "$work/plain" "$work/with" >"$work/said" && pass "javac: same output, same classes" ||
	fail "javac: same output, same classes" "$(head -c 300 "$work/out" "$work/said")"
suite_end
