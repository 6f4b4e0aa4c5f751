#!/bin/bash
# sqlite: `select 1` (killed a peer), and a table with indexes in memory and in a file: the same answers as untracked.
. "$(dirname "$0")/../lib/suite.sh"
rows=${SQLITE_ROWS:-100000}
cat >"$work/build.sql" <<END
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $rows)
INSERT INTO t SELECT i, printf('name-%08d-%d', i * 7919 % $rows, i), i * 1.5 FROM n;
CREATE INDEX by_name ON t(name);
CREATE INDEX by_value ON t(value, name);
SELECT count(*), sum(id), min(name), max(name) FROM t;
SELECT group_concat(name) FROM (SELECT name FROM t WHERE name > 'name-000' ORDER BY name LIMIT 500);
DELETE FROM t WHERE id % 3 = 0;
SELECT count(*), total(value) FROM t;
END

# same NAME COMMAND…: under mtrace run and untracked, standard input from $work/input
same() {
	local name=$1 status plain
	shift
	rm -f "$work/t.db"
	bounded 120 "$@" <"$work/input" >"$work/out.plain" 2>"$work/err.plain"
	plain=$?
	rm -f "$work/t.db"
	traced "$work/rec.mtr" "$@" <"$work/input" >"$work/out" 2>"$work/err"
	status=$?
	like_untracked "$name: output and exit status" $status $plain
	trusted "$name: trust box" "$work/rec.mtr"
}

echo 'select 1;' >"$work/input"
same "select 1" sqlite3 :memory:
same "select 1 on the command line" sqlite3 "$work/t.db" 'select 1'
cp "$work/build.sql" "$work/input"
same "$rows rows in memory" sqlite3 :memory:
same "$rows rows in a file" sqlite3 "$work/t.db"
[ "$(query "$work/report.json" '.processes[0].trust.truncated_stacks')" = 0 ] && pass "every stack is whole" ||
	fail "every stack is whole" "truncated $(query "$work/report.json" '.processes[0].trust.truncated_stacks')"
echo 'select nothing from nowhere;' >"$work/input"
same "an error" sqlite3 -bail :memory:
suite_end
