#!/bin/bash
# symbols: names for real programs, by every way they may come: debug information inside, C++ and Rust, symbols found
# elsewhere later, a debuginfod server (on loopback), libraries that are deleted while they are mapped, as root and as
# somebody who may not open them; and what must not come out: secrets on command lines.
. "$(dirname "$0")/../lib/suite.sh"
cd "$work" || exit 2

# names RECORDING NUMBER: the first frames of the largest stack, "function file:line", or "module+" without a name
names() {
	json "$1" "$work/report.json" >"$work/said" && query "$work/report.json" \
		"[.processes[0].stacks[0].frames[:$2][] | (if .function == \"\" then (.module | split(\"/\") | last) + \"+\" else .function end) + \" \" + (.file | split(\"/\") | last // \"\") + \":\" + (.line | tostring)] | join(\", \")"
}

cat >keeper.c <<'END'
#include <stdlib.h>
static __attribute__((noinline)) void *hidden_keeper(int n)
{
	return malloc(100000 + n);
}
int main(void)
{
	for (volatile int i = 0; i < 10; i++)
		*(void *volatile *)&(void *){0} = hidden_keeper(i);
	return 0;
}
END
mkdir store
gcc -g -O1 -Wl,--build-id=sha1 keeper.c -o keeper && objcopy --only-keep-debug keeper store/keeper.debug && strip keeper
here="hidden_keeper keeper.c:4, main keeper.c:9"

# ---- symbols that are elsewhere ----
traced rec.mtr ./keeper 2>err
names rec.mtr 1 | grep -qx 'keeper+ :0' && pass "stripped: places, no names" || fail "stripped: places, no names" "$(names rec.mtr 1)"
"$mtrace" symbolize --search store -o named.mtr rec.mtr 2>err
expect "symbolize --search" "$here" "$(names named.mtr 2)"
sed 's/100000/100001/' keeper.c >other.c
mkdir other && gcc -g -O1 -Wl,--build-id=sha1 other.c -o other/keeper && cp other/keeper other/keeper.debug
rm -rf "$XDG_CACHE_HOME"/*
"$mtrace" symbolize --search other -o wrong.mtr rec.mtr 2>err
grep -q "keeper" err && names wrong.mtr 1 | grep -qx 'keeper+ :0' && pass "another build is not taken for it" ||
	fail "another build is not taken for it" "$(names wrong.mtr 1)"

# ---- debuginfod ----
if command -v debuginfod >/dev/null; then
	for _ in 1 2 3 4 5; do
		port=$((20000 + RANDOM % 30000))
		in_background debuginfod -F store -p $port -d :memory: >server.log 2>&1
		server=$!
		for _ in $(seq 100); do
			grep -q 'groomed' server.log && grep -q 'scanned' server.log && break
			kill -0 $server 2>/dev/null || break
			sleep 0.1
		done
		kill -0 $server 2>/dev/null && break
	done
	rm -rf "$XDG_CACHE_HOME"/*
	DEBUGINFOD_URLS="http://127.0.0.1:$port" bounded 60 "$mtrace" symbolize -o served.mtr rec.mtr 2>err
	expect "debuginfod" "$here" "$(names served.mtr 2)"
	grep -q 'GET /buildid/.*/debuginfo 200' server.log && pass "it was asked" || fail "it was asked" "$(tail -3 server.log)"
	rm -rf "$XDG_CACHE_HOME"/*
	DEBUGINFOD_URLS="http://127.0.0.1:$port" traced rec2.mtr ./keeper 2>err
	expect "debuginfod, during the run" "$here" "$(names rec2.mtr 2)"
	kill $server
	wait $server 2>/dev/null
	rm -rf "$XDG_CACHE_HOME"/*
	DEBUGINFOD_URLS="http://127.0.0.1:$port" bounded 60 "$mtrace" symbolize -o gone.mtr rec.mtr 2>err
	[ $? = 0 ] && names gone.mtr 1 | grep -qx 'keeper+ :0' && pass "a server that is gone" || fail "a server that is gone" "$(cat err)"
else
	skip "debuginfod" "not installed"
fi

# ---- Rust: names as they are written, the standard library's own passed over when pointing at the user's ----
if command -v rustc >/dev/null; then
	cat >store.rs <<'END'
mod store {
    pub struct Cache<T> { pub rows: Vec<T> }
    impl<T: Clone> Cache<T> {
        #[inline(never)]
        pub fn keep(&mut self, t: &T) { self.rows.push(t.clone()); }
    }
}
fn main() {
    let mut cache = store::Cache { rows: Vec::new() };
    let row = vec![7u8; 50000];
    for _ in 0..50 { cache.keep(&row); }
    println!("{}", cache.rows.len());
    std::process::exit(0);
}
END
	rustc -g -O -o store_rs store.rs 2>err || fail "rustc" "$(head -3 err)"
	traced rust.mtr ./store_rs >out 2>err
	"$mtrace" leaks -n 1 rust.mtr >out
	grep -q 'store::store::Cache<T>::keep .* store.rs:5 .*<- your code' out && pass "Rust" || fail "Rust" "$(grep -E 'your code|keep' out)"
	grep -q '17h[0-9a-f]\{16\}E' out && fail "Rust: no hashes" "$(grep 17h out)" || pass "Rust: no hashes"
else
	skip "Rust" "no rustc"
fi

# ---- C++ ----
cat >store.cc <<'END'
#include <cstdlib>
#include <map>
#include <string>
namespace app {
template <typename T> struct cache {
	std::map<std::string, T> rows;
	__attribute__((noinline)) void keep(const std::string &key, const T &value) { rows[key] = value; }
};
}
int main()
{
	static app::cache<std::string> cache;
	for (int i = 0; i < 100; i++)
		cache.keep(std::to_string(i), std::string(9000, 'x'));
	_Exit(0);
}
END
g++ -g -O1 store.cc -o store_cc
traced cxx.mtr ./store_cc 2>err
"$mtrace" leaks -n 1 cxx.mtr >out
grep -q '^ *app::cache<std::.* store.cc:7 .*<- your code' out && pass "C++" || fail "C++" "$(grep -E 'your code|keep' out)"

# ---- a library that is unpacked, loaded and deleted ----
cat >unpacked.c <<'END'
#include <stdlib.h>
static __attribute__((noinline)) void *inner(int n)
{
	return malloc(100000 + n);
}
void *unpacked_grow(int n)
{
	void *p = inner(n);
	return p;
}
END
cat >loads.c <<'END'
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>
int main(int count, char **arguments)
{
	void *library = dlopen(arguments[1], RTLD_NOW);
	void *(*grow)(int) = library ? (void *(*)(int))dlsym(library, "unpacked_grow") : 0;
	unlink(arguments[1]);
	for (int i = 0; grow && i < 10; i++)
		*(void *volatile *)&(void *){0} = grow(i);
	puts("loaded");
	fflush(stdout);
	while (count > 2 && access(arguments[2], F_OK) != 0) /* until somebody has seen it */
		usleep(10000);
	return grow == 0;
}
END
gcc -g -O1 -fPIC -shared -Wl,--build-id=sha1 unpacked.c -o whole.so
gcc -g -O1 loads.c -o loads -ldl
has_copy() {
	[ -n "$(find "$1" -path '*/files/*' -size +0 2>/dev/null | head -1)" ]
}
# unpacked NAME FRAMES AS…: under mtrace run, as that user; the library's frames are FRAMES
unpacked() {
	local name=$1 frames=$2 home=$work/home.$1
	shift 2
	mkdir -p "$home" bin && chmod 777 "$home" && cp "$mtrace" "$shim" loads bin/ && cp whole.so "$home/unpacked.so"
	rm -rf "$home/.cache" "$home/seen"
	bounded 60 "$@" env HOME="$home" XDG_CACHE_HOME="$home/.cache" XDG_STATE_HOME="$home/.state" MTRACE_OPTIONS="dir=$segments" \
		"$work/bin/mtrace" run -q -f -o "$home/rec.mtr" -- "$work/bin/loads" "$home/unpacked.so" "$home/seen" >"$home/out" 2>err &
	within 10 has_copy "$home/.cache"
	touch "$home/seen"
	wait $!
	names "$home/rec.mtr" 2 >got
	grep -qx "$frames" got && pass "$name: a library deleted while it is mapped" || fail "$name: a library deleted while it is mapped" "$(cat got err)"
}
chmod 711 "$work"
chmod 777 "$segments"
if python3 -c 'import sys; m = open("/proc/self/maps").readline().split()[0]; open("/proc/self/map_files/" + "-".join(h.lstrip("0") for h in m.split("-")), "rb")' 2>err; then
	unpacked "may open it" "inner unpacked.c:4, unpacked_grow unpacked.c:8"
else
	skip "may open it" "the kernel does not let us: $(tail -1 err)"
fi
if [ "$(id -u)" = 0 ] && su -s /bin/sh nobody -c true 2>/dev/null; then
	unpacked "may not open it" "unpacked.so+ :0, unpacked_grow :0" setpriv --reuid nobody --regid nogroup --clear-groups
else
	unpacked "may not open it" "unpacked.so+ :0, unpacked_grow :0"
fi

# ---- what looks like a secret is not kept ----
traced secret.mtr env API_TOKEN=leaked1 ./keeper --password=leaked2 --api-key leaked3 https://me:leaked4@host/ --name shown 2>err
json secret.mtr "$work/report.json" >"$work/said"
zstd -dcq secret.mtr 2>/dev/null >raw || cat secret.mtr >raw
grep -c 'leaked[0-9]' raw report.json | grep -v ':0$' >>"$work/said"
grep -q 'shown' report.json || echo "what is no secret is gone, too" >>"$work/said"
"$mtrace" report secret.mtr | grep 'leaked[0-9]' >>"$work/said"
expect "mode 0600" 600 "$(stat -c %a secret.mtr)"
verdict "secrets on the command line" "$work/said"
suite_end
