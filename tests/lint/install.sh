#!/bin/bash
# install: `make install` into a scratch DESTDIR: every file is there under its name, replacing goes by rename (a
# process that maps the old library keeps it), the header and its pkg-config file are usable, another program named
# mtrace is not overwritten, and `make uninstall` leaves nothing.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${BUILD:-build}
dest=$(mktemp -d)
status=0
trap 'rm -rf "$dest"' EXIT

wrong() {
	echo "install: $1"
	status=1
}

install_to() {
	make --no-print-directory BUILD="$build" DESTDIR="$dest" PREFIX=/usr/local "$@" >"$dest.log" 2>&1
}
trap 'rm -rf "$dest" "$dest.log"' EXIT

install_to install || { cat "$dest.log"; exit 1; }
prefix=$dest/usr/local
for file in bin/mtrace lib/libmtrace.so include/mtrace.h lib/pkgconfig/libmtrace.pc share/man/man1/mtrace.1 \
	share/man/man7/libmtrace-options.7; do
	[ -s "$prefix/$file" ] || wrong "$file is missing"
done
for page in man/*.[1-9]; do
	[ -s "$prefix/share/man/man${page##*.}/${page#man/}" ] || wrong "$page was not installed"
done
[ "$(readlink "$prefix/lib/libmtrace.so")" = libmtrace.so.0 ] || wrong "libmtrace.so is not a link to libmtrace.so.0"
readelf -d "$prefix/lib/libmtrace.so" | grep -q 'SONAME.*\[libmtrace.so.0\]' || wrong "the soname is not libmtrace.so.0"
find "$dest" -name '*.new' | grep . && wrong "files were left behind"

before=$(stat -Lc %i "$prefix/lib/libmtrace.so" "$prefix/bin/mtrace")
exec 9<"$prefix/bin/mtrace"
old=$(sha256sum <"$prefix/bin/mtrace")
install_to install || wrong "a second install failed: $(tail -3 "$dest.log")"
[ "$before" != "$(stat -Lc %i "$prefix/lib/libmtrace.so" "$prefix/bin/mtrace")" ] || wrong "files were overwritten in place"
[ "$(sha256sum </dev/fd/9)" = "$old" ] || wrong "the old program changed under its user"
exec 9<&-

if command -v pkg-config >/dev/null; then
	flags=$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --cflags libmtrace 2>&1 | sed "s, *$,,")
	[ "$flags" = "-I/usr/local/include" ] || wrong "pkg-config --cflags says $flags"
	preload=$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --variable=preload libmtrace)
	[ "$preload" = /usr/local/lib/libmtrace.so ] || wrong "pkg-config --variable=preload says $preload"
fi
installed=$("$prefix/bin/mtrace" version 2>&1 | head -1)
[ "$installed" = "$("$build/mtrace" version 2>&1 | head -1)" ] || wrong "the installed mtrace says $installed"

# traces PREFIX LIBRARY: the mtrace there finds that library, and it records
traces() {
	local maps
	maps=$(cd / && MTRACE_OPTIONS=dir=$dest "$1/bin/mtrace" run -q -f -o "$dest/run.mtr" -- cat /proc/self/maps 2>"$dest/run.log")
	grep -qF "$(realpath "$2")" <<<"$maps" && [ ! -s "$dest/run.log" ] && "$1/bin/mtrace" report "$dest/run.mtr" >/dev/null ||
		wrong "$1/bin/mtrace does not trace with $2: $(tail -1 "$dest/run.log")"
}
traces "$prefix" "$prefix/lib/libmtrace.so"
ln -s "$prefix/bin/mtrace" "$dest/link" && mkdir -p "$dest/linked/bin" && mv "$dest/link" "$dest/linked/bin/mtrace"
traces "$dest/linked" "$prefix/lib/libmtrace.so"
install_to PREFIX=/opt/x install || wrong "PREFIX=/opt/x: $(tail -3 "$dest.log")"
traces "$dest/opt/x" "$dest/opt/x/lib/libmtrace.so"
install_to DESTDIR= PREFIX="$dest/far" LIBDIR="$dest/elsewhere/lib" install || wrong "LIBDIR elsewhere: $(tail -3 "$dest.log")"
traces "$dest/far" "$dest/elsewhere/lib/libmtrace.so"

install_to uninstall || wrong "uninstall failed: $(tail -3 "$dest.log")"
left=$(find "$prefix" \( -type f -o -type l \))
[ -z "$left" ] || wrong "uninstall left $left"

printf '#!/bin/sh\n' >"$prefix/bin/mtrace"
install_to install && wrong "another program named mtrace was overwritten"
grep -q 'is another program' "$dest.log" || wrong "that refusal is not clear: $(tail -1 "$dest.log")"
exit $status
