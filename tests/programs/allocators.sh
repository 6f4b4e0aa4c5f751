#!/bin/bash
# allocators: jemalloc and tcmalloc beside us (preloaded, linked), where new and delete are the allocator's own: right
# to the byte; inside the program itself (linked statically): refused with the reason, the program none the worse.
. "$(dirname "$0")/../lib/suite.sh"
jemalloc=$(ldconfig -p | awk '/libjemalloc.so.2/ { print $NF; exit }')
tcmalloc=$(ldconfig -p | awk '/libtcmalloc.so.4/ { print $NF; exit }')
source=$tests/programs/victims
TRACED_SECONDS=60
build() { g++ -std=gnu++17 -O2 -g -fomit-frame-pointer -w -DNO_PVALLOC -D_GNU_SOURCE "$source/victim_truth_cxx.cc" -o "$1" -lpthread "${@:2}"; }

# right NAME VICTIM: recorded, against its truth
right() {
	local name=$1 status
	traced "$work/rec.mtr" "$2" "$work/truth" exit >"$work/out" 2>"$work/err"
	status=$?
	[ $status = 7 ] || fail "$name: exit status" "$status: $(tail -c 300 "$work/err")"
	agrees "$name" "$work/rec.mtr" "$work/truth" --stacks 300 --end exit:7
}

build "$work/victim" || fail "build" ""
for library in "$jemalloc" "$tcmalloc"; do
	name=$(basename "$library" | sed 's/\.so.*//')
	LD_PRELOAD=$library "$work/victim" "$work/truth" exit >"$work/out" 2>&1
	[ $? = 7 ] || { fail "$name, preloaded, untracked" "$(head -c 200 "$work/out")"; continue; }
	LD_PRELOAD=$library right "$name preloaded beside us" "$work/victim"
	build "$work/linked" "$library" && right "$name linked" "$work/linked"
	LD_PRELOAD="$library:$shim" MTRACE_OPTIONS="dir=$segments" "$work/victim" "$work/truth" exit >"$work/out" 2>"$work/err"
	[ $? = 7 ] && pass "$name preloaded before us: the program is none the worse" ||
		fail "$name preloaded before us" "$(tail -c 300 "$work/err")"
done

# An allocator that does one thing by another, which it calls by name and thus through us.
gcc -x c -std=gnu11 -O1 -g -fno-builtin -fPIC -shared - -o "$work/by_name.so" <<'END' || fail "an allocator by name: build" ""
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
void *__libc_malloc(size_t), *__libc_memalign(size_t, size_t);
void __libc_free(void *);
void *malloc(size_t size) { return __libc_malloc(size); }
void free(void *p) { __libc_free(p); }
void *memalign(size_t alignment, size_t size) { return __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
void *valloc(size_t size) { return memalign(4096, size); }
int posix_memalign(void **out, size_t alignment, size_t size)
{
	if (alignment % sizeof(void *) || alignment & (alignment - 1) || !alignment)
		return EINVAL;
	int saved = errno;
	void *p = memalign(alignment, size);
	errno = saved;
	return p ? *out = p, 0 : ENOMEM;
}
void *calloc(size_t count, size_t size)
{
	size_t bytes;
	void *p = __builtin_mul_overflow(count, size, &bytes) ? NULL : malloc(bytes);
	return p ? memset(p, 0, bytes) : NULL;
}
void *realloc(void *old, size_t size)
{
	if (old && !size) {
		free(old);
		return NULL;
	}
	void *p = malloc(size);
	size_t had = malloc_usable_size(old);
	if (p && old) {
		memcpy(p, old, had < size ? had : size);
		free(old);
	}
	return p;
}
END
LD_PRELOAD=$work/by_name.so right "an allocator that calls itself by name" "$work/victim"

# An allocator inside the executable wins over any preload: nothing can be seen, and that must be said.
if build "$work/inside" -Wl,--whole-archive -l:libjemalloc.a -Wl,--no-whole-archive -ldl -lm 2>"$work/said"; then
	traced "$work/rec.mtr" "$work/inside" "$work/truth" exit >"$work/out" 2>"$work/err"
	status=$?
	[ $status = 7 ] || [ $status = 125 ] && grep -qiE 'mtrace: .*(alloc|symbol)' "$work/err" && pass "jemalloc inside the executable: said so" ||
		fail "jemalloc inside the executable" "status $status: $(tail -c 300 "$work/err")"
	bounded 30 "$mtrace" doctor "$work/inside" >"$work/out" 2>&1
	grep -qi 'alloc' "$work/out" && pass "doctor names the allocator inside" || fail "doctor" "$(head -c 300 "$work/out")"
else
	skip "jemalloc inside the executable" "does not link: $(head -c 200 "$work/said")"
fi
g++ -static -std=gnu++17 -O2 -w -D_GNU_SOURCE "$source/victim_truth_cxx.cc" -o "$work/static" -lpthread 2>"$work/said" || fail "static build" ""
traced "$work/rec.mtr" "$work/static" "$work/truth" exit >"$work/out" 2>"$work/err"
status=$?
[ $status = 7 ] || [ $status = 125 ] && grep -qiE 'mtrace: .*static' "$work/err" && pass "static: said so" ||
	fail "static" "status $status: $(tail -c 300 "$work/err")"
gcc -fsanitize=address -O1 -w -D_GNU_SOURCE "$source/victim_spin.c" -o "$work/asan" -lpthread -ldl
ASAN_OPTIONS=detect_leaks=0 traced "$work/rec.mtr" "$work/asan" wild >"$work/out" 2>"$work/err"
grep -qiE 'mtrace: .*sanitizer' "$work/err" && pass "AddressSanitizer inside: said so" || fail "AddressSanitizer" "$(tail -c 300 "$work/err")"
suite_end
