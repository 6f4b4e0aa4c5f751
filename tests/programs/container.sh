#!/bin/bash
# container: a service in namespaces and a root of its own, asked from the host (its pid there), from inside (pid 1), and
# from a sidecar that shares its pids and nothing else: every command finds the segment below the target's root, names
# come from its files, and a file of the same path in the asker's own root is not believed.
. "$(dirname "$0")/../lib/suite.sh"
. "$tests/lib/root.sh"
can_have_roots || { skip "containers" "needs root and namespaces"; suite_end; }
unpack_dist "$work/dist" || { fail "make dist" "$(tail -c 300 "$work/make.log")"; suite_end; }
make -C "$root" -s BUILD="$BUILD" "$victims/victim_resident" >"$work/make.log" 2>&1

# Two roots: the service's, which has its program, and the sidecar's, which has another one at the same path.
service=$work/service side=$work/side
bare_root "$service" /bin/bash /bin/ls
bare_root "$side" /bin/bash
for each in "$service" "$side"; do
	mkdir -p "$each/srv"
	cp -a "$work/dist" "$each/opt"
done
cp "$victims/victim_resident" "$service/srv/resident"
cp /bin/bash "$side/srv/resident"

mkfifo "$service/srv/pipe"
in_background in_root "$service" bash -c 'LD_PRELOAD=/opt/lib/libmtrace.so exec /srv/resident /srv/ready'
unshare_pid=$!
within 20 test -s "$service/srv/ready" || { fail "the service starts" "no sign of it"; suite_end; }
pid=$(pgrep -P "$unshare_pid" | head -1)

# What each asker is: its mtrace, and the pid by which it knows the service.
host() { bounded 60 "$mtrace" "$@"; }
inside() { bounded 60 nsenter --target "$pid" --mount --pid --root --wd /opt/bin/mtrace "$@"; }
sidecar() {
	bounded 60 nsenter --target "$pid" --pid unshare -m --propagation private sh -c \
		'mount -t proc proc "$0/proc" && exec chroot "$0" /opt/bin/mtrace "$@"' "$side" "$@"
}

# says NAME PATTERN ASKER COMMAND…: status 0 and a line, on either output, that matches
says() {
	local name=$1 pattern=$2
	shift 2
	"$@" >"$work/out" 2>"$work/err"
	local status=$?
	[ $status = 0 ] && cat "$work/out" "$work/err" | grep -qE -- "$pattern" && pass "$name" ||
		fail "$name" "status $status: $(head -c 300 "$work/err") $(head -c 600 "$work/out")"
}

for asker in "host $pid" inside\ 1 sidecar\ 1; do
	who=${asker% *} target=${asker#* }
	line='resident_keep +victim_resident\.c:[0-9]+'
	says "$who: report, with file and line" "$line" "$who" report "$target"
	says "$who: leaks" "$line" "$who" leaks --for 0 "$target"
	says "$who: mark" "mark $who is in the record" "$who" mark "$target" "$who"
	says "$who: diff since the mark" 'resident_keep' "$who" diff "$target@$who" "$target"
	says "$who: follow" 'resident_keep|leak report|live' "$who" follow --for 2s --every 1s "$target"
	says "$who: doctor" 'traced' "$who" doctor "$target"
	says "$who: ps" "(^| )$target .*live" "$who" ps
	says "$who: snap" 'is kept' "$who" snap -f "$target" -o "/tmp/snap.$$.mtr"
	says "$who: the recording of that" "$line" "$who" report "/tmp/snap.$$.mtr"
	says "$who: report of the segment's file" "$line" "$who" report "$("$who" ps --json 2>/dev/null | jq -r ".segments[] | select(.pid_here == $target and .state == \"live\") | .path")"
done
rm -f "/tmp/snap.$$.mtr"
says "inside: gate" '^ *PASS' inside gate --load 'for i in 1 2 3 4; do echo $i; done >/srv/pipe' --phase warmup:2 --phase work:10 -- /bin/bash -c 'while :; do read -r x && y=$(echo $x); done <>/srv/pipe'
suite_end
