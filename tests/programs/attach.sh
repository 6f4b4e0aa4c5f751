#!/bin/bash
# attach: `mtrace attach` to JVMs that run under load (threads that come and go, class loading, collections), on every JDK at
# hand: what leaks from then on is under its Java method and line, N exact, after SIGKILL too; and `mtrace detach`: nothing is
# recorded, and the slots and the rights of their pages are as they were. Many times over; during start-up; to a process
# that has the library and sleeps; and what is refused.
. "$(dirname "$0")/../lib/suite.sh"
. "$tests/lib/jvm.sh"
blocks=${ATTACH_BLOCKS:-3000}
times=${ATTACH_TIMES:-10}
export MTRACE_OPTIONS=dir=$segments
mkdir "$work/classes"
include=(-I"$java_home/include" -I"$java_home/include/linux" -O2 -g -fomit-frame-pointer -shared -fPIC)
javac --release 17 -g:source,lines -d "$work/classes" "$tests/programs/java/"{Leaks,Unloaded,Attached,Children}.java >"$work/said" 2>&1 &&
	gcc "${include[@]}" "$tests/programs/java/leaks.c" -o "$work/libleaks.so" >>"$work/said" 2>&1 &&
	gcc "${include[@]}" "$tests/programs/java/attached.c" -Wl,-rpath,'$ORIGIN' -o "$work/libattached.so" >>"$work/said" 2>&1 &&
	gcc "${include[@]}" -x c /dev/null -o "$work/liborigin.so" >>"$work/said" 2>&1
if [ ! -e "$work/liborigin.so" ]; then
	fail "the programs are built" "$(head -c 300 "$work/said")"
	suite_end
fi
mkfifo "$work/in"
exec 9<>"$work/in"
pid=

stop() {
	[ -z "$pid" ] || { kill -KILL "$pid"; wait "$pid"; } 2>/dev/null
	pid=
	clear_segments
}

# fed CMD…: with $work/in to read (bash gives what runs in the background /dev/null); its pid is in $pid.
fed() {
	stop
	: >"$work/out" && : >"$work/err"
	in_background runs bash -c 'exec "$@" <"$0"' "$work/in" "$@" >"$work/out" 2>"$work/err"
	pid=$!
}

# under_load HOME early|late OPTION…
under_load() {
	local home=$1 when=$2 native=()
	shift 2
	[ "$(version_of "$home")" -lt 22 ] || native=(--enable-native-access=ALL-UNNAMED)
	fed env -u MTRACE_OPTIONS "$home/bin/java" -Xmx200m -cp "$work/classes" "$@" "${native[@]}" Attached "$blocks" "$work/libleaks.so" \
		"$work/libattached.so" "$when"
}

attach() {
	bounded 60 "$mtrace" attach "$@" >"$work/said" 2>&1
}

detach() {
	bounded 60 "$mtrace" detach "$@" >"$work/said" 2>&1
}

leak() {
	echo >&9
	says "$work/out" ready || echo "it never leaked: $(tail -3 "$work/out" "$work/err")"
	grep -q "is found: true" "$work/out" || echo "a library beside another is not found: $(head -3 "$work/out")"
}

# Of what a killed one left. Frees of what is older are unknown; nothing else may be amiss.
true_after_death() {
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	json "$(segment_of "$pid")" "$work/report.json" &&
		"$tests/programs/java/truth.py" "$work/report.json" "$tests/programs/java/Leaks.java" "$blocks"
	query "$work/report.json" '.processes[0] | (select(.attached_ns == null) | "not said to be attached"),
		(.trust.drops // {} | to_entries[] | select(.value != 0 and .key != "drop_pause" and .key != "pause") | "\(.value) \(.key)")'
}

# The JVM itself speaks, of JDK 21 and later, and nothing else does.
spoke() {
	grep -v '^WARNING: \(A JVM TI agent has been\|If a serviceability\|Dynamic loading of agents\)' "$work/err" | head -3
}

while read -r version home <&3; do
	for when in early late; do
		under_load "$home" "$when"
		{
			says "$work/out" running && attach "$pid" || cat "$work/said" "$work/err"
			leak
			spoke
			true_after_death
		} >"$work/wrong" 2>&1
		verdict "JDK $version, its library $when: every block under its method and line" "$work/wrong"
	done
	under_load "$home" late
	{
		says "$work/out" running || cat "$work/err"
		sleep 1 # libraries that it opens itself
		before=$("$tests/programs/slots.py" "$pid" rights)
		attach "$pid" || cat "$work/said"
		[ "$("$tests/programs/slots.py" "$pid")" -gt 10 ] || echo "$("$tests/programs/slots.py" "$pid") slots lead to us"
		for _ in $(seq "$times"); do
			detach "$pid" && attach "$pid" || cat "$work/said"
		done
		detach "$pid" || cat "$work/said"
		[ "$("$tests/programs/slots.py" "$pid")" = 0 ] || echo "$("$tests/programs/slots.py" "$pid") slots still lead to us"
		comm -23 <(echo "$before") <("$tests/programs/slots.py" "$pid" rights) | sed 's/^/its rights differ: /' # ours brings libdl
		json "$pid" "$work/a.json" && sleep 0.3 && json "$pid" "$work/b.json"
		[ "$(query "$work/a.json" '.processes[0].totals.alloc_blocks')" = "$(query "$work/b.json" '.processes[0].totals.alloc_blocks')" ] ||
			echo "it records after detach"
		query "$work/b.json" '.processes[0] | select(.detached_ns == null) | "not said to be detached"'
		attach "$pid" || cat "$work/said"
		leak
		spoke
		true_after_death
	} >"$work/wrong" 2>&1
	verdict "JDK $version: attached and detached $times times under load" "$work/wrong"
done 3< <(jdks)
skip_absent_jdks

# ---- at any time of its start ----
{
	for pause in 0 0.01 0.03 0.06 0.1 0.2; do
		under_load "$java_home" late
		within 10 grep -q java "/proc/$pid/cmdline"
		sleep "$pause"
		attach "$pid" || cat "$work/said"
		says "$work/out" running || echo "it did not start: $(head -3 "$work/out" "$work/err")"
		grep -q "thread dump" "$work/out" && echo "it printed its threads"
	done
	leak
	true_after_death
} >"$work/wrong" 2>&1
verdict "attached while it starts" "$work/wrong"

# ---- other ways to run ----
once=$blocks
for options in -Xint -Xrs "-Xcheck:jni -XX:+UseSerialGC" "-XX:+UseZGC"; do
	blocks=$once
	[[ $options != *ZGC ]] || blocks=$((10 * once)) # truth.py allows one in ten thousand to be lost: enough to have some
	# shellcheck disable=SC2086
	under_load "$java_home" late $options
	{
		says "$work/out" running && attach "$pid" || cat "$work/said"
		leak
		true_after_death
	} >"$work/wrong" 2>&1
	verdict "$options" "$work/wrong"
done
blocks=$once

# ---- children, and an end of its own ----
for way in posix_spawn vfork fork; do
	fed env -u MTRACE_OPTIONS "$java_home/bin/java" -Djdk.lang.Process.launchMechanism=$way -cp "$work/classes" Children 30
	{
		says "$work/out" running && attach "$pid" || cat "$work/said"
		printf x >&9
		says "$work/out" "good 30" || tail -2 "$work/out" "$work/err"
		wait "$pid" || echo "status $?"
		json "$(segment_of "$pid")" "$work/report.json" &&
			query "$work/report.json" '.processes[0] | select(.end.reason != "exit" or .end.status != 0) | "\(.end)",
				(.totals.live_blocks | select(. < 30) | "\(.) blocks")'
	} >"$work/wrong" 2>&1
	verdict "its children, by $way, and its exit" "$work/wrong"
	pid=
done

# ---- refused ----
refused() {
	local name=$1 text=$2
	shift 2
	bounded 60 "$mtrace" "$@" >"$work/said" 2>&1
	[ $? = 2 ] && [ "$(wc -l <"$work/said")" = 1 ] && grep -qF -- "$text" "$work/said" && pass "$name" ||
		fail "$name" "$(head -c 300 "$work/said")"
}
under_load "$java_home" late -XX:+DisableAttachMechanism
says "$work/out" running
refused "attaching is disabled" "DisableAttachMechanism" attach "$pid"
kill -0 "$pid" && ! grep -q "thread dump" "$work/out" && pass "and it goes on as if nothing had been" || fail "and it goes on" "$(head -3 "$work/out")"
refused "what is not traced is not detached" "is not traced" detach "$pid"
home21=$(jdks | awk '$1 == 21 { print $2 }')
if [ -n "$home21" ]; then
	under_load "$home21" late -XX:-EnableDynamicAgentLoading
	says "$work/out" running
	refused "the JVM loads no agents" "ynamic agent loading" attach "$pid"
fi
fed sleep 1000
refused "no JVM" "mtrace run -- sleep 1000" attach "$pid"

# ---- asleep ----
window() {
	printf x >&9
	within 20 test "$(stat -c %s "$work/out")" -ge "$1"
}
blocks_of() {
	bounded 20 "$mtrace" report --json "$pid" >"$work/a.json" 2>/dev/null # which says so where nothing is recorded
	query "$work/a.json" '.processes[0].totals.alloc_blocks'
}
fed env LD_PRELOAD="$shim" MTRACE_OPTIONS="dir=$segments:mode=off" "$victims/victim_growth" leak 1
{
	within 10 has_segment "$pid" && window 1
	[ "$(blocks_of)" = 0 ] || echo "it records while it sleeps"
	attach "$pid"
	[ $? = 1 ] && grep -q "is idle" "$work/said" || echo "nobody is there to wake it: $(cat "$work/said")"
	window 2
	some=$(blocks_of)
	[ "${some:-0}" -gt 0 ] || echo "it does not wake: $some"
	(sleep 0.3 && printf x >&9) &
	detach "$pid" || cat "$work/said"
	wait $!
	window 4
	some=$(blocks_of)
	window 5
	[ "$some" = "$(blocks_of)" ] || echo "it records after detach: $some, then $(blocks_of)"
	(sleep 0.3 && printf x >&9) &
	attach "$pid" || cat "$work/said"
	wait $!
	window 7
	[ "$(blocks_of)" -gt "$some" ] || echo "it does not go on"
	now=$(blocks_of)
	live=$(query "$work/a.json" '.processes[0].totals.live_blocks')
	[ "$live" -le $((now - some)) ] || echo "what was live before the pause still is: $live of $((now - some)) since"
} >"$work/wrong" 2>&1
verdict "asleep from its start, woken, and again" "$work/wrong"

# ---- where it cannot see the library ----
if unshare --mount true 2>/dev/null; then
	export work java_home BUILD blocks
	fed unshare --mount bash -c 'mount -t tmpfs none /tmp -o size=64m && mkdir -p "$work" && cp -r "$0/." "$work" && { [ ! -d "$BUILD" ] || mount -t tmpfs none "$BUILD"; } &&
		exec env -u MTRACE_OPTIONS "$java_home/bin/java" -cp "$work/classes" Attached "$blocks" "$work/libleaks.so" "$work/libattached.so" late' \
		"$(cp -r "$work/classes" "$work"/lib*.so "$segments" && echo "$segments")"
	{
		says "$work/out" running && attach "$pid" || cat "$work/said" "$work/err"
		root=/proc/$pid/root # what the process has as /
		find "$root"/tmp -maxdepth 1 -name '.mtrace*'
		detach "$pid" && attach "$pid" || cat "$work/said"
		leak
		true_after_death
	} >"$work/wrong" 2>&1
	verdict "a copy where it can be loaded, removed again" "$work/wrong"
else
	skip "a copy where it can be loaded" "this machine allows no mount namespaces"
fi
stop
suite_end
