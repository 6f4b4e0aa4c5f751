#!/bin/bash
# rocksdb: db_bench fillrandom and readrandom (hung a peer): background threads, C++, large blocks.
. "$(dirname "$0")/../lib/suite.sh"
bench() {
	"$@" db_bench --benchmarks=fillrandom,readrandom,compact --num="${ROCKSDB_KEYS:-100000}" --db="$work/db" --threads=2 \
		--write_buffer_size=4194304 --seed=1 >"$work/out" 2>"$work/err"
}
bench traced "$work/rec.mtr"
status=$?
[ $status = 0 ] && grep -q '^fillrandom ' "$work/out" && grep -q '^readrandom ' "$work/out" && pass "db_bench" ||
	fail "db_bench" "status $status: $(tail -c 400 "$work/err")"
trusted "trust box" "$work/rec.mtr"
query "$work/report.json" '[.processes[0].stacks[].frames[].function // "" | select(startswith("rocksdb::"))] | length > 100' |
	grep -qx true && pass "C++ names" || fail "C++ names" "no rocksdb:: functions"
rm -rf "$work/db"
suite_end
