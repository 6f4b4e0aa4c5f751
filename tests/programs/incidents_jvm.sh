#!/bin/bash
# incidents_jvm: published incidents and stories of the JVM with the libraries that they were about, each answered by at most three
# commands of mtrace's: RocksDB (an upgrade, S7; in steps, story 1; killed, and its library gone), zstd-jni (S6, watched and in
# CI), Netty's pool behind a push service (S16, story 2), netty-tcnative (S3). What is awaited is counted or answered, never
# timed. INCIDENTS="upgrade buffers" picks some; JDKS="17 21 25" other Java runtimes than that of javac (all in `make soak`).
. "$(dirname "$0")/../lib/suite.sh"
. "$tests/lib/jvm.sh"
JDKS=${JDKS:-$(version_of "$java_home")}
jars=$BUILD/artifacts
rocksdb=$jars/rocksdbjni-9.7.3-linux64.jar
finalized=$jars/rocksdbjni-6.29.5-linux64.jar
zstd=$jars/zstd-jni-1.4.8-1-linux_amd64.jar
tcnative=$jars/netty-tcnative-classes-2.0.60.Final.jar
boringssl=$jars/netty-tcnative-boringssl-static-2.0.60.Final-linux-x86_64.jar
push=$(echo "$jars"/{netty-socketio-1.7.12,netty-all-4.1.48.Final,jackson-{core,databind}-2.7.4,jackson-annotations-2.7.0,slf4j-{api,nop}-1.7.36}.jar)
examples=$root/examples

# build CLASSPATH SOURCE…: into a directory of its own, which is printed; once
build() {
	local directory
	directory=$work/classes.$(echo "$@" | sha256sum | cut -c1-12)
	[ -d "$directory" ] || javac --release 17 -nowarn -g:source,lines -cp "$1" -d "$directory" "${@:2}" >"$work/javac" 2>&1 ||
		{ cat "$work/javac" >&2; return 1; }
	echo "$directory"
}

# java_of RECORDING OPTION…: that of this round, traced, and all that it says in $work/out
java_of() {
	traced "$1" "$home/bin/java" -Djava.io.tmpdir="$temporary" "${@:2}" >"$work/out" 2>&1
}

# answers NAME COMMAND…: its answer, in $work/answer; no answer is a failure
answers() {
	local name=$1
	shift
	bounded 60 "$mtrace" "$@" >"$work/answer" 2>"$work/err" && return
	fail "$name" "mtrace $1: status $?: $(head -c 300 "$work/err")"
	return 1
}

# paragraph TEXT…: the first stack of the answer that has all of these, a line each
paragraph() {
	awk -v wanted="$(printf '%s\n' "$@")" '
		function has_all(  n, parts, i) {
			n = split(wanted, parts, "\n")
			for (i = 1; i <= n; i++)
				if (!index(stack, parts[i]))
					return 0
			return 1
		}
		/^ *[0-9]+ +(LEAK|leak|CACHE|UNKNOWN|GC-LAG|STARTUP|SPIKE|new|grew|shrank|gone|[0-9.]+ (B|[KMG]iB)) / || !NF {
			if (stack != "" && has_all()) { printf "%s", stack; stack = ""; exit }
			stack = "" }
		{ stack = stack $0 "\n" }
		END { if (stack != "" && has_all()) printf "%s", stack }' "$work/answer"
}

# says_so NAME TEXT…: the answer has a stack with all of these, a line each
says_so() {
	local name=$1
	shift
	paragraph "$@" >"$work/stack"
	[ -s "$work/stack" ] && pass "$name" || fail "$name" "no stack with $(printf '[%s] ' "$@"): $(grep -m 8 '^ *[0-9]  \|your code' "$work/answer" | tr '\n' ';')"
}

# absent NAME JAR…: says so, and is true, where one of them could not be fetched
absent() {
	local name=$1 jar
	shift
	for jar in "$@"; do
		[ -e "$jar" ] || { skip "$name" "$(basename "$jar") could not be fetched"; return 0; }
	done
	return 1
}

# ---- S7: an upgrade of RocksDB, whose objects have no finalizers any more ----

# opens JAR RECORDING: 20 opens, 60 iterators
opens() {
	local directory
	directory=$(mktemp -d "$work/db.XXXXXX")
	java_of "$2" -Xint -Xmx200m -cp "$1:$(build "$1" "$tests/programs/java/Opens.java")" Opens 20 "$directory" &&
		grep -q ready "$work/out" || fail "$jdk, S7: $(basename "$1")" "$(tail -c 300 "$work/out")"
}

upgrade() {
	absent "$jdk, S7" "$finalized" "$rocksdb" && return
	opens "$finalized" "$work/before.mtr"
	opens "$rocksdb" "$work/after.mtr"
	answers "$jdk, S7: diff" diff -n 0 --full "$work/before.mtr" "$work/after.mtr" || return
	says_so "$jdk, S7: an iterator of each that was not closed is new" " new " "+60 blocks" NewArenaWrappedDbIterator "Opens.look "
	says_so "$jdk, S7: their options, too" " new " "+60 blocks" ReadOptions.newReadOptions "Opens.look "
	says_so "$jdk, S7: and one ReadOptions for each open" " new " "+20 blocks" ReadOptions.newReadOptions "RocksDB.<init>" "Opens.open "
}

# ---- story 1: in steps, at the hours when it writes through RocksDB ----
steps() {
	absent "$jdk, story 1" "$rocksdb" && return
	java_of "$work/sync.mtr" -Xint -cp "$rocksdb:$(build "$rocksdb" "$examples/jvm-rocksdb/Sync.java")" Sync "$mtrace" ||
		fail "$jdk, story 1" "$(tail -c 300 "$work/out")"
	answers "$jdk, story 1: leaks" leaks --on-mark quarter "$work/sync.mtr" || return
	says_so "$jdk, story 1: a leak in steps, under the method that opens iterators" " LEAK " "in 7 steps of" "rises in even steps" \
		"800 malloc blocks" RocksDB.newIterator "Sync.java:20 "
	grep -q "Sync.last .* <- your code" "$work/answer" && pass "$jdk, story 1: whose code it is" || fail "$jdk, story 1: whose code" "$(grep your "$work/answer")"
	grep -q "mtrace gate --settle 'mtrace jvm" "$work/answer" && pass "$jdk, story 1: what to ask next" || fail "$jdk, story 1: next" "$(tail -3 "$work/answer")"
	answers "$jdk, story 1: by site" leaks --on-mark quarter --by site --verdict leak "$work/sync.mtr" || return
	expect "$jdk, story 1: the places, worst first" "Sync.last Sync.stage" "$(awk '$1 == "where" { print $2 }' "$work/answer" | xargs)"
}

# ---- S3: a context and its end, again and again; 2.0.60 of netty-tcnative lacks a free ----
contexts() {
	absent "$jdk, S3" "$tcnative" "$boringssl" && return
	/usr/bin/python3 -m zipfile -e "$boringssl" "$work/boringssl"
	java_of "$work/contexts.mtr" -Xint -cp "$tcnative:$(build "$tcnative" "$tests/programs/java/Contexts.java")" \
		Contexts 500 "$work"/boringssl/META-INF/native/libnetty_tcnative_linux_x86_64.so || fail "$jdk, S3" "$(tail -c 300 "$work/out")"
	answers "$jdk, S3: report" report -n 0 "$work/contexts.mtr" || return
	says_so "$jdk, S3: one block for each context" " in       500 live" " in       500 allocated" netty_internal_tcnative_SSLContext_make "Contexts.churn "
	expect "$jdk, S3: and of no other stack that many" 1 "$(grep -c ' in  *\(500\|1 000\) live' "$work/answer")"
}

# ---- S6: streams that are not closed are freed when the collector comes ----

# does WORD: told to the program, answered by it
does() {
	echo "$1" >&3 && read -r -t 60 _ <&4
}

# window: ends, seen by mtrace
window() {
	echo >&5 && read -r -t 60 _ <&6
}

# watched OPTION…: mtrace leaks looks on, by windows that `window` ends
watched() {
	mkfifo "$work/lines" "$work/taken"
	bounded 240 "$mtrace" leaks --on-line "$@" "$pid" <"$work/lines" >"$work/answer" 2>"$work/taken" &
	looker=$!
	exec 5>"$work/lines" 6<"$work/taken"
	read -r -t 60 _ <&6
}

watched_enough() {
	exec 5>&-
	wait "$looker"
	exec 6<&-
	rm "$work/lines" "$work/taken"
}

collect() {
	bounded 60 "$mtrace" jvm "$pid" gc >"$work/gc" 2>&1 || fail "$jdk, S6: mtrace jvm gc" "$(cat "$work/gc")"
	does wait
}

streams() {
	local n classes
	absent "$jdk, S6" "$zstd" && return
	mkfifo "$work/told" "$work/done"
	exec 3<>"$work/told" 4<>"$work/done"
	classes=$(build "$zstd" "$tests/programs/java/Streams.java")
	preload -- "$home/bin/java" -Djava.io.tmpdir="$temporary" -agentpath:"$shim" -Xint -Xms400m -XX:+UseSerialGC -cp "$zstd:$classes" Streams <"$work/told" >"$work/done" 2>"$work/streams.err" &
	pid=$!
	background+=("$pid")
	does pack || { fail "$jdk, S6" "$(tail -c 300 "$work/streams.err")"; return; }
	watched
	for n in $(seq 20); do does pack && window; done
	watched_enough
	says_so "$jdk, S6: until the collector comes, a leak of who made the stream" " LEAK " ZSTD_ "Streams.pack "
	grep -q "mtrace jvm $pid gc " "$work/answer" && pass "$jdk, S6: how to tell is said" || fail "$jdk, S6: how to tell" "$(tail -4 "$work/answer")"
	collect
	watched
	for n in $(seq 36); do
		[ $((n % 6)) = 0 ] && collect
		does pack && window
	done
	watched_enough
	says_so "$jdk, S6: with collections it is what waits for them" " GC-LAG " "freed at once, again and again" ZSTD_ "Streams.pack "
	paragraph " LEAK " "Streams.pack " >"$work/said"
	verdict "$jdk, S6: and no leak" "$work/said"
	exec 3>&- 4<&-
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	rm "$work/told" "$work/done"
}

# gated OPTION…: mtrace gate around it, two streams for each load; its page in $work/answer, its status printed
gated() {
	clear_segments
	MTRACE_OPTIONS=dir=$segments bounded 240 "$mtrace" gate --load "echo pack >'$work/told'; read -r _ <'$work/done'" --phase warmup:6 --phase work:24 \
		-o "$work/answer" "$@" -- "$home/bin/java" -Djava.io.tmpdir="$temporary" -Xint -Xms400m -XX:+UseSerialGC \
		-cp "$zstd:$(build "$zstd" "$tests/programs/java/Streams.java")" Streams <"$work/told" >"$work/done" 2>"$work/err"
	echo $?
}

in_ci() {
	absent "$jdk, S6 in CI" "$zstd" && return
	mkfifo "$work/told" "$work/done"
	exec 3<>"$work/told" 4<>"$work/done"
	expect "$jdk, S6: the gate fails while nobody collects" 1 "$(gated)"
	says_so "$jdk, S6: the leak is of who made the stream" " leak " ZSTD_ "Streams.pack "
	grep -qF "if it waits for Java's collector: --settle 'mtrace jvm \$PID gc' lets it come" "$work/answer" && pass "$jdk, S6: the page says how to tell" ||
		fail "$jdk, S6: the page says how to tell" "$(tail -3 "$work/answer")"
	expect "$jdk, S6: it passes with --settle" 0 "$(gated --settle "'$mtrace' jvm \$PID gc >/dev/null")"
	grep -qE '^  (held)? +it settled 25 times, when .* of .* stacks? were freed, which had waited; most: Streams.pack < Streams.main' "$work/answer" &&
		pass "$jdk, S6: and says whose memory had waited" || fail "$jdk, S6: and says whose memory had waited" "$(head -12 "$work/answer" | tr '\n' ';')"
	exec 3>&- 4<&-
	rm "$work/told" "$work/done"
}

# ---- RocksDB again, killed when the library that it unpacked is gone ----

# has_copy: of what it unpacked, in the cache of symbols
has_copy() {
	local unpacked
	unpacked=$(find "$temporary" -name 'librocksdbjni*' -size +0)
	[ -n "$unpacked" ] && [ -n "$(find "$XDG_CACHE_HOME" -path '*/files/*' -size "$(stat -c %s "$unpacked")c" 2>/dev/null)" ]
}

# is_killed PID: as an OOM killer does it, and what it unpacked is removed before
is_killed() {
	[ "$(find "$temporary" -name 'librocksdbjni*' | wc -l)" = 1 ] || fail "$jdk, rocksdbjni killed" "what it unpacked: $(ls "$temporary")"
	find "$temporary" -name 'librocksdbjni*' -delete
	kill -KILL "$1"
}

killed() {
	local iterators java
	absent "$jdk, rocksdbjni killed" "$rocksdb" && return
	iterators=(-Djava.io.tmpdir="$temporary" -Xint -cp "$rocksdb:$(build "$rocksdb" "$tests/programs/java/Iterators.java")" Iterators 50)
	rm -rf "$temporary"/* "$XDG_CACHE_HOME"
	clear_segments
	: >"$work/out"
	in_background traced "$work/killed.mtr" "$home/bin/java" "${iterators[@]}" "$(mktemp -d "$work/db.XXXXXX")" >"$work/out" 2>&1
	pid=$!
	says "$work/out" ready && within 20 has_copy || fail "$jdk, rocksdbjni killed" "$(tail -c 300 "$work/out")"
	java=$(find "$segments" -name 'mtrace.*' | sed 's/.*mtrace\.\([0-9]*\)\..*/\1/' | sort -u)
	is_killed "$java"
	wait "$pid"
	answers "$jdk, rocksdbjni killed" report -n 0 "$work/killed.mtr" || return
	says_so "$jdk, rocksdbjni killed, its library gone: functions have their names" " in        50 live" NewArenaWrappedDbIterator rocksdb::DBImpl:: \
		"RocksDB.newIterator" "Iterators.keep "
	grep -q "killed: SIGKILL" "$work/answer" && pass "$jdk, rocksdbjni killed: and it is said" || fail "$jdk, rocksdbjni killed: and it is said" "$(head -8 "$work/answer")"

	# With nobody beside it: the same as soon as somebody has the library, under any name.
	rm -rf "$temporary"/* "$XDG_CACHE_HOME"
	clear_segments
	: >"$work/out"
	in_background preload -- "$home/bin/java" "${iterators[@]}" "$(mktemp -d "$work/db.XXXXXX")" >"$work/out" 2>&1
	pid=$!
	says "$work/out" ready || fail "$jdk, rocksdbjni preloaded" "$(tail -c 300 "$work/out")"
	is_killed "$pid"
	wait "$pid" 2>/dev/null
	[ -d "$work/unpacked" ] || /usr/bin/python3 -m zipfile -e "$rocksdb" "$work/unpacked"
	answers "$jdk, rocksdbjni preloaded" report -n 0 --search "$work/unpacked" "$(segment_of "$pid")" || return
	says_so "$jdk, rocksdbjni preloaded, killed: names from the jar's own library" " in        50 live" NewArenaWrappedDbIterator rocksdb::DBImpl:: \
		"RocksDB.newIterator" "Iterators.keep "
}

# ---- S16, story 2: the encoder throws, and forgets its buffer, in a pool of Netty's ----

# pushes TYPE RECORDING
pushes() {
	java_of "$2" --add-opens java.base/java.nio=ALL-UNNAMED -Dio.netty.tryReflectionSetAccessible=true -Dio.netty.allocator.type="$1" \
		-cp "${push// /:}:$pushed" Push && grep -q "50 came" "$work/out" || fail "$jdk, S16: $1" "$(tail -c 300 "$work/out")"
}

buffers() {
	local got
	# shellcheck disable=SC2086
	absent "$jdk, S16" $push && return
	pushed=$(build "${push// /:}" "$examples/jvm-netty-socketio/Push.java")
	pushes pooled "$work/pooled.mtr"
	answers "$jdk, S16: report" report -n 3 --full "$work/pooled.mtr" || return
	says_so "$jdk, S16: a chunk of the pool, who needed it, and what shows whose the buffers are" "16.00 MiB in         1 live" "PoolArena" \
		"socketio.protocol.PacketEncoder" "Push.java:58 " "a chunk of Netty's pool" "-Dio.netty.allocator.type=unpooled" "-Dio.netty.leakDetection.level=paranoid"
	pushes unpooled "$work/unpooled.mtr"
	answers "$jdk, S16: export" export --to folded -o "$work/folded" "$work/unpooled.mtr" || return
	got=$(awk '/Push.lambda.*PacketEncoder.encodePacket.*(NoCleaner|DirectByteBuffer)/ && $NF % 65536 == 0 { n += $NF } END { print n / 65536 }' "$work/folded")
	if [ "$version" -lt 21 ]; then
		expect "$jdk, S16: unpooled, the 300 that were lost, of 64 KiB" 300 "$got"
	else # this Netty finds no way around the collector there: what was collected meanwhile is free
		[ "$got" -ge 1 ] && [ "$got" -le 300 ] && pass "$jdk, S16: unpooled, those that were lost and not collected" ||
			fail "$jdk, S16: unpooled, those that were lost" "$got of 300"
	fi
}

temporary=$work/temporary # what Java libraries unpack
mkdir "$temporary"
while read -r version home <&9; do
	jdk="JDK $version"
	for incident in ${INCIDENTS:-upgrade steps contexts streams in_ci killed buffers}; do
		$incident
	done
done 9< <(jdks)
skip_absent_jdks
suite_end
