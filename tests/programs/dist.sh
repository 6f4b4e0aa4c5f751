#!/bin/bash
# dist: `make dist`: the same bytes again, what is in it, that it runs wherever it is unpacked, in a root that has a shell
# and nothing else, and what it says to programs for musl; `make install` under a process that maps the old library.
# tests/soak/dist.sh has it in Debian's oldest and newest.
. "$(dirname "$0")/../lib/suite.sh"
. "$tests/lib/root.sh"

# pack BUILD: its tarball's path, from the objects that are there
pack() {
	make -C "$root" -s BUILD="$1" dist >"$work/make.log" 2>&1 || return 1
	find "$1" -maxdepth 1 -name 'libmtrace-*-linux-x86_64.tar.gz'
}

# with_objects DIR: a build directory of our own, with all that is compiled
with_objects() { mkdir "$1" && cp -a "$BUILD/libmtrace" "$BUILD/tools" "$BUILD/libmtrace.so" "$BUILD/mtrace" "$1/"; }
with_objects "$work/once" && with_objects "$work/again"
tarball=$(pack "$work/once") && [ -s "$tarball" ] || { fail "make dist" "$(tail -c 500 "$work/make.log")"; suite_end; }
again=$(umask 077 && TZ=Asia/Tokyo LC_ALL=C.UTF-8 pack "$work/again")
cmp "$tarball" "$again" >"$work/said" 2>&1
verdict "packed again, the same bytes" "$work/said"

mkdir "$work/somewhere" && tar -xzf "$tarball" -C "$work/somewhere"
here=$(echo "$work"/somewhere/*)
their=$here/bin/mtrace
for file in README LICENSE lib/libmtrace.so include/mtrace.h lib/pkgconfig/libmtrace.pc share/man/man1/mtrace.1 \
	share/man/man7/libmtrace-options.7 share/doc/libmtrace/examples/c-leak/leak.c share/doc/libmtrace/licences/libdw-dev.txt \
	share/doc/libmtrace/licences/libjansson-dev.txt share/doc/libmtrace/licences/libzstd-dev.txt share/doc/libmtrace/licences/LGPL-3; do
	[ -s "$here/$file" ] || echo "$file is missing"
done >"$work/said"
grep -rlaF "$root" "$here" >>"$work/said"
verdict "it is all there, and knows no directory of ours" "$work/said"

# The oldest glibc is one statement: the README's in the tarball, checked against what the loader will ask for.
stated=$(sed -n 's/.*needs glibc \([0-9.]*\) or newer.*/\1/p' "$here/README")
"$root/tools/dist/oldest.sh" "$here/lib/libmtrace.so" "$stated" >"$work/said" 2>&1
"$root/tools/dist/oldest.sh" "$here/lib/libmtrace.so" 2.2 >/dev/null 2>&1 && echo "oldest.sh finds 2.2 enough" >>"$work/said"
readelf -dW "$here/lib/libmtrace.so" | grep -F '(NEEDED)' | grep -vE '\[(libc\.so\.6|libdl\.so\.2)\]' >>"$work/said"
readelf -dW "$their" | grep -F '(NEEDED)' >>"$work/said"
verdict "the shim needs glibc $stated alone, mtrace nothing" "$work/said"
[ "$(PKG_CONFIG_PATH=$here/lib/pkgconfig pkg-config --variable=preload libmtrace)" -ef "$here/lib/libmtrace.so" ] &&
	pass "pkg-config finds it where it is" || fail "pkg-config finds it where it is"

# As somebody else would: from elsewhere, with hardly an environment.
(cd / && env -i PATH=/bin:/usr/bin HOME="$work" MTRACE_OPTIONS="dir=$segments" "$their" run -f -o "$work/ls.mtr" -- ls / >"$work/out" 2>"$work/err")
ls / | cmp -s - "$work/out" && grep -q "saved $work/ls.mtr" "$work/err" && "$their" report "$work/ls.mtr" | grep -q 'no drops' &&
	pass "run and report, unpacked" || fail "run and report, unpacked" "$(tail -c 300 "$work/err")"
DEBUGINFOD_URLS=http://127.0.0.1:1 bounded 60 "$their" symbolize -o "$work/named.mtr" "$work/ls.mtr" 2>"$work/err"
[ "$(grep -c 'debuginfod-find' "$work/err")" = 1 ] && pass "debuginfod is refused in one line" ||
	fail "debuginfod is refused in one line" "$(cat "$work/err")"

# ---- a root with a shell and nothing else ----
leak=$BUILD/examples/leak
make -C "$root" -s BUILD="$BUILD" examples >"$work/make.log" 2>&1
if can_have_roots; then
	bare=$work/bare
	bare_root "$bare" /bin/bash /bin/ls "$leak"
	cp -a "$here" "$bare/opt"
	echo one line >"$bare/text"
	in_root "$bare" /opt/bin/mtrace run -f -o /ls.mtr -- ls /opt >"$work/out" 2>"$work/err"
	[ $? = 0 ] && grep -q README "$work/out" && grep -q 'saved /ls.mtr' "$work/err" && pass "a bare root: run -- ls" ||
		fail "a bare root: run -- ls" "$(tail -c 300 "$work/err")"
	in_root "$bare" /opt/bin/mtrace run -q -f -o /leak.mtr -- "$leak" /text >"$work/out" 2>"$work/err"
	in_root "$bare" /opt/bin/mtrace report -n 1 /leak.mtr >"$work/out" 2>>"$work/err"
	grep -qE 'leak\.c:[0-9]+' "$work/out" && pass "a bare root: a leak, with file and line" ||
		fail "a bare root: a leak, with file and line" "$(tail -c 300 "$work/err"; grep -A3 '^  1' "$work/out")"
	in_root "$bare" /opt/bin/mtrace doctor ls >"$work/out" 2>&1
	expect "a bare root: doctor" "ready: mtrace run -- ls" "$(tail -n 1 "$work/out")"
else
	skip "a bare root" "needs root and namespaces"
fi

# ---- musl: one line, and the program runs as ever ----
if command -v musl-gcc >/dev/null; then
	musl-gcc -O1 "$tests/programs/victims/many.c" -o "$work/many" || fail "musl-gcc" "it does not compile"
	"$work/many" "$work/many" >"$work/out.plain" 2>&1
	plain=$?
	env LD_PRELOAD="$here/lib/libmtrace.so" MTRACE_OPTIONS="dir=$segments" "$work/many" "$work/many" >"$work/out" 2>"$work/err"
	like_untracked "musl, preloaded: runs as untracked" $? $plain 3
	[ "$(wc -l <"$work/err")" = 1 ] && grep -q '^libmtrace: inactive: .*musl.*; use a glibc build' "$work/err" &&
		pass "musl, preloaded: one line, none from its children" || fail "musl, preloaded: one line" "$(head -c 600 "$work/err")"
	env MTRACE_OPTIONS="dir=$segments" "$their" run -f -o "$work/none.mtr" -- "$work/many" "$work/many" >"$work/out" 2>"$work/err"
	like_untracked "musl, mtrace run: runs as untracked" $? $plain 3
	[ "$(grep -c 'runs untraced: .*musl' "$work/err")" = 1 ] && [ "$(grep -vc '^mtrace: ' "$work/err")" = 0 ] &&
		pass "musl, mtrace run: says so" || fail "musl, mtrace run: says so" "$(head -c 600 "$work/err")"
	expect "musl: no segment" "" "$(ls "$segments")"
else
	skip "musl" "no musl-gcc"
fi

# ---- make install under a process that has the old library mapped ----
install_to() { make -C "$root" -s BUILD="$work/once" DESTDIR="$work/dest" PREFIX=/usr/local install >"$work/make.log" 2>&1; }
installed=$work/dest/usr/local/lib/libmtrace.so
install_to || fail "make install" "$(tail -c 300 "$work/make.log")"
mkfifo "$work/go"
in_background env LD_PRELOAD="$installed" MTRACE_OPTIONS="dir=$segments" "$victims/victim_truth" "$work/truth" exit 4 60000000 >/dev/null 2>"$work/err"
pid=$!
within 20 has_segment "$pid" || fail "the victim records" "$(cat "$work/err")"
inode_of() { awk '/libmtrace\.so/ { print $5; exit }' "/proc/$1/maps"; }
mapped=$(inode_of "$pid")
strace -f -qq -e trace=openat,rename,renameat2,unlink,unlinkat,truncate,ftruncate -o "$work/strace" \
	make -C "$root" -s BUILD="$work/once" DESTDIR="$work/dest" PREFIX=/usr/local install-files >"$work/make.log" 2>&1
expect "the process keeps the library it maps" "$mapped deleted" \
	"$(inode_of "$pid") $(grep -m1 'libmtrace\.so' "/proc/$pid/maps" | grep -o 'deleted')"
[ "$(stat -Lc %i "$installed")" != "$mapped" ] && pass "the new one is another file" || fail "the new one is another file"
grep -E '"[^"]*/usr/local/[^"]*/?(libmtrace\.so[0-9.]*|libmtrace\.pc|mtrace\.h)"' "$work/strace" |
	grep -E 'O_WRONLY|O_RDWR|truncate|unlink' | grep -v ENOENT >"$work/said"
grep -qE 'rename.*libmtrace\.so\.[0-9.]+\.new' "$work/strace" || echo "strace saw no rename" >>"$work/said"
verdict "no name is written to or missing at any time" "$work/said"
"$mtrace" report "$pid" >"$work/out" 2>&1 && grep -q 'no drops' "$work/out" && pass "and it is still read" ||
	fail "and it is still read" "$(head -c 300 "$work/out")"
kill -KILL "$pid"
suite_end
