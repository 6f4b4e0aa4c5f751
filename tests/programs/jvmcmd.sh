#!/bin/bash
# jvmcmd: `mtrace jvm`, what a JVM says by its attach socket, on every JDK at hand: native memory and the class histogram
# with their baselines, heap dumps, threads, a collection; from outside a container, as root for another user. And what is
# refused, without a word in the JVM's own output and without harm.
. "$(dirname "$0")/../lib/suite.sh"
. "$tests/lib/jvm.sh"
mkdir "$work/classes"
chmod 755 "$work"
javac --release 17 -d "$work/classes" "$tests/programs/java/Asked.java" || { fail "it is built" "javac"; suite_end; }

# An input that can be written, and stays open.
prepare() {
	stop
	rm -f "$work/in" && mkfifo "$work/in" && : >"$work/out"
	exec 9<>"$work/in"
}

# Bash gives what runs in the background /dev/null to read, whatever stands around it.
fed() {
	in_background runs bash -c 'exec "$@" <"$0"' "$work/in" "$@" >"$work/out" 2>&1
	pid=$!
}

# start HOME OPTION…: its pid is in $pid, its input is descriptor 9, its output $work/out.
start() {
	local home=$1
	shift
	prepare
	fed "$home/bin/java" -Xmx64m -cp "$work/classes" "$@" Asked 5000
	says "$work/out" "ready 5000$" || fail "the JVM starts" "$(head -c 300 "$work/out")"
}

stop() {
	exec 9>&-
	[ -z "${pid:-}" ] || { kill -KILL "$pid"; wait "$pid"; } 2>/dev/null
	pid=
}

keeps_more() {
	echo >&9
	says "$work/out" "ready 10000$"
}

jvm() {
	bounded 60 "$mtrace" jvm "$@" >"$work/stdout" 2>"$work/stderr"
}

untouched() {
	expect "$1" "$2" "$(cat "$work/out")"
}

# All that can be asked, of one JVM.
asked() {
	local version=$1
	jvm "$pid" histogram --baseline && keeps_more && jvm "$pid" histogram -n 0 || cat "$work/stderr"
	grep -qE '^ +10 000 .* \+5 000 .*  Asked\$Node$' "$work/stdout" || echo "not 10 000 and +5 000: $(grep -m3 Node "$work/stdout")"
	jvm "$pid" nmt --baseline && jvm "$pid" nmt && grep -q 'since the baseline' "$work/stdout" && grep -q 'Java Heap$' "$work/stdout" ||
		echo "nmt: $(head -3 "$work/stdout" "$work/stderr")"
	jvm "$pid" heapdump "$work/heap.hprof" || cat "$work/stderr"
	[ "$(stat -c %a "$work/heap.hprof")" = 600 ] || echo "the dump's mode is $(stat -c %a "$work/heap.hprof")"
	head -c 12 "$work/heap.hprof" | grep -q "JAVA PROFILE" || echo "it is no heap dump"
	grep -q "stands still" "$work/stderr" || echo "the pause is not announced"
	rm -f "$work/heap.hprof"
	jvm "$pid" threads && grep -q '"main"' "$work/stdout" || echo "threads: $(head -3 "$work/stdout" "$work/stderr")"
	jvm "$pid" gc || cat "$work/stderr"
}

while read -r version home <&3; do
	start "$home" -XX:NativeMemoryTracking=summary
	asked "$version" >"$work/said" 2>&1
	verdict "JDK $version: histogram, nmt, heapdump, threads, gc" "$work/said"
	untouched "JDK $version: not a word in its output" $'ready 5000\nready 10000'
done 3< <(jdks)
skip_absent_jdks
[ -z "$(find /tmp -maxdepth 1 -name ".attach_pid$pid")" ] && pass "no file is left behind" || fail "no file is left behind" "$pid"

# ---- said no ----

# refused NAME STATUS TEXT ARGUMENT…: one line on stderr with TEXT in it, and nothing on stdout.
refused() {
	local name=$1 wanted=$2 text=$3 status
	shift 3
	jvm "$@"
	status=$?
	[ "$status" = "$wanted" ] && [ "$(wc -l <"$work/stderr")" = 1 ] && [ ! -s "$work/stdout" ] && grep -qF -- "$text" "$work/stderr" &&
		pass "$name" || fail "$name" "status $status, wanted $wanted and '$text': $(head -3 "$work/stderr")"
}

touch "$work/there"
refused "a dump into a file that is there" 2 "is there already" "$pid" heapdump "$work/there"
refused "a dump where there is no room" 2 "left: name a file elsewhere" "$pid" heapdump /proc/heap.hprof
refused "a dump into no directory" 2 "No such file" "$pid" heapdump /nowhere/heap.hprof
refused "a word too many" 2 "takes no file" "$pid" gc now
refused "a word misspelled" 2 "did you mean histogram" "$pid" histogran
stop
start "$java_home"
refused "no native memory tracking" 1 "restart it with -XX:NativeMemoryTracking=summary" "$pid" nmt
start "$java_home" -Xrs
jvm "$pid" gc && pass "-Xrs: it listens from the start" || fail "-Xrs: it listens from the start" "$(cat "$work/stderr")"
rm -f "/tmp/.java_pid$pid"
refused "-Xrs, its socket removed: it is not signalled" 2 "-Xrs" "$pid" gc
kill -0 "$pid" && pass "and lives" || fail "and lives" "it is gone"
start "$java_home" -XX:+DisableAttachMechanism
refused "-XX:+DisableAttachMechanism" 2 "DisableAttachMechanism" "$pid" gc
untouched "and it goes on, without a dump of its threads" "ready 5000"
kill -0 "$pid" && pass "and lives" || fail "and lives" "it is gone"
start "$java_home"
kill -STOP "$pid"
refused "a JVM that is stopped" 2 "did not begin to listen" "$pid" gc
kill -CONT "$pid"
dead=$pid
stop
refused "a dead process" 2 "no running process" "$dead" gc
in_background sleep 100
refused "no JVM" 2 "is not a JVM" $! gc

# ---- another user's, and a container's ----
if [ "$(id -u)" = 0 ] && setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null; then
	prepare
	fed setpriv --reuid=65534 --regid=65534 --clear-groups "$java_home/bin/java" -cp "$work/classes" Asked 5000
	says "$work/out" "ready 5000$"
	# What a JVM leaves that had the pid before, and was killed: it may be there by chance, so it is, and then it is not.
	socket="/tmp/.java_pid$pid"
	rm -f "$socket"
	/usr/bin/python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$socket"
	chmod 600 "$socket"
	refused "another user's socket in its way" 2 "$socket is there already, another user's; remove it" "$pid" gc
	rm -f "$socket"
	jvm "$pid" histogram && pass "root asks another user's JVM" || fail "root asks another user's JVM" "$(cat "$work/stderr")"
	start "$java_home"
	setpriv --reuid=65534 --regid=65534 --clear-groups "$mtrace" jvm "$pid" gc >"$work/stdout" 2>"$work/stderr"
	grep -q "another user" "$work/stderr" && pass "another user is refused" || fail "another user is refused" "$(cat "$work/stderr")"
else
	skip "another user's JVM" "it takes root"
fi
if unshare --mount --pid --fork true 2>/dev/null; then
	prepare
	mkdir -p "$segments/classes" && cp "$work/classes"/* "$segments/classes" && mkfifo "$segments/in" && exec 9<>"$segments/in"
	in_background unshare --mount --pid --fork --kill-child --mount-proc bash -c \
		'mount -t tmpfs none /tmp && exec "$0/bin/java" -cp "$1/classes" Asked 5000 <"$1/in"' "$java_home" "$segments" >"$work/out" 2>&1
	outer=$!
	says "$work/out" "ready 5000$"
	pid=$(pgrep -P "$outer" | head -1)
	jvm "$pid" histogram && pass "a JVM of other namespaces" || fail "a JVM of other namespaces" "$(cat "$work/stderr" "$work/out")"
	root=/proc/$pid/root # what the process has as /
	jvm "$pid" heapdump /tmp/heap.hprof && [ "$(stat -c %a "$root"/tmp/heap.hprof)" = 600 ] &&
		pass "its dump is where it says" || fail "its dump is where it says" "$(cat "$work/stderr")"
	cd "$work" || exit
	refused "a relative path that it does not see" 2 "does not see" "$pid" heapdump heap.hprof
	kill -KILL "$pid"
	pid=
else
	skip "a JVM of other namespaces" "this machine allows none"
fi
stop
suite_end
