#!/bin/bash
# header: libmtrace/mtrace.h, as users compile it: each dialect and each way to link, with a library that answers and
# without one. The library is first a stub that includes the header as client.c does, then the real shim.
#
# The same small program of two source files must say the same everywhere; in a static program every call is silent.
. "$(dirname "$0")/../lib/suite.sh"
cd "$work" || exit 2
strict="-Wall -Wextra -pedantic -Wshadow -Wredundant-decls -Wcast-function-type -Wundef -Werror"
c_strict="$strict -Wmissing-prototypes -Wstrict-prototypes"
cxx_strict=$strict

cat >stub.c <<'EOF'
#define MTRACE_BUILDING
#include "mtrace.h"
#include <stdio.h>
static void say(const char *what, const char *detail, unsigned long number)
{
	printf("%s %s %lu\n", what, detail, number);
	fflush(stdout);
}
void mtrace_mark(const char *name) { say("mark", name, 0); }
void mtrace_snapshot(const char *tag) { say("snapshot", tag, 0); }
int mtrace_active(void) { return 1; }
void mtrace_pool_alloc(const void *pool, const void *ptr, size_t size) { say("alloc", pool == ptr ? "bad" : "ok", size); }
void mtrace_pool_free(const void *pool, const void *ptr) { say("free", pool == ptr ? "bad" : "ok", 0); }
EOF
cat >one.c <<'EOF'
#include "mtrace.h"
#include <stdio.h>
#ifdef __cplusplus
extern "C"
#endif
int two(void);
static char pool, block;
int main(void)
{
	void (*mark)(const char *) = mtrace_mark;
	int active = mtrace_active();
	mtrace_mark("one");
	mark("by pointer");
	mtrace_snapshot("state");
	mtrace_pool_alloc(&pool, &block, 4096);
	mtrace_pool_free(&pool, &block);
	printf("active %d %d\n", active, two());
	return 0;
}
EOF
cat >two.c <<'EOF'
#ifdef __cplusplus
extern "C"
#endif
int two(void);
#include <dlfcn.h>
#include "mtrace.h"
int two(void)
{
	void (*mark)(const char *) = mtrace_mark;
	void (*found)(const char *);
	*(void **)&found = dlsym(0, "mtrace_mark");
	mtrace_mark("two");
	mark("two by pointer");
	if (found)
		found("two by dlsym");
	return mtrace_active();
}
EOF
cp one.c one.cc
sed 's/\*(void \*\*)&found/*reinterpret_cast<void **>(\&found)/' two.c >two.cc
sed 's/^#include <dlfcn.h>//; /found/d' two.c >two_static.c
printf '%s\n' 'mark one 0' 'mark by pointer 0' 'snapshot state 0' 'alloc ok 4096' 'free ok 0' 'mark two 0' \
	'mark two by pointer 0' 'mark two by dlsym 0' 'active 1 1' >with.expected
echo 'active 0 0' >without.expected

# says NAME EXPECTED CMD…
says() {
	local name=$1 expected=$2
	shift 2
	bounded 20 "$@" >out 2>&1
	diff "$expected" out >difference 2>&1
	verdict "$name" difference
}

build() {
	if ! "$@" -I"$root/libmtrace" -o prog >build.log 2>&1; then
		fail "$*" "$(head -5 build.log | tr '\n' ';')"
		return 1
	fi
}

dynamic() {
	build "$@" || return
	says "$* | with a library" with.expected env LD_PRELOAD="$work/stub.so" ./prog
	says "$* | without" without.expected ./prog
}

# A shared object that a program knowing nothing of mtrace links with.
shared_object() {
	local compiler=$1
	$compiler $strict -std=c89 -O2 -fPIC -shared -Dmain=one -I"$root/libmtrace" one.c two.c -o libone.so 2>build.log &&
		echo 'int one(void); int main(void) { return one(); }' >main.c &&
		$compiler main.c -L. -lone -Wl,-rpath,"$work" -o prog 2>>build.log ||
		{ fail "$compiler shared object" "$(head -5 build.log | tr '\n' ';')"; return; }
	says "$compiler shared object | with a library" with.expected env LD_PRELOAD="$work/stub.so" ./prog
	says "$compiler shared object | without" without.expected ./prog
}

static() {
	build "$@" || return
	says "$* | silent" without.expected env LD_PRELOAD="$work/stub.so" ./prog
}

if ! gcc -std=gnu11 $c_strict -fPIC -fvisibility=hidden -shared -I"$root/libmtrace" stub.c -o stub.so \
	-Wl,--version-script="$root/libmtrace/libmtrace.map" 2>build.log; then
	fail "MTRACE_BUILDING" "$(head -5 build.log | tr '\n' ';')"
	suite_end
fi
pass "MTRACE_BUILDING leaves the prototypes, exported"

for compiler in gcc clang; do
	command -v $compiler >/dev/null || { skip "$compiler" "not installed"; continue; }
	for optimise in -O0 -O2; do
		dynamic $compiler $c_strict -std=c89 $optimise one.c two.c
		dynamic $compiler $c_strict -std=c89 $optimise -fno-pie -no-pie one.c two.c
		static $compiler $c_strict -std=c89 $optimise -static one.c two_static.c
		static $compiler $c_strict -std=c17 $optimise -static-pie -fPIE one.c two_static.c
	done
	shared_object $compiler
done
for compiler in g++ clang++; do
	command -v $compiler >/dev/null || { skip "$compiler" "not installed"; continue; }
	dynamic $compiler $cxx_strict -std=c++98 -O2 one.cc two.cc
	dynamic $compiler $cxx_strict -std=c++20 -O0 -fno-pie -no-pie one.cc two.cc
done
dynamic gcc $c_strict -std=c11 -O2 -flto one.c two.c
dynamic gcc $c_strict -std=c11 -O0 -flto -fno-pie -no-pie one.c two.c
says "a compiler that we do not know" without.expected sh -c \
	"gcc -std=c11 -U__ELF__ -I'$root/libmtrace' one.c two_static.c -o prog && LD_PRELOAD=$work/stub.so ./prog"

# The real library: the marks are in its record, the pool's block is of kind pool, and its site is the caller.
real() {
	local how="$*" active
	"$@" -g -O0 -I"$root/libmtrace" one.c two.c -o prog 2>build.log || { fail "real, $how" "$(head -3 build.log)"; return; }
	clear_segments
	preload -- ./prog >out 2>&1
	grep -qx 'active 1 1' out || { fail "real, $how" "not active: $(tr '\n' ';' <out)"; return; }
	json "$(find "$segments" -name 'mtrace.*' | head -1)" report.json >trouble || { fail "real, $how" "$(cat trouble)"; return; }
	query report.json '[.processes[0].marks[].name] | join(",")' >names
	echo 'one,by pointer,state,two,two by pointer,two by dlsym' | diff - names >difference
	verdict "real, $how: marks in the record" difference
	active=$(query report.json '[.processes[0].stacks[] | select(.kind == "pool")
		| "\(.alloc_blocks) \(.alloc_bytes) \(.live_blocks) \([.frames[].function] | index("main") != null)"] | join(";")')
	[ "$active" = "1 4096 0 true" ] && pass "real, $how: the pool's block" || fail "real, $how: the pool's block" "$active"
}
if [ -f "$shim" ] && [ -x "$mtrace" ]; then
	real gcc
	real gcc -fno-pie -no-pie
else
	skip "the real library" "not built in $BUILD"
fi
suite_end
