#!/bin/bash
# hazards: the host at its worst moment must not be hurt, and the record must stay right: libraries opened by a C program
# that bring C++ of their own, threads that constructors wait for, cancelled threads, forks inside signal handlers, a
# hand in the segment that knows where to write, libc functions that allocate with a lock held.
. "$(dirname "$0")/../lib/suite.sh"
hazards=$victims/victim_hazards

# like_untracked NAME COMMAND…: the same output and status, in time.
like_untracked() {
	local name=$1 plain status
	shift
	plain=$(bounded 20 "$@" 2>&1; echo "status $?")
	status=$(bounded 20 env LD_PRELOAD="$shim" MTRACE_OPTIONS="dir=$segments" "$@" 2>&1; echo "status $?")
	[ "$plain" = "$status" ] && pass "$name" || fail "$name" "$(echo "$status" | tail -3), untracked $(echo "$plain" | tail -3)"
}

cat >"$work/plugin.cc" <<'END'
#include <cstdio>
#include <new>
static struct speaks { ~speaks() { puts("unloaded"); } } at_unload;
extern "C" int run()
{
	struct alignas(128) wide { char bytes[128]; };
	int *volatile array = new int[100];
	delete[] array;
	wide *volatile aligned = new wide;
	delete aligned;
	volatile std::size_t much = std::size_t(1) << 60;
	try {
		delete[] new char[much];
	} catch (std::bad_alloc &) {
		return new (std::nothrow) char[much] != nullptr;
	}
	return 1;
}
END
cat >"$work/waits.cc" <<'END'
#include <pthread.h>
static int *volatile kept;
static void *started(void *)
{
	pthread_setname_np(pthread_self(), "started");
#ifdef OPERATORS
	kept = new int[4];
	delete[] kept;
#endif
	return nullptr;
}
#ifndef WHEN
#define WHEN constructor
#endif
__attribute__((WHEN)) static void waits()
{
	pthread_t thread;
	pthread_create(&thread, nullptr, started, nullptr);
	pthread_join(thread, nullptr);
}
END
g++ -std=gnu++17 -fPIC -shared "$work/plugin.cc" -o "$work/plugin.so"
g++ -std=gnu++17 -fPIC -shared "$work/waits.cc" -o "$work/waits.so" -lpthread
g++ -std=gnu++17 -fPIC -shared -DOPERATORS "$work/waits.cc" -o "$work/waits_cxx.so" -lpthread
g++ -std=gnu++17 -fPIC -shared -DOPERATORS -DWHEN=destructor "$work/waits.cc" -o "$work/leaves_cxx.so" -lpthread
for pages in 1 300; do # of another size: the one does not fit where the other was
	gcc -x c -O1 -fPIC -shared -DPAGES=$pages - -o "$work/own$pages.so" <<'END'
#include <stdlib.h>
__attribute__((section(".text.padding"))) const char padding[4096 * PAGES] = "";
void *_Znwm(size_t size) { return malloc(size); }
void _ZdlPv(void *p) { free(p); }
int run(void)
{
	void *volatile p = _Znwm(4);
	_ZdlPv(p);
	return p == NULL;
}
END
done
g++ -x c++ -std=gnu++17 -Wl,--no-as-needed - -o "$work/cxx" -ldl <<'END'
#include <dlfcn.h>
#include <cstdio>
int main(int, char **args) { puts(dlopen(args[1], RTLD_NOW) ? "well" : dlerror()); }
END

like_untracked "a C program's C++ plugin: operators, bad_alloc, unloaded at dlclose" "$hazards" open "$work/plugin.so"
like_untracked "a thread that a library's constructor waits for" "$hazards" open "$work/waits.so"
like_untracked "such a thread with operators, in a C++ program" "$work/cxx" "$work/waits_cxx.so"
like_untracked "the same where C++ came with the library, unseen by others" "$hazards" open "$work/waits_cxx.so"
like_untracked "the same in the library's destructor, for the first time" "$hazards" open "$work/leaves_cxx.so"
like_untracked "libraries with operators of their own come and go in two threads" "$hazards" come_and_go "$work/own1.so" "$work/own300.so"
like_untracked "pthread_getattr_np, which allocates with the thread's lock held" "$hazards" attributes
like_untracked "fork in a signal handler, the child goes on" "$hazards" segfork
# Rarely in the middle of the thread's first event, when nothing is there yet: a hundred forks a time, many times in soak.
for _ in $(seq "${SEGFORKS:-3}"); do
	clear_segments
	preload -- "$hazards" segfork
done >"$work/said" 2>&1
grep -v '^well$' "$work/said" >"$work/wrong"
verdict "and in any of them, ${SEGFORKS:-3} times" "$work/wrong"

clear_segments
preload -- "$hazards" cancel >/dev/null
json "$(find "$segments" -name 'mtrace.*')" "$work/cancel.json"
live=$(query "$work/cancel.json" '.processes[0].by_kind.thread | "\(.alloc_blocks) \(.live_blocks)"')
[ "$live" = "20 0" ] && pass "cancelled threads have ended" || fail "cancelled threads have ended" "started and live: $live"

clear_segments
preload -- "$hazards" refused >"$work/out"
json "$(find "$segments" -name 'mtrace.*')" "$work/refused.json"
got=$(query "$work/refused.json" '.processes[0] | "\(.by_kind.mmap.live_bytes) \(.trust.unknown_frees)"')
[ "$got" = "16384 0" ] && [ "$(cat "$work/out")" = well ] && pass "what the system refused has not happened" ||
	fail "what the system refused has not happened" "mapped, unknown frees: $got; $(cat "$work/out")"

is_gone() {
	! kill -0 "$1" 2>/dev/null
}

# poke NAME PYTHON: what is written where, while the host runs; regions[i] = (offset, used) of region i, f the file.
poke() {
	local name=$1 pid status
	clear_segments
	preload -- "$hazards" busy >"$work/out" 2>"$work/err" &
	pid=$!
	within 10 has_segment $pid
	sleep 0.5
	bounded 10 python3 - "$(segment_of $pid)" <<END
import os, struct, sys, time
f = os.open(sys.argv[1], os.O_RDWR)
header = os.pread(f, 4096, 0)
regions = [struct.unpack_from('<QQQQ', header, 184 + 40 * i) for i in range(16)]
regions = [(r[0], r[3]) for r in regions]
$2
END
	within 20 is_gone $pid
	kill -KILL $pid 2>/dev/null
	wait $pid
	status=$?
	[ $status = 0 ] && pass "$name" || fail "$name" "the host ended with $status"
}
poke "counts of ranges that lead out of the map" "
for _ in range(400):
    os.pwrite(f, struct.pack('<II', 32767, 32767), regions[14][0] + 28)
    time.sleep(.001)"
poke "stacks whose list goes round in a circle" "
for i in range(17, regions[2][1]):
    os.pwrite(f, struct.pack('<I', i), regions[2][0] + 16 * i + 8)"
poke "frames whose list goes round in a circle" "
for i in range(1, regions[0][1]):
    os.pwrite(f, struct.pack('<I', i), regions[0][0] + 24 * i + 16)"
poke "pages whose chain of leaves goes round in a circle" "
for i in range(1, regions[7][1]):
    leaf = struct.unpack('<Q', os.pread(f, 8, regions[7][0] + 8 * i))[0]
    os.pwrite(f, struct.pack('<Q', leaf & (1 << 40) - 1 | i << 40), regions[7][0] + 8 * i)"

# nested HOW: a handler that records while its thread is in a hook counts apart, wherever it runs: exact all the same.
nested() {
	local expected got
	clear_segments
	preload -- "$victims/victim_nested" "$1" 20000 >"$work/out" 2>"$work/err" || fail "handlers within hooks, $1" "ended with $?"
	expected=$(cat "$work/out")
	json "$(find "$segments" -name 'mtrace.*')" "$work/nested.json" || return
	got=$(query "$work/nested.json" '[.processes[0].stacks[] | select(.kind == "pool")] |
		"\(map(.alloc_blocks) | add) \(map(.live_blocks) | add)"')
	if [ "$got" = "$expected" ]; then
		pass "handlers within hooks, $1: $got"
	else
		fail "handlers within hooks, $1" "blocks allocated and live: $got, the program says $expected"
	fi
}
nested plain
nested inside

# A full table: an event whose stack could not be kept is counted as a drop each time, remembered or not.
for memo in 0 1; do
	clear_segments
	preload "memory=1m:memo=$memo" -- "$BUILD/tests/bench/paths" 20000 4 50000 10 2 >"$work/out" 2>&1
	json "$(find "$segments" -name 'mtrace.*')" "$work/full.json" || continue
	got=$(query "$work/full.json" '.processes[0].trust.drops.stacks_full')
	[ "${got:-0}" -ge 60000 ] && pass "a full table counts every event, memo=$memo: $got" ||
		fail "a full table counts every event, memo=$memo" "${got:-none} of 70 000"
done

# And it is no other stack's, nor another kind's: of one place in the code the same frames in each.
clear_segments
preload memory=1m:depth=64 -- "$hazards" full >"$work/out" 2>&1
json "$(find "$segments" -name 'mtrace.*')" "$work/full.json" &&
	got=$(query "$work/full.json" '.processes[0] | .trust.drops.stacks_full as $lost | [.stacks[] |
		select(.frames | any(.function == "make")) | "\(.kind) \(.alloc_blocks) \(.alloc_bytes)"] + ["\($lost > 0)"] | join(", ")')
[ "${got:-}" = "malloc 6 7404, true" ] && pass "a full table mixes no kinds: $got" ||
	fail "a full table mixes no kinds" "stacks of the place: ${got:-none}, and whether any were lost"
suite_end
