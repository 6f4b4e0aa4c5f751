#!/bin/bash
# incidents_jvm: published incidents and stories of the JVM with the libraries that they were about, each answered by at most three
# commands of mtrace's: RocksDB (an upgrade, S7; in steps, story 1), zstd-jni (S6), Netty's pool behind a push service (S16,
# story 2), netty-tcnative (S3). What is awaited is counted or answered, never timed. INCIDENTS="upgrade buffers" picks some.
. "$(dirname "$0")/../lib/suite.sh"
. "$tests/lib/jvm.sh"
jars=$BUILD/artifacts
rocksdb=$jars/rocksdbjni-9.7.3-linux64.jar
finalized=$jars/rocksdbjni-6.29.5-linux64.jar
zstd=$jars/zstd-jni-1.4.8-1-linux_amd64.jar
tcnative=$jars/netty-tcnative-classes-2.0.60.Final.jar
boringssl=$jars/netty-tcnative-boringssl-static-2.0.60.Final-linux-x86_64.jar
push=$(echo "$jars"/{netty-socketio-1.7.12,netty-all-4.1.48.Final,jackson-{core,databind}-2.7.4,jackson-annotations-2.7.0,slf4j-{api,nop}-1.7.36}.jar)
examples=$root/examples

# build CLASSPATH SOURCE…: into a directory of its own, which is printed
build() {
	local directory
	directory=$(mktemp -d "$work/classes.XXXXXX")
	javac --release 17 -nowarn -g:source,lines -cp "$1" -d "$directory" "${@:2}" >"$work/javac" 2>&1 || { cat "$work/javac" >&2; return 1; }
	echo "$directory"
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
		/^ *[0-9]+ +(LEAK|CACHE|UNKNOWN|GC-LAG|STARTUP|SPIKE|new|grew|shrank|gone|[0-9.]+ (B|[KMG]iB)) / || !NF {
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
	traced "$2" java -Xint -Xmx200m -cp "$1:$(build "$1" "$tests/programs/java/Opens.java")" Opens 20 "$directory" >"$work/out" 2>&1 &&
		grep -q ready "$work/out" || fail "S7: $(basename "$1")" "$(tail -c 300 "$work/out")"
}

upgrade() {
	absent "S7" "$finalized" "$rocksdb" && return
	opens "$finalized" "$work/before.mtr"
	opens "$rocksdb" "$work/after.mtr"
	answers "S7: diff" diff -n 0 "$work/before.mtr" "$work/after.mtr" || return
	says_so "S7: an iterator of each that was not closed is new" " new " "+60 blocks" NewArenaWrappedDbIterator "Opens.look "
	says_so "S7: their options, too" " new " "+60 blocks" ReadOptions.newReadOptions "Opens.look "
	says_so "S7: and one ReadOptions for each open" " new " "+20 blocks" ReadOptions.newReadOptions "RocksDB.<init>" "Opens.open "
}

# ---- story 1: in steps, at the hours when it writes through RocksDB ----
steps() {
	absent "story 1" "$rocksdb" && return
	traced "$work/sync.mtr" java -Xint -cp "$rocksdb:$(build "$rocksdb" "$examples/jvm-rocksdb/Sync.java")" -Djava.io.tmpdir="$work" \
		Sync "$mtrace" >"$work/out" 2>&1 || fail "story 1" "$(tail -c 300 "$work/out")"
	answers "story 1: leaks" leaks --on-mark quarter "$work/sync.mtr" || return
	says_so "story 1: a leak in steps, under the method that opens iterators" " LEAK " "in 7 steps of" "rises in even steps" \
		"800 malloc blocks" RocksDB.newIterator "Sync.java:20 "
	grep -q "Sync.last .* <- your code" "$work/answer" && pass "story 1: whose code it is" || fail "story 1: whose code" "$(grep your "$work/answer")"
	grep -q "mtrace gate --settle 'mtrace jvm" "$work/answer" && pass "story 1: what to ask next" || fail "story 1: next" "$(tail -3 "$work/answer")"
	answers "story 1: by site" leaks --on-mark quarter --by site --verdict leak "$work/sync.mtr" || return
	expect "story 1: the places, worst first" "Sync.last Sync.stage" "$(awk '$1 == "where" { print $2 }' "$work/answer" | xargs)"
}

# ---- S3: a context and its end, again and again; 2.0.60 of netty-tcnative lacks a free ----
contexts() {
	absent "S3" "$tcnative" "$boringssl" && return
	/usr/bin/python3 -m zipfile -e "$boringssl" "$work/boringssl"
	traced "$work/contexts.mtr" java -Xint -cp "$tcnative:$(build "$tcnative" "$tests/programs/java/Contexts.java")" \
		Contexts 500 "$work"/boringssl/META-INF/native/libnetty_tcnative_linux_x86_64.so >"$work/out" 2>&1 || fail "S3" "$(tail -c 300 "$work/out")"
	answers "S3: report" report -n 0 "$work/contexts.mtr" || return
	says_so "S3: one block for each context" " in       500 live" " in       500 allocated" netty_internal_tcnative_SSLContext_make "Contexts.churn "
	expect "S3: and of no other stack that many" 1 "$(grep -c ' in  *\(500\|1 000\) live' "$work/answer")"
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
	bounded 60 "$mtrace" jvm "$pid" gc >"$work/gc" 2>&1 || fail "S6: mtrace jvm gc" "$(cat "$work/gc")"
	does wait
}

streams() {
	local n classes
	absent "S6" "$zstd" && return
	mkfifo "$work/told" "$work/done"
	exec 3<>"$work/told" 4<>"$work/done"
	classes=$(build "$zstd" "$tests/programs/java/Streams.java")
	preload -- java -agentpath:"$shim" -Xint -Xms400m -XX:+UseSerialGC -cp "$zstd:$classes" Streams <"$work/told" >"$work/done" 2>"$work/streams.err" &
	pid=$!
	background+=("$pid")
	does pack || { fail "S6" "$(tail -c 300 "$work/streams.err")"; return; }
	watched
	for n in $(seq 20); do does pack && window; done
	watched_enough
	says_so "S6: until the collector comes, a leak of who made the stream" " LEAK " ZSTD_ "Streams.pack "
	grep -q "mtrace jvm $pid gc " "$work/answer" && pass "S6: how to tell is said" || fail "S6: how to tell" "$(tail -4 "$work/answer")"
	collect
	watched
	for n in $(seq 36); do
		[ $((n % 6)) = 0 ] && collect
		does pack && window
	done
	watched_enough
	says_so "S6: with collections it is what waits for them" " GC-LAG " "freed at once, again and again" ZSTD_ "Streams.pack "
	paragraph " LEAK " "Streams.pack " >"$work/said"
	verdict "S6: and no leak" "$work/said"
	exec 3>&- 4<&-
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
}

# ---- S16, story 2: the encoder throws, and forgets its buffer, in a pool of Netty's ----

# pushes TYPE RECORDING
pushes() {
	traced "$2" java --add-opens java.base/java.nio=ALL-UNNAMED -Dio.netty.tryReflectionSetAccessible=true -Dio.netty.allocator.type="$1" \
		-cp "${push// /:}:$pushed" Push >"$work/out" 2>&1 && grep -q "50 came" "$work/out" || fail "S16: $1" "$(tail -c 300 "$work/out")"
}

buffers() {
	# shellcheck disable=SC2086
	absent "S16" $push && return
	pushed=$(build "${push// /:}" "$examples/jvm-netty-socketio/Push.java")
	pushes pooled "$work/pooled.mtr"
	answers "S16: report" report -n 3 --full "$work/pooled.mtr" || return
	says_so "S16: a chunk of the pool, who needed it, and what shows whose the buffers are" "16.00 MiB in         1 live" "PoolArena" \
		"socketio.protocol.PacketEncoder" "Push.java:58 " "a chunk of Netty's pool" "-Dio.netty.allocator.type=unpooled" "-Dio.netty.leakDetection.level=paranoid"
	pushes unpooled "$work/unpooled.mtr"
	answers "S16: export" export --to folded -o "$work/folded" "$work/unpooled.mtr" || return
	expect "S16: unpooled, the 300 that were lost, of 64 KiB" $((300 * 65536)) "$(awk '/Push.lambda.*PacketEncoder.encodePacket.*NoCleaner/ &&
		$NF % 65536 == 0 { n += $NF } END { print n }' "$work/folded")"
}

for incident in ${INCIDENTS:-upgrade steps contexts streams buffers}; do
	$incident
done
suite_end
