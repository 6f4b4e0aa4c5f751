#!/bin/bash
# libraries: JVMs at work with native code of others, under `mtrace run` with all Java frames: an HTTP server on Netty under load for
# NETTY_SECONDS (900), and RocksDB writing ROCKS_KEYS (5 000 000) keys through JNI. The same answers as untracked, the same
# status, and of all captures fewer than one in ten thousand with a stack that was lost, each counted. On the JDK of javac;
# JDKS="21 25" names others.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"
. "$tests/lib/jvm.sh"
netty=$BUILD/artifacts/netty-all-4.1.48.Final.jar
rocksdb=$BUILD/artifacts/rocksdbjni-9.7.3-linux64.jar
seconds=${NETTY_SECONDS:-900} keys=${ROCKS_KEYS:-5000000}

# lost: of $work/rec.mtr, what is not as it must be; its figures in $work/figures
lost() {
	bounded 300 "$mtrace" report --json -n 1 "$work/rec.mtr" >"$work/report.json" 2>"$work/report.err" || { head -c 300 "$work/report.err"; return; }
	query "$work/report.json" '.processes[0] | (.totals.alloc_blocks + .totals.freed_blocks) as $n | .trust as $t |
		"\(.totals.alloc_blocks) blocks, \($t.counters.stacks_lost_in_java) stacks lost in Java, \($t.counters.stacks_no_rules) without rules"' \
		>"$work/figures"
	query "$work/report.json" '.processes[0] | .totals.alloc_blocks as $n | .trust |
		(.drops | to_entries[] | select(.value != 0) | "drop \(.key) \(.value)"),
		(.counters.stacks_lost_in_java + .counters.stacks_no_rules | select(. * 10000 >= $n) | "\(.) stacks lost of \($n)"),
		(.unknown_frees + .implicit_frees | select(. > 0) | "\(.) frees that do not match"),
		($n | select(. < 10000) | "only \(.) blocks")'
}

# at_work NAME LIMIT PLAIN… -- TRACED…: what it says and how it ends is what the untracked one does
at_work() {
	local name=$1 limit=$2 plain=() status
	shift 2
	while [ "$1" != -- ]; do plain+=("$1"); shift; done
	shift
	bounded "$limit" "${plain[@]}" >"$work/out.plain" 2>"$work/err.plain"
	status=$?
	TRACED_SECONDS=$limit traced "$work/rec.mtr" "$@" >"$work/out" 2>"$work/err"
	like_untracked "$name: output and exit status" $? $status 0
	lost >"$work/said" 2>&1
	verdict "$name: $(cat "$work/figures")" "$work/said"
	grep requests "$work/err"
}

if [ ! -e "$netty" ] || [ ! -e "$rocksdb" ]; then
	fail "the libraries are there" "make soak fetches them; could it not?"
	suite_end
fi
mkdir "$work/classes"
javac --release 17 -g:source,lines -cp "$netty:$rocksdb" -d "$work/classes" "$tests/soak/"{Http,Keys}.java >"$work/said" 2>&1 || cat "$work/said"
# Untracked, a short while is enough: its answers are right or not.
while read -r version home <&3; do
	java=("$home/bin/java" -Xmx300m -cp)
	rm -rf "$work"/{plain,traced}
	at_work "JDK $version, Netty for $seconds s" $((seconds * 2 + 600)) "${java[@]}" "$netty:$work/classes" Http 10 -- \
		"${java[@]}" "$netty:$work/classes" Http "$seconds"
	at_work "JDK $version, RocksDB, $keys keys" 3600 "${java[@]}" "$rocksdb:$work/classes" Keys "$keys" "$work/plain" -- \
		"${java[@]}" "$rocksdb:$work/classes" Keys "$keys" "$work/traced"
done 3< <(JDKS=${JDKS:-$(version_of "$java_home")} jdks)
[ -z "${JDKS:-}" ] || skip_absent_jdks
suite_end
