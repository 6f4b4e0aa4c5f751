#!/bin/bash
# differential: the unwinder inside real programs. At each allocation: our rules, the memo, libunwind; every frame equal,
# or the difference in a class whose rule explains it (tests/oracle/differential.c). Then the shim itself: the same
# stacks under the same ids with the memo and without.
#
# DIFFERENTIAL_STACKS=N in all (default 400000, part of `make check`); `make differential` takes ten million and writes
# its totals to the file DIFFERENTIAL_REPORT.
. "$(dirname "$0")/../lib/suite.sh"
want=${DIFFERENTIAL_STACKS:-400000}
kept=${DIFFERENTIAL_REPORT:+$(realpath -m "$DIFFERENTIAL_REPORT")}
oracle=$BUILD/tests/oracle
python=/usr/bin/python3
totals=$work/totals
: >"$totals"

# ---- one run, and its totals -----------------------------------------------------------------------------

# under OUT EVERY COMMAND…: the command with the library in front; one in EVERY of its stacks is compared
under() {
	local out=$1 every=$2
	shift 2
	rm -f "$out"
	runs timeout --kill-after=5 300 env DIFFERENTIAL_OUT="$out" DIFFERENTIAL_EVERY="$every" \
		LD_PRELOAD="$oracle/differential.so" "$@"
}

value() {
	awk -v name="$2" '$1 == name { print $2 } ($1 == "explained" || $1 == "wrong") && $2 == name { print $3 }' "$1"
}

# wrong_in OUT: what must not be
wrong_in() {
	[ "$(tail -1 "$1" 2>/dev/null)" = end ] || { echo "no totals"; return; }
	awk '$1 == "wrong" && $3 > 0 { print } $1 == "explained" && $2 == "equal" && $3 == 0 { print "nothing was equal" }
		$1 == "memo_stacks" && $2 == 0 { print "the memo walked nothing" }
		$1 == "way_stacks" && $2 == 0 { print "no way in was found again" }
		$1 == "route_stacks" && $2 == 0 { print "no route was found again" }
		$1 ~ /^end_(2|6|bad_rules|unreadable|loop)$/ && $2 > 0 { print } /^example |^frame [0-9]/' "$1"
}

# compare NAME PERCENT SIZE FUNCTION: FUNCTION OUT EVERY ROUND runs the program, whose runs have some SIZE stacks; again
# until its share is compared
compare() {
	local name=$1 share=$(($2 * want / 100)) size=$3 run=$4 done_so_far=0 round=0 out got every
	every=$((size > share ? size / share : 1))
	: >"$work/said"
	while [ $done_so_far -lt $share ] && [ $round -lt 200 ] && ! [ -s "$work/said" ]; do
		round=$((round + 1))
		out=$work/$name.$round
		$run "$out" $every $round >"$work/stdout" 2>"$work/stderr"
		got=$?
		[ $got = 0 ] || echo "status $got: $(tail -c 300 "$work/stderr")" >>"$work/said"
		wrong_in "$out" >>"$work/said"
		[ -s "$out" ] || break
		done_so_far=$((done_so_far + $(value "$out" stacks)))
		sed "s/^/$name /" "$out" >>"$totals"
	done
	[ $done_so_far -ge $share ] || echo "only $done_so_far stacks of $share in $round runs" >>"$work/said"
	verdict "$name: $done_so_far stacks" "$work/said"
}

# ---- the programs ----------------------------------------------------------------------------------------

shapes() { under "$1" "$2" "$oracle/shapes" $((3 + $3)); }
coroutines() { under "$1" "$2" "$oracle/coroutines" 200; }

make_unit() {
	local h
	for h in algorithm map memory string vector functional iostream ${1:-} unordered_map; do
		echo "#include <$h>"
	done
	echo 'int main() { std::map<std::string, std::vector<int>> m; m["a"].push_back(1); std::cout << m.size(); }'
}

compiler() {
	make_unit "$([ $(($3 % 2)) = 0 ] && echo regex)" >"$work/unit.cc"
	g++ -E "$work/unit.cc" -o "$work/unit.ii" && under "$1" "$2" "$(g++ -print-prog-name=cc1plus)" -quiet -O$(($3 % 4)) \
		-fpreprocessed "$work/unit.ii" -o "$work/unit.s"
}

cpython() { PYTHONMALLOC=malloc under "$1" "$2" $python -X utf8 "$tests/oracle/work.py" "$3"; }

sqlite() {
	local rows=$((20000 + 10000 * ($3 % 5))) status
	under "$1" "$2" sqlite3 "$work/t.$3.db" <<-END
		PRAGMA journal_mode = $([ $(($3 % 2)) = 0 ] && echo MEMORY || echo DELETE);
		CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value REAL);
		CREATE TRIGGER renamed AFTER UPDATE ON t BEGIN INSERT INTO t(name) VALUES(upper(new.name)); END;
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $rows)
		INSERT INTO t SELECT i, printf('name-%08d-%d', i * 7919 % $rows, i), i * 1.5 FROM n;
		CREATE INDEX by_name ON t(name);
		SELECT count(*), max(a.name) FROM t a JOIN t b USING(value) WHERE a.name LIKE '%7%' GROUP BY b.id % 10;
		UPDATE t SET name = name || json_array(id, value) WHERE id % 5 = 0;
		SELECT group_concat(name) FROM (SELECT name FROM t ORDER BY value DESC LIMIT 500);
		DELETE FROM t WHERE id % 3 = 0;
		VACUUM;
	END
	status=$?
	rm -f "$work/t.$3.db"
	return $status
}

# Debian's links jemalloc, which then stands behind us. It ends by a request.
redis() {
	local socket=$work/redis.sock server
	rm -f "$socket"
	in_background under "$1" "$2" redis-server --port 0 --unixsocket "$socket" --save '' --appendonly no --dir "$work"
	server=$!
	for _ in $(seq 300); do
		[ -S "$socket" ] && bounded 5 redis-cli -s "$socket" ping 2>/dev/null | grep -q PONG && break
		kill -0 $server 2>/dev/null || return 1
		sleep 0.05
	done
	bounded 120 redis-benchmark -s "$socket" -q -t set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset \
		-n "${REDIS_REQUESTS:-5000}" -c 10 -P 8 -r 5000 -d 60
	bounded 30 redis-cli -s "$socket" eval 'for i = 1, 500 do redis.call("SET", "k" .. i, cjson.encode({i, tostring(i)})) end' 0
	bounded 30 redis-cli -s "$socket" shutdown nosave
	wait $server
}

node_js() { under "$1" "$2" node "$tests/oracle/work.js"; }

# Its compiler threads, collector and loader: HotSpot's own code. What HotSpot has compiled has no rules.
mkdir -p "$work/classes"
jvm() {
	case $(($3 % 3)) in
	1) under "$1" "$2" javac -d "$work/classes" "$tests/programs/Load.java" ;;
	2) under "$1" "$2" javac -J-XX:+UseParallelGC -J-Xmx100m -d "$work/classes" "$tests/programs/Load.java" ;;
	0) under "$1" "$2" java -Xcomp -XX:TieredStopAtLevel=$((1 + $3 % 4)) -version ;;
	esac
}

# ---- the comparison itself must be able to fail ---------------------------------------------------------------

for falsified in rules memo libunwind way; do
	DIFFERENTIAL_FALSIFY=$falsified under "$work/falsified" 1 "$oracle/coroutines" 5 >/dev/null
	wrong_in "$work/falsified" >"$work/said"
	grep -q '^wrong [a-z]* [1-9]' "$work/said" && pass "one wrong frame of $falsified is noticed" ||
		fail "one wrong frame of $falsified is noticed" "$(head -3 "$work/said")"
done

compare shapes 8 0 shapes
compare coroutines 2 160000 coroutines
compare cc1plus 20 1000000 compiler
compare cpython 20 600000 cpython
compare sqlite 20 300000 sqlite
compare redis 10 500000 redis
compare node 12 250000 node_js
compare jvm 8 80000 jvm

# Every kind of end and of explanation was there; depths on both sides of the limit.
sum_of() { awk -v name="$1" '$2 == name { n += $3 } $3 == name { n += $4 } END { print n + 0 }' "$totals"; }
for end in whole too_deep end_no_rules depth_from_512 depth_from_1024 run_time_code no_rules first_instruction; do
	[ "$(sum_of $end)" -gt 0 ] && pass "$end: $(sum_of $end)" || fail "$end" "no such stack was met"
done

# ---- the shim with its memo and without: one program, one stack, one id --------------------------------------------

# stacks_with MEMO OUT COMMAND…: kind, id, allocations of every stack that the shim records. In an empty directory: what
# lists one would allocate by its entries.
stacks_with() {
	local memo=$1 out=$2
	shift 2
	rm -f "$out"
	preload "memo=$memo" -- "$@" >/dev/null 2>"$work/stderr" <"$work/input" &
	wait $!
	json "$(segment_of $!)" "$work/report.json" >>"$work/said" &&
		jq -r '.processes[0].stacks[] | "\(.kind) \(.id) \(.alloc_blocks) \(.alloc_bytes) \(.frames | length)"' \
			"$work/report.json" | sort >"$out"
	clear_segments
}

# same_ids NAME COMMAND…: of a program that does the same twice, its input in $work/input
same_ids() {
	local name=$1
	shift
	: >"$work/said"
	stacks_with 1 "$work/with" "$@"
	stacks_with 0 "$work/without" "$@"
	[ -s "$work/with" ] || echo "no stacks" >>"$work/said"
	diff "$work/with" "$work/without" | head -5 >>"$work/said"
	verdict "$name: the same $(wc -l <"$work/with") ids with the memo and without" "$work/said"
}

echo "CREATE TABLE t(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
	INSERT INTO t SELECT printf('%d', i) FROM n; CREATE INDEX i ON t(a); SELECT group_concat(a) FROM t;" >"$work/input"
mkdir "$work/empty"
cd "$work/empty" || exit 2
same_ids sqlite sqlite3 :memory:
same_ids cpython env PYTHONMALLOC=malloc PYTHONHASHSEED=0 $python -c 'import json
def recurse(n): return [n] if n == 0 else recurse(n - 1) + [n]
json.loads(json.dumps([{"id": k, "name": "x" * k} for k in range(100)])), recurse(300)'
same_ids coroutines "$oracle/coroutines" 30
same_ids "every shape" "$oracle/shapes" 1 steady

# ---- what is kept -----------------------------------------------------------------------------------------------

report() {
	cat <<-END
		# The unwinder beside libunwind

		Written by \`make differential\` (tests/programs/differential.sh, tests/oracle/differential.c): at each allocation
		of these programs three walks from the same registers: by our rules, by the memo, by libunwind
		$(dpkg-query -W -f '${Version}' libunwind8 2>/dev/null). Compared: every frame, and why the walk ended. Java frames, which libunwind
		cannot follow, are compared with the memo over them by tests/programs/java_memo.sh.

		$(awk '$2 == "stacks" { n += $3 } $2 == "frames" { f += $3 } $2 == "memo_stacks" { m += $3 } $2 == "way_stacks" { y += $3 } $2 == "route_stacks" { r += $3 } $2 == "busy" { b += $3 }
			END { printf "%d stacks, %d frames; %d of the stacks by the memo too (the others left the thread'"'"'s own stack or needed other registers: the memo declines them), %d by a remembered way into it as well, %d by a route; %d allocations met no free slot and were not compared.", n, f, m, y, r, b }' "$totals")

		| judged | stacks | by which rule |
		|---|---:|---|
		$(awk '$2 == "explained" || $2 == "wrong" { n[$3] += $4; if (!($3 in words)) { order[++k] = $3; kind[$3] = $2; $1 = $2 = ""; w = $0; sub(/^ *[^ ]+ [^ ]+ /, "", w); words[order[k]] = w } }
			END { for (i = 1; i <= k; i++) printf "| %s: %s | %d | %s |\n", kind[order[i]], order[i], n[order[i]], words[order[i]] }' "$totals")

		| program | stacks | frames | equal | run-time code | no rules | first instruction | wrong | whole | too deep | cut |
		|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
		$(awk '{ key = ($2 == "explained" || $2 == "wrong") ? $3 : $2; value = key == $2 ? $3 : $4
				if (!($1 in seen)) { seen[$1] = 1; order[++k] = $1 }
				n[$1, key] += value; if ($2 == "wrong") bad[$1] += value }
			END { for (i = 1; i <= k; i++) { p = order[i]
				printf "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d |\n", p, n[p, "stacks"], n[p, "frames"],
					n[p, "equal"], n[p, "run_time_code"], n[p, "no_rules"], n[p, "first_instruction"], bad[p],
					n[p, "whole"], n[p, "too_deep"], n[p, "end_no_rules"] } }' "$totals")
	END
}
[ -n "$kept" ] && report >"$kept"
suite_end
