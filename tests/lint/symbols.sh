#!/bin/bash
# symbols: what the built libmtrace.so shows to the loader of somebody else's program.
#
# Exports: nothing that libmtrace.map does not list, everything in exports.txt, and no version on any (the map says
# why). References: libc only, no version above glibc 2.31, the oldest supported. No executable stack, no text
# relocations, never unloaded, at most 256 bytes of thread-local storage (an attached agent gets no more).
set -u
cd "$(dirname "$0")/../.." || exit 2
shim=${BUILD:-build}/libmtrace.so
here=tests/lint
status=0

complain() {
	[ -z "$1" ] && return
	status=1
	sed "s|^|$shim: $2: |" <<<"$1"
}

[ -f "$shim" ] || { echo "$shim is not built; run: make"; exit 2; }
exported=$(nm -D --defined-only "$shim" | awk '{ print $3 }' | sort -u)
listed=$(sed '/^global:/,/^local:/!d; s/[[:space:]]//g; /^[_A-Za-z0-9]*;$/!d; s/;//' libmtrace/libmtrace.map | sort -u)
required=$(sed 's/#.*//; s/[[:space:]]//g; /^$/d' $here/exports.txt | sort -u)
references=$(objdump -T "$shim" | grep -F '*UND*')

complain "$(grep -F @ <<<"$exported")" "export with a version, which hides it from programs"
complain "$(comm -23 <(sed 's/@.*//' <<<"$exported") <(echo "$listed"))" "exported, but not in libmtrace.map"
complain "$(comm -13 <(sed 's/@.*//' <<<"$exported") <(echo "$required"))" "in exports.txt, but not exported"
complain "$(comm -23 <(echo "$required") <(echo "$listed"))" "in exports.txt, but not in libmtrace.map"
too_new=$(grep -oE 'GLIBC_[0-9.]+\)? +[A-Za-z_0-9]+' <<<"$references" | tr -d ')' |
	awk '{ split(substr($1, 7), v, "."); if (v[1] > 2 || v[2] > 31) print $2 "@" $1 }')
complain "$too_new" "needs a glibc above 2.31"
complain "$(grep -E '(GCC|CXXABI|GLIBCXX|GLIBC_PRIVATE)' <<<"$references")" "needs more than libc"
# pthread_getattr_np hung a shim that asked it inside malloc; the others allocate, or lock what the host may hold
locks=$(grep -oE ' (pthread_[a-z_]+|dl_iterate_phdr|(m|c|re)alloc|free|[a-z]*printf|getenv|exit)$' <<<"$references")
# Only where slots of loaded objects are patched, which no hook leads to: on the thread that attaches, or that has just
# come back from dlopen, whose lock it is.
users_of() {
	nm -A -u "$(dirname "$shim")"/libmtrace/*.o "$(dirname "$shim")"/libmtrace/*/*.o | sed -n "s|.*/\([a-z0-9_]*\)\.o: *U $1\$|\1|p" | tr '\n' ' '
}
if [ "$(users_of dl_iterate_phdr)|$(users_of plat_visit_slots)|$(users_of 'patch_[a-z]*' | tr ' ' '\n' | sort -u | tr -d '\n')" = \
	"plat_slots |patch |attach" ]; then
	locks=$(grep -v ' dl_iterate_phdr$' <<<"$locks")
fi
complain "$locks" "calls what locks or allocates"
allowed='\[(libc\.so\.6|ld-linux-[a-z0-9-]+\.so\.[0-9]|libdl\.so\.2|libpthread\.so\.0)\]'
complain "$(readelf -dW "$shim" | grep -F '(NEEDED)' | grep -vE "$allowed")" "needs another library"
complain "$(readelf -dW "$shim" | grep -E 'TEXTREL')" "text relocations"
complain "$(readelf -dW "$shim" | grep -q NODELETE || echo absent)" "-z nodelete"
complain "$(readelf -lW "$shim" | awk '$1 == "GNU_STACK" && /E/ && $7 ~ /E/')" "executable stack"
tls=$(($(readelf -lW "$shim" | awk '$1 == "TLS" { print $6 }') + 0))
complain "$([ $tls -gt 256 ] && echo "$tls bytes")" "thread-local storage above 256 bytes"
exit $status
